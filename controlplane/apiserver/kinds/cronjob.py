"""CronJob: defaults, validation, columns.

Pure but for the time zone files, of which the interpreter reads those of the system or of the ``tzdata`` package. Rules
and texts are those of pkg/apis/batch.
"""

from __future__ import annotations

import re
import zoneinfo
from collections.abc import Iterable

from controlplane.apiserver.kinds.base import Column, Kind, Subresource
from controlplane.apiserver.kinds.causes import invalid, non_negative, not_supported, required
from controlplane.apiserver.kinds.cells import (
    NONE,
    Aging,
    age_column,
    at,
    container_columns,
    field_column,
    name_column,
    selector_column,
    since,
)
from controlplane.apiserver.kinds.job_spec import default_policies, validate_job_spec
from controlplane.apiserver.kinds.podtemplate import default_template
from shared.api import cron, kinds
from shared.api.errors import Cause
from shared.api.meta import JSON

MAX_NAME = 63 - 11
"""Its Jobs have its name and a time of eleven characters."""

_CONCURRENCY = ("Allow", "Forbid", "Replace")
_ZONE_PART = re.compile(r"[A-Za-z._0-9+-]{1,14}")


def default(obj: JSON) -> None:
    spec = obj.setdefault("spec", {})
    if not spec.get("concurrencyPolicy"):
        spec["concurrencyPolicy"] = "Allow"
    for field, value in (("suspend", False), ("successfulJobsHistoryLimit", 3), ("failedJobsHistoryLimit", 1)):
        if spec.get(field) is None:
            spec[field] = value
    template = spec.setdefault("jobTemplate", {})
    template.setdefault("metadata", {})
    default_template(template)
    default_policies(template["spec"])
    if obj.get("status") is None:
        obj["status"] = {}


def validate(obj: JSON, old: JSON | None) -> Iterable[Cause]:
    spec: JSON = obj.get("spec") or {}
    was: JSON | None = None if old is None else old.get("spec") or {}
    found = _schedule(spec, was)
    found += non_negative("spec.startingDeadlineSeconds", spec.get("startingDeadlineSeconds"))
    zone = spec.get("timeZone")
    if zone is not None and (was is None or was.get("timeZone") != zone):
        found += _time_zone(zone)
    if (policy := spec.get("concurrencyPolicy")) not in _CONCURRENCY:
        found.append(not_supported("spec.concurrencyPolicy", policy, _CONCURRENCY))
    job: JSON = at(spec, "jobTemplate", "spec", default={})
    found += validate_job_spec(job, "spec.jobTemplate.spec")
    if (selector := job.get("selector")) is not None:
        found.append(invalid("spec.jobTemplate.spec.selector", selector, "`selector` will be auto-generated"))
    if job.get("manualSelector"):
        found.append(not_supported("spec.jobTemplate.spec.manualSelector", True, ("nil", "false")))
    for field in ("successfulJobsHistoryLimit", "failedJobsHistoryLimit"):
        found += non_negative(f"spec.{field}", spec.get(field))
    name = obj["metadata"].get("name") or ""
    if old is None and len(name) > MAX_NAME:
        found.append(invalid("metadata.name", name, f"must be no more than {MAX_NAME} characters"))
    return found


def _schedule(spec: JSON, was: JSON | None) -> list[Cause]:
    path, text = "spec.schedule", spec.get("schedule") or ""
    if not text:
        return [required(path)]
    found: list[Cause] = []
    try:
        cron.parse(text)
    except ValueError as error:
        found.append(invalid(path, text, str(error)))
    if "TZ" in text:
        if was is None or "TZ" not in (was.get("schedule") or ""):
            detail = "cannot use TZ or CRON_TZ in schedule, use timeZone field instead"
            found.append(invalid(path, text, detail))
        elif spec.get("timeZone") is not None:
            found.append(invalid(path, text, "cannot use both timeZone field and TZ or CRON_TZ in schedule"))
    return found


def _time_zone(zone: str) -> list[Cause]:
    path = "spec.timeZone"
    if not zone:
        return [invalid(path, zone, "timeZone must be nil or non-empty string")]
    unknown = invalid(path, zone, f"unknown time zone {zone}")
    for part in zone.split("/"):
        if part in (".", "..") or part.startswith("-") or not _ZONE_PART.fullmatch(part):
            return [unknown]
    if zone.lower() == "local":
        detail = "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones"
        return [invalid(path, zone, detail)]
    try:
        zoneinfo.ZoneInfo(zone)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):  # OSError: the name of a folder
        return [unknown]
    return []


def _suspended(obj: JSON) -> str:
    suspend = at(obj, "spec", "suspend")
    return "<unset>" if suspend is None else str(bool(suspend))


def _active(obj: JSON) -> int:
    return len(at(obj, "status", "active", default=()))


def _last(obj: JSON) -> Aging:
    when = at(obj, "status", "lastScheduleTime")
    return since(when) if when else NONE


CRON_JOB = Kind(
    resource=kinds.CRON_JOBS,
    singular="cronjob",
    short_names=("cj",),
    categories=("all",),
    columns=(
        name_column(),
        field_column("Schedule", "string", "When jobs are made, in cron's format.", "spec", "schedule", default=""),
        field_column("Timezone", "string", "Where the schedule's hours are.", "spec", "timeZone", default=NONE),
        Column("Suspend", "boolean", "Whether no more jobs are made.", _suspended),
        Column("Active", "integer", "Number of its jobs that run.", _active),
        Column("Last Schedule", "string", "Time since the last job was made.", _last),
        age_column(),
        *container_columns("spec", "jobTemplate", "spec", "template"),
        selector_column("spec", "jobTemplate", "spec", "selector"),
    ),
    subresources=(Subresource("status", ("get", "patch", "update")),),
    default=default,
    validate=validate,
    inert=True,
    has_generation=True,
    status_metadata=("labels", "annotations", "finalizers", "ownerReferences"),
)
