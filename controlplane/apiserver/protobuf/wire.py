"""The protobuf wire format: bytes to numbered fields, and a field's value as what it has to be.

After https://protobuf.dev/programming-guides/encoding/. Groups, which proto3 and Kubernetes do without, are refused.
Knows nothing of Kubernetes. Every mistake is ``Malformed``. Pure.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

Value = int | bytes | float
"""A varint as an unsigned number of 64 bits, a length-delimited value as its bytes, a fixed-width one as a float: of
the API's types none has such a field, so a float is wrong wherever it is not unknown."""

_VARINT, _BYTES = 0, 2
_FIXED = {1: ("<d", 8), 5: ("<f", 4)}
_64_BITS = (1 << 64) - 1


class Malformed(ValueError):
    """The bytes are not what they claim to be; the message says why, in words for the user."""


class TooMany(Malformed):
    """More values than the reader is to read."""


class Reader:
    """Reads one body, at most ``limit`` values of it, nested ones counted: a few bytes can be a value, and reading a
    body of some megabytes of them would hold up the process for seconds."""

    def __init__(self, limit: int) -> None:
        self._limit = self._left = limit

    def fields(self, data: bytes) -> Iterator[tuple[int, Value]]:
        """(number, value) of each field of a message, in their order. Raises Malformed."""
        at, end = 0, len(data)
        while at < end:
            self._count()
            key, at = _varint(data, at)
            number, wire_type = key >> 3, key & 7
            if not number:
                raise Malformed("a field has the number 0")
            if wire_type == _VARINT:
                value, at = _varint(data, at)
                yield number, value
            elif wire_type == _BYTES:
                size, at = _varint(data, at)
                if size > end - at:
                    raise Malformed("it ends too soon")
                yield number, data[at : at + size]
                at += size
            elif wire_type in _FIXED:
                layout, size = _FIXED[wire_type]
                if size > end - at:
                    raise Malformed("it ends too soon")
                yield number, struct.unpack_from(layout, data, at)[0]
                at += size
            else:
                raise Malformed(f"wire type {wire_type} is not used")

    def members(self, data: bytes) -> dict[int, Value]:
        """A message's values by number, the last of each. Raises Malformed."""
        return dict(self.fields(data))

    def packed(self, data: bytes) -> Iterator[int]:
        """The varints of a packed repeated field. Raises Malformed."""
        at = 0
        while at < len(data):
            self._count()
            value, at = _varint(data, at)
            yield value

    def _count(self) -> None:
        self._left -= 1
        if self._left < 0:
            raise TooMany(f"it holds more than {self._limit} values")


def number(value: Value) -> int:
    """A signed number of 64 bits, as int32, int64 and bool are written. Raises Malformed."""
    if not isinstance(value, int):
        raise Malformed("something else stands where a number is")
    return value - (1 << 64) if value >> 63 else value


def content(value: Value) -> bytes:
    """The bytes of a message, a string or bytes. Raises Malformed."""
    if not isinstance(value, bytes):
        raise Malformed("a number stands where text or a message is")
    return value


def text(value: Value) -> str:
    """Raises Malformed, also for what is not UTF-8."""
    try:
        return content(value).decode()
    except UnicodeDecodeError as error:
        raise Malformed("a string is not UTF-8") from error


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """The number at ``at`` and where it ends; of a tenth byte only one bit is left, as Go's decoder has it."""
    value = shift = 0
    for byte in data[at : at + 10]:
        at += 1
        if byte < 128:
            return (value | byte << shift) & _64_BITS, at
        value |= (byte & 127) << shift
        shift += 7
    raise Malformed("a number is too long" if shift == 70 else "it ends too soon")
