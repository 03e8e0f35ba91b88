"""A change of a pod's resources in place: what of a request for it is taken over, and what is wrong with it (KEP-1287).

Pure. Rules and texts are those of dropNonResizeUpdates in pkg/registry/core/pod and ValidatePodResize in
pkg/apis/core/validation.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from controlplane.apiserver.kinds.causes import duplicate, forbidden, invalid, not_supported, required
from shared.api import quantity
from shared.api.errors import Cause
from shared.api.meta import JSON
from shared.api.resizing import NOT_REQUIRED, RESTART_CONTAINER
from shared.api.static_pods import MIRROR

_RESIZABLE = ("cpu", "memory")
_POLICIES = (NOT_REQUIRED, RESTART_CONTAINER)
_LISTS = ("containers", "initContainers")


def resized(old: JSON, given: JSON) -> JSON:
    """The spec ``old`` with the resources of ``given``, of the containers that it has; nothing else is taken over."""
    spec = {**old}
    for field in _LISTS:
        if field in old:
            by_name = {container.get("name"): container for container in given.get(field) or ()}
            spec[field] = [_resized(container, by_name.get(container.get("name"))) for container in old[field]]
    return _with(spec, given, "resources")


def _resized(container: JSON, given: JSON | None) -> JSON:
    if given is None:
        return container
    return _with(_with({**container}, given, "resources"), given, "resizePolicy")


def _with(tree: JSON, given: JSON, field: str) -> JSON:
    tree.pop(field, None)
    if given.get(field) is not None:
        tree[field] = given[field]
    return tree


def validate_pod_resize(pod: JSON, old: JSON, qos_class: str) -> list[Cause]:
    """What may not be so changed; the spec by itself is taken to be valid. ``qos_class`` is that of the new one."""
    if MIRROR in (old["metadata"].get("annotations") or {}):
        return [forbidden("", "static pods cannot be resized")]
    spec, before = pod.get("spec") or {}, old.get("spec") or {}
    found: list[Cause] = []
    status = old.get("status") or {}
    if status.get("qosClass", qos_class) != qos_class:
        detail = "Pod QOS Class may not change as a result of resizing"
        found.append(invalid("spec", (pod.get("status") or {}).get("qosClass"), detail))
    if not _node_resizes(status):
        found.append(forbidden("spec", "Pod running on node without support for resize"))
    found += _pod_level(spec.get("resources"), before.get("resources"))
    for field in reversed(_LISTS):
        for index, (new, was) in enumerate(zip(spec.get(field) or (), before.get(field) or (), strict=True)):
            found += _removed(
                new.get("resources"), was.get("resources"), f"spec.{field}[{index}].resources", "resource"
            )
    for field in _LISTS:
        for index, (new, was) in enumerate(zip(spec.get(field) or (), before.get(field) or (), strict=True)):
            found += _container(new, was, field, index)
    return found


def validate_resize_policy(policies: Any, at: str, restart_policy: str) -> list[Cause]:
    """Of a container in a pod of this restartPolicy."""
    found: list[Cause] = []
    named: set[str] = set()
    for index, policy in enumerate(policies or ()):
        name, action = policy.get("resourceName") or "", policy.get("restartPolicy") or ""
        if name in named:
            found.append(duplicate(f"{at}[{index}]", name))
        named.add(name)
        for value, valid in ((name, _RESIZABLE), (action, _POLICIES)):
            if not value:
                found.append(required(at))
            elif value not in valid:
                found.append(not_supported(at, value, valid))
        if restart_policy == "Never" and action != NOT_REQUIRED:
            found.append(invalid(at, action, "must be 'NotRequired' when `restartPolicy` is 'Never'"))
    return found


def _node_resizes(status: JSON) -> bool:
    """A node that resizes tells what its running containers have."""
    for told in status.get("containerStatuses") or ():
        if (told.get("state") or {}).get("running") is not None:
            return told.get("resources") is not None
    return True


def _container(new: JSON, was: JSON, field: str, index: int) -> Iterator[Cause]:
    changed = _fixed(new.get("resources")) != _fixed(was.get("resources"))
    changed = changed or (new.get("resizePolicy") or []) != (was.get("resizePolicy") or [])
    if field == "containers":
        if changed:
            yield forbidden("spec", "only cpu and memory resources are mutable")
        return
    at = f"spec.initContainers[{index}]"
    if changed:
        yield forbidden(at, "only cpu and memory resources for init or sidecar containers are mutable")
    restarts = any(policy.get("restartPolicy") == RESTART_CONTAINER for policy in new.get("resizePolicy") or ())
    if restarts and new.get("restartPolicy") != "Always" and new.get("resources") != was.get("resources"):
        yield forbidden(at, "non-sidecar init containers with a resize policy of RestartContainer cannot be resized")


def _pod_level(new: JSON | None, was: JSON | None) -> list[Cause]:
    if was and new is None:
        return [forbidden("spec.resources", "pod-level resources cannot be removed")]
    found = _removed(new, was, "spec.resources", "pod-level resource")
    if _fixed(new) != _fixed(was):
        found.append(forbidden("spec", "only cpu and memory resources are mutable at pod-level"))
    return found


def _removed(new: JSON | None, was: JSON | None, at: str, what: str) -> list[Cause]:
    return [
        forbidden(f"{at}.{which}", f"{what} {which} cannot be removed")
        for which in ("requests", "limits")
        if any(name not in ((new or {}).get(which) or {}) for name in (was or {}).get(which) or ())
    ]


def _fixed(resources: JSON | None) -> JSON:
    """What of resources may not change, in one form."""
    found: JSON = {}
    for name, value in (resources or {}).items():
        if name in ("requests", "limits"):
            value = {key: quantity.parse(amount) for key, amount in (value or {}).items() if key not in _RESIZABLE}
        if value:
            found[name] = value
    return found
