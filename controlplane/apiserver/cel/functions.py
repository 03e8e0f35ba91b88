"""Gathers the overloads of functions by name, as the engine wants them declared. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from cel_expr_python import cel

from controlplane.apiserver.cel.spending import counted

Function = Callable[..., Any]


class Functions:
    """``add`` each overload, then take ``declared``."""

    def __init__(self) -> None:
        self._overloads: dict[str, list[Any]] = {}

    def add(self, name: str, returns: Any, parameters: Sequence[Any], function: Function, member: bool = True) -> None:
        overloads = self._overloads.setdefault(name, [])
        overloads.append(
            cel.Overload(
                f"longboat_{name.replace('.', '_')}_{len(overloads)}",
                return_type=returns, parameters=list(parameters), is_member=member, impl=counted(function),
            )
        )  # fmt: skip

    @property
    def names(self) -> frozenset[str]:
        return frozenset(self._overloads)

    def declared(self) -> list[Any]:
        return [cel.FunctionDecl(name, overloads) for name, overloads in self._overloads.items()]
