"""HorizontalPodAutoscaler (autoscaling/v2): defaults, validation, columns.

Pure. Rules and texts are those of pkg/apis/autoscaling; the feature gate HPAScaleToZero is off as in 1.36, so that no
autoscaler goes below one pod.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from controlplane.apiserver.kinds.autoscaler_metrics import SOURCES, canonical_amounts, validate_metric
from controlplane.apiserver.kinds.base import Column, Kind, Subresource
from controlplane.apiserver.kinds.causes import all_invalid, invalid, non_negative, not_supported, required
from controlplane.apiserver.kinds.cells import NONE, UNKNOWN, age_column, at, field_column, name_column
from shared import codec
from shared.api import kinds, names, quantity
from shared.api.errors import Cause
from shared.api.meta import JSON

MAX_PERIOD, MAX_WINDOW = 1800, 3600
"""Seconds: of a scaling policy's period, and of a stabilization window."""

_CPU = {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}}
_ALL = {"type": "Percent", "value": 100, "periodSeconds": 15}
_SCALE_UP: JSON = {
    "stabilizationWindowSeconds": 0,
    "selectPolicy": "Max",
    "policies": [{"type": "Pods", "value": 4, "periodSeconds": 15}, _ALL],
}
_SCALE_DOWN: JSON = {"selectPolicy": "Max", "policies": [_ALL]}
_SELECTS, _POLICIES = ("Disabled", "Max", "Min"), ("Percent", "Pods")


def default(obj: JSON) -> None:
    spec = obj.setdefault("spec", {})
    if spec.get("minReplicas") is None:
        spec["minReplicas"] = 1
    if not spec.get("metrics"):
        spec["metrics"] = [codec.copy(_CPU)]
    for metric in spec["metrics"]:
        canonical_amounts(metric)
    if (behavior := spec.get("behavior")) is not None:
        for field, rules in (("scaleUp", _SCALE_UP), ("scaleDown", _SCALE_DOWN)):
            given = {key: value for key, value in (behavior.get(field) or {}).items() if value is not None}
            if "tolerance" in given:
                given["tolerance"] = quantity.canonical(given["tolerance"])
            behavior[field] = {**codec.copy(rules), **given}
    status = obj.get("status") or {}
    obj["status"] = status
    status.setdefault("desiredReplicas", 0)
    status.setdefault("currentMetrics", None)  # no omitempty: a Go struct writes null


def validate(obj: JSON, old: JSON | None) -> Iterable[Cause]:
    spec: JSON = obj.get("spec") or {}
    least, most = spec.get("minReplicas"), spec.get("maxReplicas") or 0
    found: list[Cause] = []
    if least is not None and least < 1:
        found.append(invalid("spec.minReplicas", least, "must be greater than or equal to 1"))
    if most < 1:
        found.append(invalid("spec.maxReplicas", most, "must be greater than 0"))
    if least is not None and most < least:
        found.append(invalid("spec.maxReplicas", most, "must be greater than or equal to `minReplicas`"))
    target: JSON = spec.get("scaleTargetRef") or {}
    found += _reference(target, None if old is None else at(old, "spec", "scaleTargetRef", default={}))
    for index, metric in enumerate(spec.get("metrics") or ()):
        found += validate_metric(metric, f"spec.metrics[{index}]")
    for field in ("scaleUp", "scaleDown"):
        if (rules := at(spec, "behavior", field)) is not None:
            found += _rules(rules, f"spec.behavior.{field}")
    return found


def _reference(target: JSON, was: JSON | None) -> list[Cause]:
    path = "spec.scaleTargetRef"
    found: list[Cause] = []
    for field in ("kind", "name"):
        value = target.get(field) or ""
        found += all_invalid(f"{path}.{field}", value, names.path_segment(value)) if value else [
            required(f"{path}.{field}")
        ]  # fmt: skip
    version = target.get("apiVersion") or ""
    if was is not None and (was.get("apiVersion") or "", was.get("kind")) == (version, target.get("kind")):
        return found
    if version.count("/") > 1:
        found.append(invalid(f"{path}.apiVersion", version, f"unexpected GroupVersion string: {version}"))
    elif not version.partition("/")[2] and target.get("kind") != "ReplicationController":
        found.append(invalid(f"{path}.apiVersion", version, "apiVersion must specify API group"))
    return found


