"""How much more than what it is given an expression can make, told from its tree before it runs.

Pure. The library bounds how often loops run, not how large values become: ``cel.bind(b, a + a, cel.bind(c, b + b, …))``
doubles a text with each line. So each value is given the number of texts or lists, each at most as large as the
largest one there is to begin with, that can be in it. What our own functions make is counted as they are called
(``spending``).
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass

from controlplane.apiserver.cel.optionals import TELLS
from controlplane.apiserver.cel.tree import CALL, CONSTANT, DEPTH, IDENT, LIST, LOOP, SELECT, STRUCT, Nodes

MOST = 1 << 40
"""Where counting stops."""


@dataclass(frozen=True, slots=True)
class Cost:
    """``loops`` is how deep they are nested, ``values`` how many there can be in one, ``inside`` how many in one that
    is made in a loop; ``joins`` whether those may be lists that are put together, as ``map`` and ``filter``
    do with each item; ``passes`` whether a loop hands a function of ours, for each item anew, what is not of it."""

    loops: int
    values: int
    inside: int
    joins: bool
    passes: bool


def of(serialized: bytes, ours: Container[str]) -> Cost:
    """``ours`` are the names of functions that get copies of their arguments. Raises TooMany for an expression that is
    too long to tell."""
    walk = _Walk(ours)
    walk.values(walk.nodes.root(serialized), {}, 0)
    return Cost(walk.deepest, walk.most, walk.inside, walk.joins, walk.passes)


class _Walk:
    def __init__(self, ours: Container[str]) -> None:
        self.nodes, self._ours = Nodes(), ours
        self._items: frozenset[str] = frozenset()
        """Variables of the innermost loop."""
        self.passes = False
        self.deepest, self.most, self.inside, self.joins = 0, 1, 1, False
        self._depth = 0

    def values(self, node: bytes, scope: Mapping[str, int], loops: int) -> int:
        """Of a node; ``loops`` are around it."""
        if self._depth == DEPTH:
            self.most = MOST
            return MOST
        self._depth += 1
        try:
            found = min(MOST, self._values(node, scope, loops))
        finally:
            self._depth -= 1
        self.most = max(self.most, found)
        if loops:
            self.inside = max(self.inside, found)
        return found

    def _values(self, node: bytes, scope: Mapping[str, int], loops: int) -> int:
        nodes = self.nodes
        parts = nodes.members(node)
        if IDENT in parts:
            return scope.get(nodes.text(nodes.members(nodes.part(parts[IDENT])).get(1)), 1)
        if SELECT in parts:
            return self.values(nodes.part(nodes.members(nodes.part(parts[SELECT])).get(1)), scope, loops)
        if CALL in parts:
            return self._call(nodes.part(parts[CALL]), scope, loops)
        if LIST in parts:
            return self._sum(list(nodes.all(nodes.part(parts[LIST]), 1)), scope, loops)
        if STRUCT in parts:
            entries = [nodes.members(entry) for entry in nodes.all(nodes.part(parts[STRUCT]), 2)]
            return self._sum([nodes.part(entry.get(number)) for entry in entries for number in (3, 4)], scope, loops)
        if LOOP in parts:
            return self._loop(nodes.part(parts[LOOP]), scope, loops)
        return 1

    def _sum(self, listed: list[bytes], scope: Mapping[str, int], loops: int) -> int:
        return max(1, sum(self.values(node, scope, loops) for node in listed))

    def _call(self, call: bytes, scope: Mapping[str, int], loops: int) -> int:
        parts = self.nodes.members(call)
        arguments = [*self.nodes.all(call, 3)]
        if target := self.nodes.part(parts.get(1)):
            arguments.insert(0, target)
        name = self.nodes.text(parts.get(2))
        if name == "_?_:_":
            return max(self.values(node, scope, loops) for node in arguments)
        if loops and name == "_+_" and not any(self._is_scalar(node) for node in arguments):
            self.joins = True
        if loops and name in self._ours and any(self._is_whole(node) for node in arguments):
            self.passes = True
        total = self._sum(arguments, scope, loops)
        return 1 if name in TELLS else total

    def _loop(self, loop: bytes, scope: Mapping[str, int], loops: int) -> int:
        nodes = self.nodes
        parts = nodes.members(loop)
        over = nodes.part(parts.get(2))
        item = self.values(over, scope, loops)
        first = self.values(nodes.part(parts.get(4)), scope, loops)
        names = [name for number in (1, 8) if (name := nodes.text(parts.get(number)))]
        own = {**scope, **dict.fromkeys(names, item), nodes.text(parts.get(3)): first}
        runs = not self._is_bind(over)
        before = self._items
        if runs:
            self._items = frozenset((*names, nodes.text(parts.get(3))))
        elif loops and not self._is_whole(nodes.part(parts.get(4))):
            self._items |= {nodes.text(parts.get(3))}
        inside = loops + runs
        self.deepest = max(self.deepest, inside)
        for number in (5, 6):
            step = self.values(nodes.part(parts.get(number)), own, inside)
        if runs:
            self._items = before
        own[nodes.text(parts.get(3))] = max(first, step)
        found = self.values(nodes.part(parts.get(7)), own, loops)
        self._items = before
        return found

    def _is_whole(self, node: bytes) -> bool:
        """Whether a node may be as large as what the expression is given: it is of no item of the innermost loop."""
        parts = self.nodes.members(node)
        if IDENT in parts:
            return self.nodes.text(self.nodes.members(self.nodes.part(parts[IDENT])).get(1)) not in self._items
        if SELECT in parts:
            return self._is_whole(self.nodes.part(self.nodes.members(self.nodes.part(parts[SELECT])).get(1)))
        if CALL in parts:
            call = self.nodes.part(parts[CALL])
            members = self.nodes.members(call)
            if self.nodes.text(members.get(2)) in TELLS:
                return False
            target = self.nodes.part(members.get(1))
            return any(self._is_whole(each) for each in (target, *self.nodes.all(call, 3)) if each)
        if LIST in parts:
            return any(self._is_whole(each) for each in self.nodes.all(self.nodes.part(parts[LIST]), 1))
        return STRUCT in parts or LOOP in parts

    def _is_scalar(self, node: bytes) -> bool:
        """Whether a node is surely no list: a literal, or what tells something of others."""
        parts = self.nodes.members(node)
        if CALL in parts:
            return self.nodes.text(self.nodes.members(self.nodes.part(parts[CALL])).get(2)) in TELLS
        return CONSTANT in parts

    def _is_bind(self, over: bytes) -> bool:
        """Whether a loop is over an empty list: what the library makes of ``cel.bind``."""
        parts = self.nodes.members(over)
        return LIST in parts and not any(self.nodes.all(self.nodes.part(parts[LIST]), 1))
