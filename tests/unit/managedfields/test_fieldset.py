"""The algebra of sets of field paths, against Python's own sets."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.apiserver.managedfields.fieldset import (
    LEAF,
    check,
    difference,
    intersection,
    is_member,
    paths,
    union,
)
from shared.api.errors import BadRequest

Path = tuple[str, ...]
PATHS = st.frozensets(st.lists(st.sampled_from(["f:a", "f:b", "v:1"]), min_size=1, max_size=3).map(tuple), max_size=8)


def build(members: frozenset[Path]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for path in members:
        node = tree
        for element in path:
            node = node.setdefault(element, {})
        node["."] = {}
    return _leaves(tree)


def _leaves(tree: dict[str, Any]) -> dict[str, Any]:
    return {key: LEAF if set(node) <= {"."} else _leaves(node) for key, node in tree.items()}


def members(tree: dict[str, Any], prefix: Path = ()) -> frozenset[Path]:
    found: set[Path] = set()
    for key, node in tree.items():
        if key == ".":
            continue
        if is_member(node):
            found.add((*prefix, key))
        found |= members(node, (*prefix, key))
    return frozenset(found)


@given(PATHS, PATHS)
def test_union_difference_and_intersection_are_those_of_sets(a: frozenset[Path], b: frozenset[Path]) -> None:
    first, second = build(a), build(b)
    assert members(first) == a
    assert union(first, second) == build(a | b)
    assert difference(first, second) == build(a - b)
    assert intersection(first, second) == build(a & b)
    assert (first, second) == (build(a), build(b))


def test_paths_read_as_kubernetes_writes_them() -> None:
    keys = 'k:{"containerPort":80,"protocol":"TCP"}'
    tree = {"f:spec": {"f:ports": {keys: {".": {}, "f:name": {}}}, "f:finalizers": {'v:"x"': {}}}}
    assert list(paths(tree)) == [
        '.spec.finalizers[="x"]',
        '.spec.ports[containerPort=80,protocol="TCP"]',
        '.spec.ports[containerPort=80,protocol="TCP"].name',
    ]


@pytest.mark.parametrize("bad", [{"spec": {}}, {"f:spec": []}, []], ids=["no path element", "list", "no object"])
def test_sets_of_clients_are_checked(bad: Any) -> None:
    with pytest.raises(BadRequest):
        check(bad, "metadata.managedFields[0].fieldsV1")
