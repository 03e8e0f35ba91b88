"""Expressions about a request, compiled: which variables they may use. Pure; knows no kinds, whose rows use it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from controlplane.apiserver.cel.engine import Program, compiled
from shared.api.meta import JSON

SEEN = ("object", "oldObject", "request", "params", "namespaceObject", "variables", "authorizer")
"""The variables of an expression (KEP-3488)."""
_OF_MESSAGES = SEEN[:-1]


def compile_expression(source: str, result: str = "BOOL") -> Program:
    """Raises CelError."""
    return compiled(source, SEEN, result)


def compile_message(source: str) -> Program:
    """A messageExpression, which may not ask the authorizer. Raises CelError."""
    return compiled(source, _OF_MESSAGES, "STRING")


@dataclass(frozen=True, slots=True)
class Named:
    """An expression with its name: a match condition, a variable."""

    name: str
    program: Program


def named(listed: Sequence[JSON], result: str = "BOOL") -> tuple[Named, ...]:
    """Compile ``name`` and ``expression`` of each. Raises CelError."""
    return tuple(Named(item["name"], compile_expression(item["expression"], result)) for item in listed)
