"""What is wrong with the containers of a pod's spec: names, images, ports, mounts, resources.

Pure. Rules and texts are those of pkg/apis/core/validation/validation.go.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from controlplane.apiserver.kinds.causes import (
    all_invalid,
    duplicate,
    forbidden,
    invalid,
    not_found,
    not_supported,
    required,
)
from controlplane.apiserver.kinds.podspec.environment import validate_environment
from controlplane.apiserver.kinds.podspec.ephemeral import validate_ephemeral_containers
from controlplane.apiserver.kinds.podspec.handlers import validate_lifecycle, validate_probes
from controlplane.apiserver.kinds.podspec.resize import validate_resize_policy
from controlplane.apiserver.kinds.podspec.resources import validate_resources
from shared.api import names
from shared.api.errors import Cause
from shared.api.meta import JSON

PULL_POLICIES = ("Always", "IfNotPresent", "Never")
PROTOCOLS = ("SCTP", "TCP", "UDP")
_MESSAGE_POLICIES = ("FallbackToLogsOnError", "File")
_PROPAGATIONS = ("Bidirectional", "HostToContainer", "None")


def validate_containers(spec: JSON, volumes: Collection[str], path: str) -> list[Cause]:
    """All lists of containers of one spec; ``volumes`` are the names that a mount may use."""
    found: list[Cause] = []
    listed: Sequence[JSON] = spec.get("containers") or ()
    if not listed:
        found.append(required(f"{path}.containers"))
    host_network = bool(spec.get("hostNetwork"))
    grace = spec.get("terminationGracePeriodSeconds")
    restart_policy = spec.get("restartPolicy") or ""
    taken: set[str] = set()
    for index, container in enumerate(listed):
        at = f"{path}.containers[{index}]"
        found += _container(container, volumes, host_network, at, taken)
        found += validate_probes(container, at)
        found += validate_lifecycle(container.get("lifecycle"), grace, f"{at}.lifecycle")
        if container.get("restartPolicy") and not container.get("restartPolicyRules"):
            found += _restart_policy(container["restartPolicy"], f"{at}.restartPolicy")
        found += validate_resize_policy(container.get("resizePolicy"), f"{at}.resizePolicy", restart_policy)
    found += _host_port_conflicts(listed, f"{path}.containers")
    for index, container in enumerate(spec.get("initContainers") or ()):
        at = f"{path}.initContainers[{index}]"
        found += _container(container, volumes, host_network, at, taken)
        found += _init_container(container, grace, at)
        found += validate_resize_policy(container.get("resizePolicy"), f"{at}.resizePolicy", restart_policy)
        found += _host_port_conflicts([container], f"{path}.initContainers", index)

    def as_any(container: JSON, at: str) -> list[Cause]:
        return _container(container, volumes, host_network, at, taken)

    return found + validate_ephemeral_containers(spec, path, as_any)


def own_name(item: JSON, at: str, taken: set[str]) -> list[Cause]:
    """The name of a container or a volume: a DNS label that none before it, in ``taken``, has."""
    name = item.get("name") or ""
    before = name in taken
    taken.add(name)
    if not name:
        return [required(f"{at}.name")]
    if wrong := names.dns_label(name):
        return all_invalid(f"{at}.name", name, wrong)
    return [duplicate(f"{at}.name", name)] if before else []


def _container(container: JSON, volumes: Collection[str], host_network: bool, at: str, taken: set[str]) -> list[Cause]:
    found: list[Cause] = []
    found += own_name(container, at, taken)
    image = container.get("image") or ""
    if not image:
        found.append(required(f"{at}.image"))
    elif image != image.strip():
        found.append(invalid(f"{at}.image", image, "must not have leading or trailing whitespace"))
    policy = container.get("imagePullPolicy") or ""
    if not policy:
        found.append(required(f"{at}.imagePullPolicy"))
    elif policy not in PULL_POLICIES:
        found.append(not_supported(f"{at}.imagePullPolicy", policy, PULL_POLICIES))
    message = container.get("terminationMessagePolicy") or ""
    if message not in _MESSAGE_POLICIES:
        found.append(
            not_supported(f"{at}.terminationMessagePolicy", message, _MESSAGE_POLICIES)
            if message else required(f"{at}.terminationMessagePolicy")
        )  # fmt: skip
    found += _ports(container.get("ports") or (), host_network, f"{at}.ports")
    found += validate_environment(container, at)
    found += _mounts(container, volumes, at)
    found += validate_resources(container.get("resources") or {}, f"{at}.resources")
    found += _security_context(container.get("securityContext") or {}, f"{at}.securityContext")
    return found


def _init_container(container: JSON, grace: Any, at: str) -> list[Cause]:
    policy = container.get("restartPolicy")
    if policy == "Always":
        return validate_probes(container, at) + validate_lifecycle(container.get("lifecycle"), grace, f"{at}.lifecycle")
    found: list[Cause] = []
    if policy and not container.get("restartPolicyRules"):
        found += _restart_policy(policy, f"{at}.restartPolicy")
    for field in ("lifecycle", "livenessProbe", "readinessProbe", "startupProbe"):
        if container.get(field) is not None:
            detail = "may not be set for init containers without restartPolicy=Always"
            found.append(forbidden(f"{at}.{field}", detail))
    return found


def _restart_policy(policy: str, at: str) -> list[Cause]:
    valid = ("Always", "Never", "OnFailure")
    return [] if policy in valid else [not_supported(at, policy, valid)]


def _ports(ports: Sequence[JSON], host_network: bool, path: str) -> list[Cause]:
    found: list[Cause] = []
    named: set[str] = set()
    for index, port in enumerate(ports):
        at = f"{path}[{index}]"
        if name := port.get("name"):
            if wrong := names.port_name(name):
                found += all_invalid(f"{at}.name", name, wrong)
            elif name in named:
                found.append(duplicate(f"{at}.name", name))
            named.add(name)
        number, host = port.get("containerPort") or 0, port.get("hostPort") or 0
        if not number:
            found.append(required(f"{at}.containerPort"))
        else:
            found += all_invalid(f"{at}.containerPort", number, names.port_number(number))
        if host:
            found += all_invalid(f"{at}.hostPort", host, names.port_number(host))
        if host_network and host != number:
            found.append(invalid(f"{at}.hostPort", host, "must match `containerPort` when `hostNetwork` is true"))
        protocol = port.get("protocol") or ""
        if not protocol:
            found.append(required(f"{at}.protocol"))
        elif protocol not in PROTOCOLS:
            found.append(not_supported(f"{at}.protocol", protocol, PROTOCOLS))
        if address := port.get("hostIP"):
            found += all_invalid(f"{at}.hostIP", address, names.ip(address))
    return found


def _host_port_conflicts(containers: Sequence[JSON], path: str, first: int = 0) -> list[Cause]:
    found: list[Cause] = []
    taken: set[str] = set()
    for index, container in enumerate(containers, first):
        for position, port in enumerate(container.get("ports") or ()):
            if not (host := port.get("hostPort")):
                continue
            key = f"{port.get('protocol')}/{port.get('hostIP') or ''}/{host}"
            if key in taken:
                found.append(duplicate(f"{path}[{index}].ports[{position}].hostPort", key))
            taken.add(key)
    return found


def _mounts(container: JSON, volumes: Collection[str], at: str) -> list[Cause]:
    found: list[Cause] = []
    devices = {device.get("devicePath") for device in container.get("volumeDevices") or ()}
    seen: set[str] = set()
    for index, mount in enumerate(container.get("volumeMounts") or ()):
        here = f"{at}.volumeMounts[{index}]"
        name, mount_path = mount.get("name") or "", mount.get("mountPath") or ""
        if not name:
            found.append(required(f"{here}.name"))
        elif name not in volumes:
            found.append(not_found(f"{here}.name", name))
        if not mount_path:
            found.append(required(f"{here}.mountPath"))
        elif mount_path in seen:
            found.append(invalid(f"{here}.mountPath", mount_path, "must be unique"))
        elif mount_path in devices:
            found.append(invalid(f"{here}.mountPath", mount_path, "must not already exist as a path in volumeDevices"))
        seen.add(mount_path)
        for field in ("subPath", "subPathExpr"):
            if value := mount.get(field):
                found += relative_path(value, f"{here}.{field}")
        if mount.get("subPath") and mount.get("subPathExpr"):
            found.append(
                invalid(f"{here}.subPathExpr", mount["subPathExpr"], "subPathExpr and subPath are mutually exclusive")
            )
        propagation = mount.get("mountPropagation")
        if propagation and propagation not in _PROPAGATIONS:
            found.append(not_supported(f"{here}.mountPropagation", propagation, _PROPAGATIONS))
        privileged = (container.get("securityContext") or {}).get("privileged")
        if propagation == "Bidirectional" and not privileged:
            detail = "Bidirectional mount propagation is available only to privileged containers"
            found.append(forbidden(f"{here}.mountPropagation", detail))
    return found


def relative_path(path: str, at: str) -> list[Cause]:
    """A path inside a volume: relative, and never upwards."""
    if path.startswith("/"):
        return [invalid(at, path, "must be a relative path")]
    return no_backsteps(path, at)


def no_backsteps(path: str, at: str) -> list[Cause]:
    """A path without ``..`` elements."""
    return [invalid(at, path, "must not contain '..'")] if ".." in path.split("/") else []


def _security_context(context: JSON, at: str) -> list[Cause]:
    found: list[Cause] = []
    found += validate_ids(context, at)
    privileged: Any = context.get("privileged")
    if context.get("allowPrivilegeEscalation") is False:
        if privileged:
            detail = "cannot set `allowPrivilegeEscalation` to false and `privileged` to true"
            found.append(invalid(at, context, detail))
        elif "SYS_ADMIN" in ((context.get("capabilities") or {}).get("add") or ()):
            detail = "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN"
            found.append(invalid(at, context, detail))
    return found


def validate_ids(context: JSON, at: str) -> list[Cause]:
    """Users and groups of a security context: 0 to 2147483647."""
    return [
        invalid(f"{at}.{field}", value, "must be between 0 and 2147483647, inclusive")
        for field in ("runAsUser", "runAsGroup", "fsGroup")
        if (value := context.get(field)) is not None and not 0 <= value <= 2147483647
    ]
