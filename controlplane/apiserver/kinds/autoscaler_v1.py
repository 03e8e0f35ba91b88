"""autoscaling/v1 HorizontalPodAutoscaler: the autoscalers of autoscaling/v2 as one target of CPU.

Pure. After pkg/apis/autoscaling/v1 (conversion.go, defaults.go): what v1 has no field for is kept in annotations, so
that an update through v1 loses nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from controlplane.apiserver.kinds.autoscaler import HORIZONTAL_POD_AUTOSCALER
from controlplane.apiserver.kinds.base import Column
from shared import codec
from shared.api import kinds
from shared.api.errors import Cause
from shared.api.meta import JSON

_PREFIX = "autoscaling.alpha.kubernetes.io/"
METRICS, BEHAVIOR = f"{_PREFIX}metrics", f"{_PREFIX}behavior"
CURRENT, CONDITIONS = f"{_PREFIX}current-metrics", f"{_PREFIX}conditions"
_OURS = (METRICS, BEHAVIOR, CURRENT, CONDITIONS)
CPU = 80
"""Percent of CPU that is aimed at where nothing is said."""

_FIELDS: Mapping[str, str] = {
    "Resource": "resource", "ContainerResource": "containerResource", "Pods": "pods", "Object": "object",
    "External": "external",
}  # fmt: skip


def from_v2(stored: JSON) -> JSON:
    """A stored autoscaler as v1 shows it."""
    spec, status = dict(stored.get("spec") or {}), dict(stored.get("status") or {})
    kept: JSON = {}
    metrics, spec["targetCPUUtilizationPercentage"] = _cpu(spec.pop("metrics", None) or [], "target")
    current, share = _cpu(status.pop("currentMetrics", None) or [], "current")
    for key, value in (
        (METRICS, [_flat(metric, "target") for metric in metrics]),
        (CURRENT, [_flat(metric, "current") for metric in current]),
        (BEHAVIOR, spec.pop("behavior", None)),
        (CONDITIONS, status.pop("conditions", None)),
    ):
        if value:
            kept[key] = codec.encode(value).decode()
    if spec["targetCPUUtilizationPercentage"] is None:
        del spec["targetCPUUtilizationPercentage"]
    if share is not None:
        status["currentCPUUtilizationPercentage"] = share
    status.setdefault("currentReplicas", 0)
    status.setdefault("desiredReplicas", 0)
    return {**stored, "metadata": _annotated(stored["metadata"], kept), "spec": spec, "status": status}


def to_v2(shown: JSON) -> JSON:
    """A v1 autoscaler as it is stored."""
    notes = (shown.get("metadata") or {}).get("annotations") or {}
    spec, status = dict(shown.get("spec") or {}), dict(shown.get("status") or {})
    metrics = [_nested(metric, "target") for metric in _read(notes.get(METRICS))]
    current = [_nested(metric, "current") for metric in _read(notes.get(CURRENT))]
    if (share := spec.pop("targetCPUUtilizationPercentage", None)) is not None:
        target = {"type": "Utilization", "averageUtilization": share}
        metrics.insert(0, {"type": "Resource", "resource": {"name": "cpu", "target": target}})
    if (share := status.pop("currentCPUUtilizationPercentage", None)) is not None:
        current.insert(0, {"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": share}}})
    if metrics:
        spec["metrics"] = metrics
    if behavior := _read(notes.get(BEHAVIOR), {}):
        spec["behavior"] = behavior
    status["currentMetrics"] = current or None
    if conditions := _read(notes.get(CONDITIONS)):
        status["conditions"] = conditions
    made = {**shown, "metadata": _annotated(shown["metadata"], {}), "spec": spec, "status": status}
    HORIZONTAL_POD_AUTOSCALER.default(made)
    return made


def _cpu(metrics: list[JSON], part: str) -> tuple[list[JSON], int | None]:
    """The other metrics, and the utilization of CPU, of which v1 has a field; the first one counts."""
    rest: list[JSON] = []
    share: int | None = None
    for metric in metrics:
        source = metric.get("resource") or {}
        value = (source.get(part) or {}).get("averageUtilization")
        if share is None and metric.get("type") == "Resource" and source.get("name") == "cpu" and value is not None:
            share = value
        else:
            rest.append(metric)
    return rest, share


def _annotated(meta: JSON, kept: JSON) -> JSON:
    notes = {key: value for key, value in (meta.get("annotations") or {}).items() if key not in _OURS} | kept
    out = {key: value for key, value in meta.items() if key != "annotations"}
    return {**out, "annotations": notes} if notes else out


def _read(text: Any, empty: Any = ()) -> Any:
    """What an annotation holds; nothing where a person has written something else into it."""
    try:
        found = codec.decode(text) if isinstance(text, str) else empty
    except codec.CodecError:
        return empty
    return found if isinstance(found, dict if isinstance(empty, dict) else list) else empty


# --- metrics: v1 has the parts of a metric's identifier and target beside each other

_TARGETS = {"averageUtilization": "AverageUtilization", "averageValue": "AverageValue", "value": "Value"}
_KINDS = {"averageUtilization": "Utilization", "averageValue": "AverageValue", "value": "Value"}


def _flat(metric: JSON, part: str) -> JSON:
    field = _FIELDS.get(metric.get("type") or "", "")
    source = dict(metric.get(field) or {})
    identifier, values = source.pop("metric", None), source.pop(part, None) or {}
    if field == "object":
        source["target"] = source.pop("describedObject", {})
    if identifier is not None:
        source["metricName"] = identifier.get("name")
        if identifier.get("selector") is not None:
            source["metricSelector" if field == "external" else "selector"] = identifier["selector"]
    for key, name in _TARGETS.items():
        if values.get(key) is not None:
            source[_name(field, part, key, name)] = values[key]
    return {"type": metric.get("type"), field: source}


def _name(field: str, part: str, key: str, name: str) -> str:
    return key if field == "object" and key == "averageValue" else f"{part}{name}"


def _nested(metric: JSON, part: str) -> JSON:
    if not isinstance(metric, dict):
        return {}
    field = _FIELDS.get(metric.get("type") or "", "")
    source = dict(metric.get(field) or {})
    values: JSON = {}
    for key, name in _TARGETS.items():
        value = source.pop(_name(field, part, key, name), None)
        if value is not None:
            values[key] = value
            if part == "target":
                values["type"] = _KINDS[key]
    if field == "object":
        source["describedObject"] = source.pop("target", {})
    if "metricName" in source:
        selector = source.pop("metricSelector" if field == "external" else "selector", None)
        source["metric"] = {"name": source.pop("metricName")} | ({} if selector is None else {"selector": selector})
    return {"type": metric.get("type"), field: {**source, part: values}}


# --- the row


def default(obj: JSON) -> None:
    spec = obj.setdefault("spec", {})
    if spec.get("minReplicas") is None:
        spec["minReplicas"] = 1
    notes = (obj.get("metadata") or {}).get("annotations") or {}
    if spec.get("targetCPUUtilizationPercentage") is None and not notes.get(METRICS):
        spec["targetCPUUtilizationPercentage"] = CPU
    status = obj.get("status") or {}
    obj["status"] = status
    status.setdefault("currentReplicas", 0)
    status.setdefault("desiredReplicas", 0)


def validate(obj: JSON, old: JSON | None) -> Iterable[Cause]:
    return HORIZONTAL_POD_AUTOSCALER.validate(to_v2(obj), None if old is None else to_v2(old))


def validate_status(obj: JSON, old: JSON | None) -> Iterable[Cause]:
    return HORIZONTAL_POD_AUTOSCALER.validate_status(to_v2(obj), None if old is None else to_v2(old))


def _cell(column: Column) -> Callable[[JSON], Any]:
    return lambda obj: column.cell(to_v2(obj))


HORIZONTAL_POD_AUTOSCALER_V1 = replace(
    HORIZONTAL_POD_AUTOSCALER,
    resource=kinds.HORIZONTAL_POD_AUTOSCALERS_V1,
    columns=tuple(replace(column, cell=_cell(column)) for column in HORIZONTAL_POD_AUTOSCALER.columns),
    default=default,
    validate=validate,
    validate_status=validate_status,
    storage=HORIZONTAL_POD_AUTOSCALER,
    from_stored=from_v2,
    to_stored=to_v2,
)
