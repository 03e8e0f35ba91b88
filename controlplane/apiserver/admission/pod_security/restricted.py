"""The checks of the level restricted, which come on top of those of baseline: hardened pods only.

Pure. After k8s.io/pod-security-admission/policy/check_*.go.
"""

from __future__ import annotations

from controlplane.apiserver.admission.pod_security import baseline
from controlplane.apiserver.admission.pod_security.found import (
    Check,
    Violation,
    containers,
    context,
    in_user_namespace,
    named,
    on_windows,
    plural,
    quoted,
    setters,
    those,
)
from shared.api.meta import JSON

_VOLUMES = frozenset(
    ("configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret")
)  # fmt: skip
_OTHER_VOLUMES = (
    "hostPath", "gcePersistentDisk", "awsElasticBlockStore", "gitRepo", "nfs", "iscsi", "glusterfs", "rbd",
    "flexVolume", "cinder", "cephfs", "flocker", "fc", "azureFile", "vsphereVolume", "quobyte", "azureDisk",
    "photonPersistentDisk", "portworxVolume", "scaleIO", "storageos",
)  # fmt: skip


def not_on_windows(check: Check) -> Check:
    """The check for pods that do not say that they are for Windows, where it means nothing."""
    return lambda meta, spec: None if on_windows(spec) else check(meta, spec)


def not_in_user_namespaces(check: Check) -> Check:
    """The check for pods whose root is the host's."""
    return lambda meta, spec: None if in_user_namespace(spec) else check(meta, spec)


def allow_privilege_escalation(meta: JSON, spec: JSON) -> Violation | None:
    names = named(spec, lambda container: context(container).get("allowPrivilegeEscalation") is not False)
    if not names:
        return None
    detail = f"{those(names)} must set securityContext.allowPrivilegeEscalation=false"
    return Violation("allowPrivilegeEscalation != false", detail)


def capabilities(meta: JSON, spec: JSON) -> Violation | None:
    def of(container: JSON, which: str) -> set[str]:
        return set((context(container).get("capabilities") or {}).get(which) or ())

    keeping = named(spec, lambda container: "ALL" not in of(container, "drop"))
    adding = named(spec, lambda container: of(container, "add") - {"NET_BIND_SERVICE"})
    said: list[str] = []
    if keeping:
        said.append(f'{those(keeping)} must set securityContext.capabilities.drop=["ALL"]')
    if adding:
        added = set().union(*(of(container, "add") for container in containers(spec))) - {"NET_BIND_SERVICE"}
        said.append(f"{those(adding)} must not include {quoted(sorted(added))} in securityContext.capabilities.add")
    return Violation("unrestricted capabilities", "; ".join(said)) if said else None


def volumes(meta: JSON, spec: JSON) -> Violation | None:
    bad = [volume for volume in spec.get("volumes") or () if not any(volume.get(kind) is not None for kind in _VOLUMES)]
    if not bad:
        return None
    kinds = {
        next((kind for kind in _OTHER_VOLUMES if volume.get(kind) is not None), "unknown") for volume in bad
    }  # fmt: skip
    names = [volume.get("name") or "" for volume in bad]
    uses, what = plural("uses", len(names), "use"), plural("restricted volume type", len(kinds))
    detail = f"{plural('volume', len(names))} {quoted(names)} {uses} {what} {quoted(sorted(kinds))}"
    return Violation("restricted volume types", detail)


def run_as_non_root(meta: JSON, spec: JSON) -> Violation | None:
    def said(holder: JSON) -> object:
        return context(holder).get("runAsNonRoot")

    wrong = setters(said(spec) is False, named(spec, lambda container: said(container) is False))
    if wrong:
        return Violation("runAsNonRoot != true", f"{wrong} must not set securityContext.runAsNonRoot=false")
    silent = [] if said(spec) else named(spec, lambda container: said(container) is None)
    if silent:
        return Violation("runAsNonRoot != true", f"pod or {those(silent)} must set securityContext.runAsNonRoot=true")
    return None


def run_as_user(meta: JSON, spec: JSON) -> Violation | None:
    def root(holder: JSON) -> bool:
        user = context(holder).get("runAsUser")
        return user is not None and user == 0

    who = setters(root(spec), named(spec, root))
    return Violation("runAsUser=0", f"{who} must not set runAsUser=0") if who else None


def seccomp_profile(meta: JSON, spec: JSON) -> Violation | None:
    if (wrong := baseline.seccomp_profile(meta, spec)) is not None:
        return wrong
    if context(spec).get("seccompProfile") is not None:
        return None
    silent = named(spec, lambda container: context(container).get("seccompProfile") is None)
    if not silent:
        return None
    detail = f'pod or {those(silent)} must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost"'
    return Violation("seccompProfile", detail)
