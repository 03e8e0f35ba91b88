"""Which fields of a pod's spec the agents act on; what is set beyond them is stored, and said in a warning.

Pure. The one table to widen when an agent learns a field: nothing is ever dropped, and nothing ignored in silence.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any

from shared.api.meta import JSON

_CONTAINER = (
    "name", "image", "command", "args", "workingDir", "ports", "env", "envFrom", "resources.limits",
    "resources.requests", "volumeMounts.name", "volumeMounts.mountPath", "volumeMounts.readOnly",
    "volumeMounts.subPath", "volumeMounts.subPathExpr", "volumeMounts.mountPropagation",
    "volumeMounts.recursiveReadOnly", "imagePullPolicy", "terminationMessagePath", "terminationMessagePolicy", "stdin",
    "stdinOnce", "tty", "securityContext.runAsUser", "securityContext.runAsGroup", "securityContext.runAsNonRoot",
    "securityContext.privileged", "securityContext.readOnlyRootFilesystem",
    "securityContext.allowPrivilegeEscalation", "securityContext.capabilities", "securityContext.procMount",
    "securityContext.seccompProfile", "securityContext.appArmorProfile",
)  # fmt: skip
_PROBE = tuple(
    f"{probe}.{field}"
    for probe in ("livenessProbe", "readinessProbe", "startupProbe")
    for field in (
        "exec", "httpGet", "tcpSocket", "initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold",
        "failureThreshold", "terminationGracePeriodSeconds",
    )
)  # fmt: skip

POD_FIELDS_ACTED_ON: frozenset[str] = frozenset(
    (
        *(f"containers.{field}" for field in (*_CONTAINER, *_PROBE)),
        *(f"initContainers.{field}" for field in _CONTAINER),
        *(f"ephemeralContainers.{field}" for field in (*_CONTAINER, "targetContainerName")),
        "volumes.name", "volumes.emptyDir", "volumes.hostPath", "volumes.configMap", "volumes.secret",
        "volumes.downwardAPI", "volumes.nfs", "securityContext.fsGroupChangePolicy",
        "volumes.projected.sources.secret", "volumes.projected.sources.configMap",
        "volumes.projected.sources.downwardAPI", "volumes.projected.sources.serviceAccountToken",
        "volumes.projected.defaultMode", "securityContext.fsGroup", "securityContext.runAsUser",
        "securityContext.runAsGroup", "securityContext.runAsNonRoot", "securityContext.supplementalGroups",
        "securityContext.supplementalGroupsPolicy", "securityContext.sysctls", "securityContext.seccompProfile",
        "securityContext.appArmorProfile", "hostPID", "hostIPC", "hostUsers", "shareProcessNamespace", "hostAliases",
        "subdomain", "setHostnameAsFQDN", "dnsConfig",
        "restartPolicy", "activeDeadlineSeconds", "imagePullSecrets.name", "terminationGracePeriodSeconds", "nodeName",
        "nodeSelector", "hostNetwork", "hostname",
        "affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution", "tolerations", "schedulerName",
    )
)  # fmt: skip
"""Dotted paths below a pod's spec, list indexes left out; a path covers everything below it."""

_HARMLESS: dict[str, tuple[Any, ...]] = {
    "dnsPolicy": ("ClusterFirst", "Default", "None"), "enableServiceLinks": (True, False), "priority": (0,),
    "preemptionPolicy": ("PreemptLowerPriority",), "securityContext": ({},), "serviceAccountName": ("default",),
    "serviceAccount": ("default",), "hostIPC": (False,), "hostPID": (False,), "automountServiceAccountToken": (False,),
    "shareProcessNamespace": (False,), "os": ({"name": "linux"},), "affinity": ({},), "hostUsers": (True,),
}  # fmt: skip
"""Values that ask for nothing more than what happens anyway: Kubernetes' defaults."""


def unsupported(spec: JSON, path: str) -> list[str]:
    """A warning for each field set that no agent acts on, under ``path``, in the order of the spec."""
    return [f"{field}: not acted on by Longboat yet" for field in _walk(spec, path, "")]


def _walk(tree: JSON, path: str, below: str) -> Iterator[str]:
    for key, value in tree.items():
        dotted = f"{below}.{key}" if below else key
        if dotted in POD_FIELDS_ACTED_ON or _empty(value) or value in _HARMLESS.get(dotted, ()):
            continue
        if dotted not in _ancestors():
            yield f"{path}.{key}"
        elif isinstance(value, list):
            for index, item in enumerate(value):
                if isinstance(item, dict):
                    yield from _walk(item, f"{path}.{key}[{index}]", dotted)
        elif isinstance(value, dict):
            yield from _walk(value, f"{path}.{key}", dotted)


@cache
def _ancestors() -> frozenset[str]:
    def above(path: str) -> Iterable[str]:
        parts = path.split(".")
        return (".".join(parts[:count]) for count in range(1, len(parts)))

    return frozenset(ancestor for path in POD_FIELDS_ACTED_ON for ancestor in above(path))


def _empty(value: Any) -> bool:
    return value is None or value == "" or value == [] or value == {} or value is False
