"""Fields that an expression names and a schema does not have: found when the expression is written, not when it runs.

Pure. The library knows no types but its own, so its tree of a compiled expression (``tree``) is walked along the
schema: members of objects, items of lists, values of maps and what loops name. Where the type is not known, or deeper
than ``tree.DEPTH``, anything goes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from controlplane.apiserver.cel.engine import Program
from controlplane.apiserver.cel.tree import CALL, DEPTH, IDENT, LIST, LOOP, SELECT, STRUCT, Nodes
from controlplane.apiserver.cel.values import Shape, escaped

_META = ("apiVersion", "kind", "metadata")
_META_NAMES = ("name", "generateName")


class _Metadata:
    """What a resource's metadata shows to expressions."""


Type = Shape | _Metadata | None
"""A schema's node, or None where nobody knows."""


def undefined(program: Program, root: Shape, *, resource: bool, variables: tuple[str, ...]) -> list[str]:
    """The names of fields that are not there, in the order of the expression. ``variables`` are of the type ``root``,
    which is a ``resource`` where its kind and name are to be seen too."""
    walk = _Walk(root if resource else None)
    walk.type(walk.nodes.root(program.serialized), dict.fromkeys(variables, root))
    return list(dict.fromkeys(walk.missing))


class _Walk:
    def __init__(self, resource: Shape | None) -> None:
        self.nodes = Nodes()
        self._resource = resource
        self._depth = 0
        self.missing: list[str] = []

    def type(self, expression: bytes, scope: Mapping[str, Type]) -> Type:
        """The type of an expression; what it names and is not there goes into ``missing``."""
        if self._depth == DEPTH:
            return None
        self._depth += 1
        try:
            return self._type(expression, scope)
        finally:
            self._depth -= 1

    def _type(self, expression: bytes, scope: Mapping[str, Type]) -> Type:
        parts = self.nodes.members(expression)
        if IDENT in parts:
            return scope.get(self.nodes.text(self.nodes.members(self.nodes.part(parts[IDENT])).get(1)))
        if SELECT in parts:
            select = self.nodes.members(self.nodes.part(parts[SELECT]))
            return self._member(self.type(self.nodes.part(select.get(1)), scope), self.nodes.text(select.get(2)))
        if CALL in parts:
            return self._call(self.nodes.part(parts[CALL]), scope)
        if LIST in parts:
            for item in self.nodes.all(self.nodes.part(parts[LIST]), 1):
                self.type(item, scope)
        if STRUCT in parts:
            for entry in self.nodes.all(self.nodes.part(parts[STRUCT]), 2):
                for number, value in self.nodes.fields(entry):
                    if number in (3, 4):
                        self.type(self.nodes.part(value), scope)
        if LOOP in parts:
            self._loop(self.nodes.part(parts[LOOP]), scope)
        return None

    def _member(self, of: Type, name: str) -> Type:
        if of is None:
            return None
        if isinstance(of, _Metadata):
            if name not in _META_NAMES:
                self.missing.append(name)
            return None
        if of is self._resource or of.embedded:
            if name == "metadata":
                return _Metadata()
            if name in _META:
                return None
        found = next((inner for key, inner in of.properties.items() if escaped(key) == name), None)
        if found is not None:
            return _known(found)
        if of.additional is not None:
            return _known(of.additional)
        if of.properties or not of.preserve:
            self.missing.append(name)
        return None

    def _call(self, call: bytes, scope: Mapping[str, Type]) -> Type:
        parts = self.nodes.members(call)
        if target := self.nodes.part(parts.get(1)):
            self.type(target, scope)
        types = [self.type(argument, scope) for argument in self.nodes.all(call, 3)]
        if self.nodes.text(parts.get(2)) == "dyn":
            return types[0]
        of = types[0] if types and self.nodes.text(parts.get(2)) == "_[_]" else None
        return None if of is None or isinstance(of, _Metadata) else _known(of.items or of.additional)

    def _loop(self, loop: bytes, scope: Mapping[str, Type]) -> None:
        parts = self.nodes.members(loop)
        over = self.type(self.nodes.part(parts.get(2)), scope)
        item = None if over is None or isinstance(over, _Metadata) else _known(over.items)
        first = self.type(self.nodes.part(parts.get(4)), scope)
        own: dict[str, Type] = {**scope, self.nodes.text(parts.get(1)): item, self.nodes.text(parts.get(3)): first}
        if second := self.nodes.text(parts.get(8)):
            own |= {self.nodes.text(parts.get(1)): None, second: None}
        for number in (5, 6, 7):
            self.type(self.nodes.part(parts.get(number)), own)


def _known(node: Any) -> Type:
    """A node whose members are known: an object or a list."""
    return node if node is not None and node.type in ("object", "array") else None
