"""Job: defaults, validation, columns.

Pure. Rules and texts are those of pkg/apis/batch and pkg/registry/batch/job, with the feature gates as they are in
1.36. Selector and labels of a new Job are made by admission, which knows its uid.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from controlplane.apiserver.kinds.base import Column, Kind, Subresource
from controlplane.apiserver.kinds.causes import immutable, invalid, required
from controlplane.apiserver.kinds.cells import (
    Aging,
    age_column,
    at,
    container_columns,
    human_duration,
    instant,
    name_column,
    selector_column,
)
from controlplane.apiserver.kinds.job_spec import INDEXED, default_policies, validate_job_spec
from controlplane.apiserver.kinds.job_status import is_true, validate_job_status
from controlplane.apiserver.kinds.podspec.scheduling import validate_label_selector
from controlplane.apiserver.kinds.podtemplate import default_template, matches_template
from shared import codec
from shared.api import kinds, names
from shared.api.errors import BadRequest, Cause
from shared.api.meta import JSON
from shared.api.selectors import from_label_selector

CONTROLLER_UID, JOB_NAME = "batch.kubernetes.io/controller-uid", "batch.kubernetes.io/job-name"
LEGACY_CONTROLLER_UID, LEGACY_JOB_NAME = "controller-uid", "job-name"
_PODS_STAY = (
    "child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to remove them or set "
    "propagationPolicy=Orphan to suppress this warning"
)
_MAX_INT32 = 2**31 - 1
_IMMUTABLE = ("completionMode", "podFailurePolicy", "backoffLimitPerIndex", "managedBy", "successPolicy")
_STATES = (
    ("Complete", "Complete"), ("Failed", "Failed"), ("", "Terminating"), ("Suspended", "Suspended"),
    ("FailureTarget", "FailureTarget"), ("SuccessCriteriaMet", "SuccessCriteriaMet"),
)  # fmt: skip


def default(obj: JSON) -> None:
    default_template(obj)
    spec = obj["spec"]
    if spec.get("completions") is None and spec.get("parallelism") is None:
        spec["completions"] = 1
    if spec.get("parallelism") is None:
        spec["parallelism"] = 1
    if spec.get("backoffLimit") is None:
        spec["backoffLimit"] = 6 if spec.get("backoffLimitPerIndex") is None else _MAX_INT32
    default_policies(spec)
    replacement = "TerminatingOrFailed" if spec.get("podFailurePolicy") is None else "Failed"
    for field, value in (
        ("completionMode", "NonIndexed"), ("suspend", False), ("podReplacementPolicy", replacement),
        ("manualSelector", False),
    ):  # fmt: skip
        if spec.get(field) is None:
            spec[field] = value
    if (labels := spec["template"]["metadata"].get("labels")) and not obj["metadata"].get("labels"):
        obj["metadata"]["labels"] = dict(labels)
    if obj.get("status") is None:
        obj["status"] = {}


def validate(obj: JSON, old: JSON | None) -> Iterable[Cause]:
    spec: JSON = obj.get("spec") or {}
    selector: JSON | None = spec.get("selector")
    found = [] if spec.get("manualSelector") or selector is None else _generated(obj, selector)
    found += validate_job_spec(spec, "spec")
    if selector is None:
        found.append(required("spec.selector"))
    else:
        found += validate_label_selector(selector, "spec.selector")
    found += matches_template(selector, spec.get("template") or {})
    completions = spec.get("completions") or 0
    if old is not None:
        return found + _changed(spec, old)
    if spec.get("completionMode") == INDEXED and completions > 0:
        hostname = f"{obj['metadata'].get('name')}-{completions - 1}"
        if names.dns_label(hostname):
            detail = f"will not able to create pod with invalid DNS label: {hostname}"
            found.append(invalid("metadata.name", obj["metadata"].get("name"), detail))
    return found


def generated_labels(obj: JSON) -> dict[str, str]:
    """The labels by which the pods of a Job are its own."""
    uid, name = obj["metadata"].get("uid") or "", obj["metadata"].get("name") or ""
    return {LEGACY_CONTROLLER_UID: uid, LEGACY_JOB_NAME: name, CONTROLLER_UID: uid, JOB_NAME: name}


def _generated(obj: JSON, selector: JSON) -> list[Cause]:
    """That nobody gave a selector or labels of other than what is generated."""
    path = "spec.template.metadata.labels"
    labels: Mapping[str, str] = at(obj, "spec", "template", "metadata", "labels", default={})
    found: list[Cause] = []
    if not obj["metadata"].get("uid"):
        found.append(required("metadata.uid"))
    expected = generated_labels(obj)
    for key, value in expected.items():
        if key not in labels:
            found.append(required(f"{path}[{key}]", f"must be '{value}'"))
        elif labels[key] != value:
            found.append(invalid(f"{path}[{key}]", dict(labels), f"must be '{value}'"))
    try:
        if not from_label_selector(selector).matches(expected):
            found.append(invalid("spec.selector", selector, "`selector` not auto-generated"))
    except BadRequest:
        return found  # what is wrong with it is said elsewhere
    return found


def _changed(spec: JSON, old: JSON) -> list[Cause]:
    was: JSON = old.get("spec") or {}
    found: list[Cause] = []
    done, before = spec.get("completions"), was.get("completions")
    if spec.get("completionMode") != INDEXED:
        found += immutable("spec.completions", done, before)
    elif done is not None and done != before and done != spec.get("parallelism"):
        found.append(invalid("spec.completions", done, "can only be modified in tandem with spec.parallelism"))
    found += immutable("spec.selector", spec.get("selector"), was.get("selector"))
    template, templated = spec.get("template") or {}, was.get("template") or {}
    if was.get("suspend") and at(old, "status", "startTime") is None:
        templated = _with_directives(templated, template)
    found += immutable("spec.template", template, templated)
    for field in _IMMUTABLE:
        found += immutable(f"spec.{field}", spec.get(field), was.get(field))
    return found


def _with_directives(old: JSON, new: JSON) -> JSON:
    """``old`` with all of ``new`` that may change while a Job waits: what its pods are called and where they go."""
    made: JSON = codec.copy(old)
    for part, fields in (
        (("metadata",), ("annotations", "labels")),
        (("spec",), ("nodeSelector", "tolerations", "schedulingGates")),
    ):
        _take(made.setdefault(part[0], {}), new.get(part[0]) or {}, fields)
    affinity = made["spec"].get("affinity") or {}
    _take(affinity, at(new, "spec", "affinity", default={}), ("nodeAffinity",))
    if affinity or at(new, "spec", "affinity") is not None:
        made["spec"]["affinity"] = affinity
    else:
        made["spec"].pop("affinity", None)
    return made


def _take(into: JSON, source: JSON, fields: Iterable[str]) -> None:
    for field in fields:
        into.pop(field, None)
        if field in source:
            into[field] = source[field]


def selectable(obj: JSON) -> Mapping[str, str]:
    return {"status.successful": str(at(obj, "status", "succeeded", default=0)) if obj else ""}


def _status(obj: JSON) -> str:
    for type_, shown in _STATES:
        if is_true(obj, type_) if type_ else obj["metadata"].get("deletionTimestamp"):
            return shown
    return "Running"


def _completions(obj: JSON) -> str:
    succeeded = at(obj, "status", "succeeded", default=0)
    if (wanted := at(obj, "spec", "completions")) is not None:
        return f"{succeeded}/{wanted}"
    parallel = at(obj, "spec", "parallelism", default=0)
    return f"{succeeded}/1 of {parallel}" if parallel > 1 else f"{succeeded}/1"


def _duration(obj: JSON) -> Aging:
    started, ended = instant(at(obj, "status", "startTime")), instant(at(obj, "status", "completionTime"))
    if started is None:
        return ""
    return human_duration(ended - started) if ended else lambda now: human_duration(now - started)


JOB = Kind(
    resource=kinds.JOBS,
    singular="job",
    categories=("all",),
    columns=(
        name_column(),
        Column("Status", "string", "Whether the job runs, is held or has ended.", _status),
        Column("Completions", "string", "Pods that have succeeded, of those that must.", _completions),
        Column("Duration", "string", "Time from start to completion, or to now.", _duration),
        age_column(),
        *container_columns("spec", "template"),
        selector_column("spec", "selector"),
    ),
    subresources=(Subresource("status", ("get", "patch", "update")),),
    default=default,
    validate=validate,
    validate_status=validate_job_status,
    inert=True,
    has_generation=True,
    status_metadata=("labels", "annotations", "finalizers", "ownerReferences"),
    selectable_fields=selectable,
    default_propagation="orphan",  # of batch/v1, as its first releases did
    deletion_warning=_PODS_STAY,
)
