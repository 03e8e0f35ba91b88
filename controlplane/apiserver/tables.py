"""Objects as other shapes: server-side tables, as kubectl prints them, and bare metadata.

A table's cells are computed by the columns of the kind, and kept with the cached object: what ages is told the time
when it is shown. Metadata are copied as they are served. Pure, but for what it keeps; one event loop.
"""

from __future__ import annotations

import logging
from datetime import datetime
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec

from controlplane.apiserver.kinds.base import Column
from controlplane.apiserver.resource_cache import Entry
from shared import codec
from shared.api.errors import BadRequest
from shared.api.meta import JSON

logger = logging.getLogger(__name__)

INCLUDE = ("None", "Metadata", "Object")


def include_object(value: str) -> str:
    """The ``includeObject`` parameter; Metadata when not given. Raises BadRequest."""
    if not value:
        return "Metadata"
    if value not in INCLUDE:
        raise BadRequest(f'unrecognized includeObject value: "{value}"')
    return value


class Printed(NamedTuple):
    """What an object looks like in the table of ``columns``, which cells are ages, and where its metadata stand."""

    columns: tuple[Column, ...]
    cells: tuple[Any, ...]
    aging: tuple[int, ...]
    metadata: slice


def printed(data: bytes, columns: tuple[Column, ...]) -> Printed:
    """Read the cells off an object as it is served."""
    where = _metadata(data)
    tree: JSON = codec.decode(_without_managed_fields(data, where))
    cells = tuple([_cell(column, tree) for column in columns])
    return Printed(columns, cells, tuple([at for at, cell in enumerate(cells) if callable(cell)]), where)


def kept(entry: Entry, columns: tuple[Column, ...]) -> Printed:
    """The same of a cached object, read once: its cells change only with it, or with its kind's columns."""
    found: Printed | None = entry.printed
    if found is None or found.columns is not columns:
        found = entry.printed = printed(entry.data, columns)
    return found


def row(printed: Printed, data: bytes, now: datetime, include: str, version: str = "v1") -> JSON:
    """One row, to be encoded."""
    shown: Any = None
    if include == "Metadata":
        shown = _partial(data[printed.metadata], version)
    elif include == "Object":
        shown = codec.Raw(data)
    cells = list(printed.cells)
    for at in printed.aging:
        cells[at] = _aged(cells[at], now)
    return {"cells": cells, "object": shown}


def table(
    columns: tuple[Column, ...], rows: list[JSON], metadata: JSON, *, version: str = "v1", headers: bool = True
) -> JSON:
    """A meta.k8s.io Table, to be encoded. ``metadata`` is its ListMeta; ``headers`` whether it names its columns."""
    return {
        "kind": "Table", "apiVersion": f"meta.k8s.io/{version}", "metadata": metadata,
        "columnDefinitions": _definitions(columns) if headers else None,
        "rows": rows,
    }  # fmt: skip


def partial_object(data: bytes, version: str = "v1") -> JSON:
    """The object's metadata alone, to be encoded."""
    return _partial(data[_metadata(data)], version)


@lru_cache(512)
def _definitions(columns: tuple[Column, ...]) -> list[JSON]:
    return [
        {
            "name": column.name, "type": column.type, "format": column.format, "description": column.description,
            "priority": column.priority,
        }
        for column in columns
    ]  # fmt: skip


def _partial(metadata: bytes, version: str) -> JSON:
    return {
        "kind": "PartialObjectMetadata", "apiVersion": f"meta.k8s.io/{version}",
        "metadata": codec.Raw(metadata or b"{}"),
    }  # fmt: skip


class _Object(msgspec.Struct):
    metadata: msgspec.Raw = msgspec.Raw()


class _Managed(msgspec.Struct, rename="camel"):
    managed_fields: msgspec.Raw = msgspec.Raw()


_object, _managed = msgspec.json.Decoder(_Object).decode, msgspec.json.Decoder(_Managed).decode


def _metadata(data: bytes) -> slice:
    """Where an object's metadata stand in its JSON, which is compact and has them before everything but its kind; an
    empty slice where there are none, as in a review."""
    length = len(_object(data).metadata)
    start = data.index(_METADATA) + len(_METADATA) if length else 0
    return slice(start, start + length)


_METADATA = b'"metadata":'


def _without_managed_fields(data: bytes, where: slice) -> bytes:
    """The object without what no column shows, and what takes longest to decode."""
    metadata = data[where]
    fields = bytes(_managed(metadata).managed_fields) if metadata else b""
    if not fields:
        return data
    lean = metadata.replace(b',"managedFields":' + fields, b"", 1)
    return b"%b%b%b" % (data[: where.start], lean, data[where.stop :])


def _cell(column: Column, tree: JSON) -> Any:
    try:
        return column.cell(tree)
    except Exception:
        # One odd object must not hide all the others from `kubectl get`.
        logger.exception("a table cell cannot be computed", extra={"object_kind": tree.get("kind")})
        return ERROR


def _aged(cell: Any, now: datetime) -> Any:
    try:
        return cell(now)
    except Exception:
        logger.exception("a table cell cannot be aged")
        return ERROR


ERROR = "<error>"
"""What a cell shows that cannot be computed."""
