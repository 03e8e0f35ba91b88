"""What is wrong with a pod's spec as a whole.

Pure. Rules and texts are those of ValidatePodSpec in pkg/apis/core/validation.
"""

from __future__ import annotations

from controlplane.apiserver.kinds.causes import all_invalid, invalid, not_supported, required
from controlplane.apiserver.kinds.podspec.containers import validate_containers, validate_ids
from controlplane.apiserver.kinds.podspec.scheduling import validate_scheduling
from controlplane.apiserver.kinds.podspec.volumes import validate_volumes
from shared.api import names
from shared.api.errors import Cause
from shared.api.meta import JSON

_RESTART_POLICIES = ("Always", "OnFailure", "Never")
_DNS_POLICIES = ("ClusterFirstWithHostNet", "ClusterFirst", "Default", "None")
_PREEMPTION = ("PreemptLowerPriority", "Never")


def validate_pod_spec(spec: JSON, path: str) -> list[Cause]:
    """All causes, each with a field under ``path``."""
    found = validate_volumes(spec, path)
    volumes = {volume.get("name") for volume in spec.get("volumes") or ()}
    found += validate_containers(spec, {name for name in volumes if name}, path)
    found += _choice(spec, "restartPolicy", _RESTART_POLICIES, path)
    found += _choice(spec, "dnsPolicy", _DNS_POLICIES, path)
    if spec.get("preemptionPolicy"):
        found += _choice(spec, "preemptionPolicy", _PREEMPTION, path)
    found += validate_scheduling(spec, path)
    found += _names(spec, path)
    found += _host(spec, path)
    found += _dns(spec, path)
    found += validate_ids(spec.get("securityContext") or {}, f"{path}.securityContext")
    deadline = spec.get("activeDeadlineSeconds")
    if deadline is not None and not 1 <= deadline <= 2147483647:
        detail = "must be between 1 and 2147483647, inclusive"
        found.append(invalid(f"{path}.activeDeadlineSeconds", deadline, detail))
    for index, gate in enumerate(spec.get("readinessGates") or ()):
        condition = gate.get("conditionType") or ""
        at = f"{path}.readinessGates[{index}].conditionType"
        found += all_invalid(at, condition, names.qualified_name(condition))
    for index, gate in enumerate(spec.get("schedulingGates") or ()):
        name = gate.get("name") or ""
        found += all_invalid(f"{path}.schedulingGates[{index}]", name, names.qualified_name(name))
    for index, secret in enumerate(spec.get("imagePullSecrets") or ()):
        if not secret.get("name"):
            found.append(invalid(f"{path}.imagePullSecrets[{index}].name", secret, "name must not be empty"))
    return found


def _choice(spec: JSON, field: str, valid: tuple[str, ...], path: str) -> list[Cause]:
    value = spec.get(field) or ""
    if not value:
        return [required(f"{path}.{field}")]
    return [] if value in valid else [not_supported(f"{path}.{field}", value, valid)]


def _names(spec: JSON, path: str) -> list[Cause]:
    found: list[Cause] = []
    for field in ("serviceAccountName", "nodeName", "priorityClassName", "runtimeClassName"):
        if value := spec.get(field):
            found += all_invalid(f"{path}.{field}", value, names.dns_subdomain(value))
    for field in ("hostname", "subdomain"):
        if value := spec.get(field):
            found += all_invalid(f"{path}.{field}", value, names.dns_label(value))
    return found


def _host(spec: JSON, path: str) -> list[Cause]:
    found: list[Cause] = []
    if spec.get("hostPID") and spec.get("shareProcessNamespace"):
        detail = "ShareProcessNamespace and HostPID cannot both be enabled"
        found.append(invalid(f"{path}.shareProcessNamespace", True, detail))
    for index, alias in enumerate(spec.get("hostAliases") or ()):
        at = f"{path}.hostAliases[{index}]"
        address = alias.get("ip") or ""
        found += all_invalid(f"{at}.ip", address, names.ip(address))
        for position, hostname in enumerate(alias.get("hostnames") or ()):
            found += all_invalid(f"{at}.hostnames[{position}]", hostname, names.dns_subdomain(hostname))
    return found


def _dns(spec: JSON, path: str) -> list[Cause]:
    config: JSON | None = spec.get("dnsConfig")
    servers = (config or {}).get("nameservers") or ()
    at = f"{path}.dnsConfig"
    if spec.get("dnsPolicy") == "None":
        if config is None:
            return [required(at, "must provide `dnsConfig` when `dnsPolicy` is None")]
        if not servers:
            return [required(f"{at}.nameservers", "must provide at least one DNS nameserver when `dnsPolicy` is None")]
    if len(servers) > 3:
        return [invalid(f"{at}.nameservers", list(servers), "must not have more than 3 nameservers")]
    found: list[Cause] = []
    for index, server in enumerate(servers):
        found += all_invalid(f"{at}.nameservers[{index}]", server, names.ip(server))
    return found
