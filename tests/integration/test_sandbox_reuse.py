"""Sandboxes that serve one pod after another, on a real Docker daemon: nothing of the one may reach the other."""

from __future__ import annotations

import subprocess
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from agent.namespaces import ipc_objects
from agent.runtime.base import ContainerSpec, PodIdentity, SandboxSpec
from agent.runtime.docker import DockerRuntime
from agent.runtime.docker_options import DockerOptions

SLEEP = "sleep 60"
POSIX = "touch /dev/shm/left; sleep 60"


@pytest.fixture
async def runtime(docker_engine, busybox_image) -> AsyncIterator[DockerRuntime]:
    made = DockerRuntime(DockerOptions(host=docker_engine.host), f"node-{uuid.uuid4().hex[:8]}")
    yield made
    for container in (*await made.list_containers(), *await made.list_sandboxes()):
        await made.remove_container(container.id)
    await made.close()


def a_pod() -> PodIdentity:
    return PodIdentity(str(uuid.uuid4()), "default", "web")


@asynccontextmanager
async def container(runtime: DockerRuntime, pod: PodIdentity, sandbox_id: str, command: str) -> AsyncIterator[str]:
    spec = ContainerSpec(
        pod=pod, name="main", attempt=0, sandbox_id=sandbox_id, image="longboat-test/busybox:1",
        command=("sh", "-c", command), args=None, env=(), working_dir="/", mounts=(), spec_hash="abc",
    )  # fmt: skip
    made = await runtime.create_container(spec)
    await runtime.start_container(made)
    try:
        yield made
    finally:
        await runtime.remove_container(made)


async def test_a_released_sandbox_is_warm_and_serves_the_next_pod(runtime):
    first, second = a_pod(), a_pod()
    sandbox = await runtime.create_sandbox(SandboxSpec(first, "web"))
    async with container(runtime, first, sandbox.id, SLEEP):
        pass
    released = await runtime.release_sandbox(sandbox)
    assert released is not None
    assert released.pod is None
    assert list(await runtime.list_sandboxes()) == [released]
    await runtime.claim_sandbox(sandbox.id, second)
    assert [found.pod for found in await runtime.list_sandboxes()] == [second]
    async with container(runtime, second, sandbox.id, SLEEP):
        found = await runtime.list_containers(second.uid)
        assert [info.sandbox_id for info in found] == [sandbox.id]


async def test_a_sandbox_with_shared_memory_of_its_pod_is_not_released(runtime, docker_engine):
    pod = a_pod()
    sandbox = await runtime.create_sandbox(SandboxSpec(pod, "web"))
    async with container(runtime, pod, sandbox.id, POSIX) as made:
        look = ["docker", "-H", docker_engine.host, "exec", made, "sh", "-c", "until [ -e /dev/shm/left ]; do :; done"]
        subprocess.run(look, check=True, timeout=30)
    assert await runtime.release_sandbox(sandbox) is None
    assert [found.pod for found in await runtime.list_sandboxes()] == [pod]


async def test_system_v_objects_and_queues_are_found(runtime):
    """Made from outside: busybox has no ipcmk."""
    sandbox = await runtime.create_sandbox(SandboxSpec(None, ""))
    enter = ["nsenter", "-t", str(sandbox.process_id), "--ipc"]
    assert ipc_objects(sandbox.process_id) == []
    subprocess.run([*enter, "ipcmk", "-M", "64"], check=True, capture_output=True)
    subprocess.run([*enter, "ipcmk", "-S", "1"], check=True, capture_output=True)
    subprocess.run([*enter, "ipcmk", "-Q"], check=True, capture_output=True)
    kinds = [found.split()[0] for found in ipc_objects(sandbox.process_id)]
    assert kinds == ["shm", "sem", "msg"]
    assert await runtime.release_sandbox(sandbox) is None


async def test_a_sandbox_that_ended_is_not_released(runtime, docker_engine):
    sandbox = await runtime.create_sandbox(SandboxSpec(a_pod(), "web"))
    subprocess.run(["docker", "-H", docker_engine.host, "kill", sandbox.id], check=True, capture_output=True)
    assert await runtime.release_sandbox(sandbox) is None
