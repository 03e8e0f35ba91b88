"""The checks of the level baseline: no known way to more privileges on the host.

Pure. After k8s.io/pod-security-admission/policy/check_*.go; the names of functions are the checks' ids.
"""

from __future__ import annotations

from controlplane.apiserver.admission.pod_security.found import (
    Check,
    Violation,
    containers,
    context,
    in_user_namespace,
    named,
    plural,
    quoted,
    setters,
    those,
)
from shared.api.meta import JSON

_APPARMOR = "container.apparmor.security.beta.kubernetes.io/"
_SECCOMP, _SECCOMP_OF = "seccomp.security.alpha.kubernetes.io/pod", "container.seccomp.security.alpha.kubernetes.io/"
_PROFILES = ("Localhost", "RuntimeDefault")
_CAPABILITIES = frozenset(
    (
        "AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE", "SETFCAP",
        "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT",
    )
)  # fmt: skip
_SYSCTLS = frozenset(
    (
        "kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.ip_unprivileged_port_start",
        "net.ipv4.ping_group_range", "net.ipv4.tcp_syncookies",
    )
)  # fmt: skip
_SYSCTLS_27 = _SYSCTLS | {"net.ipv4.ip_local_reserved_ports"}
_SYSCTLS_29 = _SYSCTLS_27 | {
    "net.ipv4.tcp_keepalive_time", "net.ipv4.tcp_fin_timeout", "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
}  # fmt: skip
_SYSCTLS_32 = _SYSCTLS_29 | {"net.ipv4.tcp_rmem", "net.ipv4.tcp_wmem"}
_SELINUX = frozenset(("", "container_t", "container_init_t", "container_kvm_t"))


def _annotations(meta: JSON) -> dict[str, str]:
    return meta.get("annotations") or {}


def app_armor_profile(meta: JSON, spec: JSON) -> Violation | None:
    def bad(holder: JSON) -> bool:
        profile = context(holder).get("appArmorProfile")
        return profile is not None and profile.get("type") not in _PROFILES

    names = named(spec, bad)
    values = {context(each)["appArmorProfile"].get("type") or "" for each in (spec, *containers(spec)) if bad(each)}
    annotated = sorted(
        f'{key}="{value}"'
        for key, value in _annotations(meta).items()
        if key.startswith(_APPARMOR) and value not in ("", "runtime/default") and not value.startswith("localhost/")
    )
    who = [
        text for text in (setters(bad(spec), names), plural("annotation", len(annotated)) if annotated else "") if text
    ]
    if not who:
        return None
    shown = [*sorted(values), *annotated]
    detail = f"{' and '.join(who)} must not set AppArmor profile type to {quoted(shown)}"
    return Violation(plural("forbidden AppArmor profile", len(shown)), detail)


def capabilities(meta: JSON, spec: JSON) -> Violation | None:
    def added(container: JSON) -> set[str]:
        return set((context(container).get("capabilities") or {}).get("add") or ()) - _CAPABILITIES

    names = named(spec, added)
    if not names:
        return None
    which = sorted(set().union(*(added(container) for container in containers(spec))))
    return Violation(
        "non-default capabilities",
        f"{those(names)} must not include {quoted(which)} in securityContext.capabilities.add",
    )


def host_namespaces(meta: JSON, spec: JSON) -> Violation | None:
    shared = [f"{field}=true" for field in ("hostNetwork", "hostPID", "hostIPC") if spec.get(field)]
    return Violation("host namespaces", ", ".join(shared)) if shared else None


def host_path_volumes(meta: JSON, spec: JSON) -> Violation | None:
    names = [each.get("name") or "" for each in spec.get("volumes") or () if each.get("hostPath") is not None]
    return Violation("hostPath volumes", f"{plural('volume', len(names))} {quoted(names)}") if names else None


def host_ports(meta: JSON, spec: JSON) -> Violation | None:
    def used(container: JSON) -> list[str]:
        return [str(port["hostPort"]) for port in container.get("ports") or () if port.get("hostPort")]

    names = named(spec, used)
    if not names:
        return None
    ports = sorted({port for container in containers(spec) for port in used(container)})
    uses = plural("uses", len(names), "use")
    return Violation("hostPort", f"{those(names)} {uses} {plural('hostPort', len(ports))} {', '.join(ports)}")


