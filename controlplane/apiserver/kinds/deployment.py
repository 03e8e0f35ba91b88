"""Deployment: defaults, validation, columns.

Pure. Rules and texts are those of pkg/apis/apps.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from controlplane.apiserver.kinds.base import Column, Kind, ScalePaths, Subresource
from controlplane.apiserver.kinds.causes import forbidden, invalid, non_negative, not_supported, required
from controlplane.apiserver.kinds.cells import age_column, at, field_column, name_column, template_columns
from controlplane.apiserver.kinds.podtemplate import (
    default_template,
    validate_selector_and_template,
)
from controlplane.apiserver.kinds.workload_status import validate_collisions, validate_counts
from shared.api import intstr, kinds
from shared.api.errors import Cause
from shared.api.meta import JSON

_STRATEGIES = ("Recreate", "RollingUpdate")
_PERCENT = re.compile("[0-9]+%")


def default(obj: JSON) -> None:
    default_template(obj)
    spec = obj["spec"]
    for field, value in (("replicas", 1), ("revisionHistoryLimit", 10), ("progressDeadlineSeconds", 600)):
        if spec.get(field) is None:
            spec[field] = value
    strategy = spec.get("strategy") or {}
    spec["strategy"] = strategy
    if not strategy.get("type"):
        strategy["type"] = "RollingUpdate"
    if strategy["type"] == "RollingUpdate":
        rolling = strategy.get("rollingUpdate") or {}
        strategy["rollingUpdate"] = rolling
        for field in ("maxUnavailable", "maxSurge"):
            if rolling.get(field) is None:
                rolling[field] = "25%"
    if obj.get("status") is None:
        obj["status"] = {}


def validate(obj: JSON, old: JSON | None) -> Iterable[Cause]:
    spec: JSON = obj.get("spec") or {}
    found = non_negative("spec.replicas", spec.get("replicas"))
    found += validate_selector_and_template(spec, None if old is None else old.get("spec") or {})
    found += _strategy(spec.get("strategy") or {})
    for field in ("minReadySeconds", "revisionHistoryLimit", "progressDeadlineSeconds"):
        found += non_negative(f"spec.{field}", spec.get(field))
    deadline, ready = spec.get("progressDeadlineSeconds"), spec.get("minReadySeconds") or 0
    if deadline is not None and deadline <= ready:
        found.append(invalid("spec.progressDeadlineSeconds", deadline, "must be greater than minReadySeconds"))
    return found


def _strategy(strategy: JSON) -> list[Cause]:
    path = "spec.strategy.rollingUpdate"
    rolling: JSON | None = strategy.get("rollingUpdate")
    if (kind := strategy.get("type")) not in _STRATEGIES:
        return [not_supported("spec.strategy", kind, _STRATEGIES)]
    if kind == "Recreate":
        detail = "may not be specified when strategy `type` is 'Recreate'"
        return [] if rolling is None else [forbidden(path, detail)]
    if rolling is None:
        return [required(path, "this should be defaulted and never be nil")]
    found: list[Cause] = []
    for field in ("maxUnavailable", "maxSurge"):
        found += int_or_percent(f"{path}.{field}", rolling.get(field))
    if is_zero(rolling.get("maxUnavailable")) and is_zero(rolling.get("maxSurge")):
        detail = "may not be 0 when `maxSurge` is 0"
        found.append(invalid(f"{path}.maxUnavailable", rolling.get("maxUnavailable"), detail))
    return found + at_most_all(f"{path}.maxUnavailable", rolling.get("maxUnavailable"))


def int_or_percent(path: str, value: Any) -> list[Cause]:
    """A number from zero on, or a percentage."""
    if isinstance(value, str):
        if _PERCENT.fullmatch(value):
            return []
        detail = (
            "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex "
            "used for validation is '[0-9]+%')"
        )
        return [invalid(path, value, detail)]
    return non_negative(path, value)


def at_most_all(path: str, value: Any) -> list[Cause]:
    """No percentage above 100."""
    if isinstance(value, str) and _PERCENT.fullmatch(value) and intstr.percent(value) > 100:
        return [invalid(path, value, "must not be greater than 100%")]
    return []


def is_zero(value: Any) -> bool:
    """Whether a number or percentage asks for nothing, as one that cannot be read does."""
    if isinstance(value, str):
        return not _PERCENT.fullmatch(value) or intstr.percent(value) == 0
    return not value


def validate_status(obj: JSON, old: JSON | None) -> Iterable[Cause]:
    status: JSON = obj.get("status") or {}
    yield from validate_counts(status, ("updatedReplicas", "readyReplicas", "availableReplicas"))
    yield from non_negative("status.unavailableReplicas", status.get("unavailableReplicas"))
    yield from validate_collisions(status, old)


def _ready(obj: JSON) -> str:
    return f"{at(obj, 'status', 'readyReplicas', default=0)}/{at(obj, 'spec', 'replicas', default=0)}"


DEPLOYMENT = Kind(
    resource=kinds.DEPLOYMENTS,
    singular="deployment",
    short_names=("deploy",),
    categories=("all",),
    columns=(
        name_column(),
        Column("Ready", "string", "Number of ready pods, of the desired ones.", _ready),
        field_column("Up-to-date", "string", "Number of pods of the newest template.", "status", "updatedReplicas",
                     default=0),
        field_column("Available", "string", "Number of pods that are available.", "status", "availableReplicas",
                     default=0),
        age_column(),
        *template_columns(),
    ),
    subresources=(
        Subresource("scale", ("get", "patch", "update"), kind="Scale", group="autoscaling", version="v1"),
        Subresource("status", ("get", "patch", "update")),
    ),
    default=default,
    validate=validate,
    validate_status=validate_status,
    has_generation=True,
    generation_metadata=("annotations",),  # they are copied to its ReplicaSets
    status_metadata=("annotations", "finalizers", "ownerReferences"),
    scale=ScalePaths(),
)  # fmt: skip
