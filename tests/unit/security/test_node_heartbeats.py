"""Heartbeats on a real store: the Lease object lives as long as they come."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from controlplane.apiserver.heartbeats import HeartbeatSettings, NodeHeartbeats, lease_key, stretched
from controlplane.store.base import Delete
from controlplane.store.sqlite import SqliteStore
from shared import codec
from shared.api.errors import NotFound, ServiceUnavailable
from shared.work.clock import FakeClock

QUICK = HeartbeatSettings(interval=0.05, factor=4, rate=100)


class Nodes:
    def __init__(self, *names):
        self.names, self.extra, self.ready, self.gone = set(names), 0, "True", False

    def node(self, name):
        if name not in self.names:
            return None
        return {"metadata": {"name": name}, "status": {"conditions": [{"type": "Ready", "status": self.ready}]}}

    def node_count(self):
        return len(self.names) + self.extra

    def lease_is_gone(self, name, revision):
        return self.gone


@pytest.fixture
async def store(tmp_path):
    opened = await SqliteStore.open(tmp_path)
    yield opened
    await opened.close()


async def lease(store, node="n1"):
    found = await store.get(lease_key(node))
    return codec.decode(found.value) if found else None


async def test_the_first_heartbeat_makes_the_lease_object(store):
    clock = FakeClock(datetime(2026, 3, 1, tzinfo=UTC))
    answer = await NodeHeartbeats(store, Nodes("n1"), HeartbeatSettings(), clock).beat("n1")
    assert (answer.interval_seconds, answer.ttl_seconds, answer.ready) == (1.0, 4.0, "True")
    found = await lease(store)
    assert list(found)[:3] == ["kind", "apiVersion", "metadata"]
    assert found["metadata"].pop("uid")
    assert found == {
        "kind": "Lease",
        "apiVersion": "coordination.k8s.io/v1",
        "metadata": {"name": "n1", "namespace": "kube-node-lease", "creationTimestamp": "2026-03-01T00:00:00Z"},
        "spec": {
            "holderIdentity": "n1",
            "leaseDurationSeconds": 4,
            "acquireTime": "2026-03-01T00:00:00.000000Z",
            "renewTime": "2026-03-01T00:00:00.000000Z",
        },
    }


async def test_a_lease_object_that_somebody_deletes_is_written_again(store):
    nodes = Nodes("n1")
    beats = NodeHeartbeats(store, nodes, QUICK)
    await beats.beat("n1")
    await store.txn([], [Delete(lease_key("n1"))])
    nodes.gone = True
    await beats.beat("n1")
    nodes.gone = False
    assert await lease(store)
    async with asyncio.timeout(20):
        while await lease(store):  # it ends with its heartbeats, as before
            await asyncio.sleep(0.02)


async def test_later_heartbeats_write_nothing(store):
    beats = NodeHeartbeats(store, Nodes("n1"), HeartbeatSettings())
    await beats.beat("n1")
    before = await store.revision()
    for _ in range(5):
        await beats.beat("n1")
    assert await store.revision() == before


async def gone(store):
    """Until the Lease object is deleted, as a watch tells."""
    async for changes in store.watch(lease_key("n1")):
        if any(change.value is None for change in changes):
            return


async def test_when_heartbeats_stop_the_lease_object_goes_and_a_new_one_comes_back(store):
    beats = NodeHeartbeats(store, Nodes("n1"), QUICK)
    async with asyncio.timeout(10):
        waiting = gone(store)
        await beats.beat("n1")
        before = await lease(store)
        await waiting
    assert await lease(store) is None
    await beats.beat("n1")
    assert (await lease(store))["metadata"]["uid"] != before["metadata"]["uid"]


async def test_after_a_restart_the_old_lease_takes_nothing_with_it(store):
    """A new server knows no lease: it takes another and the object keeps its identity past the old one's end."""
    await NodeHeartbeats(store, Nodes("n1"), QUICK).beat("n1")
    first = await lease(store)
    after = NodeHeartbeats(store, Nodes("n1"), QUICK)
    for _ in range(12):  # 0.6 s: three times the TTL of the old lease
        await after.beat("n1")
        await asyncio.sleep(0.05)
        assert (await lease(store))["metadata"]["uid"] == first["metadata"]["uid"]
    assert (await lease(store))["spec"]["acquireTime"] == first["spec"]["acquireTime"]


async def test_an_unknown_node_must_register(store):
    nodes = Nodes()
    beats = NodeHeartbeats(store, nodes, HeartbeatSettings())
    with pytest.raises(NotFound, match='nodes "n1" not found'):
        await beats.beat("n1")
    assert await lease(store) is None


async def test_many_at_once_of_one_node_leave_one_lease_that_lives(store):
    beats = NodeHeartbeats(store, Nodes("n1"), QUICK)
    await asyncio.gather(*(beats.beat("n1") for _ in range(20)))
    revision = await store.revision()
    for _ in range(10):
        await beats.beat("n1")
        await asyncio.sleep(0.04)
    assert await store.revision() == revision


async def test_a_closed_store_is_unavailable(store):
    beats = NodeHeartbeats(store, Nodes("n1"), HeartbeatSettings())
    await store.close()
    with pytest.raises(ServiceUnavailable):
        await beats.beat("n1")


async def test_a_longer_ttl_is_taken_at_once_and_a_shorter_one_only_for_a_clear_difference(store):
    nodes = Nodes("n1")
    beats = NodeHeartbeats(store, nodes, HeartbeatSettings())
    seen = []
    for others in (0, 100, 99, 140, 500, 0):
        nodes.extra = others
        answer = await beats.beat("n1")
        seen.append((answer.interval_seconds, answer.ttl_seconds))
    assert seen == [(1, 4), (1.25, 5), (1.25, 5), (1.5625, 6.25), (1.25**8, 4 * 1.25**8), (1, 4)]


@pytest.mark.parametrize("nodes", [0, 1, 100, 101, 125, 126, 1000, 5000])
def test_the_interval_keeps_to_the_rate(nodes):
    interval = stretched(HeartbeatSettings(), nodes)
    assert interval >= 1.0
    assert nodes / interval <= 100.0 + 1e-6
    assert nodes <= 100 or interval <= nodes / 100 * 1.25 + 1e-6
    assert (interval == 1.0) == (nodes <= 100)
