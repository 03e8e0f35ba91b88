"""Pod: defaults, validation, grace and selectable fields.

Pure. Rules and texts are those of pkg/apis/core and pkg/registry/core/pod.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from controlplane.apiserver.kinds.base import Kind, Subresource
from controlplane.apiserver.kinds.causes import forbidden
from controlplane.apiserver.kinds.cells import at
from controlplane.apiserver.kinds.pod_cells import COLUMNS
from controlplane.apiserver.kinds.podspec.defaults import default_pod_only, default_pod_spec
from controlplane.apiserver.kinds.podspec.ephemeral import validate_ephemeral_update
from controlplane.apiserver.kinds.podspec.resize import validate_pod_resize
from controlplane.apiserver.kinds.podspec.update import validate_pod_update
from controlplane.apiserver.kinds.podspec.validate import validate_pod_spec
from shared.api import kinds, quantity
from shared.api.errors import Cause
from shared.api.meta import JSON


def default(pod: JSON) -> None:
    """The spec's defaults; a pod without a status (a new one) is Pending, with its QoS class."""
    spec = pod.setdefault("spec", {})
    default_pod_spec(spec)
    default_pod_only(spec)
    if not pod.get("status"):
        pod["status"] = {"phase": "Pending", "qosClass": qos_class(spec)}


def qos_class(spec: JSON) -> str:
    """Guaranteed, Burstable or BestEffort, as pkg/apis/core/helper/qos computes it."""
    asked = False
    guaranteed = True
    whole: JSON = spec.get("resources") or {}
    if whole.get("requests") or whole.get("limits"):
        every = [whole]  # pod-level resources stand for the containers' (KEP-2837)
    else:
        containers = (*(spec.get("initContainers") or ()), *(spec.get("containers") or ()))
        every = [container.get("resources") or {} for container in containers]
    for resources in every:
        limits: JSON = resources.get("limits") or {}
        requests: JSON = resources.get("requests") or {}
        for name in ("cpu", "memory"):
            limit, request = limits.get(name, 0), requests.get(name, 0)
            asked = asked or bool(quantity.parse(limit)) or bool(quantity.parse(request))
            if not quantity.parse(limit) or quantity.parse(limit) != quantity.parse(request):
                guaranteed = False
    if not asked:
        return "BestEffort"
    return "Guaranteed" if guaranteed else "Burstable"


def validate(pod: JSON, old: JSON | None) -> Iterable[Cause]:
    """The spec; on update what may not change."""
    spec: JSON = pod.get("spec") or {}
    if old is not None:
        return [*validate_pod_spec(spec, "spec"), *validate_pod_update(spec, old.get("spec") or {})]
    found = validate_pod_spec(spec, "spec")
    if spec.get("ephemeralContainers"):
        found.append(forbidden("spec.ephemeralContainers", "cannot be set on create"))
    if not spec.get("serviceAccountName"):
        found += _tokens_without_account(spec)
    if spec.get("nodeName") and spec.get("schedulingGates"):
        found.append(forbidden("spec.nodeName", "cannot be set until all schedulingGates have been cleared"))
    return found


def _tokens_without_account(spec: JSON) -> Iterable[Cause]:
    for index, volume in enumerate(spec.get("volumes") or ()):
        for position, source in enumerate((volume.get("projected") or {}).get("sources") or ()):
            if source.get("serviceAccountToken") is not None:
                path = f"spec.volumes[{index}].projected.sources[{position}].serviceAccountToken"
                yield forbidden(path, "must not be specified when serviceAccountName is not set")


def validate_status(pod: JSON, old: JSON | None) -> Iterable[Cause]:
    """A pod that is bound stays bound, and a container that ended for good does not run again."""
    node, was = at(pod, "spec", "nodeName", default=""), at(old, "spec", "nodeName", default="")
    if old is not None and node != was:
        return [forbidden("spec.nodeName", "may not be changed directly")]
    return []


def validate_ephemeral(pod: JSON, old: JSON | None) -> Iterable[Cause]:
    """A change of the ephemeral containers: additions."""
    spec: JSON = pod.get("spec") or {}
    return [*validate_pod_spec(spec, "spec"), *validate_ephemeral_update(pod, old or pod)]


def validate_resize(pod: JSON, old: JSON | None) -> Iterable[Cause]:
    """A change of resources in place."""
    spec: JSON = pod.get("spec") or {}
    before = old or pod
    return [*validate_pod_spec(spec, "spec"), *validate_pod_resize(pod, before, qos_class(spec))]


def selectable(pod: JSON) -> Mapping[str, str]:
    """Field labels of pkg/registry/core/pod (ToSelectableFields)."""
    spec: JSON = pod.get("spec") or {}
    status: JSON = pod.get("status") or {}
    return {
        "spec.nodeName": spec.get("nodeName") or "",
        "spec.restartPolicy": spec.get("restartPolicy") or "",
        "spec.schedulerName": spec.get("schedulerName") or "",
        "spec.serviceAccountName": spec.get("serviceAccountName") or "",
        "spec.hostNetwork": ("true" if spec.get("hostNetwork") else "false") if pod else "",
        "status.phase": status.get("phase") or "",
        "status.podIP": status.get("podIP") or "",
        "status.nominatedNodeName": status.get("nominatedNodeName") or "",
    }


def grace_seconds(pod: JSON) -> int:
    """Seconds that a pod has to end when a delete names none; 0 when it is not on a node, or has ended.

    Kubernetes applies that 0 whatever the request says (CheckGracefulDelete in pkg/registry/core/pod).
    """
    if not at(pod, "spec", "nodeName") or at(pod, "status", "phase") in ("Succeeded", "Failed"):
        return 0
    grace = at(pod, "spec", "terminationGracePeriodSeconds", default=30)
    return 1 if grace < 0 else int(grace)


POD = Kind(
    resource=kinds.PODS,
    singular="pod",
    short_names=("po",),
    categories=("all",),
    columns=COLUMNS,
    subresources=(
        Subresource("attach", ("create", "get"), kind="PodAttachOptions"),
        Subresource("binding", ("create",), kind="Binding"),
        Subresource("ephemeralcontainers", ("get", "patch", "update"), validate=validate_ephemeral),
        Subresource("eviction", ("create",), kind="Eviction", group="policy", version="v1"),
        Subresource("exec", ("create", "get"), kind="PodExecOptions"),
        Subresource("log", ("get",)),
        Subresource("portforward", ("create", "get"), kind="PodPortForwardOptions"),
        Subresource("proxy", ("create", "delete", "get", "patch", "update"), kind="PodProxyOptions"),
        Subresource("resize", ("get", "patch", "update"), validate=validate_resize),
        Subresource("status", ("get", "patch", "update")),
    ),
    default=default,
    validate=validate,
    validate_status=validate_status,
    has_generation=True,
    status_metadata=("labels", "annotations", "finalizers"),
    selectable_fields=selectable,
    default_grace_seconds=grace_seconds,
)
