"""Job: defaults, validation, columns.

Pure. Rules and texts are those of pkg/apis/batch. The selector and the labels of its pods are made by admission.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from controlplane.apiserver.kinds.base import Column, Kind, Subresource
from controlplane.apiserver.kinds.causes import immutable, invalid, non_negative, not_supported, required
from controlplane.apiserver.kinds.cells import (
    NONE,
    age_column,
    at,
    human_duration,
    instant,
    name_column,
    template_columns,
)
from controlplane.apiserver.kinds.podspec.scheduling import validate_label_selector
from controlplane.apiserver.kinds.podtemplate import (
    PATH,
    default_template,
    matches_template,
    template_warnings,
    validate_template,
)
from shared.api import kinds
from shared.api.errors import Cause
from shared.api.meta import JSON

_MODES = ("NonIndexed", "Indexed")
_ACTIONS = ("Count", "FailIndex", "FailJob", "Ignore")
_REPLACEMENTS = ("Failed", "TerminatingOrFailed")
_RESTARTS = ("OnFailure", "Never")
MAX_INDEXED = 100_000
"""Pods of an Indexed Job at a time (maxParallelismForIndexedJob)."""

UNLIMITED = 2**31 - 1
"""backoffLimit where each index has a limit of its own."""

_MAY_CHANGE_SUSPENDED = ("nodeSelector", "tolerations", "affinity", "schedulingGates")
"""Of a suspended Job's pod template (KEP-2926); labels and annotations too."""


def default(obj: JSON) -> None:
    default_template(obj)
    default_spec(obj["spec"])
    meta = obj.setdefault("metadata", {})
    if not meta.get("labels") and (labels := obj["spec"]["template"]["metadata"].get("labels")):
        meta["labels"] = dict(labels)
    if obj.get("status") is None:
        obj["status"] = {}


def default_spec(spec: JSON) -> None:
    """Defaults of a JobSpec but those of its template, in place."""
    if spec.get("completions") is None and spec.get("parallelism") is None:
        spec["completions"] = spec["parallelism"] = 1
    if spec.get("parallelism") is None:
        spec["parallelism"] = 1
    if spec.get("backoffLimit") is None:
        spec["backoffLimit"] = UNLIMITED if spec.get("backoffLimitPerIndex") is not None else 6
    if not spec.get("completionMode"):
        spec["completionMode"] = "NonIndexed"
    if spec.get("suspend") is None:
        spec["suspend"] = False
    policy: JSON | None = spec.get("podFailurePolicy")
    if not spec.get("podReplacementPolicy"):
        spec["podReplacementPolicy"] = "TerminatingOrFailed" if policy is None else "Failed"
    for rule in (policy or {}).get("rules") or ():
        for pattern in rule.get("onPodConditions") or ():
            if not pattern.get("status"):
                pattern["status"] = "True"


def validate(obj: JSON, old: JSON | None) -> Iterable[Cause]:
    spec: JSON = obj.get("spec") or {}
    selector: JSON | None = spec.get("selector")
    yield from validate_spec(spec, "spec")
    if selector is None:
        yield required("spec.selector")
    else:
        yield from validate_label_selector(selector, "spec.selector")
        yield from matches_template(selector, spec.get("template") or {})
    if old is not None:
        yield from _unchanged(spec, old.get("spec") or {})


def validate_spec(spec: JSON, path: str) -> Iterator[Cause]:
    """A JobSpec without its selector, under ``path``."""
    for field in ("parallelism", "completions", "activeDeadlineSeconds", "backoffLimit", "ttlSecondsAfterFinished",
                  "backoffLimitPerIndex", "maxFailedIndexes"):  # fmt: skip
        yield from non_negative(f"{path}.{field}", spec.get(field))
    mode = spec.get("completionMode")
    if mode not in _MODES:
        yield not_supported(f"{path}.completionMode", mode, _MODES)
    if mode == "Indexed":
        if spec.get("completions") is None:
            yield required(f"{path}.completions", "when completion mode is Indexed")
        if (count := spec.get("parallelism") or 0) > MAX_INDEXED:
            detail = f"must be less than or equal to {MAX_INDEXED} when completion mode is Indexed"
            yield invalid(f"{path}.parallelism", count, detail)
    else:
        for field in ("backoffLimitPerIndex", "maxFailedIndexes", "successPolicy"):
            if spec.get(field) is not None:
                yield invalid(f"{path}.{field}", spec[field], "requires indexed completion mode")
    if spec.get("maxFailedIndexes") is not None and spec.get("backoffLimitPerIndex") is None:
        yield required(f"{path}.backoffLimitPerIndex", "when maxFailedIndexes is specified")
    if (replacement := spec.get("podReplacementPolicy")) not in (None, *_REPLACEMENTS):
        yield not_supported(f"{path}.podReplacementPolicy", replacement, _REPLACEMENTS)
    template: JSON = spec.get("template") or {}
    yield from validate_template(template, f"{path}.template")
    restart = (template.get("spec") or {}).get("restartPolicy")
    where = f"{path}.template.spec.restartPolicy"
    if restart == "Always":
        yield required(where, 'valid values: "OnFailure", "Never"')
    elif restart not in _RESTARTS:
        yield not_supported(where, restart, _RESTARTS)
    if (policy := spec.get("podFailurePolicy")) is not None:
        if restart != "Never":
            yield invalid(where, restart, 'only "Never" is supported when podFailurePolicy is specified')
        yield from _failure_policy(policy, f"{path}.podFailurePolicy")


