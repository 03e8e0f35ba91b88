"""The bodies that Docker is asked to create containers with."""

from __future__ import annotations

import dataclasses

import pytest

from agent.runtime.base import ContainerSpec, Mount, Namespaces, PodIdentity, Resources, SandboxSpec, Security
from agent.runtime.docker_options import DockerOptions
from agent.runtime.docker_spec import container_body, sandbox_body

POD = PodIdentity("u", "ns", "p")
SPEC = ContainerSpec(
    pod=POD, name="main", attempt=0, sandbox_id="sb", image="i:1", command=None, args=None, env=(("A", "1=2"),),
    working_dir="", mounts=(), spec_hash="h",
)  # fmt: skip


def body(**changes: object) -> dict:
    spec = dataclasses.replace(SPEC, **changes)
    return container_body(spec, node="n", options=DockerOptions(), negative_scores=bool(changes.get("tty")))


def test_container_joins_network_and_ipc_of_its_sandbox_and_keeps_the_images_user():
    made = body()
    assert made["HostConfig"]["NetworkMode"] == made["HostConfig"]["IpcMode"] == "container:sb"
    assert not {"User", "Hostname", "Entrypoint", "Cmd", "WorkingDir"} & made.keys()
    assert made["Env"] == ["A=1=2"]
    assert made["HostConfig"]["RestartPolicy"] == {"Name": "no"}


@pytest.mark.parametrize(
    ("command", "args", "entrypoint", "cmd"),
    [
        (None, None, None, None),
        (("a",), None, ["a"], None),
        (None, ("b",), None, ["b"]),
        (("a",), ("b",), ["a"], ["b"]),
        ((), (), None, None),
    ],
)
def test_command_and_args(command, args, entrypoint, cmd):
    made = body(command=command, args=args)
    assert (made.get("Entrypoint"), made.get("Cmd")) == (entrypoint, cmd)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"resources": Resources(memory_bytes=64 << 20)}, {"Memory": 64 << 20, "MemorySwap": 64 << 20}),
        ({"resources": Resources(cpu_quota=50_000)}, {"CpuQuota": 50_000, "CpuPeriod": 100_000}),
        ({"resources": Resources(cpu_shares=0)}, {"CpuShares": 2}),
        ({"oom_score_adj": 1000}, {"OomScoreAdj": 1000}),
        ({"oom_score_adj": -5, "tty": True}, {"OomScoreAdj": -5}),
    ],
)
def test_resources(changes, expected):
    assert body(**changes)["HostConfig"].items() >= expected.items()


def test_negative_score_is_left_out_where_refused():
    assert "OomScoreAdj" not in body(oom_score_adj=-5)["HostConfig"]


def test_mounts():
    mounts = (Mount("/a", "/b", read_only=True), Mount("", "/m", size_bytes=5), Mount("", "/n", memory=True))
    assert body(mounts=mounts)["HostConfig"]["Mounts"] == [
        {"Type": "bind", "Source": "/a", "Target": "/b", "ReadOnly": True},
        {"Type": "tmpfs", "Target": "/m", "ReadOnly": False, "TmpfsOptions": {"SizeBytes": 5, "Mode": 0o1777}},
        {"Type": "tmpfs", "Target": "/n", "ReadOnly": False},
    ]


@pytest.mark.parametrize("host_network", [False, True])
def test_sandbox_has_no_rights(host_network):
    spec = SandboxSpec(POD, "web", host_network)
    made = sandbox_body(
        spec, node="n", image="pause", command="/pause", options=DockerOptions(), negative_scores=False
    )  # fmt: skip
    host = made["HostConfig"]
    assert host["NetworkMode"] == ("host" if host_network else "none")
    assert made.get("Hostname") == (None if host_network else "web")
    assert made["NetworkDisabled"] is not host_network
    assert (host["CapDrop"], host["ReadonlyRootfs"]) == (["ALL"], True)
    assert host["LogConfig"] == {"Type": "none"}
    assert "OomScoreAdj" not in host


def test_processes_are_limited_where_the_node_says_so():
    limited = container_body(SPEC, node="n", options=DockerOptions(pids=100), negative_scores=False)
    assert limited["HostConfig"]["PidsLimit"] == 100
    assert "PidsLimit" not in body()["HostConfig"]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, {}),
        ({"privileged": True}, {"Privileged": True}),
        ({"read_only_root": True}, {"ReadonlyRootfs": True}),
        ({"add": ("net_admin",), "drop": ("ALL",)}, {"CapAdd": ["NET_ADMIN"], "CapDrop": ["ALL"]}),
        ({"groups": (1, 2)}, {"GroupAdd": ["1", "2"]}),
        (
            {"no_new_privileges": True, "seccomp": "{}", "app_armor": "mine"},
            {"SecurityOpt": ["no-new-privileges", "seccomp={}", "apparmor=mine"]},
        ),
        ({"unmasked": True}, {"MaskedPaths": [], "ReadonlyPaths": []}),
    ],
)
def test_rights(changes, expected):
    plain = body()["HostConfig"]
    assert body(security=Security(**changes))["HostConfig"] == plain | expected
    assert body(security=Security(user="1:2"))["User"] == "1:2"


@pytest.mark.parametrize(
    ("namespaces", "target", "pid", "ipc"),
    [
        (Namespaces(), "", None, "container:sb"),
        (Namespaces(host_pid=True, host_ipc=True), "", "host", "host"),
        (Namespaces(shared_pid=True), "", "container:sb", "container:sb"),
        (Namespaces(shared_pid=True), "other", "container:other", "container:sb"),
    ],
)
def test_namespaces(namespaces, target, pid, ipc):
    host = body(namespaces=namespaces, processes_of=target)["HostConfig"]
    assert (host.get("PidMode"), host["IpcMode"]) == (pid, ipc)


def test_settings_of_the_kernel_are_the_sandboxs():
    spec = SandboxSpec(POD, "web", sysctls=(("net.core.somaxconn", "9"),))
    made = sandbox_body(
        spec, node="n", image="pause", command="/pause", options=DockerOptions(), negative_scores=False
    )  # fmt: skip
    assert made["HostConfig"]["Sysctls"] == {"net.core.somaxconn": "9"}


def test_ways_of_mounting():
    [shared, deep] = body(
        mounts=(Mount("/a", "/b", propagation="rslave"), Mount("/a", "/c", read_only=True, recursive=True))
    )["HostConfig"]["Mounts"]
    assert shared["BindOptions"] == {"Propagation": "rslave"}
    assert deep["BindOptions"] == {"ReadOnlyForceRecursive": True}
