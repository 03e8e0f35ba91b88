"""PodDisruptionBudget: defaults, validation, columns.

Pure. Rules and texts are those of pkg/apis/policy; conditions are checked as metav1.Condition is
(k8s.io/apimachinery/pkg/apis/meta/v1/validation).
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from controlplane.apiserver.kinds.base import Column, Kind, Subresource
from controlplane.apiserver.kinds.causes import (
    all_invalid,
    duplicate,
    invalid,
    non_negative,
    not_supported,
    required,
    too_long,
)
from controlplane.apiserver.kinds.cells import age_column, at, field_column, name_column
from controlplane.apiserver.kinds.deployment import at_most_all, int_or_percent
from controlplane.apiserver.kinds.podspec.scheduling import validate_label_selector
from shared.api import kinds, names
from shared.api.errors import Cause
from shared.api.meta import JSON

_POLICIES = ("AlwaysAllow", "IfHealthyBudget")
_COUNTS = ("disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods")
_STATUSES = ("False", "True", "Unknown")
_REASON = re.compile("[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?")
_MAX_REASON, _MAX_MESSAGE = 1024, 32 * 1024


def default(obj: JSON) -> None:
    """Not a default of Kubernetes': its struct writes the counts even where they are zero."""
    if obj.get("spec") is None:
        obj["spec"] = {}
    status = obj.get("status") or {}
    obj["status"] = status
    for field in _COUNTS:
        status.setdefault(field, 0)


def validate(obj: JSON, old: JSON | None) -> Iterable[Cause]:
    spec: JSON = obj.get("spec") or {}
    if spec.get("minAvailable") is not None and spec.get("maxUnavailable") is not None:
        yield invalid("spec", spec, "minAvailable and maxUnavailable cannot be both set")
    for field in ("minAvailable", "maxUnavailable"):
        if (value := spec.get(field)) is not None:
            yield from int_or_percent(f"spec.{field}", value)
            yield from at_most_all(f"spec.{field}", value)
    if spec.get("selector") is not None:
        yield from validate_label_selector(spec["selector"], "spec.selector")
    policy = spec.get("unhealthyPodEvictionPolicy")
    if policy is not None and policy not in _POLICIES:
        yield not_supported("spec.unhealthyPodEvictionPolicy", policy, _POLICIES)


def validate_status(obj: JSON, old: JSON | None) -> Iterable[Cause]:
    status: JSON = obj.get("status") or {}
    seen: set[str] = set()
    for index, condition in enumerate(status.get("conditions") or ()):
        path = f"status.conditions[{index}]"
        if condition.get("type") in seen:
            yield duplicate(f"{path}.type", condition["type"])
        seen.add(condition.get("type") or "")
        yield from _condition(condition, path)
    for field in _COUNTS:
        yield from non_negative(f"status.{field}", status.get(field))


def _condition(condition: JSON, path: str) -> Iterable[Cause]:
    kind, reason, message = (condition.get(field) or "" for field in ("type", "reason", "message"))
    if kind:
        yield from all_invalid(f"{path}.type", kind, names.qualified_name(kind))
    else:
        yield required(f"{path}.type")
    if condition.get("status") not in _STATUSES:
        yield not_supported(f"{path}.status", condition.get("status") or "", _STATUSES)
    if (generation := condition.get("observedGeneration") or 0) < 0:
        yield invalid(f"{path}.observedGeneration", generation, "must be greater than or equal to zero")
    if not condition.get("lastTransitionTime"):
        yield required(f"{path}.lastTransitionTime")
    if not reason:
        yield required(f"{path}.reason")
    elif not _REASON.fullmatch(reason):
        yield invalid(f"{path}.reason", reason, "a condition reason must start with alphabetic character")
    if len(reason) > _MAX_REASON:
        yield too_long(f"{path}.reason", _MAX_REASON)
    if len(message) > _MAX_MESSAGE:
        yield too_long(f"{path}.message", _MAX_MESSAGE)


def _limit(name: str, description: str, field: str) -> Column:
    def cell(obj: JSON) -> str:
        return str(at(obj, "spec", field, default="N/A"))

    return Column(name, "string", description, cell)


POD_DISRUPTION_BUDGET = Kind(
    resource=kinds.POD_DISRUPTION_BUDGETS,
    singular="poddisruptionbudget",
    short_names=("pdb",),
    columns=(
        name_column(),
        _limit("Min Available", "The fewest pods that must stay, or their share.", "minAvailable"),
        _limit("Max Unavailable", "The most pods that may be missing, or their share.", "maxUnavailable"),
        field_column("Allowed Disruptions", "integer", "Number of pods that may be evicted now.", "status",
                     "disruptionsAllowed", default=0),
        age_column(),
    ),
    subresources=(Subresource("status", ("get", "patch", "update")),),
    default=default,
    validate=validate,
    validate_status=validate_status,
    has_generation=True,
    status_metadata=("labels", "annotations", "finalizers", "ownerReferences"),
)  # fmt: skip
