"""What a container's processes may do, of its pod's security context and its own."""

from typing import Any

import msgspec
import pytest

from agent.pods.admission import Abilities, Refusal, refusal
from agent.pods.decide import takes_warm_sandbox
from agent.pods.security import (
    ImageUser,
    SecurityError,
    image_user,
    leaves_traces,
    needs_image_user,
    seccomp_file,
    security,
)
from agent.pods.steps.base import StepFailed
from agent.pods.steps.secure import read_profile
from agent.runtime.base import Security
from agent.sysctls import check_patterns, forbidden_sysctl
from shared.api.pod import Pod

NOBODY, NAMED = ImageUser(65534), ImageUser(None, "web")
WHERE = '(pod: "p_default(uid-1)", container: c)'


def pod(own: dict[str, Any] | None = None, **spec: Any) -> Pod:
    return msgspec.convert(
        {
            "metadata": {"name": "p", "namespace": "default", "uid": "uid-1"},
            "spec": {"containers": [{"name": "c", "image": "app:1", "securityContext": own or {}}]} | spec,
        },
        Pod,
    )


def made(own: dict[str, Any] | None = None, shared: dict[str, Any] | None = None, image: ImageUser = NAMED) -> Security:
    found = pod(own, securityContext=shared or {})
    return security(found, found.spec.containers[0], image)


@pytest.mark.parametrize(
    ("text", "user"),
    [
        ("", ImageUser(0)),
        ("0", ImageUser(0)),
        ("1000:100", ImageUser(1000)),
        ("web", ImageUser(None, "web")),
        ("web:staff", ImageUser(None, "web")),
    ],
)
def test_user_of_an_image(text: str, user: ImageUser) -> None:
    assert image_user(text) == user


@pytest.mark.parametrize(
    ("own", "shared", "image", "user"),
    [
        ({}, {}, NAMED, ""),
        ({"runAsUser": 7}, {}, NAMED, "7"),
        ({}, {"runAsUser": 8}, NAMED, "8"),
        ({"runAsUser": 0}, {"runAsUser": 8}, NAMED, "0"),
        ({"runAsUser": 7}, {"runAsGroup": 9}, NAMED, "7:9"),
        ({"runAsGroup": 9}, {}, NAMED, "web:9"),
        ({}, {"runAsGroup": 9}, NOBODY, "65534:9"),
    ],
)
def test_user_and_group(own: dict[str, Any], shared: dict[str, Any], image: ImageUser, user: str) -> None:
    assert made(own, shared, image).user == user


@pytest.mark.parametrize(
    ("own", "shared", "expected"),
    [
        ({"privileged": True}, {}, Security(privileged=True)),
        ({"readOnlyRootFilesystem": True}, {}, Security(read_only_root=True)),
        ({"allowPrivilegeEscalation": False}, {}, Security(no_new_privileges=True)),
        ({"allowPrivilegeEscalation": True}, {}, Security()),
        ({"capabilities": {"add": ["A"], "drop": ["ALL"]}}, {}, Security(add=("A",), drop=("ALL",))),
        ({}, {"supplementalGroups": [5, 6, 5], "fsGroup": 6}, Security(groups=(5, 6))),
        ({}, {"supplementalGroups": [5], "fsGroup": 7}, Security(groups=(5, 7))),
        ({"procMount": "Unmasked"}, {}, Security(unmasked=True)),
        ({"procMount": "Default"}, {}, Security()),
        ({}, {"seccompProfile": {"type": "RuntimeDefault"}}, Security()),
        ({}, {"seccompProfile": {"type": "Unconfined"}}, Security(seccomp="unconfined")),
        ({"seccompProfile": {"type": "RuntimeDefault"}}, {"seccompProfile": {"type": "Unconfined"}}, Security()),
        ({"appArmorProfile": {"type": "Unconfined"}}, {}, Security(app_armor="unconfined")),
        ({}, {"appArmorProfile": {"type": "Localhost", "localhostProfile": "mine"}}, Security(app_armor="mine")),
    ],
)
def test_rights(own: dict[str, Any], shared: dict[str, Any], expected: Security) -> None:
    assert made(own, shared) == expected


@pytest.mark.parametrize(
    ("own", "shared", "image", "message"),
    [
        ({"runAsNonRoot": True, "runAsUser": 0}, {}, NAMED, f"container's runAsUser breaks non-root policy {WHERE}"),
        (
            {"runAsNonRoot": True},
            {},
            ImageUser(0),
            f"container has runAsNonRoot and image will run as root {WHERE}",
        ),
        (
            {},
            {"runAsNonRoot": True},
            NAMED,
            f"container has runAsNonRoot and image has non-numeric user (web), cannot verify user is non-root {WHERE}",
        ),
        ({"runAsNonRoot": False}, {"runAsNonRoot": True}, ImageUser(0), ""),
        ({"runAsNonRoot": True}, {"runAsUser": 5}, ImageUser(0), ""),
        ({"runAsNonRoot": True}, {}, NOBODY, ""),
    ],
)
def test_run_as_non_root_is_verified(
    own: dict[str, Any], shared: dict[str, Any], image: ImageUser, message: str
) -> None:
    if not message:
        made(own, shared, image)
        return
    with pytest.raises(SecurityError) as raised:
        made(own, shared, image)
    assert str(raised.value) == message


def test_the_image_is_asked_only_when_it_matters() -> None:
    for own, needed in (
        ({}, False),
        ({"runAsNonRoot": True}, True),
        ({"runAsNonRoot": True, "runAsUser": 5}, False),
        ({"runAsGroup": 5}, True),
    ):
        found = pod(own)
        assert needs_image_user(found, found.spec.containers[0]) is needed


