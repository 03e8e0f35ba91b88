"""Logs through the tunnel that the agent opens: agent and server over real TLS."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime

import pytest

from agent.tunnel import Tunnel
from shared.api.errors import (
    BadRequest,
    Forbidden,
    NotFound,
    ServiceUnavailable,
    Timeout,
    TooManyRequests,
)
from shared.api.kinds import PODS
from shared.streams import STREAM_PROTOCOL, TUNNEL_PROTOCOL
from shared.work.backoff import Backoff
from shared.work.supervisor import Supervisor
from tests.link import running, until


@pytest.fixture
async def cluster(tmp_path):
    (tmp_path / "server").mkdir()
    async with running(tmp_path / "server") as found:
        yield found


class Logs:
    """A source that answers by the container's name."""

    def __init__(self):
        self.asked, self.open, self.sent = [], 0, 0
        self.more = asyncio.Event()

    async def logs(self, namespace, name, uid, container, options):
        self.asked.append((namespace, name, uid, container, options))
        self.open += 1
        try:
            if container == "refused":
                raise BadRequest("no such log")
            if container == "broken":
                yield b"some"
                raise OSError("disk")
            if container == "endless":
                while True:
                    self.sent += 1
                    yield b"x" * 65536
            yield b"line one\n"
            if options.follow:
                await self.more.wait()
                yield b"line two\n"
            if container == "large":
                for number in range(40):
                    yield bytes([65 + number % 26]) * 100_000
        finally:
            self.open -= 1


CONTAINERS = ("main", "refused", "broken", "endless", "large")


@pytest.fixture
async def tunnel(cluster):
    """A connected agent of n1, and a pod of its."""
    pod = {
        "kind": "Pod", "apiVersion": "v1", "metadata": {"name": "p", "namespace": "default"},
        "spec": {"nodeName": "n1", "containers": [{"name": name, "image": "i"} for name in CONTAINERS]},
    }  # fmt: skip
    await cluster.local.create(PODS, pod, "default")
    started = [{"name": n, "image": "i", "imageID": "", "ready": True, "restartCount": 0,
                "state": {"running": {}}} for n in CONTAINERS]  # fmt: skip
    status = {"status": {"phase": "Running", "containerStatuses": started}}
    await cluster.local.patch(PODS, "p", status, "default", subresource="status")
    logs = Logs()
    async with cluster.node() as client, Supervisor() as supervisor:
        agent = Tunnel(client, "n1", logs, backoff=Backoff(0.05, 0.2))
        supervisor.service("tunnel", agent.run())
        await until(lambda: cluster.hub.connected("n1"))
        yield logs, client
        supervisor.stop()


PATH = "/api/v1/namespaces/default/pods/p/log"


async def test_a_log_comes_through(cluster, tunnel):
    logs, _ = tunnel
    async with cluster.client() as admin:
        data = await admin.request(
            "GET", PATH, accept="*/*",
            params={"container": "main", "tailLines": "5", "timestamps": "true", "sinceTime": "2026-01-01T00:00:00Z"},
        )  # fmt: skip
    assert data == b"line one\n"
    namespace, name, uid, container, options = logs.asked[0]
    assert (namespace, name, container) == ("default", "p", "main")
    assert uid == (await cluster.local.get(PODS, "p", "default")).metadata.uid
    assert (options.tail_lines, options.timestamps, options.follow, options.previous) == (5, True, False, False)
    assert options.since == datetime(2026, 1, 1, tzinfo=UTC)


async def test_a_large_log_is_whole(cluster, tunnel):
    async with cluster.client() as admin:
        data = await admin.request("GET", PATH, params={"container": "large"}, accept="*/*")
    assert len(data) == 9 + 40 * 100_000
    assert data.endswith(b"N" * 100_000)


async def test_limit_bytes_holds_whatever_the_agent_sends(cluster, tunnel):
    logs, _ = tunnel
    async with cluster.client() as admin:
        data = await admin.request("GET", PATH, params={"container": "endless", "limitBytes": "100001"}, accept="*/*")
    assert len(data) == 100_001
    await until(lambda: logs.open == 0)


async def test_follow_goes_on_until_the_source_ends(cluster, tunnel):
    logs, _ = tunnel
    async with cluster.client() as admin, admin.stream(PATH, params={"container": "main", "follow": "true"}) as pieces:
        assert await anext(pieces) == b"line one\n"
        logs.more.set()
        assert [piece async for piece in pieces] == [b"line two\n"]


async def test_a_client_that_leaves_ends_the_agents_work(cluster, tunnel):
    logs, _ = tunnel
    async with cluster.client() as admin, admin.stream(PATH, params={"container": "main", "follow": "1"}) as pieces:
        await anext(pieces)
        assert logs.open == 1
    await until(lambda: logs.open == 0)


async def test_a_slow_reader_slows_the_agent_down(cluster, tunnel):
    """Nothing buffers without end: a source that could send gigabytes is not read on."""
    logs, _ = tunnel
    async with cluster.client() as admin, admin.stream(PATH, params={"container": "endless"}) as pieces:
        await anext(pieces)
        before = -1
        async with asyncio.timeout(20):
            while before != logs.sent:  # until it stands still
                before = logs.sent
                await asyncio.sleep(0.3)
        assert before * 65536 < 64 << 20
    await until(lambda: logs.open == 0)


async def test_a_refusal_of_the_agent_is_the_answer(cluster, tunnel):
    async with cluster.client() as admin:
        with pytest.raises(BadRequest, match="no such log"):
            await admin.request("GET", PATH, params={"container": "refused"}, accept="*/*")


