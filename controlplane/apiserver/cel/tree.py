"""Nodes of an expression's checked tree, as the library serializes it.

Pure. google/api/expr checked.proto and syntax.proto, read off the wire, at most ``LIMIT`` values for one ``Nodes``.
"""

from __future__ import annotations

from collections.abc import Iterator

from controlplane.apiserver.protobuf.wire import Reader, Value

LIMIT = 200_000
"""Values of an expression's tree that are read."""

DEPTH = 200
"""How deep expressions are looked into."""

CONSTANT, IDENT, SELECT, CALL, LIST, STRUCT, LOOP = 3, 4, 5, 6, 7, 8, 9
"""The fields of a node that say what it is."""

_ANY_VALUE, _CHECKED_EXPR = 2, 4


class Nodes:
    """Reads nodes. Raises ``wire.TooMany`` beyond the limit."""

    def __init__(self) -> None:
        self._reader = Reader(LIMIT)

    def root(self, serialized: bytes) -> bytes:
        """The topmost node of ``Program.serialized``."""
        return self.part(self.members(self.part(self.members(serialized).get(_ANY_VALUE))).get(_CHECKED_EXPR))

    def members(self, data: bytes) -> dict[int, Value]:
        return self._reader.members(data)

    def fields(self, data: bytes) -> Iterator[tuple[int, Value]]:
        return self._reader.fields(data)

    def all(self, data: bytes, number: int) -> Iterator[bytes]:
        """The parts of a repeated field."""
        return (self.part(value) for found, value in self._reader.fields(data) if found == number)

    def numbers(self, data: bytes, number: int) -> Iterator[int]:
        """The values of a repeated field of numbers, packed or not."""
        for found, value in self._reader.fields(data):
            if found == number:
                yield from self._reader.packed(value) if isinstance(value, bytes) else (int(value),)

    @staticmethod
    def part(value: Value | None) -> bytes:
        return value if isinstance(value, bytes) else b""

    def text(self, value: Value | None) -> str:
        return self.part(value).decode("utf-8", "replace")
