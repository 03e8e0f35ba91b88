"""Objects as other shapes: server-side tables, as kubectl prints them, and bare metadata.

A table's cells are computed by the columns of the kind. Pure.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any

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


@lru_cache(512)
def _definitions(columns: tuple[Column, ...]) -> list[JSON]:
    return [
        {
            "name": column.name, "type": column.type, "format": column.format, "description": column.description,
            "priority": column.priority,
        }
        for column in columns
    ]  # fmt: skip


def table(
    columns: tuple[Column, ...],
    trees: Iterable[JSON],
    now: datetime,
    metadata: JSON,
    include: str,
    *,
    version: str = "v1",
    headers: bool = True,
) -> JSON:
    """A meta.k8s.io Table. ``metadata`` is its own ListMeta; ``headers`` whether it names its columns."""
    return {
        "kind": "Table", "apiVersion": f"meta.k8s.io/{version}", "metadata": metadata,
        "columnDefinitions": _definitions(columns) if headers else None,
        "rows": [_row(columns, tree, now, include, version) for tree in trees],
    }  # fmt: skip


def _row(columns: Sequence[Column], tree: JSON, now: datetime, include: str, version: str) -> JSON:
    row: JSON = {"cells": [_cell(column.cell, tree, now) for column in columns]}
    if include == "Metadata":
        row["object"] = partial_object(tree, version)
    elif include == "Object":
        row["object"] = tree
    else:
        row["object"] = None
    return row


def _cell(cell: Any, tree: JSON, now: datetime) -> Any:
    try:
        return cell(tree, now)
    except Exception:
        # One odd object must not hide all the others from `kubectl get`.
        logger.exception("a table cell cannot be computed", extra={"object_kind": tree.get("kind")})
        return "<error>"


def partial_object(tree: JSON, version: str = "v1") -> JSON:
    """The object's metadata alone."""
    return {
        "kind": "PartialObjectMetadata", "apiVersion": f"meta.k8s.io/{version}", "metadata": tree.get("metadata") or {},
    }  # fmt: skip


def partial_list(entries: Iterable[Entry], metadata: JSON, version: str = "v1") -> JSON:
    """A PartialObjectMetadataList."""
    return {
        "kind": "PartialObjectMetadataList", "apiVersion": f"meta.k8s.io/{version}", "metadata": metadata,
        "items": [partial_object(codec.decode(entry.data), version) for entry in entries],
    }  # fmt: skip