def _failure_policy(policy: JSON, path: str) -> Iterator[Cause]:
    for index, rule in enumerate(policy.get("rules") or ()):
        at_ = f"{path}.rules[{index}]"
        if (action := rule.get("action")) not in _ACTIONS:
            yield not_supported(f"{at_}.action", action, _ACTIONS)
        codes, conditions = rule.get("onExitCodes"), rule.get("onPodConditions") or ()
        if (codes is None) == (not conditions):
            yield invalid(at_, rule, "specifying one of OnExitCodes and OnPodConditions is required")
        if codes is not None:
            if (operator := codes.get("operator")) not in ("In", "NotIn"):
                yield not_supported(f"{at_}.onExitCodes.operator", operator, ("In", "NotIn"))
            values = codes.get("values") or ()
            if not values:
                yield invalid(f"{at_}.onExitCodes.values", list(values), "at least one value is required")
            if operator == "In" and 0 in values:
                yield invalid(f"{at_}.onExitCodes.values", 0, "must not be 0 for the In operator")


def _unchanged(spec: JSON, was: JSON) -> Iterator[Cause]:
    elastic = spec.get("completionMode") == "Indexed" and spec.get("completions") == spec.get("parallelism")
    fields = ("selector", "completionMode", "podFailurePolicy", "backoffLimitPerIndex", "managedBy", "successPolicy")
    for field in fields if elastic else (*fields, "completions"):
        yield from immutable(f"spec.{field}", spec.get(field), was.get(field))
    template, before = spec.get("template") or {}, was.get("template") or {}
    if was.get("suspend"):
        before = {**before, "metadata": template.get("metadata"), "spec": {**(before.get("spec") or {})}}
        for field in _MAY_CHANGE_SUSPENDED:
            if field in (template.get("spec") or {}):
                before["spec"][field] = template["spec"][field]
            else:
                before["spec"].pop(field, None)
    yield from immutable(PATH, template, before)


def validate_status(obj: JSON, old: JSON | None) -> Iterable[Cause]:
    status: JSON = obj.get("status") or {}
    for field in ("active", "succeeded", "failed", "ready", "terminating"):
        yield from non_negative(f"status.{field}", status.get(field))
    finished = {c.get("type") for c in status.get("conditions") or () if c.get("status") == "True"}
    if {"Complete", "Failed"} <= finished:
        yield invalid("status.conditions", sorted(finished), "cannot set Complete=True and Failed=true conditions")


# --- columns


def state(obj: JSON) -> str:
    """What the Status column says."""
    conditions = {c.get("type") for c in at(obj, "status", "conditions", default=()) if c.get("status") == "True"}
    for kind in ("Complete", "Failed"):
        if kind in conditions:
            return kind
    if obj["metadata"].get("deletionTimestamp"):
        return "Terminating"
    for kind in ("Suspended", "FailureTarget", "SuccessCriteriaMet"):
        if kind in conditions:
            return kind
    return "Running"


def _completions(obj: JSON, now: datetime) -> str:
    done, wanted = at(obj, "status", "succeeded", default=0), at(obj, "spec", "completions")
    if wanted is not None:
        return f"{done}/{wanted}"
    parallel = at(obj, "spec", "parallelism", default=0)
    return f"{done}/1 of {parallel}" if parallel > 1 else f"{done}/1"


def _duration(obj: JSON, now: datetime) -> str:
    start = instant(at(obj, "status", "startTime"))
    if start is None:
        return ""
    end = instant(at(obj, "status", "completionTime"))
    return human_duration(max((end or now) - start, timedelta()))


def _selectable(obj: JSON) -> Mapping[str, str]:
    return {"status.successful": str(at(obj, "status", "succeeded", default=0)) if obj else ""}


def _state(obj: JSON, now: datetime) -> Any:
    return state(obj) or NONE


JOB = Kind(
    resource=kinds.JOBS,
    singular="job",
    categories=("all",),
    columns=(
        name_column(),
        Column("Status", "string", "How far the job is.", _state),
        Column("Completions", "string", "Number of pods that have succeeded, of the wanted ones.", _completions),
        Column("Duration", "string", "Time from the job's start to its end.", _duration),
        age_column(),
        *template_columns(),
    ),
    subresources=(Subresource("status", ("get", "patch", "update")),),
    default=default,
    validate=validate,
    validate_status=validate_status,
    warnings=template_warnings,
    inert=True,
    has_generation=True,
    selectable_fields=_selectable,
    default_propagation="orphan",
)
