"""The runtime against a real Docker daemon: sandboxes, containers, exec, images, and what restarts leave behind."""

from __future__ import annotations

import dataclasses
import subprocess
import time
import uuid
from collections.abc import AsyncIterator

import pytest

from agent.network.bridge import BridgeNetwork
from agent.runtime.base import (
    ContainerSpec,
    LogOptions,
    Mount,
    PodIdentity,
    Resources,
    RuntimeFailure,
    RuntimeUnavailable,
    SandboxSpec,
    State,
)
from agent.runtime.docker import DockerRuntime
from agent.runtime.docker_options import DockerOptions


def a_pod(name: str = "web.with.dots") -> PodIdentity:
    return PodIdentity(str(uuid.uuid4()), "default", name)


@pytest.fixture
async def runtime(docker_engine, busybox_image) -> AsyncIterator[DockerRuntime]:
    made = DockerRuntime(DockerOptions(host=docker_engine.host, pull_timeout=10.0), f"node-{uuid.uuid4().hex[:8]}")
    yield made
    for container in await made.list_containers():
        await made.remove_container(container.id)
    for sandbox in await made.list_sandboxes():
        await made.remove_sandbox(sandbox.id)
    await made.close()


@pytest.fixture
async def pod(runtime) -> tuple[PodIdentity, str]:
    identity = a_pod()
    sandbox = await runtime.create_sandbox(SandboxSpec(identity, "web"))
    return identity, sandbox.id


def spec_of(pod: tuple[PodIdentity, str], *command: str, image: str = "longboat-test/busybox:1") -> ContainerSpec:
    return ContainerSpec(
        pod=pod[0], name="main", attempt=0, sandbox_id=pod[1], image=image, command=("sh", "-c", *command), args=None,
        env=(("GREETING", "hello"),), working_dir="/tmp", mounts=(), spec_hash="abc",
    )  # fmt: skip


async def run_to_end(runtime: DockerRuntime, spec: ContainerSpec) -> bytes:
    """What the container writes until it ends."""
    container = await runtime.create_container(spec)
    await runtime.start_container(container, spec.hostname)
    return b"".join([part async for part in runtime.logs(container, LogOptions(follow=True))])


async def test_info_speaks_of_the_engine_in_gos_words(runtime):
    info = await runtime.info()
    assert info.os == "linux"
    assert info.architecture in ("amd64", "arm64")
    assert info.cpus > 0
    assert info.memory_bytes > 1 << 28
    assert info.data_root.startswith("/")


async def test_sandbox_has_only_loopback_and_the_pods_name(runtime):
    identity = a_pod()
    sandbox = await runtime.create_sandbox(SandboxSpec(identity, "web-0"))
    assert sandbox.running
    assert sandbox.pod == identity
    assert sandbox.hostname == "web-0"
    links = subprocess.run(
        ["nsenter", f"--net=/proc/{sandbox.process_id}/ns/net", "ip", "-o", "link"], capture_output=True, text=True
    ).stdout
    assert [line.split(":")[1].strip() for line in links.splitlines()] == ["lo"]
    assert list(await runtime.list_sandboxes()) == [sandbox]


async def test_creating_a_pods_sandbox_twice_finds_the_first(runtime):
    identity = a_pod()
    first = await runtime.create_sandbox(SandboxSpec(identity, "web"))
    assert await runtime.create_sandbox(SandboxSpec(identity, "web")) == first


async def test_sandbox_that_ended_is_replaced(runtime, docker_engine):
    identity = a_pod()
    first = await runtime.create_sandbox(SandboxSpec(identity, "web"))
    subprocess.run(["docker", "-H", docker_engine.host, "kill", first.id], check=True, capture_output=True)
    second = await runtime.create_sandbox(SandboxSpec(identity, "web"))
    assert second.running
    assert second.id != first.id


async def test_sigterm_ends_a_sandbox_at_once(runtime):
    sandbox = await runtime.create_sandbox(SandboxSpec(None, "warm"))
    started = time.monotonic()
    await runtime.stop_container(sandbox.id, 20)
    assert time.monotonic() - started < 5


