"""Defaults of a pod's spec, in place on a tree that nobody else holds.

The rules are those of pkg/apis/core/v1/defaults.go. A zero number counts as not set where Kubernetes' own field is
not a pointer. Quantities are put into their canonical form.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from shared.api import quantity
from shared.api.meta import JSON

_CONTAINER_LISTS = ("initContainers", "containers", "ephemeralContainers")
_FILE_MODE = 0o644


def default_pod_spec(spec: JSON) -> None:
    """What holds for pods and for templates alike."""
    _unless_set(spec, "restartPolicy", "Always")
    _unless_set(spec, "dnsPolicy", "ClusterFirst")
    _unless_set(spec, "schedulerName", "default-scheduler")
    if spec.get("terminationGracePeriodSeconds") is None:
        spec["terminationGracePeriodSeconds"] = 30
    if spec.get("securityContext") is None:
        spec["securityContext"] = {}
    for container in containers(spec):
        _container(container)
    for volume in spec.get("volumes") or ():
        _volume(volume)
    for spread in spec.get("topologySpreadConstraints") or ():
        _unless_set(spread, "nodeAffinityPolicy", "Honor")
        _unless_set(spread, "nodeTaintsPolicy", "Ignore")
    if spec.get("overhead"):
        canonical_list(spec["overhead"])
    if spec.get("resources"):
        _resources(spec["resources"])


def default_pod_only(spec: JSON) -> None:
    """What holds for pods but is left open in a template, so that it may follow the server's own defaults."""
    if spec.get("enableServiceLinks") is None:
        spec["enableServiceLinks"] = True
    host_network = bool(spec.get("hostNetwork"))
    for container in containers(spec):
        if host_network:
            for port in container.get("ports") or ():
                _unless_set(port, "hostPort", port.get("containerPort"))
        resources = container["resources"]
        if limits := resources.get("limits"):
            requests = resources.get("requests") or {}
            resources["requests"] = {**{k: v for k, v in limits.items() if k not in requests}, **requests}


def containers(spec: JSON) -> Iterable[JSON]:
    """Every container of a spec, of all three lists."""
    for key in _CONTAINER_LISTS:
        yield from spec.get(key) or ()


def pull_policy(image: str) -> str:
    """Always for ``latest`` or no tag at all, IfNotPresent for another tag or a digest."""
    name, _, digest = image.partition("@")
    tag = name.rpartition("/")[2].partition(":")[2]
    if not tag and not digest:
        tag = "latest"
    return "Always" if tag == "latest" else "IfNotPresent"


def canonical_list(resources: JSON) -> None:
    """Every amount of a resource list in canonical form, nothing finer than milli."""
    for name, amount in resources.items():
        resources[name] = quantity.canonical_resource(amount)


def _container(container: JSON) -> None:
    if container.get("resources"):
        _resources(container["resources"])
    else:
        container["resources"] = {}
    _unless_set(container, "terminationMessagePath", "/dev/termination-log")
    _unless_set(container, "terminationMessagePolicy", "File")
    _unless_set(container, "imagePullPolicy", pull_policy(container.get("image") or ""))
    for port in container.get("ports") or ():
        _unless_set(port, "protocol", "TCP")
    for variable in container.get("env") or ():
        if source := variable.get("valueFrom"):
            _field_sources(source)
    for name in ("livenessProbe", "readinessProbe", "startupProbe"):
        if (probe := container.get(name)) is not None:
            _probe(probe)
    for hook in (container.get("lifecycle") or {}).values():
        if isinstance(hook, dict):
            _handler(hook)


def _resources(resources: JSON) -> None:
    for name in ("limits", "requests"):
        if resources.get(name):
            canonical_list(resources[name])


def _probe(probe: JSON) -> None:
    _handler(probe)
    _unless_set(probe, "timeoutSeconds", 1)
    _unless_set(probe, "periodSeconds", 10)
    _unless_set(probe, "successThreshold", 1)
    _unless_set(probe, "failureThreshold", 3)


def _handler(handler: JSON) -> None:
    if (http := handler.get("httpGet")) is not None:
        _unless_set(http, "path", "/")
        _unless_set(http, "scheme", "HTTP")
    if (grpc := handler.get("grpc")) is not None:
        grpc.setdefault("service", "")


def _field_sources(source: JSON) -> None:
    if (field := source.get("fieldRef")) is not None:
        _unless_set(field, "apiVersion", "v1")
    if (resource := source.get("resourceFieldRef")) is not None:
        divisor = resource.get("divisor")
        resource["divisor"] = "0" if divisor is None else quantity.canonical(divisor)


def _volume(volume: JSON) -> None:
    if not any(isinstance(value, dict) for value in volume.values()):
        volume["emptyDir"] = {}
    for name in ("secret", "configMap", "downwardAPI", "projected"):
        if (source := volume.get(name)) is not None and source.get("defaultMode") is None:
            source["defaultMode"] = _FILE_MODE
    if (empty := volume.get("emptyDir")) is not None and empty.get("sizeLimit") is not None:
        empty["sizeLimit"] = quantity.canonical(empty["sizeLimit"])
    if (host := volume.get("hostPath")) is not None and host.get("type") is None:
        host["type"] = ""
    if (image := volume.get("image")) is not None:
        _unless_set(image, "pullPolicy", pull_policy(image.get("reference") or ""))
    _items((volume.get("downwardAPI") or {}).get("items"))
    for source in (volume.get("projected") or {}).get("sources") or ():
        _items((source.get("downwardAPI") or {}).get("items"))
        if (token := source.get("serviceAccountToken")) is not None:
            _unless_set(token, "expirationSeconds", 3600)


def _items(items: Any) -> None:
    for item in items or ():
        _field_sources(item)


def _unless_set(tree: JSON, key: str, value: Any) -> None:
    if not tree.get(key):
        tree[key] = value
