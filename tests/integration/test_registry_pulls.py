"""Pulls from a real registry on loopback, and from one that accepts connections and never answers."""

from __future__ import annotations

import asyncio
import io
import socket
import subprocess
import tarfile
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from agent.host import FileSystem
from agent.image_collector import ImageCollector, Limits
from agent.runtime.base import RegistryAuth, RuntimeFailure, SandboxSpec
from agent.runtime.docker import DockerRuntime
from agent.runtime.docker_options import DockerOptions
from shared.work.clock import SystemClock
from tests.cluster import eventually, free_port

CONFIG = """\
version: 0.1
storage:
  filesystem: {{rootdirectory: {root}}}
http:
  addr: 127.0.0.1:{port}
"""
USERS = "user:$2b$05$abcdefghijklmnopqrstuuLK7U1u6pVRmL7L1BBM2aS35PSZnDXlK\n"
"""As htpasswd -B writes them; the password is ``s3cret``."""


@dataclass(frozen=True)
class Registry:
    """``address`` is loopback's, which Docker talks to without TLS."""

    address: str
    engine: str

    def push(self, name: str, content: bytes) -> str:
        """An image of one file; it is not left in the engine."""
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w") as tar:
            file = tarfile.TarInfo("content")
            file.size = len(content)
            tar.addfile(file, io.BytesIO(content))
        image = f"{self.address}/{name}"
        self._docker("import", "-", image, data=archive.getvalue())
        self._docker("push", image)
        self._docker("rmi", image)
        return image

    def _docker(self, *arguments: str, data: bytes = b"") -> None:
        subprocess.run(
            ["docker", "-H", self.engine, *arguments], input=data, check=True, capture_output=True, timeout=120
        )


@pytest.fixture
def registry(docker_engine, tmp_path: Path) -> Iterator[Registry]:
    with serving(docker_engine.host, tmp_path) as made:
        yield made


@contextmanager
def serving(engine: str, tmp_path: Path, more: str = "") -> Iterator[Registry]:
    """A registry on loopback, its images below ``tmp_path``."""
    port = free_port()
    config = tmp_path / "registry.yml"
    config.write_text(CONFIG.format(root=tmp_path / "images", port=port) + more)
    with (tmp_path / "registry.log").open("wb") as log:
        process = subprocess.Popen(["docker-registry", "serve", str(config)], stdout=log, stderr=log)

    def answers() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    try:
        eventually(answers, "the registry answers", timeout=30)
        yield Registry(f"127.0.0.1:{port}", engine)
    finally:
        process.terminate()
        process.wait(10)


@pytest.fixture
async def runtime(docker_engine) -> AsyncIterator[DockerRuntime]:
    made = DockerRuntime(DockerOptions(host=docker_engine.host), f"node-{uuid.uuid4().hex[:8]}")
    yield made
    for sandbox in await made.list_sandboxes():
        await made.remove_sandbox(sandbox.id)
    await made.close()


@pytest.fixture
def silent_registry() -> Iterator[str]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield f"127.0.0.1:{listener.getsockname()[1]}"


async def test_an_image_is_pulled_by_tag_and_by_digest(runtime, registry):
    image = await asyncio.to_thread(registry.push, "web:1", uuid.uuid4().bytes)
    assert await runtime.image_present(image) is None
    pulled = await runtime.pull_image(image)
    assert image in pulled.tags
    [digest] = pulled.digests
    registry._docker("rmi", "-f", pulled.id)
    assert (await runtime.pull_image(digest)).id == pulled.id


async def test_a_pull_that_failed_succeeds_once_the_image_is_there(runtime, registry):
    with pytest.raises(RuntimeFailure, match=r"not found|manifest unknown") as raised:
        await runtime.pull_image(f"{registry.address}/late:1")
    assert raised.value.reason == "ErrImagePull"
    image = await asyncio.to_thread(registry.push, "late:1", uuid.uuid4().bytes)
    assert (await runtime.pull_image(image)).tags == (image,)


async def test_a_tag_that_moved_is_pulled_anew(runtime, registry):
    image = await asyncio.to_thread(registry.push, "moving:1", uuid.uuid4().bytes)
    before = await runtime.pull_image(image)
    await asyncio.to_thread(registry.push, "moving:1", uuid.uuid4().bytes)
    assert (await runtime.pull_image(image)).id != before.id


async def test_nothing_waits_for_pulls_that_hang(runtime, silent_registry):
    pulls = [asyncio.create_task(runtime.pull_image(f"{silent_registry}/{n}:1")) for n in range(8)]
    try:
        async with asyncio.timeout(30):
            sandbox = await runtime.create_sandbox(SandboxSpec(None, ""))
            assert [found.id for found in await runtime.list_sandboxes()] == [sandbox.id]
            assert not any(pull.done() for pull in pulls)
    finally:
        for pull in pulls:
            pull.cancel()
        await asyncio.gather(*pulls, return_exceptions=True)


async def test_images_that_were_pulled_and_are_unused_go_and_those_of_others_stay(runtime, registry, tmp_path):
    names = [await asyncio.to_thread(registry.push, f"{name}:1", uuid.uuid4().bytes) for name in ("a", "b", "theirs")]
    in_use: set[str] = set()
    folder = tmp_path / "agent"
    folder.mkdir()
    clock = SystemClock()
    collector = ImageCollector(runtime, folder, lambda: in_use, lambda: FileSystem(100, 0), clock, Limits(85, 80, 0))
    for name in names[:2]:
        await collector.pulled(name, await runtime.pull_image(name))
    theirs = await runtime.pull_image(names[2])
    b = await runtime.image_present(names[1])
    assert b is not None
    in_use.add(b.id)
    assert await collector.collect(everything=True) > 0
    present = {image.id for image in await runtime.list_images()}
    assert await runtime.image_present(names[0]) is None
    assert {b.id, theirs.id} <= present
    holder = f"holds-{uuid.uuid4().hex[:8]}"
    registry._docker("create", "--name", holder, names[1], "/content")
    in_use.clear()
    try:
        assert await collector.collect(everything=True) == 0, "a container is made of it"
    finally:
        registry._docker("rm", holder)
    registry._docker("rmi", "-f", theirs.id, b.id)


async def test_a_private_image_is_pulled_by_who_may(docker_engine, runtime, registry, tmp_path):
    image = await asyncio.to_thread(registry.push, "private:1", uuid.uuid4().bytes)
    (tmp_path / "users").write_text(USERS)
    guarded = f"auth:\n  htpasswd: {{realm: test, path: {tmp_path / 'users'}}}\n"
    with serving(docker_engine.host, tmp_path, guarded) as private:
        image = image.replace(registry.address, private.address)
        for auth in (None, RegistryAuth("user", "wrong")):
            with pytest.raises(RuntimeFailure) as raised:
                await runtime.pull_image(image, auth)
            assert raised.value.reason == "ErrImagePull"
            assert "wrong" not in raised.value.message
        assert (await runtime.pull_image(image, RegistryAuth("user", "s3cret"))).tags == (image,)