async def test_a_log_that_breaks_is_not_taken_for_whole(cluster, tunnel):
    async with cluster.client() as admin:
        with pytest.raises(ServiceUnavailable, match="broke"):
            await admin.request("GET", PATH, params={"container": "broken"}, accept="*/*")


async def test_what_kubernetes_refuses_is_refused(cluster, tunnel):
    async with cluster.client() as admin:
        with pytest.raises(BadRequest, match=r"choose one of: \[main refused broken endless large\]"):
            await admin.request("GET", PATH)
        with pytest.raises(NotFound, match='pods "q" not found'):
            await admin.request("GET", PATH.replace("/p/", "/q/"))


async def test_a_hundred_streams_at_a_time_and_no_more(cluster, tunnel):
    logs, _ = tunnel
    async with cluster.client() as admin:
        query = {"container": "main", "follow": "true"}

        async def one():
            async with admin.stream(PATH, params=query) as pieces:
                return b"".join([piece async for piece in pieces])

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one()) for _ in range(100)]
            await until(lambda: logs.open == 100, 30)
            with pytest.raises(TooManyRequests):
                await admin.request("GET", PATH, params=query)
            logs.more.set()
        assert {task.result() for task in tasks} == {b"line one\nline two\n"}


async def test_a_node_without_its_agent_is_unavailable(cluster, tunnel):
    pod = {
        "kind": "Pod", "apiVersion": "v1", "metadata": {"name": "lost", "namespace": "default"},
        "spec": {"nodeName": "n9", "containers": [{"name": "c", "image": "i"}]},
    }  # fmt: skip
    await cluster.local.create(PODS, pod, "default")
    ran = [{"name": "c", "image": "i", "imageID": "", "ready": True, "restartCount": 0, "state": {"running": {}}}]
    await cluster.local.patch(PODS, "lost", {"status": {"containerStatuses": ran}}, "default", subresource="status")
    async with cluster.client() as admin:
        with pytest.raises(ServiceUnavailable, match='the agent of node "n9" is not connected'):
            await admin.request("GET", PATH.replace("/p/", "/lost/"))


async def test_an_agent_that_does_not_dial_back_is_a_timeout(cluster):
    cluster.hub._timeout = 0.2
    async with (
        cluster.node() as client,
        client.websocket("/apis/longboat.dev/v1/nodes/n1/tunnel", protocol=TUNNEL_PROTOCOL),
    ):
        await until(lambda: cluster.hub.connected("n1"))
        with pytest.raises(Timeout, match=r"did not answer within 0\.2 s"):
            async with cluster.hub.stream("n1", "log", {}):
                pytest.fail("nobody dialled back")


async def test_an_agent_that_goes_away_meanwhile_is_told_at_once(cluster):
    async with cluster.node() as client:
        async with client.websocket("/apis/longboat.dev/v1/nodes/n1/tunnel", protocol=TUNNEL_PROTOCOL) as control:
            await until(lambda: cluster.hub.connected("n1"))

            async def ask():
                async with cluster.hub.stream("n1", "log", {}):
                    pytest.fail("nobody dialled back")

            task = asyncio.ensure_future(ask())
            await control.receive()
        with pytest.raises(ServiceUnavailable, match="has just gone"):
            await task
    await until(lambda: not cluster.hub.connected("n1"))


async def test_a_stream_is_given_to_the_node_that_was_asked_and_once(cluster):
    async with (
        cluster.node("n1") as one,
        cluster.node("n2") as two,
        one.websocket("/apis/longboat.dev/v1/nodes/n1/tunnel", protocol=TUNNEL_PROTOCOL) as control,
    ):
        await until(lambda: cluster.hub.connected("n1"))

        async def ask():
            async with cluster.hub.stream("n1", "log", {}) as stream:
                return [piece async for piece in stream]

        task = asyncio.ensure_future(ask())
        id = json.loads((await control.receive()).data)["stream"]

        async def refused(client, node, error):
            with pytest.raises(error):
                async with client.websocket(f"/apis/longboat.dev/v1/nodes/{node}/streams/{id}", protocol="any"):
                    pytest.fail("let in")

        await refused(two, "n1", Forbidden)
        await refused(two, "n2", NotFound)
        async with one.websocket(f"/apis/longboat.dev/v1/nodes/n1/streams/{id}", protocol=STREAM_PROTOCOL) as socket:
            await socket.send_bytes(b"data")
            await refused(one, "n1", NotFound)
            await socket.send_str('{"type":"end"}')
            assert await task == [b"data"]


async def test_an_unknown_kind_of_stream_is_refused(cluster, tunnel):
    with pytest.raises(BadRequest, match="does not serve streams of kind 'teleport'"):
        async with cluster.hub.stream("n1", "teleport", {}):
            pytest.fail("served")


async def test_the_tunnel_comes_back_after_reconnect(cluster, tunnel):
    _, client = tunnel
    before = cluster.hub._tunnels["n1"]
    await client.reconnect()
    await until(lambda: cluster.hub._tunnels.get("n1") not in (None, before))
    async with cluster.client() as admin:
        assert await admin.request("GET", PATH, params={"container": "main"}, accept="*/*") == b"line one\n"


async def test_nobody_opens_anothers_tunnel(cluster):
    async with cluster.node("n2") as client:
        with pytest.raises(Forbidden):
            async with client.websocket("/apis/longboat.dev/v1/nodes/n1/tunnel", protocol=TUNNEL_PROTOCOL):
                pytest.fail("let in")
