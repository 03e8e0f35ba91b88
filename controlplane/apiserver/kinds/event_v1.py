"""events.k8s.io/v1 Event: the objects of core/v1 Events under their newer names.

Pure. The names are those of pkg/apis/events/v1/conversion.go, the rules those of pkg/apis/core/validation/events.go
for events.k8s.io/v1.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from controlplane.apiserver.kinds.base import Column, Kind
from controlplane.apiserver.kinds.causes import all_invalid, forbidden, immutable, invalid, required, too_long
from controlplane.apiserver.kinds.event import EVENT
from controlplane.apiserver.kinds.event import selectable as selectable_core
from shared.api import kinds, names
from shared.api.errors import Cause
from shared.api.meta import JSON

_FROM_CORE: Mapping[str, str] = {
    "involvedObject": "regarding",
    "message": "note",
    "source": "deprecatedSource",
    "firstTimestamp": "deprecatedFirstTimestamp",
    "lastTimestamp": "deprecatedLastTimestamp",
    "count": "deprecatedCount",
    "reportingComponent": "reportingController",
}
"""Fields that have another name; all others are called the same."""

_TO_CORE: Mapping[str, str] = {new: core for core, new in _FROM_CORE.items()}

_IMMUTABLE = ("reason", "action", "note", "type", "regarding", "related", "eventTime", "reportingController",
              "reportingInstance")  # fmt: skip
_DEPRECATED = ("deprecatedCount", "deprecatedFirstTimestamp", "deprecatedLastTimestamp", "deprecatedSource")
MAX_REASON, MAX_NOTE = 128, 1024
"""Bytes of an event's reason (and its action, and its reporter's names), and of its note."""


def from_core(event: JSON) -> JSON:
    """A core/v1 Event as events.k8s.io/v1 shows it."""
    return {_FROM_CORE.get(key, key): value for key, value in event.items()}


def to_core(event: JSON) -> JSON:
    """An events.k8s.io/v1 Event as it is stored. Fields that only core/v1 has are there, empty, as it writes them."""
    core = {_TO_CORE.get(key, key): value for key, value in event.items()}
    core.setdefault("involvedObject", {})
    core.setdefault("source", {})
    for field in ("firstTimestamp", "lastTimestamp", "eventTime"):
        core.setdefault(field, None)
    core.setdefault("reportingComponent", "")
    core.setdefault("reportingInstance", "")
    return core


def validate(event: JSON, old: JSON | None) -> Iterable[Cause]:
    """What is wrong with an event of the newer group: it says who reports what, and only its series changes."""
    namespace = event["metadata"].get("namespace") or ""
    about = (event.get("regarding") or {}).get("namespace") or ""
    if namespace != about and (about or namespace not in ("default", "kube-system")):
        yield invalid("involvedObject.namespace", about, "does not match event.namespace")
    if old is not None and (old.get("eventTime") or None) is None:
        return  # of the older API, which demands nothing more
    if not event.get("eventTime"):
        yield required("eventTime")
    yield from _texts(event)
    if old is None:
        yield from _deprecated(event)
    yield from _series(event)
    if old is not None:
        for field in _IMMUTABLE:
            yield from immutable(_TO_CORE.get(field, field), event.get(field), old.get(field))


def _texts(event: JSON) -> Iterable[Cause]:
    for field in ("reportingController", "reportingInstance", "action", "reason"):
        text = event.get(field) or ""
        if not text:
            yield required(field)
        elif field == "reportingController":
            yield from all_invalid(field, text, names.qualified_name(text))
        elif len(text.encode()) > MAX_REASON:
            yield too_long(field, MAX_REASON)
    if event.get("type") not in ("Normal", "Warning"):
        yield invalid("type", event.get("type") or "", "has invalid value: valid values are Normal, Warning")
    if len((event.get("note") or "").encode()) > MAX_NOTE:
        yield too_long("message", MAX_NOTE)


def _deprecated(event: JSON) -> Iterable[Cause]:
    for field in _DEPRECATED:
        if event.get(field):
            yield forbidden(_TO_CORE[field], "needs to be unset")


def _series(event: JSON) -> Iterable[Cause]:
    series: JSON | None = event.get("series")
    if series is None:
        return
    if (count := series.get("count") or 0) < 2:
        yield invalid("series.count", count, "should be at least 2")
    if not series.get("lastObservedTime"):
        yield required("series.lastObservedTime")


def selectable(event: JSON) -> Mapping[str, str]:
    """The selectable fields of core/v1 under their newer names."""
    core = selectable_core(to_core(event) if event else {})
    return {
        **{f"regarding.{key[15:]}": value for key, value in core.items() if key.startswith("involvedObject.")},
        "reason": core["reason"],
        "reportingController": core["reportingComponent"],
        "type": core["type"],
    }


def _cell(column: Column) -> Column:
    def cell(event: JSON) -> Any:
        return column.cell(to_core(event))

    return replace(column, cell=cell)


EVENT_V1 = Kind(
    resource=kinds.EVENTS_V1,
    singular=EVENT.singular,
    short_names=EVENT.short_names,
    columns=tuple(map(_cell, EVENT.columns)),
    validate=validate,
    selectable_fields=selectable,
    storage=EVENT,
    from_stored=from_core,
    to_stored=to_core,
)
