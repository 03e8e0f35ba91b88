"""What unit tests ask a kind's row: what it fills in, what it refuses, what its table shows."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from controlplane.apiserver.kinds.table import BY_GVK
from shared import codec
from shared.api.errors import Cause

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ROWS = {row.resource.kind: row for row in BY_GVK.values()}


def short(causes: Iterable[Cause]) -> list[tuple[str, str]]:
    """Reason and field of each."""
    return [(cause.reason.removeprefix("FieldValue"), cause.field) for cause in causes]


def defaulted(kind: str, obj: Any) -> Any:
    """The object, named ``x`` if it has no metadata, with what its kind fills in."""
    made = codec.copy({"metadata": {"name": "x"}, **obj})
    ROWS[kind].default(made)
    return made


def check(kind: str, obj: Any, old: Any = None) -> list[tuple[str, str]]:
    """What is wrong with a defaulted object, or with its change from ``old``."""
    before = None if old is None else defaulted(kind, old)
    return short(ROWS[kind].validate(defaulted(kind, obj), before))


def cells(kind: str, obj: Any) -> list[Any]:
    """Its row of the table at ``NOW``."""
    return [column.value({"metadata": {"name": "x"}, **obj}, NOW) for column in ROWS[kind].columns]
