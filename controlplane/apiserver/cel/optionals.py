"""Where optional values may be: never where Python would see them.

Pure. The library's process dies when a list or a map with an optional value in it becomes Python's, as an argument of a
function of ours or as the result of an expression, and an optional value alone raises a TypeError. What types the
library works out does not tell (it takes ``o[?'x']`` and ``dyn(o.?x)`` for anything), so the checked tree is walked for
where optional values can go. What may hold one is refused, also where it happens to hold none.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from controlplane.apiserver.cel.tree import CALL, IDENT, LIST, LOOP, SELECT, STRUCT, Nodes

_PLAIN, _OPTIONAL, _HOLDS = 0, 1, 2
"""No optional value; one, of something plain; one inside of a list, a map or another optional."""

_OF_OPTIONAL = ("value", "hasValue", "orValue")
_MAKES = ("optional.of", "optional.ofNonZeroValue")
_LOOKS_UP = ("_?._", "_[?_]")
TELLS = frozenset((
    "_==_", "_!=_", "_<_", "_<=_", "_>_", "_>=_", "_&&_", "_||_", "!_", "@in", "@not_strictly_false", "hasValue",
    "size", "type", "contains", "startsWith", "endsWith", "matches", "bool", "int", "uint", "double", "string", "bytes",
    "timestamp", "duration",
))  # fmt: skip
"""Functions of the library whose results hold nothing of their arguments."""

DEPTH = 100
"""How deep an expression with optional values may be nested."""

_PASSES = 4
"""Of a loop until what its result may be is known: each raises it, and there are three."""


class Misplaced(ValueError):
    """An optional value may be where none can; the message says where."""


def can_be_in(source: str) -> bool:
    """Whether an expression might have to do with optional values at all."""
    return "?" in source or "optional" in source


def check(serialized: bytes, ours: Collection[str]) -> None:
    """Raises Misplaced, and TooMany for an expression that is too long to tell. ``ours`` are the functions that Python
    runs."""
    walk = _Walk(ours)
    if walk.kind(walk.nodes.root(serialized), {}) != _PLAIN:
        raise Misplaced("the result may be or hold an optional value: use value(), orValue() or hasValue()")


class _Walk:
    def __init__(self, ours: Collection[str]) -> None:
        self.nodes = Nodes()
        self._ours = ours
        self._depth = 0

    def kind(self, node: bytes, scope: Mapping[str, int]) -> int:
        if self._depth == DEPTH:
            raise Misplaced(f"an expression with optional values may be nested {DEPTH} deep")
        self._depth += 1
        try:
            return self._kind(node, scope)
        finally:
            self._depth -= 1

    def _kind(self, node: bytes, scope: Mapping[str, int]) -> int:
        nodes = self.nodes
        parts = nodes.members(node)
        if IDENT in parts:
            return scope.get(nodes.text(nodes.members(nodes.part(parts[IDENT])).get(1)), _PLAIN)
        if SELECT in parts:
            select = nodes.members(nodes.part(parts[SELECT]))
            of = self.kind(nodes.part(select.get(1)), scope)
            return _PLAIN if select.get(3) else of  # has() is a boolean
        if CALL in parts:
            return self._call(nodes.part(parts[CALL]), scope)
        if LIST in parts:
            return self._list(nodes.part(parts[LIST]), scope)
        if STRUCT in parts:
            return self._struct(nodes.part(parts[STRUCT]), scope)
        if LOOP in parts:
            return self._loop(nodes.part(parts[LOOP]), scope)
        return _PLAIN

    def _call(self, call: bytes, scope: Mapping[str, int]) -> int:
        parts = self.nodes.members(call)
        name = self.nodes.text(parts.get(2))
        target = self.nodes.part(parts.get(1))
        of = self.kind(target, scope) if target else _PLAIN
        kinds = [self.kind(argument, scope) for argument in self.nodes.all(call, 3)]
        highest = max(of, *kinds, _PLAIN)
        if name in self._ours and not (of and name in _OF_OPTIONAL):
            if highest != _PLAIN:
                raise Misplaced(f"an argument of {name} may be or hold an optional value")
            return _PLAIN
        if name in _LOOKS_UP:
            return max(highest, _OPTIONAL)
        if name == "optional.none":
            return _OPTIONAL
        if name in _MAKES:
            return _HOLDS if highest else _OPTIONAL
        if name in TELLS:
            return _PLAIN
        if name in ("value", "orValue"):
            return max(_PLAIN if of == _OPTIONAL else of, *kinds, _PLAIN)
        if name == "_?_:_":
            return max(kinds[1:])
        return highest

    def _list(self, data: bytes, scope: Mapping[str, int]) -> int:
        unwrapped = set(self.nodes.numbers(data, 2))
        kinds = [
            self._item(self.kind(element, scope), unwrapped=index in unwrapped)
            for index, element in enumerate(self.nodes.all(data, 1))
        ]
        return max(kinds, default=_PLAIN)

    def _struct(self, data: bytes, scope: Mapping[str, int]) -> int:
        highest = _PLAIN
        for entry in self.nodes.all(data, 2):
            parts = self.nodes.members(entry)
            kind = self.kind(self.nodes.part(parts.get(4)), scope)
            highest = max(highest, self._item(kind, unwrapped=bool(parts.get(5))))
        return highest

    @staticmethod
    def _item(kind: int, *, unwrapped: bool) -> int:
        """Of what an item makes a list or map; an ``unwrapped`` one is an optional's value, or not there."""
        return _PLAIN if kind == _PLAIN or (unwrapped and kind == _OPTIONAL) else _HOLDS

    def _loop(self, loop: bytes, scope: Mapping[str, int]) -> int:
        nodes = self.nodes
        parts = nodes.members(loop)
        item = self.kind(nodes.part(parts.get(2)), scope)
        result = self.kind(nodes.part(parts.get(4)), scope)
        names = [name for number in (1, 8) if (name := nodes.text(parts.get(number)))]
        own = {**scope, **dict.fromkeys(names, item)}
        for _ in range(_PASSES):
            own[nodes.text(parts.get(3))] = before = result
            self.kind(nodes.part(parts.get(5)), own)
            result = max(result, self.kind(nodes.part(parts.get(6)), own))
            if result == before:
                break
        return self.kind(nodes.part(parts.get(7)), own)