async def test_claimed_warm_sandbox_is_the_pods_and_claiming_again_changes_nothing(runtime):
    warm, other = [await runtime.create_sandbox(SandboxSpec(None, "warm")) for _ in range(2)]
    assert warm.pod is None
    identity = a_pod()
    await runtime.claim_sandbox(warm.id, identity)
    await runtime.claim_sandbox(warm.id, identity)
    assert {one.id: one.pod for one in await runtime.list_sandboxes()} == {warm.id: identity, other.id: None}
    with pytest.raises(RuntimeFailure, match="already in use") as raised:
        await runtime.claim_sandbox(other.id, identity)
    assert raised.value.reason == "CreatePodSandboxError"


async def test_missing_sandbox_image_is_made_again(runtime, docker_engine):
    first = await runtime.create_sandbox(SandboxSpec(None, "warm"))
    await runtime.remove_sandbox(first.id)
    images = [image for image in await runtime.list_images() if any("longboat/pause" in tag for tag in image.tags)]
    subprocess.run(["docker", "-H", docker_engine.host, "rmi", "-f", images[0].id], check=True, capture_output=True)
    assert (await runtime.create_sandbox(SandboxSpec(None, "warm"))).running


async def test_host_network_sandbox_shares_the_hosts_namespace(runtime):
    identity = a_pod()
    sandbox = await runtime.create_sandbox(SandboxSpec(identity, "ignored", host_network=True))
    assert sandbox.host_network
    spec = dataclasses.replace(spec_of((identity, sandbox.id), "ls /sys/class/net"), host_network=True)
    assert b"lo" in await run_to_end(runtime, spec)


async def test_container_gets_command_environment_directory_and_exit_code(runtime, pod):
    spec = spec_of(pod, "echo $GREETING $(pwd) $(hostname); exit 7")
    assert await run_to_end(runtime, spec) == b"hello /tmp web\n"
    [info] = await runtime.list_containers(pod[0].uid)
    assert (info.state, info.exit_code, info.name, info.attempt) == (State.EXITED, 7, "main", 0)
    assert (info.pod, info.sandbox_id, info.spec_hash) == (pod[0], pod[1], "abc")
    assert info.created_at < info.started_at <= info.finished_at


async def test_args_alone_keep_the_images_entrypoint_and_command_alone_drops_its_arguments(runtime, pod):
    by_args = dataclasses.replace(spec_of(pod), command=None, args=("sh", "-c", "echo args"))
    assert await run_to_end(runtime, by_args) == b"args\n"
    by_command = dataclasses.replace(spec_of(pod), command=("echo", "command"), attempt=1)
    assert await run_to_end(runtime, by_command) == b"command\n"


async def test_creating_a_container_twice_finds_the_first(runtime, pod):
    spec = spec_of(pod, "sleep 60")
    first = await runtime.create_container(spec)
    assert await runtime.create_container(spec) == first
    await runtime.start_container(first)
    await runtime.start_container(first)
    assert len(await runtime.list_containers()) == 1


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (("/nope",), "no such file"),
        (("nope",), "not found in \\$PATH"),
        (("/etc",), "permission denied|is a directory"),
    ],
    ids=["absent path", "absent in PATH", "not executable"],
)
async def test_command_that_cannot_run_is_a_start_error_with_a_clean_message(runtime, pod, command, message):
    container = await runtime.create_container(dataclasses.replace(spec_of(pod), command=command))
    with pytest.raises(RuntimeFailure, match=message) as raised:
        await runtime.start_container(container)
    assert raised.value.reason == "StartError"
    assert "OCI" not in raised.value.message
    [info] = await runtime.list_containers(pod[0].uid)
    assert info.state is State.EXITED, "else it would be started for ever under one attempt"
    assert info.exit_code in (126, 127, 128)
    assert "OCI" not in info.error


async def test_mounts_are_bound_read_only_and_in_memory(runtime, pod, tmp_path):
    (tmp_path / "file").write_text("content")
    mounts = (
        Mount(str(tmp_path), "/data", read_only=True),
        Mount(str(tmp_path), "/rw"),
        Mount("", "/memory", memory=True, size_bytes=1 << 20),
    )
    script = "cat /data/file; touch /data/x 2>/dev/null || echo ' refused'; touch /rw/new; df -k /memory | tail -1"
    output = await run_to_end(runtime, dataclasses.replace(spec_of(pod, script), mounts=mounts))
    assert output.startswith(b"content refused\ntmpfs")
    assert b" 1024 " in output
    assert (tmp_path / "new").exists()


