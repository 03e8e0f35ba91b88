"""Which checks make up a level at a version, and what they find.

Pure. After k8s.io/pod-security-admission/policy/registry.go: within a level checks run by their ids, and a restricted
check takes the place of the baseline one that it is a stricter form of.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from controlplane.apiserver.admission.pod_security import baseline, restricted
from controlplane.apiserver.admission.pod_security.found import Check, Violation
from controlplane.apiserver.admission.pod_security.policy import Level, Standard
from controlplane.apiserver.admission.pod_security.restricted import not_in_user_namespaces, not_on_windows
from shared.api.meta import JSON


@dataclass(frozen=True, slots=True)
class Row:
    """A check: its forms, each with the first minor version that it belongs to, newest last."""

    id: str
    forms: tuple[tuple[int, Check], ...]
    instead_of: str = ""


BASELINE: tuple[Row, ...] = (
    Row("appArmorProfile", ((0, baseline.app_armor_profile),)),
    Row("capabilities_baseline", ((0, baseline.capabilities),)),
    Row("hostNamespaces", ((0, baseline.host_namespaces),)),
    Row("hostPathVolumes", ((0, baseline.host_path_volumes),)),
    Row("hostPorts", ((0, baseline.host_ports),)),
    Row("hostProbesAndHostLifecycle", ((34, baseline.host_probes),)),
    Row("privileged", ((0, baseline.privileged),)),
    Row("procMount_baseline", ((0, baseline.proc_mount), (35, baseline.proc_mount_1_35))),
    Row("seLinuxOptions", ((0, baseline.selinux_options), (31, baseline.selinux_options_1_31))),
    Row("seccompProfile_baseline", ((0, baseline.seccomp_annotations), (19, baseline.seccomp_profile))),
    Row(
        "sysctls",
        ((0, baseline.sysctls), (27, baseline.sysctls_1_27), (29, baseline.sysctls_1_29), (32, baseline.sysctls_1_32)),
    ),
    Row("windowsHostProcess", ((0, baseline.windows_host_process),)),
)
RESTRICTED: tuple[Row, ...] = (
    Row(
        "allowPrivilegeEscalation",
        ((8, restricted.allow_privilege_escalation), (25, not_on_windows(restricted.allow_privilege_escalation))),
    ),
    Row(
        "capabilities_restricted",
        ((22, restricted.capabilities), (25, not_on_windows(restricted.capabilities))),
        "capabilities_baseline",
    ),
    Row("procMount_restricted", ((35, baseline.proc_mount),), "procMount_baseline"),
    Row("restrictedVolumes", ((0, restricted.volumes),), "hostPathVolumes"),
    Row(
        "runAsNonRoot",
        ((0, restricted.run_as_non_root), (35, not_in_user_namespaces(restricted.run_as_non_root))),
    ),
    Row("runAsUser", ((23, restricted.run_as_user), (35, not_in_user_namespaces(restricted.run_as_user)))),
    Row(
        "seccompProfile_restricted",
        ((19, restricted.seccomp_profile), (25, not_on_windows(restricted.seccomp_profile))),
        "seccompProfile_baseline",
    ),
)
NEWEST = max(minor for row in (*BASELINE, *RESTRICTED) for minor, _ in row.forms)
"""From this minor version on everything is as it is at the latest."""


def evaluate(standard: Standard, meta: JSON, spec: JSON) -> list[Violation]:
    """What keeps a pod of this metadata and spec from meeting the standard."""
    if standard.level is Level.PRIVILEGED:
        return []
    minor = NEWEST if standard.minor is None else min(standard.minor, NEWEST)
    found = (check(meta, spec) for check in _checks(standard.level, minor))
    return [violation for violation in found if violation is not None]


@lru_cache(maxsize=2 * (NEWEST + 1))
def _checks(level: Level, minor: int) -> Sequence[Check]:
    strict = [(row, form) for row in RESTRICTED if (form := _form(row, minor)) is not None]
    if level is not Level.RESTRICTED:
        strict = []
    replaced = {row.instead_of for row, _ in strict}
    plain = [form for row in BASELINE if row.id not in replaced and (form := _form(row, minor)) is not None]
    return [*plain, *(form for _, form in strict)]


def _form(row: Row, minor: int) -> Check | None:
    return next((check for since, check in reversed(row.forms) if since <= minor), None)
