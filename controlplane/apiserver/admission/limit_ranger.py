"""Admission by LimitRanges: what containers are given who ask for nothing, and how much pods and claims may ask for.

Pure. After plugin/pkg/admission/limitranger. Defaults go into new pods only: what has one keeps it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import msgspec

from controlplane.apiserver.admission.context import Context
from controlplane.apiserver.admission.refusals import aggregate, forbidden
from controlplane.apiserver.kinds.pod import qos_class
from shared.api import quantity
from shared.api.kinds import LIMIT_RANGES, PERSISTENT_VOLUME_CLAIMS, PODS
from shared.api.meta import JSON
from shared.api.pod import Pod
from shared.api.quantity import Quantity
from shared.quota import pods

ANNOTATION = "kubernetes.io/limit-ranger"
"""On a pod: which of its resources were put in here."""

Amounts = Mapping[str, Quantity]


def give_defaults(context: Context, pod: JSON) -> None:
    """Requests and limits of containers that say none, from the namespace's LimitRanges."""
    for limits in context.objects.list(LIMIT_RANGES, pod["metadata"].get("namespace") or ""):
        request: dict[str, Quantity] = {}
        limit: dict[str, Quantity] = {}
        for item in _items(limits, "Container"):
            request |= item.get("defaultRequest") or {}
            limit |= item.get("default") or {}
        if request or limit:
            _give(pod, request, limit)


def _give(pod: JSON, request: Amounts, limit: Amounts) -> None:
    said: list[str] = []
    for field, words in (("containers", "container"), ("initContainers", "init container")):
        for container in pod["spec"].get(field) or ():
            resources = container["resources"] = container.get("resources") or {}
            for name, defaults, what in (("limits", limit, "limit"), ("requests", request, "request")):
                given = resources.get(name) or {}
                added = {key: amount for key, amount in defaults.items() if key not in given}
                if added:
                    resources[name] = {**given, **added}
                    said.append(f"{', '.join(sorted(added))} {what} for {words} {container.get('name') or ''}")
    if said:
        annotations = pod["metadata"].get("annotations") or {}
        pod["metadata"]["annotations"] = {**annotations, ANNOTATION: f"LimitRanger plugin set: {'; '.join(said)}"}
        if pod.get("status"):
            pod["status"]["qosClass"] = qos_class(pod["spec"])


def check_pod(context: Context, pod: JSON, old: JSON | None) -> None:
    """That a new pod is within every LimitRange. Raises Forbidden."""
    if old is None:
        check_resources(context, pod)


def check_resources(context: Context, pod: JSON) -> None:
    """That a pod's resources, new or changed in place, are within every LimitRange. Raises Forbidden."""
    for limits in context.objects.list(LIMIT_RANGES, pod["metadata"].get("namespace") or ""):
        if wrong := list(_of_pod(limits, pod)):
            raise forbidden(PODS, pod, aggregate(wrong))


def check_claim(context: Context, claim: JSON, old: JSON | None) -> None:
    """That a claim is within every LimitRange. Raises Forbidden."""
    requests: Amounts = ((claim.get("spec") or {}).get("resources") or {}).get("requests") or {}
    for limits in context.objects.list(LIMIT_RANGES, claim["metadata"].get("namespace") or ""):
        wrong: list[str] = []
        for item in _items(limits, "PersistentVolumeClaim"):
            for name, bound in sorted((item.get("min") or {}).items()):
                wrong += _least("PersistentVolumeClaim", name, bound, requests, {})
            for name, bound in sorted((item.get("max") or {}).items()):
                wrong += _most_requested("PersistentVolumeClaim", name, bound, requests)
        if wrong:
            raise forbidden(PERSISTENT_VOLUME_CLAIMS, claim, aggregate(wrong))


def _items(limits: JSON, type_: str) -> Iterator[JSON]:
    for item in (limits.get("spec") or {}).get("limits") or ():
        if item.get("type") == type_:
            yield item


def _of_pod(limits: JSON, pod: JSON) -> Iterator[str]:
    spec = pod["spec"]
    for item in _items(limits, "Container"):
        for container in (*(spec.get("containers") or ()), *(spec.get("initContainers") or ())):
            resources: JSON = container.get("resources") or {}
            yield from _bounds(item, "Container", resources.get("requests") or {}, resources.get("limits") or {})
    whole = list(_items(limits, "Pod"))
    if whole:
        read = msgspec.convert(spec, type(Pod().spec), strict=False)
        for item in whole:
            yield from _bounds(item, "Pod", pods.requests(read), pods.limits(read))


def _bounds(item: JSON, type_: str, requests: Amounts, limits: Amounts) -> Iterator[str]:
    for name, bound in sorted((item.get("min") or {}).items()):
        yield from _least(type_, name, bound, requests, limits)
    for name, bound in sorted((item.get("max") or {}).items()):
        yield from _most(type_, name, bound, requests, limits)
    for name, bound in sorted((item.get("maxLimitRequestRatio") or {}).items()):
        yield from _ratio(type_, name, bound, requests, limits)


def _least(type_: str, name: str, bound: Quantity, requests: Amounts, limits: Amounts) -> Iterable[str]:
    head = f"minimum {name} usage per {type_} is {bound}"
    if name not in requests:
        yield f"{head}.  No request is specified"
    elif quantity.parse(requests[name]) < quantity.parse(bound):
        yield f"{head}, but request is {requests[name]}"
    elif name in limits and quantity.parse(limits[name]) < quantity.parse(bound):
        yield f"{head}, but limit is {limits[name]}"


def _most(type_: str, name: str, bound: Quantity, requests: Amounts, limits: Amounts) -> Iterable[str]:
    head = f"maximum {name} usage per {type_} is {bound}"
    if name not in limits:
        yield f"{head}.  No limit is specified"
    elif quantity.parse(limits[name]) > quantity.parse(bound):
        yield f"{head}, but limit is {limits[name]}"
    elif name in requests and quantity.parse(requests[name]) > quantity.parse(bound):
        yield f"{head}, but request is {requests[name]}"


def _most_requested(type_: str, name: str, bound: Quantity, requests: Amounts) -> Iterable[str]:
    head = f"maximum {name} usage per {type_} is {bound}"
    if name not in requests:
        yield f"{head}.  No request is specified"
    elif quantity.parse(requests[name]) > quantity.parse(bound):
        yield f"{head}, but request is {requests[name]}"


def _ratio(type_: str, name: str, bound: Quantity, requests: Amounts, limits: Amounts) -> Iterable[str]:
    head = f"{name} max limit to request ratio per {type_} is {bound}"
    request, limit = quantity.parse(requests.get(name, 0)), quantity.parse(limits.get(name, 0))
    if not request:
        yield f"{head}, but no request is specified or request is 0"
    elif not limit:
        yield f"{head}, but no limit is specified or limit is 0"
    elif limit > request * quantity.parse(bound):
        yield f"{head}, but provided ratio is {float(limit / request):f}"
