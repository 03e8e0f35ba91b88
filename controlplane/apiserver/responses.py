"""From what a verb gave back to the bytes of an answer, in the format that the client accepts.

Objects in plain JSON are the cached bytes, joined; only the other formats decode them. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

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
    tree: JSON = codec.decode(data)
    if format.shape == "Table":
        meta = {"resourceVersion": (tree.get("metadata") or {}).get("resourceVersion", "")}
        include = tables.include_object(query.get("includeObject", ""))
        return encode(tables.table(columns, [tree], now, meta, include, version=format.version), format)
    return encode(tables.partial_object(tree, format.version), format)


def list_bytes(kind: Kind, page: Page, format: Format, query: Mapping[str, str], now: datetime) -> bytes:
    """A list of objects; in plain JSON the stored bytes joined."""
    meta: JSON = {"resourceVersion": str(page.revision)}
    if page.continue_:
        meta["continue"] = page.continue_
        if page.remaining is not None:
            meta["remainingItemCount"] = page.remaining
    if format.shape == "Table":
        include = tables.include_object(query.get("includeObject", ""))
        trees = (entry.tree() for entry in page.entries)
        return encode(tables.table(kind.columns, trees, now, meta, include, version=format.version), format)
    if format.shape:
        return encode(tables.partial_list(page.entries, meta, format.version), format)
    resource = kind.resource
    head = b'{"kind":"%b","apiVersion":"%b","metadata":%b,"items":[' % (
        (kind.list_kind or f"{resource.kind}List").encode(), resource.api_version.encode(), codec.encode(meta),
    )  # fmt: skip
    return as_text(b"%b%b]}" % (head, b",".join([entry.data for entry in page.entries])), format)


def as_text(data: bytes, format: Format) -> bytes:
    """JSON bytes in the accepted media type."""
    if format.media_type == YAML_TYPE:
        return codec.encode_yaml(codec.decode(data))
    return data


def encode(tree: JSON, format: Format) -> bytes:
    return codec.encode_yaml(tree) if format.media_type == YAML_TYPE else codec.encode(tree)


class WatchEncoder:
    """The lines of one watch's batches. Keeps whether the table's columns were told already."""

    def __init__(self, kind: Kind, format: Format, query: Mapping[str, str]) -> None:
        self._kind, self._format = kind, format
        self._include = tables.include_object(query.get("includeObject", "")) if format.shape == "Table" else ""
        self._headers = True

    def encode(self, batch: Batch, now: datetime) -> bytes:
        """JSON lines, one an event. The objects' bytes are shared by all watches; only the joining is ours."""
        parts: list[bytes] = []
        if self._format.shape:
            for type_, entry in batch.events:
                parts += (_EVENT[type_], codec.encode(self._shaped(entry, now)), _EVENT_END)
        else:
            for type_, entry in batch.events:
                parts += (_EVENT[type_], entry.data, _EVENT_END)
        if batch.bookmark:
            parts += (_EVENT[EventType.BOOKMARK], codec.encode(self._bookmark(batch, now)), _EVENT_END)
        return b"".join(parts)

    def _shaped(self, entry: Entry, now: datetime) -> JSON:
        tree = entry.tree()
        if self._format.shape != "Table":
            return tables.partial_object(tree, self._format.version)
        headers, self._headers = self._headers, False
        meta = {"resourceVersion": str(entry.revision)}
        return tables.table(
            self._kind.columns, [tree], now, meta, self._include, version=self._format.version, headers=headers
        )

    def _bookmark(self, batch: Batch, now: datetime) -> JSON:
        meta: JSON = {"resourceVersion": str(batch.bookmark), "creationTimestamp": None}
        if batch.initial_end:
            meta["annotations"] = {"k8s.io/initial-events-end": "true"}
        resource = self._kind.resource
        if self._format.shape == "Table":
            tree = tables.table(self._kind.columns, (), now, {"resourceVersion": str(batch.bookmark)}, self._include,
                                version=self._format.version, headers=self._headers)  # fmt: skip
            # Clients read a table's bookmark off a row, as from kube-apiserver.
            tree["rows"] = [{"cells": [""] * len(self._kind.columns), "object": {
                "kind": "PartialObjectMetadata", "apiVersion": f"meta.k8s.io/{self._format.version}", "metadata": meta,
            }}]  # fmt: skip
            self._headers = False
            return tree
        if self._format.shape:
            return {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": meta}
        return {"kind": resource.kind, "apiVersion": resource.api_version, "metadata": meta}


def error_event(error: StatusError) -> bytes:
    """The line that ends a watch with a refusal."""
    return codec.encode({"type": "ERROR", "object": error.to_status()}) + b"\n"
