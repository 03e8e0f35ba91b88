"""From what a verb gave back to the bytes of an answer, in the format that the client accepts.

Objects in plain JSON are the cached bytes, joined; only a table decodes them.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import datetime

import msgspec

from controlplane.apiserver import tables
from controlplane.apiserver.kinds.base import Column, Kind
from controlplane.apiserver.negotiation import YAML_TYPE, Format
from controlplane.apiserver.resource_cache import Entry
from controlplane.apiserver.verbs.read import Page
from controlplane.apiserver.verbs.watch import Batch
from shared import codec
from shared.api.errors import StatusError
from shared.api.meta import JSON
from shared.client.base import EventType

_EVENT = {type: b'{"type":"%b","object":' % type.value.encode() for type in EventType}
_EVENT_END = b"}\n"


def object_bytes(
    columns: tuple[Column, ...], data: bytes, format: Format, query: Mapping[str, str], now: datetime
) -> bytes:
    """One object, as it is, as a Table of one row, or as its metadata."""
    if not format.shape:
        return as_text(data, format)
    if format.shape == "Table":
        include = tables.include_object(query.get("includeObject", ""))
        row = tables.row(tables.printed(data, columns), data, now, include, format.version)
        meta = {"resourceVersion": _version(data)}
        return encode(tables.table(columns, [row], meta, version=format.version), format)
    return encode(tables.partial_object(data, format.version), format)


async def list_bytes(kind: Kind, page: Page, format: Format, query: Mapping[str, str], now: datetime) -> bytes:
    """A list of objects; in plain JSON the stored bytes joined. Lets others go on while it makes rows of many."""
    meta: JSON = {"resourceVersion": str(page.revision)}
    if page.continue_:
        meta["continue"] = page.continue_
        if page.remaining is not None:
            meta["remainingItemCount"] = page.remaining
    if format.shape == "Table":
        include = tables.include_object(query.get("includeObject", ""))
        columns, version = kind.columns, format.version
        rows: list[JSON] = []
        async for entries in _in_turn(page.entries):
            rows += [tables.row(tables.kept(entry, columns), entry.data, now, include, version) for entry in entries]
        return encode(tables.table(columns, rows, meta, version=version), format)
    if format.shape:
        items: list[JSON] = []
        async for entries in _in_turn(page.entries):
            items += [tables.partial_object(entry.data, format.version) for entry in entries]
        version = f"meta.k8s.io/{format.version}"
        tree = {"kind": "PartialObjectMetadataList", "apiVersion": version, "metadata": meta, "items": items}
        return encode(tree, format)
    resource = kind.resource
    head = b'{"kind":"%b","apiVersion":"%b","metadata":%b,"items":[' % (
        (kind.list_kind or f"{resource.kind}List").encode(), resource.api_version.encode(), codec.encode(meta),
    )  # fmt: skip
    return as_text(b"%b%b]}" % (head, b",".join([entry.data for entry in page.entries])), format)


async def _in_turn(entries: Sequence[Entry]) -> AsyncIterator[Sequence[Entry]]:
    """All of them, ``_TURN`` at a time, with a chance for other requests in between."""
    for start in range(0, len(entries), _TURN):
        if start:
            await asyncio.sleep(0)
        yield entries[start : start + _TURN]


_TURN = 200
"""Objects; a row that was not shown before costs some 50 microseconds."""


class _Meta(msgspec.Struct, rename="camel"):
    resource_version: str = ""


class _Versioned(msgspec.Struct):
    metadata: _Meta


_versioned = msgspec.json.Decoder(_Versioned).decode


def _version(data: bytes) -> str:
    return _versioned(data).metadata.resource_version


def as_text(data: bytes, format: Format) -> bytes:
    """JSON bytes in the accepted media type."""
    if format.media_type == YAML_TYPE:
        return codec.encode_yaml(codec.decode(data))
    return data


def encode(tree: JSON, format: Format) -> bytes:
    return as_text(codec.encode(tree), format)


class WatchEncoder:
    """The lines of one watch's batches. Keeps whether the table's columns were told already."""

    def __init__(self, kind: Kind, format: Format, query: Mapping[str, str]) -> None:
        self._kind, self._format = kind, format
        self._include = tables.include_object(query.get("includeObject", "")) if format.shape == "Table" else ""
        self._headers = True

    def encode(self, batch: Batch, clock: Callable[[], datetime]) -> bytes:
        """JSON lines, one an event. The objects' bytes are shared by all watches; only the joining is ours."""
        parts: list[bytes] = []
        if self._format.shape:
            now = clock()
            for type_, entry in batch.events:
                parts += (_EVENT[type_], codec.encode(self._shaped(entry, now)), _EVENT_END)
        else:
            for type_, entry in batch.events:
                parts += (_EVENT[type_], entry.data, _EVENT_END)
        if batch.bookmark:
            parts += (_EVENT[EventType.BOOKMARK], codec.encode(self._bookmark(batch)), _EVENT_END)
        return b"".join(parts)

    def _shaped(self, entry: Entry, now: datetime) -> JSON:
        columns, version = self._kind.columns, self._format.version
        if self._format.shape != "Table":
            return tables.partial_object(entry.data, version)
        headers, self._headers = self._headers, False
        meta = {"resourceVersion": str(entry.revision)}
        row = tables.row(tables.kept(entry, columns), entry.data, now, self._include, version)
        return tables.table(columns, [row], meta, version=version, headers=headers)

    def _bookmark(self, batch: Batch) -> JSON:
        meta: JSON = {"resourceVersion": str(batch.bookmark), "creationTimestamp": None}
        if batch.initial_end:
            meta["annotations"] = {"k8s.io/initial-events-end": "true"}
        resource = self._kind.resource
        if self._format.shape == "Table":
            columns, version = self._kind.columns, self._format.version
            # Clients read a table's bookmark off a row, as from kube-apiserver.
            row = {"cells": [""] * len(columns), "object": {
                "kind": "PartialObjectMetadata", "apiVersion": f"meta.k8s.io/{version}", "metadata": meta,
            }}  # fmt: skip
            headers, self._headers = self._headers, False
            own = {"resourceVersion": str(batch.bookmark)}
            return tables.table(columns, [row], own, version=version, headers=headers)
        if self._format.shape:
            return {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": meta}
        return {"kind": resource.kind, "apiVersion": resource.api_version, "metadata": meta}


def error_event(error: StatusError) -> bytes:
    """The line that ends a watch with a refusal."""
    return codec.encode({"type": "ERROR", "object": error.to_status()}) + b"\n"