@pytest.mark.parametrize(
    ("own", "file"),
    [
        ({"seccompProfile": {"type": "Localhost", "localhostProfile": "a/b.json"}}, "a/b.json"),
        ({"seccompProfile": {"type": "Localhost", "localhostProfile": "a.json"}, "privileged": True}, ""),
        ({"seccompProfile": {"type": "Unconfined"}}, ""),
        ({}, ""),
    ],
)
def test_seccomp_profile_of_the_node(own: dict[str, Any], file: str) -> None:
    found = pod(own)
    assert seccomp_file(found, found.spec.containers[0]) == file


def test_profiles_are_read_from_the_nodes_directory_only(tmp_path) -> None:
    directory = tmp_path / "seccomp"
    directory.mkdir()
    (directory / "ok.json").write_text('{ "defaultAction":\n "SCMP_ACT_ALLOW" }')
    (directory / "broken.json").write_text("{")
    (tmp_path / "secret").write_text("{}")
    (directory / "link").symlink_to(tmp_path / "secret")
    assert read_profile(directory, "ok.json") == '{"defaultAction":"SCMP_ACT_ALLOW"}'
    for name, message in (
        ("none.json", f'cannot load seccomp profile "{directory}/none.json": open {directory}/none.json: no such file'),
        ("../secret", "it is not below the node's directory"),
        ("link", "it is not below the node's directory"),
        ("broken.json", 'cannot load seccomp profile "broken.json": Expecting'),
    ):
        with pytest.raises(StepFailed) as raised:
            read_profile(directory, name)
        assert message in raised.value.message
        assert raised.value.reason == "CreateContainerError"


@pytest.mark.parametrize(
    ("own", "spec", "traces", "warm"),
    [
        ({}, {}, False, True),
        ({"capabilities": {"drop": ["ALL"]}, "runAsUser": 4}, {}, False, True),
        ({"capabilities": {"add": ["NET_ADMIN"]}}, {}, True, True),
        ({"privileged": True}, {}, True, True),
        ({}, {"shareProcessNamespace": True}, True, True),
        ({}, {"securityContext": {"sysctls": [{"name": "net.ipv4.tcp_syncookies", "value": "1"}]}}, True, False),
    ],
)
def test_sandboxes_that_serve_again(own: dict[str, Any], spec: dict[str, Any], traces: bool, warm: bool) -> None:
    found = pod(own, **spec)
    assert (leaves_traces(found), takes_warm_sandbox(found)) == (traces, warm)


@pytest.mark.parametrize(
    ("name", "host_ipc", "host_net", "message"),
    [
        ("net.ipv4.tcp_syncookies", False, False, ""),
        ("net.ipv4.tcp_syncookies", False, True, '"net.ipv4.tcp_syncookies" not allowed with host net enabled'),
        ("kernel.shm_rmid_forced", True, False, '"kernel.shm_rmid_forced" not allowed with host ipc enabled'),
        ("kernel.msgmax", False, False, ""),
        ("kernel.msgmax", True, False, '"kernel.msgmax" not allowed with host ipc enabled'),
        ("net.core.somaxconn", False, False, ""),
        ("net.core.somaxconnx", False, False, '"net.core.somaxconnx" not allowlisted'),
        ("vm.swappiness", False, False, '"vm.swappiness" not allowlisted'),
    ],
)
def test_sysctls(name: str, host_ipc: bool, host_net: bool, message: str) -> None:
    allowed = ("kernel.msg*", "net.core.somaxconn")
    assert forbidden_sysctl([name], allowed, host_ipc=host_ipc, host_net=host_net) == message


@pytest.mark.parametrize("pattern", ["vm.swappiness", "kernel.*", "*"])
def test_no_pattern_lets_pods_change_the_host(pattern: str) -> None:
    with pytest.raises(ValueError, match="not known to be namespaced"):
        check_patterns([pattern])
    check_patterns(["kernel.msg*", "kernel.sem", "net.core.somaxconn", "fs.mqueue.*"])


APP_ARMOR = {"securityContext": {"appArmorProfile": {"type": "RuntimeDefault"}}}


@pytest.mark.parametrize(
    ("spec", "abilities", "refused"),
    [
        ({}, Abilities(), None),
        (
            {"securityContext": {"sysctls": [{"name": "kernel/msgmax", "value": "1"}]}},
            Abilities(),
            Refusal("SysctlForbidden", 'forbidden sysctl: "kernel.msgmax" not allowlisted'),
        ),
        (
            {"securityContext": {"sysctls": [{"name": "kernel.msgmax", "value": "1"}]}},
            Abilities(unsafe_sysctls=("kernel.msgmax",)),
            None,
        ),
        (
            APP_ARMOR,
            Abilities(),
            Refusal("AppArmor", "Cannot enforce AppArmor: AppArmor is not enabled on the host"),
        ),
        (APP_ARMOR, Abilities(app_armor=True), None),
        (
            {"securityContext": {"supplementalGroupsPolicy": "Strict"}},
            Abilities(),
            Refusal(
                "SupplementalGroupsPolicyNotSupported",
                "SupplementalGroupsPolicy=Strict is not supported in this node for containers without runAsGroup",
            ),
        ),
        ({"securityContext": {"supplementalGroupsPolicy": "Strict", "runAsGroup": 5}}, Abilities(), None),
    ],
)
def test_pods_that_a_host_does_not_take(spec: dict[str, Any], abilities: Abilities, refused: Refusal | None) -> None:
    assert refusal(pod(**spec), abilities) == refused
