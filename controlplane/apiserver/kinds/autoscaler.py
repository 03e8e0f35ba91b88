"""HorizontalPodAutoscaler (autoscaling/v2): defaults, validation, columns.

Pure. Rules and texts are those of pkg/apis/autoscaling.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime

from controlplane.apiserver.kinds.base import Column, Kind, Subresource
from controlplane.apiserver.kinds.causes import all_invalid, forbidden, invalid, not_supported, required
from controlplane.apiserver.kinds.cells import age_column, at, name_column
from controlplane.apiserver.kinds.podspec.scheduling import validate_label_selector
from shared.api import kinds, names, quantity
from shared.api.errors import Cause
from shared.api.meta import JSON

_SOURCES: Mapping[str, str] = {
    "ContainerResource": "containerResource", "External": "external", "Object": "object", "Pods": "pods",
    "Resource": "resource",
}  # fmt: skip
_TARGETS: Mapping[str, str] = {"Utilization": "averageUtilization", "Value": "value", "AverageValue": "averageValue"}
_SELECTS = ("Disabled", "Max", "Min")
_PERIODS = ("Percent", "Pods")
_MAX_PERIOD, _MAX_WINDOW = 1800, 3600
"""Seconds (MaxPeriodSeconds, MaxStabilizationWindowSeconds)."""

_UP = ({"type": "Pods", "value": 4, "periodSeconds": 15}, {"type": "Percent", "value": 100, "periodSeconds": 15})
_DOWN = ({"type": "Percent", "value": 100, "periodSeconds": 15},)


def default(obj: JSON) -> None:
    spec = obj.setdefault("spec", {})
    if spec.get("minReplicas") is None:
        spec["minReplicas"] = 1
    if not spec.get("metrics"):
        target = {"type": "Utilization", "averageUtilization": 80}
        spec["metrics"] = [{"type": "Resource", "resource": {"name": "cpu", "target": target}}]
    behavior = spec.get("behavior")
    if behavior is not None:
        for field, policies, window in (("scaleUp", _UP, 0), ("scaleDown", _DOWN, None)):
            rules = behavior.get(field) or {}
            behavior[field] = rules
            if not rules.get("selectPolicy"):
                rules["selectPolicy"] = "Max"
            if rules.get("stabilizationWindowSeconds") is None and window is not None:
                rules["stabilizationWindowSeconds"] = window
            if not rules.get("policies"):
                rules["policies"] = [dict(policy) for policy in policies]
    status = obj.get("status") or {}
    obj["status"] = status
    status.setdefault("desiredReplicas", 0)
    if "currentMetrics" not in status:
        status["currentMetrics"] = None


def validate(obj: JSON, old: JSON | None) -> Iterable[Cause]:
    spec: JSON = obj.get("spec") or {}
    least, most = spec.get("minReplicas"), spec.get("maxReplicas") or 0
    if least is not None and least < 1:
        scales_to_zero = least == 0 and any(m.get("type") in ("Object", "External") for m in spec.get("metrics") or ())
        if not scales_to_zero:
            yield invalid("spec.minReplicas", least, "must be greater than or equal to 1")
    if most < 1:
        yield invalid("spec.maxReplicas", most, "must be greater than 0")
    if least is not None and most < least:
        yield invalid("spec.maxReplicas", most, "must be greater than or equal to `minReplicas`")
    yield from _reference(spec.get("scaleTargetRef") or {}, "spec.scaleTargetRef")
    for index, metric in enumerate(spec.get("metrics") or ()):
        yield from _metric(metric, f"spec.metrics[{index}]")
    for field in ("scaleUp", "scaleDown"):
        rules = (spec.get("behavior") or {}).get(field)
        if rules is not None:
            yield from _rules(rules, f"spec.behavior.{field}")


def _reference(target: JSON, path: str) -> Iterator[Cause]:
    for field in ("kind", "name"):
        value = target.get(field) or ""
        if not value:
            yield required(f"{path}.{field}")
        else:
            yield from all_invalid(f"{path}.{field}", value, names.path_segment(value))


def _metric(metric: JSON, path: str) -> Iterator[Cause]:
    kind = metric.get("type") or ""
    if not kind:
        yield required(f"{path}.type", "must specify a metric source type")
        return
    if kind not in _SOURCES:
        yield not_supported(f"{path}.type", kind, sorted(_SOURCES))
        return
    field = _SOURCES[kind]
    source = metric.get(field)
    if source is None:
        yield required(f"{path}.{field}", f"must populate information for the given metric source ({kind})")
    for other in _SOURCES.values():
        if other != field and metric.get(other) is not None:
            yield forbidden(f"{path}.{other}", "must populate the given metric source only")
    if source is None:
        return
    at_ = f"{path}.{field}"
    if field in ("resource", "containerResource") and not source.get("name"):
        yield required(f"{at_}.name", "must specify a resource name")
    if field == "containerResource" and not source.get("container"):
        yield required(f"{at_}.container", "must specify a container")
    if field in ("pods", "object", "external"):
        identifier = source.get("metric") or {}
        if not identifier.get("name"):
            yield required(f"{at_}.metric.name", "must specify a metric name")
        yield from validate_label_selector(identifier.get("selector") or {}, f"{at_}.metric.selector")
    if field == "object":
        yield from _reference(source.get("describedObject") or {}, f"{at_}.describedObject")
    yield from _target(source.get("target") or {}, f"{at_}.target")


def _target(target: JSON, path: str) -> Iterator[Cause]:
    kind = target.get("type") or ""
    if not kind:
        yield required(f"{path}.type", "must specify a metric target type")
    elif kind not in _TARGETS:
        yield not_supported(f"{path}.type", kind, sorted(_TARGETS))
    elif target.get(_TARGETS[kind]) is None:
        yield required(f"{path}.{_TARGETS[kind]}", f"must set a target of the type {kind}")
    share = target.get("averageUtilization")
    if share is not None and share < 1:
        yield invalid(f"{path}.averageUtilization", share, "must be greater than 0")
    for field in ("value", "averageValue"):
        value = target.get(field)
        if value is not None and quantity.parse(value) <= 0:
            yield invalid(f"{path}.{field}", value, "must be positive")


def _rules(rules: JSON, path: str) -> Iterator[Cause]:
    window = rules.get("stabilizationWindowSeconds")
    if window is not None and window < 0:
        yield invalid(f"{path}.stabilizationWindowSeconds", window, "must be greater than or equal to zero")
    elif window is not None and window > _MAX_WINDOW:
        yield invalid(f"{path}.stabilizationWindowSeconds", window, f"must be less than or equal to {_MAX_WINDOW}")
    if (select := rules.get("selectPolicy")) not in (None, *_SELECTS):
        yield not_supported(f"{path}.selectPolicy", select, _SELECTS)
    policies = rules.get("policies") or ()
    if not policies:
        yield required(f"{path}.policies", "must specify at least one Policy")
    for index, policy in enumerate(policies):
        at_ = f"{path}.policies[{index}]"
        if policy.get("type") not in _PERIODS:
            yield not_supported(f"{at_}.type", policy.get("type"), _PERIODS)
        for field in ("value", "periodSeconds"):
            if (policy.get(field) or 0) <= 0:
                yield invalid(f"{at_}.{field}", policy.get(field) or 0, "must be greater than zero")
        if (policy.get("periodSeconds") or 0) > _MAX_PERIOD:
            detail = f"must be less than or equal to {_MAX_PERIOD}"
            yield invalid(f"{at_}.periodSeconds", policy["periodSeconds"], detail)


# --- columns


def _targets(obj: JSON, now: datetime) -> str:
    """``cpu: 12%/80%`` for each metric, as kubectl has printed it since 1.31."""
    current = at(obj, "status", "currentMetrics", default=()) or ()
    shown = [
        _target_cell(spec, current[index] if index < len(current) else {})
        for index, spec in enumerate(at(obj, "spec", "metrics", default=()) or ())
    ]
    if not shown:
        return "<none>"
    more = f" + {len(shown) - 2} more..." if len(shown) > 2 else ""
    return ", ".join(shown[:2]) + more


def _target_cell(spec: JSON, status: JSON) -> str:
    field = _SOURCES.get(spec.get("type") or "", "")
    source, now = spec.get(field) or {}, (status.get(field) or {}).get("current") or {}
    target = source.get("target") or {}
    name = f"{source.get('name')}: " if field in ("resource", "containerResource") else ""
    if target.get("averageUtilization") is not None:
        share = now.get("averageUtilization")
        have = "<unknown>" if share is None else f"{share}%"
        return f"{name}{have}/{target['averageUtilization']}%"
    for key, suffix in (("averageValue", " (avg)" if field in ("object", "external") else ""), ("value", "")):
        if target.get(key) is not None:
            return f"{name}{now.get(key) or '<unknown>'}/{target[key]}{suffix}"
    return "<auto>" if not target else f"{name}<unknown>/<auto>"


def _refers_to(obj: JSON, now: datetime) -> str:
    return f"{at(obj, 'spec', 'scaleTargetRef', 'kind')}/{at(obj, 'spec', 'scaleTargetRef', 'name')}"


def _least(obj: JSON, now: datetime) -> str:
    value = at(obj, "spec", "minReplicas")
    return "<unset>" if value is None else str(value)


HORIZONTAL_POD_AUTOSCALER = Kind(
    resource=kinds.HORIZONTAL_POD_AUTOSCALERS,
    singular="horizontalpodautoscaler",
    short_names=("hpa",),
    categories=("all",),
    columns=(
        name_column(),
        Column("Reference", "string", "What is scaled.", _refers_to),
        Column("Targets", "string", "Metrics now, and what they are to be.", _targets),
        Column("MinPods", "string", "Lower limit of the number of pods.", _least),
        Column("MaxPods", "string", "Upper limit of the number of pods.",
               lambda obj, now: str(at(obj, "spec", "maxReplicas", default=0))),
        Column("Replicas", "string", "Number of pods, as last seen.",
               lambda obj, now: str(at(obj, "status", "currentReplicas", default=0))),
        age_column(),
    ),
    subresources=(Subresource("status", ("get", "patch", "update")),),
    default=default,
    validate=validate,
    inert=True,
)  # fmt: skip
