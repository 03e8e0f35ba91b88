"""DaemonSet: defaults, validation, columns.

Pure. Rules and texts are those of pkg/apis/apps. The count of its template's changes is an annotation, which
admission keeps.
"""

from __future__ import annotations

from collections.abc import Iterable

from controlplane.apiserver.kinds.base import Column, Kind, Subresource
from controlplane.apiserver.kinds.causes import immutable, invalid, non_negative, not_supported, required
from controlplane.apiserver.kinds.cells import (
    age_column,
    at,
    field_column,
    format_labels,
    name_column,
    template_columns,
)
from controlplane.apiserver.kinds.deployment import at_most_all, int_or_percent, is_zero
from controlplane.apiserver.kinds.podspec.scheduling import validate_label_selector
from controlplane.apiserver.kinds.podtemplate import (
    PATH,
    default_template,
    matches_template,
    runs_always,
    validate_template,
)
from controlplane.apiserver.kinds.workload_status import validate_collisions
from shared.api import kinds
from shared.api.errors import Cause
from shared.api.meta import JSON

_STRATEGIES = ("RollingUpdate", "OnDelete")
_ALWAYS_WRITTEN = ("currentNumberScheduled", "numberMisscheduled", "desiredNumberScheduled", "numberReady")
_COUNTS = (
    *_ALWAYS_WRITTEN, "observedGeneration", "updatedNumberScheduled", "numberAvailable", "numberUnavailable",
)  # fmt: skip


def default(obj: JSON) -> None:
    default_template(obj)
    spec = obj["spec"]
    strategy = spec.get("updateStrategy") or {}
    spec["updateStrategy"] = strategy
    if not strategy.get("type"):
        strategy["type"] = "RollingUpdate"
    if strategy["type"] == "RollingUpdate":
        rolling = strategy.get("rollingUpdate") or {}
        strategy["rollingUpdate"] = rolling
        for field, value in (("maxUnavailable", 1), ("maxSurge", 0)):
            if rolling.get(field) is None:
                rolling[field] = value
    if spec.get("revisionHistoryLimit") is None:
        spec["revisionHistoryLimit"] = 10
    status = obj.get("status") or {}
    obj["status"] = status
    for field in _ALWAYS_WRITTEN:
        status.setdefault(field, 0)


def validate(obj: JSON, old: JSON | None) -> Iterable[Cause]:
    spec: JSON = obj.get("spec") or {}
    selector: JSON | None = spec.get("selector")
    template: JSON = spec.get("template") or {}
    found = validate_label_selector(selector, "spec.selector")
    found += matches_template(selector, template)
    if selector is not None and not selector.get("matchLabels") and not selector.get("matchExpressions"):
        found.append(invalid("spec.selector", selector, "empty selector is invalid for daemonset"))
    found += validate_template(template, PATH) + runs_always(template, "DaemonSet")
    found += non_negative("spec.minReadySeconds", spec.get("minReadySeconds"))
    found += _strategy(spec.get("updateStrategy") or {})
    found += non_negative("spec.revisionHistoryLimit", spec.get("revisionHistoryLimit"))
    if old is not None:
        found += immutable("spec.selector", selector, at(old, "spec", "selector"))
    return found


def _strategy(strategy: JSON) -> list[Cause]:
    kind, rolling = strategy.get("type"), strategy.get("rollingUpdate")
    if kind not in _STRATEGIES:
        return [not_supported("spec.updateStrategy", strategy, _STRATEGIES)]
    if kind == "OnDelete":
        return []
    path = "spec.updateStrategy.rollingUpdate"
    if rolling is None:
        return [required(path)]
    found: list[Cause] = []
    for check in (int_or_percent, at_most_all):
        for field in ("maxUnavailable", "maxSurge"):
            found += check(f"{path}.{field}", rolling.get(field))
    waits, surges = not is_zero(rolling.get("maxUnavailable")), not is_zero(rolling.get("maxSurge"))
    if waits and surges:
        detail = "may not be set when maxUnavailable is non-zero"
        found.append(invalid(f"{path}.maxSurge", rolling.get("maxSurge"), detail))
    elif not waits and not surges:
        found.append(required(f"{path}.maxUnavailable", "cannot be 0 when maxSurge is 0"))
    return found


def validate_status(obj: JSON, old: JSON | None) -> Iterable[Cause]:
    status: JSON = obj.get("status") or {}
    for field in _COUNTS:
        yield from non_negative(f"status.{field}", status.get(field))
    yield from validate_collisions(status, old)


def _node_selector(obj: JSON) -> str:
    return format_labels(at(obj, "spec", "template", "spec", "nodeSelector"))


def _count(name: str, description: str, field: str) -> Column:
    return field_column(name, "integer", description, "status", field, default=0)


DAEMON_SET = Kind(
    resource=kinds.DAEMON_SETS,
    singular="daemonset",
    short_names=("ds",),
    categories=("all",),
    columns=(
        name_column(),
        _count("Desired", "Number of nodes that should run the pod.", "desiredNumberScheduled"),
        _count("Current", "Number of those nodes that have the pod.", "currentNumberScheduled"),
        _count("Ready", "Number of those nodes whose pod is ready.", "numberReady"),
        _count("Up-to-date", "Number of those nodes with a pod of the newest template.", "updatedNumberScheduled"),
        _count("Available", "Number of those nodes whose pod is available.", "numberAvailable"),
        Column("Node Selector", "string", "Labels of the nodes that should run the pod.", _node_selector),
        age_column(),
        *template_columns(),
    ),
    subresources=(Subresource("status", ("get", "patch", "update")),),
    default=default,
    validate=validate,
    validate_status=validate_status,
    inert=True,
    has_generation=True,
    status_metadata=("labels", "annotations", "finalizers", "ownerReferences"),
)
