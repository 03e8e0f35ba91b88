"""Event: what happened to an object, counted.

Pure. Rules and texts are those of pkg/apis/core/validation/events.go.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from controlplane.apiserver.kinds.base import Column, Kind
from controlplane.apiserver.kinds.causes import invalid, required
from controlplane.apiserver.kinds.cells import Aging, at, field_column, name_column, since
from shared.api import kinds
from shared.api.errors import Cause
from shared.api.meta import JSON

_ABOUT = ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")


def validate(event: JSON, old: JSON | None) -> Iterable[Cause]:
    """The event is where its object is; a new-style one (with eventTime) names its reporter, action and reason."""
    namespace = event["metadata"].get("namespace") or ""
    about = at(event, "involvedObject", "namespace", default="")
    if not about:
        if namespace not in ("", "default", "kube-system"):
            yield invalid("involvedObject.namespace", about, "does not match event.namespace")
    elif namespace != about:
        yield invalid("involvedObject.namespace", about, "does not match event.namespace")
    if event.get("eventTime") and old is None:
        for field in ("reportingComponent", "reportingInstance", "action", "reason"):
            if not event.get(field):
                yield required(field)
        if event.get("type") not in ("Normal", "Warning"):
            yield invalid("type", event.get("type") or "", "has invalid value: valid values are Normal, Warning")


def _first_seen(event: JSON) -> Aging:
    return since(event.get("firstTimestamp") or event.get("eventTime"))


def _last_seen(event: JSON) -> Aging:
    if event.get("series"):
        return since(at(event, "series", "lastObservedTime"))
    if event.get("lastTimestamp"):
        return since(event["lastTimestamp"])
    return _first_seen(event)


def _count(event: JSON) -> int:
    if event.get("series"):
        return int(at(event, "series", "count", default=0))
    return int(event.get("count") or 1)


def _object(event: JSON) -> str:
    kind = at(event, "involvedObject", "kind", default="").lower()
    name = at(event, "involvedObject", "name", default="")
    return f"{kind}/{name}" if name else kind


def _source(event: JSON) -> str:
    component = at(event, "source", "component") or event.get("reportingComponent") or ""
    host = at(event, "source", "host") or event.get("reportingInstance") or ""
    return f"{component}, {host}" if host else component


def selectable(event: JSON) -> Mapping[str, str]:
    about: Mapping[str, Any] = event.get("involvedObject") or {}
    return {
        **{f"involvedObject.{field}": about.get(field) or "" for field in _ABOUT},
        "reason": event.get("reason") or "",
        "reportingComponent": event.get("reportingComponent") or "",
        "source": at(event, "source", "component") or event.get("reportingComponent") or "",
        "type": event.get("type") or "",
    }


EVENT = Kind(
    resource=kinds.EVENTS,
    singular="event",
    short_names=("ev",),
    columns=(
        Column("Last Seen", "string", "When it happened last.", _last_seen),
        field_column("Type", "string", "Normal or Warning.", "type", default=""),
        field_column("Reason", "string", "Why, in one word.", "reason", default=""),
        Column("Object", "string", "What it happened to.", _object),
        field_column("Subobject", "string", "Part of the object.", "involvedObject", "fieldPath", default="",
                     priority=1),
        Column("Source", "string", "Who saw it.", _source, priority=1),
        Column("Message", "string", "What happened.", lambda obj: (obj.get("message") or "").strip()),
        Column("First Seen", "string", "When it happened first.", _first_seen, priority=1),
        Column("Count", "string", "How often it happened.", _count, priority=1),
        name_column(priority=1),
    ),
    validate=validate,
    selectable_fields=selectable,
)  # fmt: skip