def host_probes(meta: JSON, spec: JSON) -> Violation | None:
    def hosts(container: JSON) -> set[str]:
        handlers = [container.get(name) for name in ("livenessProbe", "readinessProbe", "startupProbe")]
        handlers += [(container.get("lifecycle") or {}).get(name) for name in ("postStart", "preStop")]
        found = ((each or {}).get(how) or {} for each in handlers for how in ("httpGet", "tcpSocket"))
        return {each["host"] for each in found if each.get("host")}

    names = sorted(named(spec, hosts))
    if not names:
        return None
    which = sorted(set().union(*(hosts(container) for container in containers(spec))))
    uses, what = plural("uses", len(names), "use"), plural("probe or lifecycle host", len(which))
    return Violation("probe or lifecycle host", f"{those(names)} {uses} {what} {quoted(which)}")


def privileged(meta: JSON, spec: JSON) -> Violation | None:
    names = named(spec, lambda container: context(container).get("privileged"))
    return Violation("privileged", f"{those(names)} must not set securityContext.privileged=true") if names else None


def proc_mount(meta: JSON, spec: JSON) -> Violation | None:
    def mounted(container: JSON) -> str:
        kind = context(container).get("procMount")
        return "" if kind in (None, "Default") else str(kind)

    names = named(spec, mounted)
    if not names:
        return None
    kinds = sorted({mounted(container) for container in containers(spec)} - {""})
    return Violation("procMount", f"{those(names)} must not set securityContext.procMount to {quoted(kinds)}")


def proc_mount_1_35(meta: JSON, spec: JSON) -> Violation | None:
    return None if in_user_namespace(spec) else proc_mount(meta, spec)


def _selinux(allowed: frozenset[str]) -> Check:
    def selinux_options(meta: JSON, spec: JSON) -> Violation | None:
        def options(holder: JSON) -> JSON:
            found: JSON = context(holder).get("seLinuxOptions") or {}
            return found

        def bad(holder: JSON) -> bool:
            given = options(holder)
            return (given.get("type") or "") not in allowed or bool(given.get("user") or given.get("role"))

        names = named(spec, bad)
        if not names and not bad(spec):
            return None
        every = [options(each) for each in (spec, *containers(spec))]
        types = sorted({each.get("type") or "" for each in every} - allowed)
        said = [f"{plural('type', len(types))} {quoted(types)}"] if types else []
        said += [f"{field} may not be set" for field in ("user", "role") if any(each.get(field) for each in every)]
        who = setters(bad(spec), names)
        return Violation("seLinuxOptions", f"{who} set forbidden securityContext.seLinuxOptions: {'; '.join(said)}")

    return selinux_options


selinux_options = _selinux(_SELINUX)
selinux_options_1_31 = _selinux(_SELINUX | {"container_engine_t"})


def seccomp_annotations(meta: JSON, spec: JSON) -> Violation | None:
    """As it was before there were fields."""
    keys = (_SECCOMP, *(f"{_SECCOMP_OF}{container.get('name') or ''}" for container in containers(spec)))
    annotations = _annotations(meta)
    bad = sorted(
        f'{key}="{annotations[key]}"'
        for key in keys
        if key in annotations
        and annotations[key] not in ("runtime/default", "docker/default")
        and not annotations[key].startswith("localhost/")
    )
    if not bad:
        return None
    return Violation("seccompProfile", f"forbidden {plural('annotation', len(bad))} {', '.join(bad)}")


def seccomp_profile(meta: JSON, spec: JSON) -> Violation | None:
    def bad(holder: JSON) -> bool:
        profile = context(holder).get("seccompProfile")
        return profile is not None and profile.get("type") not in _PROFILES

    names = named(spec, bad)
    if not names and not bad(spec):
        return None
    values = {context(each)["seccompProfile"].get("type") or "" for each in (spec, *containers(spec)) if bad(each)}
    who = setters(bad(spec), names)
    detail = f"{who} must not set securityContext.seccompProfile.type to {quoted(sorted(values))}"
    return Violation("seccompProfile", detail)


def _sysctls(allowed: frozenset[str]) -> Check:
    def sysctls(meta: JSON, spec: JSON) -> Violation | None:
        names = [each.get("name") or "" for each in context(spec).get("sysctls") or ()]
        bad = [name for name in names if name not in allowed]
        return Violation("forbidden sysctls", ", ".join(bad)) if bad else None

    return sysctls


sysctls = _sysctls(_SYSCTLS)
sysctls_1_27, sysctls_1_29, sysctls_1_32 = (_sysctls(each) for each in (_SYSCTLS_27, _SYSCTLS_29, _SYSCTLS_32))


def windows_host_process(meta: JSON, spec: JSON) -> Violation | None:
    def bad(holder: JSON) -> bool:
        return bool((context(holder).get("windowsOptions") or {}).get("hostProcess"))

    who = setters(bad(spec), named(spec, bad))
    return (
        Violation("hostProcess", f"{who} must not set securityContext.windowsOptions.hostProcess=true") if who else None
    )
