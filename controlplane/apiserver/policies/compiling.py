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


def compile_mutation(source: str, result: str = "") -> Program:
    """An expression of a mutation (``engine.OBJECT``, ``engine.PATCH``) or a variable beside one. Raises CelError."""
    return compiled(source, SEEN, result, builds=True)


def compile_message(source: str) -> Program:
    """A messageExpression, which may not ask the authorizer. Raises CelError."""
    return compiled(source, _OF_MESSAGES, "STRING")


@dataclass(frozen=True, slots=True)
class Named:
    """An expression with its name: a match condition, a variable."""

    name: str
    program: Program


def named(listed: Sequence[JSON], result: str = "BOOL", *, builds: bool = False) -> tuple[Named, ...]:
    """Compile ``name`` and ``expression`` of each; with ``builds`` they may make objects. Raises CelError."""
    compile = compile_mutation if builds else compile_expression
    return tuple(Named(item["name"], compile(item["expression"], result)) for item in listed)
