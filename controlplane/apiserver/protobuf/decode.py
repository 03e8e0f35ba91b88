"""From the protobuf wire format to the JSON tree that the same client would have sent as JSON.

The envelope is that of k8s.io/apimachinery/pkg/runtime/serializer/protobuf: four bytes, then a runtime.Unknown that
names the type and holds the object. Zero values are left out where Go's ``omitempty`` would leave them out. Field
numbers that the table does not have are reported, not lost in silence. Pure; the table is read on first use.
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from shared import codec
from shared.api.errors import BadRequest
from shared.api.meta import JSON

MEDIA_TYPE = "application/vnd.kubernetes.protobuf"
MAGIC = b"k8s\0"
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class _Field(NamedTuple):
    name: str
    type: str
    optional: bool
    repeated: bool
    map: bool
    omit_empty: bool
    inline: bool


class _Table(NamedTuple):
    kinds: dict[str, str]
    messages: dict[str, dict[int, _Field]]


@cache
def _table() -> _Table:
    source = codec.decode((Path(__file__).parent / "fields.json").read_bytes())
    messages = {
        name: {
            number: _Field(
                json_name, type_, "*" in flags, "[" in flags, "{" in flags, "o" in flags, "<" in flags
            )
            for number, json_name, type_, flags in rows
        }
        for name, rows in source["messages"].items()
    }  # fmt: skip
    return _Table(source["kinds"], messages)


def decode(data: bytes, warnings: list[str]) -> JSON:
    """The object in a body, with its apiVersion and kind. Raises BadRequest."""
    try:
        return _decode(data, warnings)
    except (ValueError, IndexError, struct.error, OverflowError, TypeError, AttributeError, RecursionError) as error:
        # TypeError and AttributeError: a number stands where bytes should be, or the other way round.
        raise BadRequest(f"the object provided is unrecognized: invalid protobuf: {error}") from error


def _decode(data: bytes, warnings: list[str]) -> JSON:
    if not data.startswith(MAGIC):
        raise ValueError("the prefix of Kubernetes' protobuf is missing")
    unknown = {number: value for number, _, value in _fields(data[len(MAGIC) :])}
    if unknown.get(3) or not isinstance(raw := unknown.get(2, b""), bytes):
        raise ValueError("the object is encoded in an unknown way")
    type_meta = {number: value.decode() for number, wire, value in _fields(unknown.get(1, b"")) if wire == _BYTES}
    api_version, kind = type_meta.get(1, ""), type_meta.get(2, "")
    message = _table().kinds.get("v1/DeleteOptions" if kind == "DeleteOptions" else f"{api_version}/{kind}")
    if message is None:
        raise BadRequest(f'no kind "{kind}" is registered for version "{api_version}"')
    return {"apiVersion": api_version, "kind": kind, **_message(raw, message, warnings)}


def _fields(data: bytes) -> Iterator[tuple[int, int, Any]]:
    """(number, wire type, value) of each field; the value is a number or bytes."""
    at, end = 0, len(data)
    while at < end:
        key, at = _varint(data, at)
        wire = key & 7
        value: int | bytes
        if wire == _VARINT:
            value, at = _varint(data, at)
        elif wire == _BYTES:
            length, at = _varint(data, at)
            value = data[at : at + length]
            if len(value) != length:
                raise ValueError("it ends too soon")
            at += length
        elif wire in (_FIXED64, _FIXED32):
            size = 8 if wire == _FIXED64 else 4
            value = data[at : at + size]
            at += size
        else:
            raise ValueError(f"wire type {wire} is not used")
        yield key >> 3, wire, value


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
        shift += 7
        if shift > 63:
            raise ValueError("a number is too long")


def _message(data: bytes, name: str, warnings: list[str]) -> JSON:
    known = _table().messages[name]
    tree: JSON = {}
    for number, wire, value in _fields(data):
        field = known.get(number)
        if field is None:
            warnings.append(f'unknown field "{name.rpartition(".")[2]}#{number}"')
        elif field.map:
            _put_pair(tree.setdefault(field.name, {}), field, value, warnings)
        elif field.repeated and wire == _BYTES and field.type in ("int", "bool"):
            tree.setdefault(field.name, []).extend(_packed(value, field.type))
        elif field.repeated:
            tree.setdefault(field.name, []).append(_value(value, wire, field.type, warnings))
        elif field.inline:
            tree.update(_message(value, field.type, warnings))
        else:
            found = _value(value, wire, field.type, warnings)
            if found is not None and (found or field.optional or not field.omit_empty or isinstance(found, dict)):
                tree[field.name] = found
    return tree


def _put_pair(target: JSON, field: _Field, entry: bytes, warnings: list[str]) -> None:
    pair = {number: (wire, value) for number, wire, value in _fields(entry)}
    key = pair[1][1].decode() if 1 in pair else ""
    wire, value = pair.get(2, (_BYTES, b""))
    target[key] = _value(value, wire, "items" if field.repeated else field.type, warnings)


def _packed(data: bytes, type_: str) -> Iterator[int | bool]:
    at = 0
    while at < len(data):
        value, at = _varint(data, at)
        yield bool(value) if type_ == "bool" else _signed(value)


def _value(value: Any, wire: int, type_: str, warnings: list[str]) -> Any:
    """One value; None for a time that is not set."""
    if wire == _VARINT:
        if type_ not in ("int", "bool"):
            raise ValueError(f"a number stands where a {type_} is")
        return bool(value) if type_ == "bool" else _signed(value)
    if wire != _BYTES:
        return struct.unpack("<d" if wire == _FIXED64 else "<f", value)[0]
    if type_ == "string":
        return value.decode()
    if type_ == "bytes":
        return base64.b64encode(value).decode()
    if type_ in _table().messages:
        return _message(value, type_, warnings)
    inner = {number: part for number, _, part in _fields(value)}
    if type_ == "quantity":
        return inner.get(1, b"").decode()
    if type_ == "intstr":
        return inner.get(3, b"").decode() if inner.get(1) else _signed(inner.get(2, 0))
    if type_ in ("time", "microtime"):
        return _time(_signed(inner.get(1, 0)), inner.get(2, 0), type_)
    if type_ == "items":
        return [part.decode() for number, _, part in _fields(value) if number == 1]
    if type_ == "raw":
        return codec.decode(inner[1]) if inner.get(1) else None
    raise ValueError(f"a {type_} stands where bytes are")


def _time(seconds: int, nanos: int, type_: str) -> str | None:
    if not seconds and not nanos:
        return None
    moment = _EPOCH + timedelta(seconds=seconds, microseconds=nanos // 1000)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ" if type_ == "time" else "%Y-%m-%dT%H:%M:%S.%fZ")


def _signed(value: int) -> int:
    """Negative numbers are ten bytes of two's complement."""
    return value - (1 << 64) if value >= 1 << 63 else value
