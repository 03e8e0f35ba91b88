"""PodDisruptionBudget: validation, columns.

Pure. Rules and texts are those of pkg/apis/policy.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from controlplane.apiserver.kinds.base import Column, Kind, Subresource
from controlplane.apiserver.kinds.causes import invalid, non_negative, not_supported
from controlplane.apiserver.kinds.cells import age_column, at, field_column, name_column
from controlplane.apiserver.kinds.deployment import at_most_all, int_or_percent
from controlplane.apiserver.kinds.podspec.scheduling import validate_label_selector
from shared.api import kinds
from shared.api.errors import Cause
from shared.api.meta import JSON

_POLICIES = ("AlwaysAllow", "IfHealthyBudget")
_COUNTS = ("disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods")


def default(obj: JSON) -> None:
    if obj.get("spec") is None:
        obj["spec"] = {}
    status = obj.get("status") or {}
    obj["status"] = status
    for field in _COUNTS:
        status.setdefault(field, 0)


def validate(obj: JSON, old: JSON | None) -> Iterable[Cause]:
    spec: JSON = obj.get("spec") or {}
    least, most = spec.get("minAvailable"), spec.get("maxUnavailable")
    if least is not None and most is not None:
        yield invalid("spec", spec, "minAvailable and maxUnavailable cannot be both set")
    for field, value in (("minAvailable", least), ("maxUnavailable", most)):
        if value is not None:
            yield from int_or_percent(f"spec.{field}", value)
            yield from at_most_all(f"spec.{field}", value)
    yield from validate_label_selector(spec.get("selector") or {}, "spec.selector")
    if (policy := spec.get("unhealthyPodEvictionPolicy")) not in (None, *_POLICIES):
        yield not_supported("spec.unhealthyPodEvictionPolicy", policy, _POLICIES)


def validate_status(obj: JSON, old: JSON | None) -> Iterable[Cause]:
    status: JSON = obj.get("status") or {}
    for field in _COUNTS:
        yield from non_negative(f"status.{field}", status.get(field))


def _bound(name: str, description: str, field: str) -> Column:
    def cell(obj: JSON, now: datetime) -> Any:
        value = at(obj, "spec", field)
        return "N/A" if value is None else str(value)

    return Column(name, "string", description, cell)


POD_DISRUPTION_BUDGET = Kind(
    resource=kinds.POD_DISRUPTION_BUDGETS,
    singular="poddisruptionbudget",
    short_names=("pdb",),
    columns=(
        name_column(),
        _bound("Min Available", "Number or share of pods that stay available.", "minAvailable"),
        _bound("Max Unavailable", "Number or share of pods that may be unavailable.", "maxUnavailable"),
        field_column("Allowed Disruptions", "integer", "Number of pods that may be evicted now.", "status",
                     "disruptionsAllowed", default=0),
        age_column(),
    ),
    subresources=(Subresource("status", ("get", "patch", "update")),),
    default=default,
    validate=validate,
    validate_status=validate_status,
    has_generation=True,
)  # fmt: skip