async def test_mount_of_a_path_that_is_not_there_is_refused(runtime, pod):
    spec = dataclasses.replace(spec_of(pod, "true"), mounts=(Mount("/no/such/place", "/data"),))
    with pytest.raises(RuntimeFailure, match="/no/such/place") as raised:
        await runtime.create_container(spec)
    assert raised.value.reason == "CreateContainerError"


async def test_limits_are_set_and_memory_beyond_them_is_oom_killed(runtime, pod, docker_engine):
    spec = dataclasses.replace(
        spec_of(pod, "x=a; while :; do x=$x$x; done"), resources=Resources(512, 50_000, 16 << 20)
    )
    container = await runtime.create_container(spec)
    host_config = subprocess.run(
        ["docker", "-H", docker_engine.host, "inspect", "-f",
         "{{.HostConfig.Memory}} {{.HostConfig.CpuQuota}} {{.HostConfig.CpuShares}} {{.HostConfig.LogConfig.Config}}",
         container], capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert host_config.strip() == f"{16 << 20} 50000 512 map[max-file:3 max-size:10m]"
    await runtime.start_container(container)
    async for _ in runtime.logs(container, LogOptions(follow=True)):
        pass
    [info] = await runtime.list_containers(pod[0].uid)
    assert info.oom_killed
    assert info.exit_code == 137


async def test_negative_oom_score_is_tried_and_left_out_where_the_host_refuses(runtime, pod):
    spec = dataclasses.replace(spec_of(pod, "cat /proc/self/oom_score_adj"), oom_score_adj=-997)
    assert (await run_to_end(runtime, spec)).strip() in (b"-997", b"0")
    spec = dataclasses.replace(spec_of(pod, "cat /proc/self/oom_score_adj"), oom_score_adj=1000, attempt=1)
    assert await run_to_end(runtime, spec) == b"1000\n"


async def test_hostname_of_a_container_in_a_warm_sandbox_is_the_pods(runtime):
    identity = a_pod()
    warm = await runtime.create_sandbox(SandboxSpec(None, "warm"))
    await runtime.claim_sandbox(warm.id, identity)
    spec = dataclasses.replace(spec_of((identity, warm.id), "sleep 60"), hostname="web-abc")
    container = await runtime.create_container(spec)
    await runtime.start_container(container, "web-abc")
    assert (await runtime.exec(container, ["hostname"], 10)).output == b"web-abc\n"


async def test_stop_waits_for_the_grace_and_kills_then(runtime, pod):
    polite = await runtime.create_container(spec_of(pod, "trap 'exit 3' TERM; while :; do sleep 0.1; done"))
    await runtime.start_container(polite)
    await runtime.exec(polite, ["true"], 10)
    await runtime.stop_container(polite, 30)
    stubborn = await runtime.create_container(dataclasses.replace(spec_of(pod, "trap '' TERM; sleep 60"), attempt=1))
    await runtime.start_container(stubborn)
    await runtime.stop_container(stubborn, 1)
    infos = {info.attempt: info for info in await runtime.list_containers(pod[0].uid)}
    assert (infos[0].exit_code, infos[1].exit_code) == (3, 137)
    await runtime.stop_container(stubborn, 1)


async def test_removing_what_is_gone_is_no_error(runtime):
    sandbox = await runtime.create_sandbox(SandboxSpec(None, "warm"))
    await runtime.remove_sandbox(sandbox.id)
    await runtime.remove_sandbox(sandbox.id)
    await runtime.remove_container("0" * 64)
    await runtime.stop_container("0" * 64, 1)


class TestExec:
    @pytest.fixture
    async def container(self, runtime, pod) -> str:
        made = await runtime.create_container(spec_of(pod, "sleep 600"))
        await runtime.start_container(made)
        return made

    async def test_exit_code_and_both_outputs(self, runtime, container):
        result = await runtime.exec(container, ["sh", "-c", "echo out; echo err >&2; exit 5"], 10)
        assert result.exit_code == 5
        assert sorted(result.output.split()) == [b"err", b"out"]

    async def test_output_is_cut_at_ten_kibibytes(self, runtime, container):
        result = await runtime.exec(container, ["sh", "-c", "yes | head -c 100000"], 10)
        assert (result.exit_code, len(result.output)) == (0, 10 * 1024)

    async def test_command_that_is_not_there(self, runtime, container):
        result = await runtime.exec(container, ["nope"], 10)
        assert result.exit_code in (126, 127)
        assert b"not found" in result.output

    async def test_timeout_holds_and_kills_the_command(self, runtime, container):
        started = time.monotonic()
        with pytest.raises(TimeoutError):
            await runtime.exec(container, ["sleep", "555"], 0.5)
        assert time.monotonic() - started < 5
        processes = (await runtime.exec(container, ["ps"], 10)).output
        assert b"sleep 555" not in processes

    async def test_in_a_container_that_ended_it_is_refused(self, runtime, container):
        await runtime.stop_container(container, 0)
        with pytest.raises(RuntimeFailure, match="is not running"):
            await runtime.exec(container, ["true"], 10)


@pytest.mark.parametrize(
    ("image", "reason", "message"),
    [
        ("127.0.0.1:1/none:1", "ErrImagePull", "refused"),
        ("UPPER/case", "InvalidImageName", "lower ?case"),
        ("Upper", "InvalidImageName", "lower ?case"),
        ("a b", "InvalidImageName", "white space"),
        ("https://x/y", "InvalidImageName", "scheme"),
    ],
)
async def test_image_that_cannot_be_pulled_says_why(runtime, image, reason, message):
    with pytest.raises(RuntimeFailure, match=message) as raised:
        await runtime.pull_image(image)
    assert raised.value.reason == reason
    assert await runtime.image_present(image) is None


async def test_image_on_the_host_is_found_and_a_removed_one_is_missed_at_create(runtime, pod, docker_engine):
    tag = f"longboat-test/gone:{uuid.uuid4().hex[:8]}"
    docker = ["docker", "-H", docker_engine.host]
    subprocess.run([*docker, "tag", "longboat-test/busybox:1", tag], check=True)
    found = await runtime.image_present(tag)
    assert found is not None
    assert tag in found.tags
    subprocess.run([*docker, "rmi", tag], check=True, capture_output=True)
    with pytest.raises(RuntimeFailure, match="No such image") as raised:
        await runtime.create_container(spec_of(pod, "true", image=tag))
    assert raised.value.reason == "CreateContainerError"
    assert await runtime.image_present(tag) is None


async def test_agents_on_one_daemon_see_only_their_own(runtime, docker_engine):
    await runtime.create_sandbox(SandboxSpec(None, "warm"))
    other = DockerRuntime(DockerOptions(host=docker_engine.host), "another-node")
    assert await other.list_sandboxes() == []
    assert await other.list_containers() == []
    await other.close()


async def test_restarted_agent_finds_everything_as_it_was(runtime, pod, docker_engine):
    container = await runtime.create_container(spec_of(pod, "sleep 60"))
    await runtime.start_container(container)
    again = DockerRuntime(DockerOptions(host=docker_engine.host), runtime._node)
    assert await again.list_sandboxes() == await runtime.list_sandboxes()
    assert await again.list_containers() == await runtime.list_containers()
    await again.close()


async def test_no_daemon_is_unavailable_and_says_where(tmp_path):
    runtime = DockerRuntime(DockerOptions(host=f"unix://{tmp_path}/none.sock"), "n")
    with pytest.raises(RuntimeUnavailable, match="does not answer"):
        await runtime.info()
    await runtime.close()


async def test_sandbox_gets_its_network_from_us(runtime, host_namespace):
    """A real sandbox, on the bridge of a host in another namespace."""
    network = BridgeNetwork()
    await network.setup("10.78.0.0/24")
    identity = a_pod()
    sandbox = await runtime.create_sandbox(SandboxSpec(identity, "web"))
    address = await network.attach(identity, sandbox.id, sandbox.process_id)
    spec = spec_of((identity, sandbox.id), "ip -o -4 addr show eth0; ip route")
    output = (await run_to_end(runtime, spec)).decode()
    assert f"{address}/24" in output
    assert "default via 10.78.0.1" in output
    await runtime.remove_sandbox(sandbox.id)
    await network.detach(identity, sandbox.id)
    assert await network.adopt([]) == {}
    await network.close()
