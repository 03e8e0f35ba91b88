"""CronJob: defaults, validation, columns.

Pure. Rules and texts are those of pkg/apis/batch; schedules are read by cronsim, which is kept up and has no
dependencies, and narrowed to what Kubernetes' parser (robfig/cron, its standard form) takes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

from controlplane.apiserver.kinds.base import Column, Kind, Subresource
from controlplane.apiserver.kinds.causes import invalid, non_negative, not_supported, required, too_long
from controlplane.apiserver.kinds.cells import (
    NONE,
    age_column,
    at,
    container_columns,
    field_column,
    name_column,
    selector_column,
    since,
)
from controlplane.apiserver.kinds.job import validate_spec
from controlplane.apiserver.kinds.podtemplate import default_template_spec, template_spec_warnings
from shared.api import kinds
from shared.api.errors import Cause
from shared.api.meta import JSON

_POLICIES = ("Allow", "Forbid", "Replace")
_NICKNAMES = frozenset(("@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"))
_EVERY = re.compile(r"@every ([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))+")
_ZONE_PREFIX = re.compile(r"\s*(CRON_)?TZ=")
_FOREIGN = re.compile(r"[LW#]|\b7\b(?=[^ ]*$)")
"""What cronsim takes and Kubernetes does not: last days, nth weekdays, and 7 for Sunday."""

_MAX_NAME = 52
"""Characters of a name, to which the controller adds eleven for each Job."""

_TEMPLATE = "spec.jobTemplate.spec.template"


def default(obj: JSON) -> None:
    spec = obj.setdefault("spec", {})
    for field, value in (("concurrencyPolicy", "Allow"), ("suspend", False), ("successfulJobsHistoryLimit", 3),
                         ("failedJobsHistoryLimit", 1)):  # fmt: skip
        if spec.get(field) in (None, ""):
            spec[field] = value
    job = spec.setdefault("jobTemplate", {})
    if job.get("metadata") is None:
        job["metadata"] = {}
    if job.get("spec") is None:
        job["spec"] = {}
    default_template_spec(job["spec"].setdefault("template", {}))
    if obj.get("status") is None:
        obj["status"] = {}


def validate(obj: JSON, old: JSON | None) -> Iterable[Cause]:
    spec: JSON = obj.get("spec") or {}
    if len(name := obj["metadata"].get("name") or "") > _MAX_NAME and old is None:
        yield invalid("metadata.name", name, f"must be no more than {_MAX_NAME} characters")
    yield from _schedule(spec)
    yield from _zone(spec)
    if (policy := spec.get("concurrencyPolicy")) not in _POLICIES:
        yield not_supported("spec.concurrencyPolicy", policy, _POLICIES)
    for field in ("startingDeadlineSeconds", "successfulJobsHistoryLimit", "failedJobsHistoryLimit"):
        yield from non_negative(f"spec.{field}", spec.get(field))
    job: JSON = (spec.get("jobTemplate") or {}).get("spec") or {}
    completion = job.get("completionMode") or "NonIndexed"
    yield from validate_spec({**job, "completionMode": completion}, "spec.jobTemplate.spec")
    if job.get("manualSelector"):
        valid = ("nil", "false")
        yield not_supported("spec.jobTemplate.spec.manualSelector", True, valid)


def _schedule(spec: JSON) -> Iterator[Cause]:
    path, text = "spec.schedule", spec.get("schedule") or ""
    if not text:
        yield required(path)
        return
    if _ZONE_PREFIX.match(text):
        yield invalid(path, text, "cannot use TZ or CRON_TZ in schedule, use timeZone field instead")
        return
    if text in _NICKNAMES or _EVERY.fullmatch(text):
        return
    try:
        if text.startswith("@") or _FOREIGN.search(text) or len(text.split()) != 5:
            raise CronSimError("Bad schedule")
        CronSim(text.replace("?", "*"), datetime(2000, 1, 1, tzinfo=UTC))
    except CronSimError as error:
        yield invalid(path, text, f"expected exactly 5 fields of a cron schedule, or a descriptor: {error}")


def _zone(spec: JSON) -> Iterator[Cause]:
    zone = spec.get("timeZone")
    if zone is None:
        return
    path = "spec.timeZone"
    if not zone:
        yield invalid(path, zone, "timeZone must be nil or non-empty string")
    elif len(zone) > 256:
        yield too_long(path, 256)
    elif zone.lower() == "local":
        yield invalid(
            path, zone, "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones"
        )
    else:
        try:
            ZoneInfo(zone)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            yield invalid(path, zone, f"unknown time zone {zone}")


def validate_status(obj: JSON, old: JSON | None) -> Iterable[Cause]:
    return ()


def _warnings(obj: JSON) -> Iterable[str]:
    template = at(obj, "spec", "jobTemplate", "spec", "template", default={})
    return template_spec_warnings(template, _TEMPLATE)


def _active(obj: JSON, now: datetime) -> int:
    return len(at(obj, "status", "active", default=()))


def _last(obj: JSON, now: datetime) -> str:
    when = at(obj, "status", "lastScheduleTime")
    return since(when, now) if when else NONE


CRON_JOB = Kind(
    resource=kinds.CRON_JOBS,
    singular="cronjob",
    short_names=("cj",),
    categories=("all",),
    columns=(
        name_column(),
        field_column("Schedule", "string", "When jobs are made, in cron's notation.", "spec", "schedule", default=""),
        field_column("Timezone", "string", "Time zone of the schedule.", "spec", "timeZone", default=NONE),
        field_column("Suspend", "boolean", "Whether no further jobs are made.", "spec", "suspend", default=False),
        Column("Active", "integer", "Number of jobs that run.", _active),
        Column("Last Schedule", "string", "When the last job was made.", _last),
        age_column(),
        *container_columns("spec", "jobTemplate", "spec", "template"),
        selector_column("spec", "jobTemplate", "spec", "selector"),
    ),
    subresources=(Subresource("status", ("get", "patch", "update")),),
    default=default,
    validate=validate,
    validate_status=validate_status,
    warnings=_warnings,
    inert=True,
    has_generation=True,
)
