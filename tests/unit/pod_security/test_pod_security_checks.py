"""Every check of the Pod Security Standards: what it lets pass, what it says of what it does not, and since when."""

from typing import Any

import pytest

from controlplane.apiserver.admission.pod_security.evaluate import BASELINE, NEWEST, RESTRICTED, evaluate
from controlplane.apiserver.admission.pod_security.policy import Level, Policy, Standard, parse

B, R = Standard(Level.BASELINE), Standard(Level.RESTRICTED)


def container(name: str = "a", *, security: Any = None, **fields: Any) -> Any:
    return {"name": name, **fields, **({"securityContext": security} if security is not None else {})}


def pod(*containers: Any, security: Any = None, **fields: Any) -> Any:
    made = {"containers": list(containers) or [container()], **fields}
    return {**made, "securityContext": security} if security is not None else made


HARD = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
CALM = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}


def hardened(*containers: Any, security: Any = None, **fields: Any) -> Any:
    """A pod that meets restricted but for what is given."""
    made = [
        {**each, "securityContext": {**HARD, **(each.get("securityContext") or {})}}
        for each in (containers or (container(),))
    ]
    return pod(*made, security={**CALM, **(security or {})}, **fields)


def said(standard: Standard, spec: Any, annotations: Any = None) -> list[str]:
    return [str(violation) for violation in evaluate(standard, {"annotations": annotations or {}}, spec)]


def bad(**security: Any) -> Any:
    return container("b", security=security)


def probing(host: str, how: str = "httpGet") -> Any:
    return {how: {"port": 1, "host": host}}


BASELINE_CASES = [
    (pod(), None),
    # host namespaces
    (pod(hostNetwork=True, hostPID=True, hostIPC=True),
     "host namespaces (hostNetwork=true, hostPID=true, hostIPC=true)"),
    (pod(hostNetwork=False), None),
    # privileged
    (pod(bad(privileged=True)), 'privileged (container "b" must not set securityContext.privileged=true)'),
    (pod(bad(privileged=False)), None),
    (pod(container(), initContainers=[container("i", security={"privileged": True})],
         ephemeralContainers=[container("e", security={"privileged": True})]),
     'privileged (containers "i", "e" must not set securityContext.privileged=true)'),
    # capabilities
    (pod(bad(capabilities={"add": ["CHOWN", "NET_BIND_SERVICE"]})), None),
    (pod(bad(capabilities={"add": ["SYS_ADMIN", "NET_RAW", "CHOWN"]})),
     'non-default capabilities (container "b" must not include "NET_RAW", "SYS_ADMIN" in '
     "securityContext.capabilities.add)"),
    # volumes
    (pod(volumes=[{"name": "v", "hostPath": {"path": "/"}}, {"name": "w", "emptyDir": {}}]),
     'hostPath volumes (volume "v")'),
    (pod(volumes=[{"name": "v", "hostPath": {}}, {"name": "w", "hostPath": {}}]),
     'hostPath volumes (volumes "v", "w")'),
    # host ports
    (pod(container(ports=[{"containerPort": 1, "hostPort": 0}])), None),
    (pod(container(ports=[{"containerPort": 1, "hostPort": 80}])), 'hostPort (container "a" uses hostPort 80)'),
    (pod(container(ports=[{"hostPort": 80}]), container("b", ports=[{"hostPort": 443}])),
     'hostPort (containers "a", "b" use hostPorts 443, 80)'),
    # hosts of probes
    (pod(container(livenessProbe=probing(""))), None),
    (pod(container(livenessProbe=probing("h")), container("b", lifecycle={"preStop": probing("g", "tcpSocket")})),
     'probe or lifecycle host (containers "a", "b" use probe or lifecycle hosts "g", "h")'),
    # AppArmor
    (pod(security={"appArmorProfile": {"type": "Localhost"}}), None),
    (pod(bad(appArmorProfile={"type": "Unconfined"}), security={"appArmorProfile": {"type": "Unconfined"}}),
     'forbidden AppArmor profile (pod and container "b" must not set AppArmor profile type to "Unconfined")'),
    # SELinux
    (pod(security={"seLinuxOptions": {"type": "container_engine_t", "level": "s0"}}), None),
    (pod(bad(seLinuxOptions={"type": "foo"}), security={"seLinuxOptions": {"user": "u", "role": "r"}}),
     'seLinuxOptions (pod and container "b" set forbidden securityContext.seLinuxOptions: type "foo"; user may not be '
     "set; role may not be set)"),
    # seccomp
    (pod(bad(seccompProfile={"type": "Localhost"})), None),
    (pod(bad(seccompProfile={"type": "Unconfined"}), security={"seccompProfile": {"type": "Unconfined"}}),
     'seccompProfile (pod and container "b" must not set securityContext.seccompProfile.type to "Unconfined")'),
    # procMount
    (pod(bad(procMount="Default")), None),
    (pod(bad(procMount="Unmasked")), 'procMount (container "b" must not set securityContext.procMount to "Unmasked")'),
    (pod(bad(procMount="Unmasked"), hostUsers=False), None),
    # sysctls
    (pod(security={"sysctls": [{"name": "net.ipv4.tcp_rmem"}, {"name": "kernel.shm_rmid_forced"}]}), None),
    (pod(security={"sysctls": [{"name": "a"}, {"name": "b"}]}), "forbidden sysctls (a, b)"),
    # Windows
    (pod(bad(windowsOptions={"hostProcess": True}), security={"windowsOptions": {"hostProcess": True}}),
     'hostProcess (pod and container "b" must not set securityContext.windowsOptions.hostProcess=true)'),
    (pod(bad(windowsOptions={"hostProcess": False})), None),
]  # fmt: skip


