"""The metrics that a HorizontalPodAutoscaler follows: their amounts in canonical form, and what is refused.

Pure. Rules and texts are those of pkg/apis/autoscaling/validation.
"""

from __future__ import annotations

from collections.abc import Mapping

from controlplane.apiserver.kinds.causes import all_invalid, forbidden, invalid, not_supported, required
from shared.api import names, quantity
from shared.api.errors import Cause
from shared.api.meta import JSON

SOURCES: Mapping[str, str] = {
    "ContainerResource": "containerResource", "External": "external", "Object": "object", "Pods": "pods",
    "Resource": "resource",
}  # fmt: skip
"""The field of each type of metric."""

_TARGETS = ("Utilization", "Value", "AverageValue")
_IN_ORDER = ("object", "pods", "resource", "containerResource", "external")


def canonical_amounts(metric: JSON) -> None:
    """Amounts of the metric's target in canonical form, in place."""
    for field in SOURCES.values():
        target: JSON = (metric.get(field) or {}).get("target") or {}
        for key in ("value", "averageValue"):
            if target.get(key) is not None:
                target[key] = quantity.canonical(target[key])


def validate_metric(metric: JSON, path: str) -> list[Cause]:
    """One metric: its type, that it has that type's source and no other, and the source."""
    found: list[Cause] = []
    kind = metric.get("type") or ""
    if not kind:
        found.append(required(f"{path}.type", "must specify a metric source type"))
    if kind not in SOURCES:
        found.append(not_supported(f"{path}.type", kind, tuple(SOURCES)))
    present = [field for field in _IN_ORDER if metric.get(field) is not None]
    if present:
        found += _source(present[0], metric[present[0]], f"{path}.{present[0]}")
    expected = SOURCES.get(kind, "")
    if expected and expected not in present:
        found.append(required(f"{path}.{expected}", "must populate information for the given metric source"))
    if len(present) > 1 or present != [expected]:
        found += [
            forbidden(f"{path}.{field}", "must populate the given metric source only")
            for field in present
            if field != expected and len(present) > 1
        ]
    return found


def _source(field: str, source: JSON, path: str) -> list[Cause]:
    target: JSON = source.get("target") or {}
    found: list[Cause] = []
    if field in ("resource", "containerResource"):
        found += _resource(source, path, of_container=field == "containerResource")
    else:
        if field == "object":
            found += _described(source.get("describedObject") or {}, f"{path}.describedObject")
        name = (source.get("metric") or {}).get("name") or ""
        found += all_invalid(f"{path}.metric.name", name, names.path_segment(name)) if name else [
            required(f"{path}.metric.name", "must specify a metric name")
        ]  # fmt: skip
    found += _target(target, f"{path}.target")
    return found + _needs(field, target, f"{path}.target")


def _needs(field: str, target: JSON, path: str) -> list[Cause]:
    """Which amounts the target of each type of metric must have, and may not have together."""
    value, average, share = (target.get(key) for key in ("value", "averageValue", "averageUtilization"))
    if field == "pods" and average is None:
        return [required(f"{path}.averageValue", "must specify a positive target averageValue")]
    if field == "object" and value is None and average is None:
        return [required(f"{path}.averageValue", "must set either a target value or averageValue")]
    if field == "external":
        if value is None and average is None:
            detail = "must set either a target value for metric or a per-pod target"
            return [required(f"{path}.averageValue", detail)]
        if value is not None and average is not None:
            return [forbidden(f"{path}.value", "may not set both a target value for metric and a per-pod target")]
    if field in ("resource", "containerResource"):
        if share is None and average is None:
            detail = "must set either a target raw value or a target utilization"
            return [required(f"{path}.averageUtilization", detail)]
        if share is not None and average is not None:
            return [forbidden(f"{path}.averageValue", "may not set both a target raw value and a target utilization")]
    return []


def _described(described: JSON, path: str) -> list[Cause]:
    found: list[Cause] = []
    for field in ("kind", "name"):
        value = described.get(field) or ""
        found += all_invalid(f"{path}.{field}", value, names.path_segment(value)) if value else [
            required(f"{path}.{field}")
        ]  # fmt: skip
    version = described.get("apiVersion") or ""
    if version.count("/") > 1:
        found.append(invalid(f"{path}.apiVersion", version, f"unexpected GroupVersion string: {version}"))
    return found


def _resource(source: JSON, path: str, *, of_container: bool) -> list[Cause]:
    name, container = source.get("name") or "", source.get("container") or ""
    found: list[Cause] = []
    if not name:
        found.append(required(f"{path}.name", "must specify a resource name"))
    elif of_container:
        found += all_invalid(f"{path}.name", name, names.qualified_name(name))
    if of_container:
        found += all_invalid(f"{path}.container", container, names.dns_label(container)) if container else [
            required(f"{path}.container", "must specify a container")
        ]  # fmt: skip
    return found


def _target(target: JSON, path: str) -> list[Cause]:
    found: list[Cause] = []
    kind = target.get("type") or ""
    if not kind:
        found.append(required(f"{path}.type", "must specify a metric target type"))
    if kind not in _TARGETS:
        found.append(invalid(f"{path}.type", kind, "must be either Utilization, Value, or AverageValue"))
    for key in ("value", "averageValue"):
        if target.get(key) is not None and quantity.parse(target[key]) <= 0:
            found.append(invalid(f"{path}.{key}", target[key], "must be positive"))
    if (share := target.get("averageUtilization")) is not None and share < 1:
        found.append(invalid(f"{path}.averageUtilization", share, "must be greater than 0"))
    return found
