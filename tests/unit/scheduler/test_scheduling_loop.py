"""The scheduling loop on the API's real verbs over a real store; only agents are missing."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from controlplane.apiserver.api import ApiServer
from controlplane.apiserver.kinds.table import KINDS
from controlplane.apiserver.local_client import LocalClient
from controlplane.controllers.base import Context
from controlplane.controllers.events import Recorder
from controlplane.controllers.informers import SharedInformers
from controlplane.scheduler.loop import Scheduler
from controlplane.store.sqlite import SqliteStore
from shared.api.errors import Conflict, ServiceUnavailable
from shared.api.kinds import EVENTS, NAMESPACES, NODES, PODS
from shared.api.pod import Pod
from shared.work.clock import SystemClock
from shared.work.supervisor import Supervisor


class Cluster:
    """A server without agents."""

    def __init__(self, client: LocalClient, informers: SharedInformers, recorder: Recorder) -> None:
        self.client, self.informers, self.recorder = client, informers, recorder
        self.pods = informers.cache(PODS)

    async def node(self, name: str, cpu: str = "4", **spec: Any) -> None:
        allocatable = {"cpu": cpu, "memory": "8Gi", "pods": "110"}
        await self.client.create(NODES, {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}, "spec": spec})
        # Admission has tainted it as not ready; its agent and the node controller would take that off.
        status = {"capacity": allocatable, "allocatable": allocatable}
        await self.client.patch(NODES, name, {"status": status}, subresource="status")
        await self.client.patch(NODES, name, {"spec": {"taints": None}})

    async def pod(self, name: str, cpu: str = "100m", **spec: Any) -> None:
        container = {"name": "c", "image": "i", "resources": {"requests": {"cpu": cpu}}}
        tree = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name},
            "spec": {"containers": [container], **spec},
        }
        await self.client.create(PODS, tree, "default")

    async def until(self, condition: Callable[[], Any], seconds: float = 10.0) -> None:
        changed = asyncio.Event()
        self.pods.add_handler(lambda old, new: changed.set())
        try:
            async with asyncio.timeout(seconds):
                while not condition():
                    changed.clear()
                    await changed.wait()
        except TimeoutError:
            state = [f"{p.key} on {p.spec.node_name or '-'}: {self.reason(p.metadata.name)}" for p in self.pods]
            raise AssertionError(f"not within {seconds} s: {state}") from None

    def where(self, name: str) -> str:
        pod = self.pods.get(name, "default")
        return pod.spec.node_name if pod is not None else ""

    def bound(self) -> dict[str, str]:
        return {pod.metadata.name: pod.spec.node_name for pod in self.pods if pod.spec.node_name}

    def reason(self, name: str) -> tuple[str, str, str]:
        pod = self.pods.get(name, "default")
        conditions = pod.status.conditions if pod is not None else ()
        found = next((c for c in conditions if c.type == "PodScheduled"), None)
        return (found.status, found.reason, found.message) if found else ("", "", "")

    async def events(self, reason: str) -> list[str]:
        await self.recorder.flush()
        return [e.message for e in (await self.client.list(EVENTS, "default")).items if e.reason == reason]


class Faulty:
    """A client whose next bindings fail as told; everything else is the real one."""

    def __init__(self, client: LocalClient) -> None:
        self._client = client
        self.calls: list[int] = []
        self.failures: list[Any] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    async def bind(self, bindings):
        self.calls.append(len(bindings))
        failure = self.failures.pop(0) if self.failures else None
        if isinstance(failure, BaseException):
            raise failure
        outcomes = list(await self._client.bind(bindings))
        return failure(outcomes) if failure else outcomes


@pytest.fixture
async def faulty_and_cluster(tmp_path: Path) -> AsyncIterator[tuple[Faulty, Cluster]]:
    store = await SqliteStore.open(tmp_path)
    api = ApiServer(store, KINDS)
    async with Supervisor() as supervisor:
        supervisor.service("api", api.run())
        await api.ready()
        local = LocalClient(api)
        await local.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "default"}})
        client, informers, clock = Faulty(local), SharedInformers(local), SystemClock()
        recorder = Recorder(local, clock, "default-scheduler")
        scheduler = Scheduler(Context(client, informers, clock, recorder))
        cluster = Cluster(local, informers, recorder)
        informers.start(supervisor)
        supervisor.service("recorder", recorder.run())
        supervisor.service("scheduler", scheduler.run())
        await informers.synced()
        yield client, cluster
        api.close()
        supervisor.stop()
    await store.close()


@pytest.fixture
def cluster(faulty_and_cluster):
    return faulty_and_cluster[1]


@pytest.fixture
def faulty(faulty_and_cluster):
    return faulty_and_cluster[0]


async def test_pending_pods_are_spread_bound_and_told_of(cluster):
    for name in "abc":
        await cluster.node(name)
    for number in range(9):
        await cluster.pod(f"p{number}")
    await cluster.until(lambda: len(cluster.bound()) == 9)
    assert Counter(cluster.bound().values()) == {"a": 3, "b": 3, "c": 3}
    assert cluster.reason("p0")[0] == "True"
    assert f"Successfully assigned default/p0 to {cluster.where('p0')}" in await cluster.events("Scheduled")


async def test_a_pod_that_fits_nowhere_says_why_and_is_placed_when_a_node_comes(cluster):
    await cluster.node("small", cpu="1")
    await cluster.node("closed", unschedulable=True)
    await cluster.pod("big", cpu="3")
    text = "0/2 nodes are available: 1 Insufficient cpu, 1 node(s) were unschedulable."
    await cluster.until(lambda: cluster.reason("big") == ("False", "Unschedulable", text))
    assert await cluster.events("FailedScheduling") == [text]
    await cluster.node("large")
    await cluster.until(lambda: cluster.where("big") == "large")
    assert cluster.reason("big")[0] == "True"


async def test_uncordoning_and_a_pod_that_ends_make_room(cluster):
    await cluster.node("a", cpu="1", unschedulable=True)
    await cluster.pod("first", cpu="800m")
    await cluster.until(lambda: cluster.reason("first")[0] == "False")
    await cluster.client.patch(NODES, "a", {"spec": {"unschedulable": False}})
    await cluster.until(lambda: cluster.where("first") == "a")
    await cluster.pod("second", cpu="800m")
    await cluster.until(lambda: cluster.reason("second")[0] == "False")
    await cluster.client.patch(PODS, "first", {"status": {"phase": "Succeeded"}}, "default", subresource="status")
    await cluster.until(lambda: cluster.where("second") == "a")
    await cluster.pod("third", cpu="800m")
    await cluster.until(lambda: cluster.reason("third")[0] == "False")
    await cluster.client.delete(PODS, "second", "default", grace_period_seconds=0)
    await cluster.until(lambda: cluster.where("third") == "a")


async def test_no_room_is_given_away_twice_in_a_burst(cluster):
    for name in "ab":
        await cluster.node(name, cpu="1")
    await asyncio.gather(*(cluster.pod(f"p{number}", cpu="300m") for number in range(20)))
    await cluster.until(lambda: len(cluster.bound()) == 6)
    await cluster.until(lambda: sum(cluster.reason(f"p{n}")[0] == "False" for n in range(20)) == 14)
    assert Counter(cluster.bound().values()) == {"a": 3, "b": 3}


async def test_equal_pods_of_a_burst_are_bound_in_few_calls(cluster, faulty):
    await cluster.node("a", cpu="64")
    await asyncio.gather(*(cluster.pod(f"p{number}") for number in range(100)))
    await cluster.until(lambda: len(cluster.bound()) == 100)
    assert sum(faulty.calls) == 100
    assert len(faulty.calls) <= 30


@pytest.mark.parametrize(
    "spec",
    [
        {"schedulerName": "another"},
        {"schedulingGates": [{"name": "example.com/wait"}]},
        {"nodeName": "b"},
    ],
    ids=["another scheduler's", "gated", "bound by its maker"],
)
async def test_pods_that_are_not_ours_are_left_alone(cluster, faulty, spec):
    await cluster.node("a")
    await cluster.pod("other", **spec)
    await cluster.pod("ours")
    await cluster.until(lambda: cluster.where("ours") == "a")  # which came later, so the other was looked at
    assert cluster.where("other") == spec.get("nodeName", "")
    assert faulty.calls == [1]


async def test_a_gate_that_is_lifted_lets_the_pod_in(cluster):
    await cluster.node("a")
    await cluster.pod("gated", schedulingGates=[{"name": "example.com/wait"}])
    await cluster.pod("later")
    await cluster.until(lambda: cluster.where("later") == "a")
    assert cluster.where("gated") == ""
    await cluster.client.patch(PODS, "gated", {"spec": {"schedulingGates": None}}, "default")
    await cluster.until(lambda: cluster.where("gated") == "a")


@pytest.mark.parametrize(
    "failure",
    [
        ServiceUnavailable("the store is full"),
        lambda outcomes: [Conflict("bound already") for _ in outcomes],
    ],
    ids=["the call failed", "it happened, but was told as a conflict"],
)
async def test_a_failed_binding_is_made_good(cluster, faulty, failure):
    await cluster.node("a", cpu="1")
    faulty.failures.append(failure)
    await cluster.pod("p", cpu="600m")
    await cluster.until(lambda: cluster.where("p") == "a")
    await cluster.pod("too-much", cpu="600m")
    await cluster.until(lambda: cluster.reason("too-much")[0] == "False")
    await cluster.client.delete(PODS, "p", "default", grace_period_seconds=0)
    await cluster.until(lambda: cluster.where("too-much") == "a")


async def test_a_pod_deleted_before_it_is_bound_holds_no_room(cluster, faulty):
    await cluster.node("a", cpu="1")
    await cluster.pod("p", cpu="600m")
    await cluster.client.delete(PODS, "p", "default", grace_period_seconds=0)
    await cluster.pod("q", cpu="600m")
    await cluster.until(lambda: cluster.where("q") == "a")


async def test_pods_of_a_removed_node_count_again_when_it_comes_back(cluster):
    await cluster.node("a", cpu="1")
    await cluster.pod("p", cpu="600m")
    await cluster.until(lambda: cluster.where("p") == "a")
    await cluster.client.delete(NODES, "a")
    await cluster.pod("q", cpu="600m")
    await cluster.until(lambda: cluster.reason("q")[2] == "no nodes available to schedule pods")
    await cluster.node("a", cpu="1")
    await cluster.until(lambda: cluster.reason("q")[2] == "0/1 nodes are available: 1 Insufficient cpu.")


async def test_what_was_there_before_the_scheduler_counts(tmp_path):
    store = await SqliteStore.open(tmp_path)
    api = ApiServer(store, KINDS)
    async with Supervisor() as supervisor:
        supervisor.service("api", api.run())
        await api.ready()
        client = LocalClient(api)
        await client.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "default"}})
        informers, clock = SharedInformers(client), SystemClock()
        recorder = Recorder(client, clock)
        cluster = Cluster(client, informers, recorder)
        await cluster.node("a", cpu="1")
        await cluster.pod("there", cpu="600m", nodeName="a")
        await cluster.pod("waits", cpu="600m")
        await cluster.pod("fits", cpu="200m")
        scheduler = Scheduler(Context(client, informers, clock, recorder))
        informers.start(supervisor)
        supervisor.service("scheduler", scheduler.run())
        await cluster.until(lambda: cluster.where("fits") == "a" and cluster.reason("waits")[0] == "False")
        assert isinstance(cluster.pods.get("waits", "default"), Pod)
        api.close()
        supervisor.stop()
    await store.close()
