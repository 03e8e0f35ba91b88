"""The node registers and its heartbeats keep it: agent and server over real TLS."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from agent.heartbeat import Heartbeat
from agent.node import EXTENDED, NodeError, NodeRegistration
from agent.runtime.base import EngineInfo, Image, RuntimeUnavailable
from shared.api.errors import (
    Forbidden,
)
from shared.api.kinds import LEASES, NODE_LEASE_NAMESPACE, NODES
from shared.work.clock import FakeClock
from tests.link import running


@pytest.fixture
async def cluster(tmp_path):
    (tmp_path / "server").mkdir()
    async with running(tmp_path / "server") as found:
        yield found


@pytest.fixture
def home(tmp_path):
    return tmp_path / "agent"


class Engine:
    def __init__(self):
        self.down = ""

    async def info(self):
        if self.down:
            raise RuntimeUnavailable(self.down)
        return EngineInfo(
            "20.10", "1.41", "linux", "x86_64", "6.1", "Debian", 2, 4 << 30, "overlay2", "2", "/nonexistent"
        )

    async def list_images(self):
        return [Image("sha256:1", ("busybox:1",), ("busybox@sha256:1",), 1_000_000)]


@pytest.fixture
async def registration(cluster, home):
    home.mkdir()
    async with cluster.node() as client:
        yield NodeRegistration(
            client, "n1", Engine(), server_url=cluster.url, data_dir=home, labels={"rack": "7"}, version="0.1"
        )


async def ready_of(cluster):
    node = await cluster.local.get(NODES, "n1")
    return next(((c.status, c.message) for c in node.status.conditions if c.type == "Ready"), None)


async def test_a_node_registers_and_tells_what_it_is(cluster, registration):
    await registration.register()
    node = await cluster.local.get(NODES, "n1")
    assert node.metadata.labels == {
        "rack": "7", "kubernetes.io/hostname": "n1", "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64",
    }  # fmt: skip
    assert node.status.capacity["pods"] == "110"
    assert {a.type for a in node.status.addresses} == {"InternalIP", "Hostname"}
    assert (await ready_of(cluster))[0] == "False"
    registration.network_is("")
    assert await registration.sync()
    assert (await ready_of(cluster))[0] == "True"
    assert not await registration.sync()


async def test_registering_again_repairs_labels_and_leaves_the_rest(cluster, registration):
    await registration.register()
    await cluster.local.patch(NODES, "n1", {"metadata": {"labels": {"rack": "9", "mine": "x"}}})
    await registration.register()
    labels = (await cluster.local.get(NODES, "n1")).metadata.labels
    assert (labels["rack"], labels["mine"]) == ("7", "x")


async def test_an_engine_that_is_down_makes_the_node_not_ready(cluster, registration):
    await registration.register()
    registration.network_is("")
    registration._engine.down = "connection refused"
    await registration.sync()
    assert await ready_of(cluster) == ("False", "container runtime is down: connection refused")
    registration._engine.down = ""
    await registration.sync()
    assert (await ready_of(cluster))[0] == "True"


async def test_a_node_that_the_server_called_unknown_says_that_it_is_ready(cluster, registration):
    await registration.register()
    registration.network_is("")
    await registration.sync()
    unknown = {"status": {"conditions": [{"type": "Ready", "status": "Unknown", "reason": "NodeStatusUnknown"}]}}
    await cluster.local.patch(NODES, "n1", unknown, subresource="status")
    async with cluster.node() as client:
        heartbeat = Heartbeat(client, "n1", on_missing=registration.register, on_ready=registration.server_says)
        task = cluster.supervisor.spawn("node", registration.run())
        assert await heartbeat.beat()
        assert heartbeat.interval == pytest.approx(0.1)
        async with asyncio.timeout(5):
            while (await ready_of(cluster))[0] != "True":
                await asyncio.sleep(0.01)
        task.cancel()


async def test_a_node_that_was_deleted_registers_with_the_next_heartbeat(cluster, registration):
    await registration.register()
    await cluster.local.delete(NODES, "n1")
    async with cluster.node() as client:
        heartbeat = Heartbeat(client, "n1", on_missing=registration.register)
        assert not await heartbeat.beat()
        assert await heartbeat.beat()
    assert await cluster.local.get(NODES, "n1")


async def test_a_nodes_lease_that_somebody_deletes_comes_back_with_a_heartbeat(cluster, registration):
    await registration.register()
    async with cluster.node() as client:
        heartbeat = Heartbeat(client, "n1", on_missing=registration.register)
        assert await heartbeat.beat()
        first = await cluster.local.get(LEASES, "n1", NODE_LEASE_NAMESPACE)
        await cluster.local.delete(LEASES, "n1", NODE_LEASE_NAMESPACE)
        async with asyncio.timeout(20):
            while not (await cluster.local.list(LEASES, NODE_LEASE_NAMESPACE)).items:
                assert await heartbeat.beat()
    again = await cluster.local.get(LEASES, "n1", NODE_LEASE_NAMESPACE)
    assert again.metadata.uid != first.metadata.uid


async def test_a_node_may_beat_for_itself_only(cluster, registration):
    await registration.register()
    async with cluster.node("n2") as client:
        with pytest.raises(Forbidden, match="nodes/heartbeat"):
            await client.request("POST", "/apis/longboat.dev/v1/nodes/n1/heartbeat", body=b"{}")


async def test_the_pod_cidr_is_waited_for(cluster, registration):
    await registration.register()
    told = []
    with pytest.raises(NodeError, match="no pod CIDR within"):
        await registration.wait_for_pod_cidr(2, told.append)
    assert told == ["waiting for a pod CIDR for node n1"]
    await cluster.local.patch(NODES, "n1", {"spec": {"podCIDR": "10.42.0.0/24", "podCIDRs": ["10.42.0.0/24"]}})
    assert await registration.wait_for_pod_cidr(5) == "10.42.0.0/24"


async def test_resources_that_an_administrator_gives_a_node_are_offered_until_they_are_taken_away(cluster, home):
    home.mkdir()
    clock = FakeClock(datetime.now(UTC))

    async def dongles(told):
        capacity = {"status": {"capacity": {"example.com/dongle": told}}}
        await cluster.local.patch(NODES, "n1", capacity, subresource="status")
        clock.advance(EXTENDED)
        await registration.sync()
        return (await cluster.local.get(NODES, "n1")).status.allocatable.get("example.com/dongle")

    async with cluster.node() as client:
        registration = NodeRegistration(
            client, "n1", Engine(), server_url=cluster.url, data_dir=home, version="0.1", clock=clock
        )
        await registration.register()
        assert await dongles("4") == "4"
        assert await dongles("2") == "2"
        assert await dongles(None) is None
