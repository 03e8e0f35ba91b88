"""Bytes of the API's answers to typed values, and errors to StatusErrors. Pure, but for socket options.

Stored objects may hold nulls where a struct has a default (clients write them): an answer that does not decode
straight away is decoded once more with its nulls left out, so that one odd object never stops a watch.
"""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from functools import cache
from typing import Any, Generic, TypeVar

import msgspec

from shared import codec
from shared.api.errors import InternalError, StatusError, TooManyRequests, from_status
from shared.api.kinds import Resource
from shared.api.meta import JSON, Object, Struct
from shared.client.base import EventType, ObjectList, WatchEvent

T = TypeVar("T", bound=Object)

MAX_LINE = 16 << 20
"""The longest watch event that is read, in bytes; objects are bounded at 3 MiB."""


class _ListMeta(Struct, frozen=True, kw_only=True):
    resource_version: str = ""
    continue_: str = ""


class _List(msgspec.Struct, Generic[T], frozen=True):
    items: list[T] | None = None
    metadata: _ListMeta = _ListMeta()


class _Event(msgspec.Struct, frozen=True):
    type: str
    object: msgspec.Raw


@cache
def _list_decoder(type: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(_List[type])


@cache
def _decoder(type: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(type)


_event_decoder = msgspec.json.Decoder(_Event)


def decode_object(data: bytes | msgspec.Raw, resource: Resource[T]) -> T:
    """One object. Raises InternalError naming what does not fit."""
    try:
        found: T = _decoder(resource.type).decode(data)
    except msgspec.ValidationError:
        found = _without_nulls(bytes(data), resource.type, resource)
    except msgspec.DecodeError as error:
        raise InternalError(f"the server sent a {resource.kind} that is not JSON: {error}") from error
    return found


def decode_list(data: bytes, resource: Resource[T]) -> ObjectList[T]:
    """A page of a list. Raises InternalError."""
    try:
        page: _List[T] = _list_decoder(resource.type).decode(data)
    except msgspec.ValidationError:
        page = _without_nulls(data, _List[resource.type], resource)  # type: ignore[name-defined]
    except msgspec.DecodeError as error:
        raise InternalError(f"the server sent a list of {resource.plural} that is not JSON: {error}") from error
    return ObjectList(page.items or [], page.metadata.resource_version, page.metadata.continue_)


def decode_event(line: bytes, resource: Resource[T]) -> WatchEvent[T] | StatusError:
    """One line of a watch; of an ERROR event the exception that its Status stands for. Raises InternalError."""
    try:
        event = _event_decoder.decode(line)
    except msgspec.MsgspecError as error:
        raise InternalError(f"the server sent a watch event of {resource.plural} that is none: {error}") from error
    if event.type == "ERROR":
        return from_status(decode_tree(bytes(event.object)))
    try:
        type = EventType(event.type)
    except ValueError as error:
        raise InternalError(f"the server sent a watch event of unknown type {event.type!r}") from error
    return WatchEvent(type, decode_object(event.object, resource))


def decode_tree(data: bytes) -> JSON:
    """A JSON object. Raises InternalError."""
    try:
        tree = codec.decode(data)
    except codec.CodecError as error:
        raise InternalError(f"the server's answer is not JSON: {error}") from error
    if not isinstance(tree, dict):
        raise InternalError("the server's answer is not a JSON object")
    return tree


def status_error(code: int, body: bytes, retry_after: str | None = None) -> StatusError:
    """The exception for an answer that is no success: from its Status, else from its code and first words."""
    try:
        tree = codec.decode(body)
    except codec.CodecError:
        tree = None
    if isinstance(tree, dict) and tree.get("kind") == "Status":
        return from_status(tree, code)
    words = " ".join(body[:300].decode(errors="replace").split())
    error = from_status({"message": f"the server answered {code}" + (f": {words}" if words else "")}, code)
    if retry_after and retry_after.isdigit() and isinstance(error, TooManyRequests):
        error.retry_after_seconds = int(retry_after)
    return error


async def lines(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Split a byte stream at newlines, empty lines left out. Raises InternalError for a line past MAX_LINE."""
    rest = b""
    async for piece in pieces:
        if b"\n" not in piece:
            rest += piece
            if len(rest) > MAX_LINE:
                raise InternalError(f"the server sent a watch event of more than {MAX_LINE} bytes")
            continue
        first, *more = piece.split(b"\n")
        if rest or first:
            yield rest + first
        rest = more.pop()
        for line in more:
            if line:
                yield line
    # What follows the last newline is an event that was cut off: it comes again in the next watch.


def probe_connection(sock: Any, idle: int = 10, interval: int = 5, count: int = 2) -> None:
    """TCP keep-alive probes on a connection; times in seconds. Does nothing where the platform has none."""
    if not isinstance(sock, socket.socket) and not hasattr(sock, "setsockopt"):
        return
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (("TCP_KEEPIDLE", idle), ("TCP_KEEPINTVL", interval), ("TCP_KEEPCNT", count)):
        if hasattr(socket, option):
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)


def _without_nulls(data: bytes, type: Any, resource: Resource[Any]) -> Any:
    try:
        return msgspec.convert(_strip(codec.decode(data)), type)
    except (msgspec.ValidationError, codec.CodecError) as error:
        raise InternalError(f"the server sent {resource.plural} that cannot be read: {error}") from error


def _strip(tree: Any) -> Any:
    if isinstance(tree, dict):
        return {key: _strip(value) for key, value in tree.items() if value is not None}
    if isinstance(tree, list):
        return [_strip(value) for value in tree]
    return tree
