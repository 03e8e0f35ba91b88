"""Connections that an agent opens for its server, into real containers and over real TLS."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from agent.pods.finding import PodPlaces
from agent.pods.logs import PodLogs
from agent.pods.state import PodState
from agent.runtime.base import ContainerSpec, PodIdentity, SandboxSpec
from agent.runtime.docker import DockerRuntime
from agent.runtime.docker_options import DockerOptions
from agent.streams.dial import Dialler
from agent.tunnel import Tunnel
from controlplane.apiserver.streams.dialled import dial
from controlplane.apiserver.streams.hub import StreamBroken
from shared.api.errors import BadRequest, NotFound, ServiceUnavailable
from shared.dial import DIAL, Dial
from shared.work.backoff import Backoff
from shared.work.supervisor import Supervisor
from tests.link import running, until

PORT = 7070
NOBODY = 7071


class Node:
    """A node "n1" whose agent serves connections to the pods of ``states``."""

    def __init__(self, cluster, runtime):
        self.cluster, self.runtime = cluster, runtime
        self.states: dict[str, PodState] = {}

    @asynccontextmanager
    async def agent(self, **options) -> AsyncIterator[None]:
        places = PodPlaces(lambda: self.states, "127.0.0.1")
        logs = PodLogs(self.runtime, lambda: self.states)
        kinds = {DIAL: Dialler(places.find, **options).dial}
        async with self.cluster.node() as client, Supervisor() as supervisor:
            tunnel = Tunnel(client, "n1", logs, kinds=kinds, backoff=Backoff(0.05, 0.2))
            supervisor.service("tunnel", tunnel.run())
            await until(lambda: self.cluster.hub.connected("n1"))
            yield
            supervisor.stop()

    async def pod(self, name: str, script: str, *, host_network: bool = False) -> None:
        """A pod that runs ``script``."""
        identity = PodIdentity(str(uuid.uuid4()), "default", name)
        sandbox = await self.runtime.create_sandbox(SandboxSpec(identity, name, host_network))
        spec = ContainerSpec(
            pod=identity, name="c", attempt=0, sandbox_id=sandbox.id, image="longboat-test/busybox:1",
            command=("sh", "-c", script), args=None, env=(), working_dir="", mounts=(), spec_hash="",
            host_network=host_network,
        )  # fmt: skip
        await self.runtime.start_container(await self.runtime.create_container(spec))
        self.states[identity.uid] = PodState(identity, sandbox=sandbox)

    def dial(self, name: str, port: int = PORT, *, loopback: bool = True):
        [uid] = [uid for uid, state in self.states.items() if state.identity.name == name]
        return dial(self.cluster.hub, "n1", Dial("default", name, uid, port, loopback))

    @asynccontextmanager
    async def connected(self, name: str, port: int = PORT, *, loopback: bool = True):
        """A connection, as soon as the pod listens."""
        async with asyncio.timeout(20):
            while True:
                made = self.dial(name, port, loopback=loopback)
                try:
                    dialled = await made.__aenter__()
                    break
                except ServiceUnavailable:
                    await asyncio.sleep(0.05)
        try:
            yield dialled
        finally:
            await made.__aexit__(None, None, None)


@pytest.fixture
async def node(tmp_path, docker_engine, busybox_image):
    runtime = DockerRuntime(DockerOptions(host=docker_engine.host), f"node-{uuid.uuid4().hex[:8]}")
    (tmp_path / "server").mkdir()
    try:
        async with running(tmp_path / "server") as cluster:
            yield Node(cluster, runtime)
    finally:
        for container in await runtime.list_containers():
            await runtime.remove_container(container.id)
        for sandbox in await runtime.list_sandboxes():
            await runtime.remove_sandbox(sandbox.id)
        await runtime.close()


async def rest(dialled) -> bytes:
    """All that comes, to the end."""
    parts = []
    async with asyncio.timeout(20):
        while data := await dialled.read():
            parts.append(data)
    return b"".join(parts)


async def test_a_port_of_the_pods_own_loopback_is_reached_and_ends_are_passed_on_one_by_one(node):
    """The pod answers only once it has been told that the request is over."""
    await node.pod("p", f"nc -l -p {PORT} -e sh -c 'wc -c; echo bye'")
    async with node.agent(), node.connected("p") as dialled:
        await dialled.write(b"x" * 100_000)
        await dialled.write_eof()
        assert await rest(dialled) == b"100000\nbye\n"


async def test_what_is_still_sent_after_the_other_sides_end_arrives(node):
    got: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    async def peer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write_eof()
        got.set_result(await reader.read(-1))
        writer.close()

    await node.pod("h", "sleep 1000", host_network=True)
    server = await asyncio.start_server(peer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, node.agent(), node.connected("h", port) as dialled:
        assert await rest(dialled) == b""
        await dialled.write(b"y" * 300_000)
        await dialled.write_eof()
        async with asyncio.timeout(20):
            assert await got == b"y" * 300_000


async def test_a_pods_address_is_dialled_from_the_host(node):
    await node.pod("h", f"nc -l -p {PORT} -e echo hello", host_network=True)
    async with node.agent(), node.connected("h", loopback=False) as dialled:
        assert await rest(dialled) == b"hello\n"


async def test_megabytes_pass_whole_both_ways(node):
    await node.pod("p", f"nc -l -p {PORT} -e cat")
    size, piece = 8 << 20, bytes(range(256)) * 256
    async with node.agent(), node.connected("p") as dialled, Supervisor() as supervisor:

        async def send() -> None:
            for _ in range(size // len(piece)):
                await dialled.write(piece)
            await dialled.write_eof()

        supervisor.service("send", send())
        assert await rest(dialled) == piece * (size // len(piece))


async def test_a_pod_that_does_not_read_holds_the_writer_back(node):
    await node.pod("p", f"nc -l -p {PORT} -e sleep 1000")
    sent = 0
    async with node.agent(), node.connected("p") as dialled:
        with suppress(TimeoutError):
            async with asyncio.timeout(2):
                while sent < 64 << 20:
                    await dialled.write(bytes(65536))
                    sent += 65536
    assert sent < 64 << 20


async def test_a_pod_that_takes_nothing_for_too_long_is_given_up(node):
    await node.pod("p", f"nc -l -p {PORT} -e sleep 1000")
    async with node.agent(stall_seconds=0.3), node.connected("p") as dialled, Supervisor() as supervisor:

        async def flood() -> None:
            try:
                while True:
                    await dialled.write(bytes(65536))
                    await asyncio.sleep(0)  # a write waits for nothing while nobody has noticed a broken connection
            except StreamBroken:
                return

        flooding = supervisor.service("flood", flood())
        with pytest.raises(ServiceUnavailable, match=r"has taken nothing for 0\.3 s"):
            await rest(dialled)
        flooding.cancel()


async def test_a_server_that_leaves_ends_the_pods_connection(node):
    await node.pod("p", f"nc -l -p {PORT} -e sh -c 'cat > /tmp/got; echo over >> /tmp/got'; sleep 1000")
    async with node.agent():
        async with node.connected("p") as dialled:
            await dialled.write(b"some\n")
        [container] = await node.runtime.list_containers()
        async with asyncio.timeout(10):
            while (await node.runtime.exec(container.id, ("cat", "/tmp/got"), 5)).output != b"some\nover\n":
                await asyncio.sleep(0.05)


@pytest.mark.parametrize("loopback", [True, False], ids=["inside", "from the host"])
async def test_a_port_that_nobody_listens_on(node, loopback):
    await node.pod("h", "sleep 1000", host_network=True)
    async with node.agent():
        with pytest.raises(ServiceUnavailable, match=rf"dial tcp 127\.0\.0\.1:{NOBODY}: connect: connection refused"):
            async with node.dial("h", NOBODY, loopback=loopback):
                pass


async def test_a_connection_that_breaks_off_is_told_from_one_that_ends(node):
    await node.pod("p", f"nc -l -p {PORT} -e sleep 1000; sleep 1000")
    async with node.agent(), node.connected("p") as dialled:
        await dialled.write(b"unread")
        [container] = await node.runtime.list_containers()
        await node.runtime.exec(container.id, ("killall", "-9", "sleep"), 5)
        with pytest.raises(ServiceUnavailable, match="broke the connection off: connection reset by peer"):
            await rest(dialled)


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"uid": "1"}, NotFound, 'pod "p" not found on this node'),
        ({"name": "q", "uid": ""}, NotFound, 'pod "q" not found on this node'),
        ({"port": 0}, BadRequest, "0 is not a port"),
        ({"port": 65536}, BadRequest, "65536 is not a port"),
        ({"port": "x"}, BadRequest, "what to dial cannot be read"),
        ({"loopback": False}, ServiceUnavailable, 'pod "p" is not running'),
    ],
    ids=["another pod of that name", "no such name", "port too low", "port too high", "no number", "no address yet"],
)
async def test_what_cannot_be_dialled_is_refused(node, change, error, words):
    await node.pod("p", "sleep 1000")
    [uid] = node.states
    asked = {"namespace": "default", "name": "p", "uid": uid, "port": PORT, "loopback": True} | change
    async with node.agent():
        with pytest.raises(error, match=words):
            async with node.cluster.hub.stream("n1", DIAL, asked):
                pass
