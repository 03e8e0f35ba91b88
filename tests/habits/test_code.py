"""Habits of the code that no linter knows."""

import ast
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = sorted(
    path for package in ("shared", "controlplane", "agent", "deploy") for path in (ROOT / package).rglob("*.py")
)


def identify(path):
    return str(path.relative_to(ROOT))


@cache
def parsed(path):
    return ast.parse(path.read_text())


@pytest.mark.parametrize("path", SOURCES, ids=identify)
def test_a_module_opens_with_its_contract(path):
    assert ast.get_docstring(parsed(path)), f"{path} has no docstring"


@pytest.mark.parametrize("path", SOURCES, ids=identify)
def test_no_task_without_an_owner(path):
    if path.name == "supervisor.py":
        return
    calls = [node.func for node in ast.walk(parsed(path)) if isinstance(node, ast.Call)]
    names = [f.attr if isinstance(f, ast.Attribute) else getattr(f, "id", "") for f in calls]
    owned = {"TaskGroup"}
    bare = [name for name in names if name in ("create_task", "ensure_future")]
    assert not bare or owned & set(names), f"{path}: tasks belong to a Supervisor or a TaskGroup"


@pytest.mark.parametrize("path", SOURCES, ids=identify)
def test_file_names_say_what_is_in_them(path):
    assert path.stem not in ("utils", "helpers", "common", "misc")
