"""StatefulSet: defaults, validation, columns.

Pure. Rules and texts are those of pkg/apis/apps. The defaults are those of 1.36, where the feature gate
MaxUnavailableStatefulSet is off: ``maxUnavailable`` is kept where it is given, but has no default.
"""

from __future__ import annotations

from collections.abc import Iterable

from controlplane.apiserver.kinds.base import Column, Kind, ScalePaths, Subresource
from controlplane.apiserver.kinds.causes import all_invalid, forbidden, invalid, non_negative, not_supported, required
from controlplane.apiserver.kinds.cells import age_column, at, container_columns, name_column
from controlplane.apiserver.kinds.claim_templates import claim_names, default_claims, validate_claims
from controlplane.apiserver.kinds.deployment import at_most_all, int_or_percent, is_zero
from controlplane.apiserver.kinds.podspec.scheduling import validate_label_selector
from controlplane.apiserver.kinds.podtemplate import (
    PATH,
    default_template,
    matches_template,
    runs_always,
    validate_template,
)
from controlplane.apiserver.kinds.workload_status import validate_collisions, validate_counts
from shared.api import kinds, names
from shared.api.errors import Cause
from shared.api.meta import JSON

_RETENTION = ("Retain", "Delete")
_MUTABLE = (
    "replicas", "ordinals", "template", "updateStrategy", "revisionHistoryLimit",
    "persistentVolumeClaimRetentionPolicy", "minReadySeconds",
)  # fmt: skip


def default(obj: JSON) -> None:
    default_template(obj)
    spec = obj["spec"]
    if not spec.get("podManagementPolicy"):
        spec["podManagementPolicy"] = "OrderedReady"
    strategy = spec.get("updateStrategy") or {}
    spec["updateStrategy"] = strategy
    if not strategy.get("type"):
        strategy["type"] = "RollingUpdate"
        if strategy.get("rollingUpdate") is None:
            strategy["rollingUpdate"] = {}
    rolling = strategy.get("rollingUpdate")
    if strategy["type"] == "RollingUpdate" and rolling is not None and rolling.get("partition") is None:
        rolling["partition"] = 0
    retention = spec.get("persistentVolumeClaimRetentionPolicy") or {}
    spec["persistentVolumeClaimRetentionPolicy"] = retention
    for field in ("whenDeleted", "whenScaled"):
        if not retention.get(field):
            retention[field] = "Retain"
    for field, value in (("replicas", 1), ("revisionHistoryLimit", 10)):
        if spec.get(field) is None:
            spec[field] = value
    default_claims(spec.get("volumeClaimTemplates") or ())
    status = obj.get("status") or {}
    obj["status"] = status
    for field in ("replicas", "availableReplicas"):
        status.setdefault(field, 0)


def validate(obj: JSON, old: JSON | None) -> Iterable[Cause]:
    spec: JSON = obj.get("spec") or {}
    policy = spec.get("podManagementPolicy")
    found: list[Cause] = []
    if policy not in ("OrderedReady", "Parallel"):
        found.append(invalid("spec.podManagementPolicy", policy, "must be 'OrderedReady' or 'Parallel'"))
    found += _strategy(spec.get("updateStrategy") or {})
    for field, value in (spec.get("persistentVolumeClaimRetentionPolicy") or {}).items():
        if field in ("whenDeleted", "whenScaled") and value not in _RETENTION:
            found.append(not_supported(f"spec.persistentVolumeClaimRetentionPolicy.{field}", value, _RETENTION))
    found += non_negative("spec.replicas", spec.get("replicas"))
    found += non_negative("spec.minReadySeconds", spec.get("minReadySeconds"))
    found += non_negative("spec.ordinals.start", at(spec, "ordinals", "start"))
    if service := spec.get("serviceName"):
        found += all_invalid("spec.serviceName", service, names.dns_label(service))
    found += validate_claims(spec.get("volumeClaimTemplates") or (), "spec.volumeClaimTemplates")
    found += _pods(spec)
    if old is not None and _fixed(spec) != _fixed(old.get("spec") or {}):
        allowed = ", ".join(f"'{field}'" for field in _MUTABLE[:-1])
        detail = f"updates to statefulset spec for fields other than {allowed} and '{_MUTABLE[-1]}' are forbidden"
        found.append(forbidden("spec", detail))
    return found


def _pods(spec: JSON) -> list[Cause]:
    """Selector and template; in the pods each claim is a volume of its name, in place of one of the template's."""
    selector: JSON | None = spec.get("selector")
    template: JSON = spec.get("template") or {}
    found: list[Cause] = []
    if selector is None:
        found.append(required("spec.selector"))
    else:
        found += validate_label_selector(selector, "spec.selector")
        if not selector.get("matchLabels") and not selector.get("matchExpressions"):
            found.append(invalid("spec.selector", selector, "empty selector is invalid for statefulset"))
    found += matches_template(selector, template)
    pods: JSON = template.get("spec") or {}
    if claimed := claim_names(spec.get("volumeClaimTemplates") or ()):
        own = [volume for volume in pods.get("volumes") or () if volume.get("name") not in claimed]
        pods = {**pods, "volumes": [*own, *({"name": name, "emptyDir": {}} for name in claimed)]}
    return found + validate_template({**template, "spec": pods}, PATH) + runs_always(template, "StatefulSet")


def _strategy(strategy: JSON) -> list[Cause]:
    path = "spec.updateStrategy"
    kind, rolling = strategy.get("type"), strategy.get("rollingUpdate")
    if kind == "OnDelete":
        detail = "only allowed for updateStrategy 'RollingUpdate'"
        return [] if rolling is None else [invalid(f"{path}.rollingUpdate", rolling, detail)]
    if kind != "RollingUpdate":
        return [invalid(path, strategy, "must be 'RollingUpdate' or 'OnDelete'")]
    if rolling is None:
        return []
    found = non_negative(f"{path}.rollingUpdate.partition", rolling.get("partition"))
    if (share := rolling.get("maxUnavailable")) is not None:
        at_ = f"{path}.rollingUpdate.maxUnavailable"
        found += int_or_percent(at_, share)
        if is_zero(share):
            found.append(invalid(at_, share, "cannot be 0"))
        found += at_most_all(at_, share)
    return found


def _fixed(spec: JSON) -> JSON:
    return {field: value for field, value in spec.items() if field not in _MUTABLE}


def validate_status(obj: JSON, old: JSON | None) -> Iterable[Cause]:
    status: JSON = obj.get("status") or {}
    fields = ("readyReplicas", "currentReplicas", "updatedReplicas", "availableReplicas")
    yield from validate_counts(status, fields, ready="status.readyReplicas")
    yield from validate_collisions(status, old)


def _ready(obj: JSON) -> str:
    return f"{at(obj, 'status', 'readyReplicas', default=0)}/{at(obj, 'spec', 'replicas', default=0)}"


STATEFUL_SET = Kind(
    resource=kinds.STATEFUL_SETS,
    singular="statefulset",
    short_names=("sts",),
    categories=("all",),
    columns=(
        name_column(),
        Column("Ready", "string", "Number of ready pods, of the desired ones.", _ready),
        age_column(),
        *container_columns("spec", "template"),
    ),
    subresources=(
        Subresource("scale", ("get", "patch", "update"), kind="Scale", group="autoscaling", version="v1"),
        Subresource("status", ("get", "patch", "update")),
    ),
    default=default,
    validate=validate,
    validate_status=validate_status,
    inert=True,
    has_generation=True,
    status_metadata=("labels", "annotations", "finalizers", "ownerReferences"),
    scale=ScalePaths(),
    name_rule="dns-label",
)