@pytest.mark.parametrize(("spec", "expected"), BASELINE_CASES, ids=lambda value: str(value)[:60])
def test_baseline(spec: Any, expected: str | None) -> None:
    assert said(B, spec) == ([] if expected is None else [expected])


RESTRICTED_CASES = [
    (hardened(), None),
    (hardened(bad(allowPrivilegeEscalation=None)),
     'allowPrivilegeEscalation != false (container "b" must set securityContext.allowPrivilegeEscalation=false)'),
    (hardened(bad(allowPrivilegeEscalation=None), os={"name": "windows"}), None),
    (hardened(bad(capabilities={"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]})), None),
    (hardened(bad(capabilities={"add": ["CHOWN"]})),
     'unrestricted capabilities (container "b" must set securityContext.capabilities.drop=["ALL"]; container "b" must '
     'not include "CHOWN" in securityContext.capabilities.add)'),
    (hardened(container("x"), bad(capabilities={"drop": ["CHOWN"]}), bad(capabilities=None)),
     'unrestricted capabilities (containers "b", "b" must set securityContext.capabilities.drop=["ALL"])'),
    (hardened(volumes=[{"name": kind, kind: {}} for kind in (
        "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret")]),
     None),
    (hardened(volumes=[{"name": "v", "hostPath": {}}, {"name": "w", "nfs": {}}, {"name": "x", "image": {}}]),
     'restricted volume types (volumes "v", "w", "x" use restricted volume types "hostPath", "nfs", "unknown")'),
    (hardened(volumes=[{"name": "v", "hostPath": {}}]),
     'restricted volume types (volume "v" uses restricted volume type "hostPath")'),
    (hardened(security={"runAsNonRoot": None}),
     'runAsNonRoot != true (pod or container "a" must set securityContext.runAsNonRoot=true)'),
    (hardened(bad(runAsNonRoot=False), security={"runAsNonRoot": False}),
     'runAsNonRoot != true (pod and container "b" must not set securityContext.runAsNonRoot=false)'),
    (hardened(bad(runAsNonRoot=True), security={"runAsNonRoot": None}), None),
    (hardened(security={"runAsNonRoot": None}, hostUsers=False), None),
    (hardened(bad(runAsUser=0), security={"runAsUser": 0}),
     'runAsUser=0 (pod and container "b" must not set runAsUser=0)'),
    (hardened(bad(runAsUser=1)), None),
    (hardened(bad(runAsUser=0), hostUsers=False), None),
    (hardened(security={"seccompProfile": None}),
     'seccompProfile (pod or container "a" must set securityContext.seccompProfile.type to "RuntimeDefault" or '
     '"Localhost")'),
    (hardened(bad(seccompProfile={"type": "Localhost"}), security={"seccompProfile": None}), None),
    (hardened(bad(seccompProfile={"type": "Unconfined"})),
     'seccompProfile (container "b" must not set securityContext.seccompProfile.type to "Unconfined")'),
    (hardened(bad(procMount="Unmasked"), hostUsers=False),
     'procMount (container "b" must not set securityContext.procMount to "Unmasked")'),
]  # fmt: skip


@pytest.mark.parametrize(("spec", "expected"), RESTRICTED_CASES, ids=lambda value: str(value)[:60])
def test_restricted(spec: Any, expected: str | None) -> None:
    assert said(R, spec) == ([] if expected is None else [expected])


@pytest.mark.parametrize(("spec", "expected"), BASELINE_CASES, ids=lambda value: str(value)[:60])
def test_what_baseline_refuses_restricted_does_too(spec: Any, expected: str | None) -> None:
    assert expected is None or len(said(R, spec)) > 0


def test_a_plain_pod_is_far_from_restricted() -> None:
    assert ", ".join(said(R, pod())) == (
        'allowPrivilegeEscalation != false (container "a" must set securityContext.allowPrivilegeEscalation=false), '
        'unrestricted capabilities (container "a" must set securityContext.capabilities.drop=["ALL"]), '
        'runAsNonRoot != true (pod or container "a" must set securityContext.runAsNonRoot=true), '
        'seccompProfile (pod or container "a" must set securityContext.seccompProfile.type to "RuntimeDefault" or '
        '"Localhost")'
    )
    assert said(Standard(), pod(hostNetwork=True)) == []


def only(level: Level, minor: int) -> Standard:
    return Standard(level, minor)


@pytest.mark.parametrize(
    ("spec", "standard", "refused"),
    [
        (pod(container(livenessProbe=probing("h"))), only(Level.BASELINE, 33), False),
        (pod(container(livenessProbe=probing("h"))), only(Level.BASELINE, 34), True),
        (pod(security={"sysctls": [{"name": "net.ipv4.tcp_rmem"}]}), only(Level.BASELINE, 31), True),
        (pod(security={"sysctls": [{"name": "net.ipv4.tcp_keepalive_time"}]}), only(Level.BASELINE, 29), False),
        (pod(security={"sysctls": [{"name": "net.ipv4.tcp_keepalive_time"}]}), only(Level.BASELINE, 28), True),
        (pod(security={"sysctls": [{"name": "net.ipv4.ip_local_reserved_ports"}]}), only(Level.BASELINE, 26), True),
        (pod(security={"seLinuxOptions": {"type": "container_engine_t"}}), only(Level.BASELINE, 30), True),
        (pod(security={"seccompProfile": {"type": "Unconfined"}}), only(Level.BASELINE, 18), False),
        (pod(bad(procMount="Unmasked"), hostUsers=False), only(Level.BASELINE, 34), True),
        (hardened(bad(allowPrivilegeEscalation=None)), only(Level.RESTRICTED, 7), False),
        (hardened(bad(allowPrivilegeEscalation=None), os={"name": "windows"}), only(Level.RESTRICTED, 24), True),
        (hardened(bad(capabilities=None)), only(Level.RESTRICTED, 21), False),
        (hardened(bad(capabilities={"add": ["SYS_ADMIN"]})), only(Level.RESTRICTED, 21), True),
        (hardened(bad(runAsUser=0)), only(Level.RESTRICTED, 22), False),
        (hardened(security={"seccompProfile": None}), only(Level.RESTRICTED, 18), False),
        (hardened(security={"runAsNonRoot": None}, hostUsers=False), only(Level.RESTRICTED, 34), True),
        (pod(hostNetwork=True), only(Level.BASELINE, 99), True),
    ],
    ids=lambda value: str(value)[:60],
)
def test_checks_have_versions(spec: Any, standard: Standard, refused: bool) -> None:
    assert bool(said(standard, spec)) is refused


@pytest.mark.parametrize(
    ("annotations", "standard", "expected"),
    [
        ({"seccomp.security.alpha.kubernetes.io/pod": "unconfined"}, only(Level.BASELINE, 18),
         ['seccompProfile (forbidden annotation seccomp.security.alpha.kubernetes.io/pod="unconfined")']),
        ({"container.seccomp.security.alpha.kubernetes.io/a": "localhost/x"}, only(Level.BASELINE, 18), []),
        ({"container.apparmor.security.beta.kubernetes.io/a": "runtime/default"}, B, []),
        ({"container.apparmor.security.beta.kubernetes.io/a": "unconfined"}, B,
         ['forbidden AppArmor profile (annotation must not set AppArmor profile type to '
          '"container.apparmor.security.beta.kubernetes.io/a="unconfined"")']),
    ],
    ids=str,
)  # fmt: skip
def test_annotations(annotations: Any, standard: Standard, expected: list[str]) -> None:
    assert said(standard, pod(), annotations) == expected


def test_the_checks_stand_by_their_ids_and_versions() -> None:
    for rows in (BASELINE, RESTRICTED):
        assert [row.id for row in rows] == sorted(row.id for row in rows)
        assert all(list(row.forms) == sorted(row.forms, key=lambda form: form[0]) for row in rows)
    assert {row.instead_of for row in RESTRICTED} - {""} <= {row.id for row in BASELINE}
    assert NEWEST == 35


PREFIX = "pod-security.kubernetes.io/"


@pytest.mark.parametrize(
    ("labels", "policy", "wrong"),
    [
        ({}, Policy(), []),
        ({"app": "x"}, Policy(), []),
        ({"enforce": "baseline"}, Policy(enforce=B), []),
        ({"enforce": "restricted", "enforce-version": "v1.28", "warn": "baseline", "warn-version": "latest"},
         Policy(Standard(Level.RESTRICTED, 28), Standard(), B), []),
        ({"enforce": "odd"}, Policy(enforce=R), ["enforce"]),
        ({"audit": "odd", "warn": "odd"}, Policy(), ["audit", "warn"]),
        ({"enforce-version": "1.28"}, Policy(), ["enforce-version"]),
        ({"enforce-version": "v1.028"}, Policy(), ["enforce-version"]),
    ],
    ids=str,
)  # fmt: skip
def test_labels(labels: Any, policy: Policy, wrong: list[str]) -> None:
    found, causes = parse({f"{PREFIX}{key}" if key != "app" else key: value for key, value in labels.items()})
    assert found == policy
    assert [cause.field for cause in causes] == [f"metadata.labels[{PREFIX}{key}]" for key in wrong]


def test_a_standard_reads_as_kubernetes_writes_it() -> None:
    assert (str(R), str(only(Level.BASELINE, 30))) == ("restricted:latest", "baseline:v1.30")
