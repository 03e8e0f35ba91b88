"""What is refused of a Job's status: counts, conditions and times that contradict each other or go back.

Pure. Rules and texts are those of pkg/apis/batch/validation (validateJobStatus, ValidateJobStatusUpdate).
"""

from __future__ import annotations

from collections.abc import Iterable

from controlplane.apiserver.kinds.causes import duplicate, invalid, non_negative, required
from controlplane.apiserver.kinds.cells import at, instant
from controlplane.apiserver.kinds.job_indexes import read_indexes
from controlplane.apiserver.kinds.job_spec import INDEXED
from shared.api.errors import Cause
from shared.api.meta import JSON

_COUNTS = ("active", "succeeded", "failed", "ready", "terminating")
_EXCLUSIVE = (
    ("Complete", "Failed", "cannot set Complete=True and Failed=true conditions"),
    ("Complete", "FailureTarget", "cannot set Complete=True and FailureTarget=true conditions"),
    ("SuccessCriteriaMet", "Failed", "cannot set SuccessCriteriaMet=True and Failed=true conditions"),
    ("SuccessCriteriaMet", "FailureTarget", "cannot set SuccessCriteriaMet=True and FailureTarget=true conditions"),
)
_NEEDS = (
    ("Failed", "FailureTarget", "cannot set Failed=True condition without the FailureTarget=true condition"),
    (
        "Complete",
        "SuccessCriteriaMet",
        "cannot set Complete=True condition without the SuccessCriteriaMet=true condition",
    ),
)
_FINAL = ("Failed", "Complete", "FailureTarget")


def is_true(job: JSON, type: str) -> bool:
    """Whether the Job has that condition."""
    conditions: Iterable[JSON] = at(job, "status", "conditions", default=())
    return any(condition.get("type") == type and condition.get("status") == "True" for condition in conditions)


def validate_job_status(obj: JSON, old: JSON | None) -> Iterable[Cause]:
    status: JSON = obj.get("status") or {}
    for field in _COUNTS:
        yield from non_negative(f"status.{field}", status.get(field))
    yield from _uncounted(status)
    for one, other, detail in _EXCLUSIVE:
        if is_true(obj, one) and is_true(obj, other):
            yield _conditions(detail)
    for one, other, detail in _NEEDS:
        if is_true(obj, one) and not is_true(obj, other):
            yield _conditions(detail)
    yield from _times(obj, status)
    yield from _finished(obj, status)
    yield from _indexes(obj, status)
    if (ready := status.get("ready")) is not None and ready > (status.get("active") or 0):
        yield invalid("status.ready", ready, "cannot set more ready pods than active")
    if old is not None:
        yield from _goes_back(obj, status, old)


def _uncounted(status: JSON) -> Iterable[Cause]:
    seen: set[str] = set()
    for field in ("succeeded", "failed"):
        for index, uid in enumerate(at(status, "uncountedTerminatedPods", field, default=())):
            path = f"status.uncountedTerminatedPods.{field}[{index}]"
            if not uid:
                yield invalid(path, uid, "must not be empty")
            elif uid in seen:
                yield duplicate(path, uid)
            seen.add(uid)


def _times(obj: JSON, status: JSON) -> Iterable[Cause]:
    ended, complete = status.get("completionTime"), is_true(obj, "Complete")
    if ended and not complete:
        yield invalid(
            "status.completionTime", ended, "cannot set completionTime when there is no Complete=True condition"
        )
    if complete and not ended:
        yield required("status.completionTime", "completionTime is required for Complete jobs")
    start, end = instant(status.get("startTime")), instant(ended)
    if start is not None and end is not None and end < start:
        yield invalid("status.completionTime", ended, "completionTime cannot be set before startTime")


def _finished(obj: JSON, status: JSON) -> Iterable[Cause]:
    if not is_true(obj, "Complete") and not is_true(obj, "Failed"):
        return
    if not status.get("startTime"):
        yield required("status.startTime", "startTime is required for finished job")
    for field in ("active", "terminating"):
        if status.get(field):
            yield invalid(f"status.{field}", status[field], f"{field}>0 is invalid for finished job")
    uncounted: JSON = status.get("uncountedTerminatedPods") or {}
    if uncounted.get("failed") or uncounted.get("succeeded"):
        detail = "uncountedTerminatedPods needs to be empty for finished job"
        yield invalid("status.uncountedTerminatedPods", uncounted, detail)


def _indexes(obj: JSON, status: JSON) -> Iterable[Cause]:
    spec: JSON = obj.get("spec") or {}
    completed, failed = status.get("completedIndexes") or "", status.get("failedIndexes")
    if completed and spec.get("completionMode") != INDEXED:
        detail = "cannot set non-empty completedIndexes when non-indexed completion mode"
        yield invalid("status.completedIndexes", completed, detail)
    if failed is not None and spec.get("backoffLimitPerIndex") is None:
        detail = "cannot set non-null failedIndexes when backoffLimitPerIndex is null"
        yield invalid("status.failedIndexes", failed, detail)
    if (completions := spec.get("completions")) is None:
        return
    read = []
    for field, text in (("completedIndexes", completed), ("failedIndexes", failed or "")):
        try:
            read.append(read_indexes(text, completions))
        except ValueError as error:
            yield invalid(f"status.{field}", text, f"error parsing {field}: {error}")
    if len(read) == 2 and (shared := read[0].first_shared(read[1])) is not None:
        yield invalid("status.failedIndexes", failed, f"failedIndexes and completedIndexes overlap at index: {shared}")


def _goes_back(obj: JSON, status: JSON, old: JSON) -> Iterable[Cause]:
    was: JSON = old.get("status") or {}
    for type_ in _FINAL:
        if is_true(old, type_) and not is_true(obj, type_):
            yield _conditions(f"cannot disable the terminal {type_}=True condition")
    if is_true(old, "SuccessCriteriaMet") and not is_true(obj, "SuccessCriteriaMet"):
        yield _conditions("cannot disable the SuccessCriteriaMet=True condition")
    for field in ("failed", "succeeded"):
        indexed = field == "succeeded" and at(obj, "spec", "completionMode") == INDEXED  # it may need fewer now
        if (status.get(field) or 0) < (was.get(field) or 0) and not indexed:
            yield invalid(f"status.{field}", status.get(field) or 0, f"cannot decrease the {field} counter")
    ended = status.get("completionTime")
    if ended and was.get("completionTime") and ended != was["completionTime"]:
        yield invalid("status.completionTime", ended, "completionTime cannot be mutated")
    started = was.get("startTime")
    if started and started != status.get("startTime") and not at(obj, "spec", "suspend"):
        yield required("status.startTime", "startTime cannot be removed for unsuspended job")


def _conditions(detail: str) -> Cause:
    return Cause("FieldValueInvalid", f"Invalid value: {detail}", "status.conditions")