def _rules(rules: JSON, path: str) -> list[Cause]:
    found: list[Cause] = []
    window, select, policies = (
        rules.get(field) for field in ("stabilizationWindowSeconds", "selectPolicy", "policies")
    )
    if window is not None and window < 0:
        found.append(invalid(f"{path}.stabilizationWindowSeconds", window, "must be greater than or equal to zero"))
    if window is not None and window > MAX_WINDOW:
        detail = f"must be less than or equal to {MAX_WINDOW}"
        found.append(invalid(f"{path}.stabilizationWindowSeconds", window, detail))
    if select is not None and select not in _SELECTS:
        found.append(not_supported(f"{path}.selectPolicy", select, _SELECTS))
    if not policies:
        found.append(required(f"{path}.policies", "must specify at least one Policy"))
    for index, policy in enumerate(policies or ()):
        found += _policy(policy, f"{path}.policies[{index}]")
    if (tolerance := rules.get("tolerance")) is not None and quantity.parse(tolerance) < 0:
        found.append(invalid(f"{path}.tolerance", tolerance, "must be greater or equal to zero"))
    return found


def _policy(policy: JSON, path: str) -> list[Cause]:
    found: list[Cause] = []
    if policy.get("type") not in _POLICIES:
        found.append(not_supported(f"{path}.type", policy.get("type") or "", _POLICIES))
    for field in ("value", "periodSeconds"):
        if (policy.get(field) or 0) <= 0:
            found.append(invalid(f"{path}.{field}", policy.get(field) or 0, "must be greater than zero"))
    if (period := policy.get("periodSeconds") or 0) > MAX_PERIOD:
        found.append(invalid(f"{path}.periodSeconds", period, f"must be less than or equal to {MAX_PERIOD}"))
    return found


def validate_status(obj: JSON, old: JSON | None) -> Iterable[Cause]:
    for field in ("currentReplicas", "desiredReplicas"):
        yield from non_negative(f"status.{field}", at(obj, "status", field))


def _target(obj: JSON) -> str:
    reference: JSON = at(obj, "spec", "scaleTargetRef", default={})
    return f"{reference.get('kind') or ''}/{reference.get('name') or ''}"


def _metrics(obj: JSON) -> str:
    """``cpu: 50%/80%``: what each metric is and should be; two of them at most."""
    metrics: Sequence[JSON] = at(obj, "spec", "metrics", default=())
    current: Sequence[JSON] = at(obj, "status", "currentMetrics", default=())
    shown = [_metric(metric, current[index] if index < len(current) else {}) for index, metric in enumerate(metrics)]
    text = ", ".join(shown[:2]) or NONE
    return f"{text} + {len(shown) - 2} more..." if len(shown) > 2 else text


def _metric(metric: JSON, status: JSON) -> str:
    field = SOURCES.get(metric.get("type") or "")
    if field is None:
        return "<unknown type>"
    target: JSON = at(metric, field, "target", default={})
    current: JSON = at(status, field, "current", default={})
    average = target.get("averageValue")
    if field in ("resource", "containerResource"):
        prefix = f"{at(metric, field, 'name', default='')}: "
        if average is not None:
            return f"{prefix}{_or_unknown(current.get('averageValue'))}/{average}"
        used, wanted = current.get("averageUtilization"), target.get("averageUtilization")
        return f"{prefix}{UNKNOWN if used is None else f'{used}%'}/{'<auto>' if wanted is None else f'{wanted}%'}"
    if average is None:
        return f"{_or_unknown(current.get('value'))}/{target.get('value')}"
    suffix = "" if field == "pods" else " (avg)"
    return f"{_or_unknown(current.get('averageValue'))}/{average}{suffix}"


def _or_unknown(value: Any) -> str:
    return UNKNOWN if value is None else str(value)


def _least(obj: JSON) -> str:
    least = at(obj, "spec", "minReplicas")
    return "<unset>" if least is None else str(least)


HORIZONTAL_POD_AUTOSCALER = Kind(
    resource=kinds.HORIZONTAL_POD_AUTOSCALERS,
    singular="horizontalpodautoscaler",
    short_names=("hpa",),
    categories=("all",),
    columns=(
        name_column(),
        Column("Reference", "string", "What is scaled.", _target),
        Column("Targets", "string", "What each metric is, and what it should be.", _metrics),
        Column("MinPods", "string", "The fewest pods.", _least),
        field_column("MaxPods", "string", "The most pods.", "spec", "maxReplicas", default=0),
        field_column("Replicas", "string", "Number of pods as last seen.", "status", "currentReplicas", default=0),
        age_column(),
    ),
    subresources=(Subresource("status", ("get", "patch", "update")),),
    default=default,
    validate=validate,
    validate_status=validate_status,
    inert=True,
    status_metadata=("labels", "annotations", "finalizers", "ownerReferences"),
)
