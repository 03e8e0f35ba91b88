"""From Kubernetes' protobuf to the JSON tree that the same client would have sent as JSON.

The envelope is that of k8s.io/apimachinery/pkg/runtime/serializer/protobuf: four bytes, then a runtime.Unknown that
names the type and holds the object. Zero values are left out where Go's ``omitempty`` would leave them out. Field
numbers that the table does not have are reported, not lost in silence. Pure; the table is read on first use.
"""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from controlplane.apiserver.protobuf import wire
from controlplane.apiserver.protobuf.wire import Malformed, TooMany, Value
from shared import codec
from shared.api.errors import BadRequest, RequestEntityTooLarge, UnsupportedMediaType
from shared.api.meta import JSON

MEDIA_TYPE = "application/vnd.kubernetes.protobuf"
MAGIC = b"k8s\0"
MAX_WARNINGS = 20
"""More unknown fields than this are not listed: each may become a header of the answer."""

MAX_VALUES = 100_000
"""A ConfigMap of 1 MiB with a key every 32 bytes; reading as many takes about a third of a second."""

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
    """The object in a body, with its apiVersion and kind; unknown fields are added to ``warnings``.

    Raises BadRequest for bytes that are no such object, RequestEntityTooLarge past ``MAX_VALUES``, and
    UnsupportedMediaType for a kind that the table does not have.
    """
    try:
        return _Decoder(warnings).body(data)
    except TooMany as error:
        raise RequestEntityTooLarge(f"the object provided is too large for protobuf: {error}") from error
    except (Malformed, codec.CodecError) as error:
        raise BadRequest(f"the object provided is unrecognized: invalid protobuf: {error}") from error


class _Decoder:
    """Reads one body."""

    def __init__(self, warnings: list[str]) -> None:
        self._warnings = warnings
        self._wire = wire.Reader(MAX_VALUES)

    def body(self, data: bytes) -> JSON:
        """The envelope and what is in it. Its contentType says nothing, as in Kubernetes."""
        if not data.startswith(MAGIC):
            raise Malformed("the prefix of Kubernetes' protobuf is missing")
        unknown = self._wire.members(data[len(MAGIC) :])
        if unknown.get(3):
            raise Malformed("the object is encoded in an unknown way")
        type_meta = self._wire.members(wire.content(unknown.get(1, b"")))
        api_version, kind = wire.text(type_meta.get(1, b"")), wire.text(type_meta.get(2, b""))
        if not kind:
            raise Malformed("the object does not say its kind")
        message = _table().kinds.get("v1/DeleteOptions" if kind == "DeleteOptions" else f"{api_version}/{kind}")
        if message is None:
            raise UnsupportedMediaType(
                f'kind "{kind}" of version "{api_version}" is not understood as protobuf: send it as JSON'
            )
        return {"apiVersion": api_version, "kind": kind, **self._message(wire.content(unknown.get(2, b"")), message)}

    def _message(self, data: bytes, name: str) -> JSON:
        known = _table().messages[name]
        tree: JSON = {}
        for number, value in self._wire.fields(data):
            field = known.get(number)
            if field is None:
                self._unknown(name, number, value)
            elif field.map:
                self._put_pair(tree.setdefault(field.name, {}), field, value)
            elif field.repeated and field.type in ("int", "bool") and isinstance(value, bytes):
                items = (self._value(item, field.type) for item in self._wire.packed(value))
                tree.setdefault(field.name, []).extend(items)
            elif field.repeated:
                tree.setdefault(field.name, []).append(self._value(value, field.type))
            elif field.inline:
                tree.update(self._message(wire.content(value), field.type))
            else:
                found = self._value(value, field.type)
                if found is not None and (found or field.optional or not field.omit_empty or isinstance(found, dict)):
                    tree[field.name] = found
        return tree

    def _unknown(self, message: str, number: int, value: Value) -> None:
        """Go writes fields that are no pointers even when empty: that a newer client does so is no news."""
        text = f'unknown field "{message.rpartition(".")[2]}#{number}"'
        if value and len(self._warnings) < MAX_WARNINGS and text not in self._warnings:
            self._warnings.append(text)

    def _put_pair(self, target: JSON, field: _Field, entry: Value) -> None:
        pair = self._wire.members(wire.content(entry))
        key = wire.text(pair.get(1, b""))
        target[key] = self._value(pair.get(2, b""), "items" if field.repeated else field.type)

    def _value(self, value: Value, type_: str) -> Any:
        """One value; None for a time that is not set."""
        if type_ == "string":
            return wire.text(value)
        if type_ == "int":
            return wire.number(value)
        if type_ == "bool":
            return bool(wire.number(value))
        data = wire.content(value)
        if type_ == "bytes":
            return base64.b64encode(data).decode()
        if type_ in _table().messages:
            return self._message(data, type_)
        if type_ == "items":
            return [wire.text(item) for number, item in self._wire.fields(data) if number == 1]
        inner = self._wire.members(data)
        if type_ == "quantity":
            return wire.text(inner.get(1, b"")) or "0"
        if type_ == "intstr":
            is_text = wire.number(inner.get(1, 0)) == 1
            return wire.text(inner.get(3, b"")) if is_text else wire.number(inner.get(2, 0))
        if type_ in ("time", "microtime"):
            return _time(wire.number(inner.get(1, 0)), wire.number(inner.get(2, 0)), type_)
        if type_ == "raw":
            raw = wire.content(inner.get(1, b""))
            return codec.decode(raw) if raw else None
        raise TypeError(f"the table of fields names a type that is not known: {type_}")


def _time(seconds: int, nanos: int, type_: str) -> str | None:
    """RFC 3339 in UTC: Time has whole seconds, MicroTime six digits (meta/v1 time_proto.go, micro_time_proto.go)."""
    if not seconds and not nanos:
        return None
    try:
        moment = _EPOCH + timedelta(seconds=seconds, microseconds=nanos // 1000 if type_ == "microtime" else 0)
    except OverflowError as error:
        raise Malformed("a time is beyond the year 9999 or before the year 1") from error
    return moment.replace(tzinfo=None).isoformat(timespec="seconds" if type_ == "time" else "microseconds") + "Z"
