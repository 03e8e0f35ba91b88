"""Eviction on an agent's real pods: a host that says it is short, until enough of them are gone."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from agent.eviction.evictor import Evictor
from agent.eviction.ranking import CRITICAL_PRIORITY
from agent.eviction.usage import PodUses
from agent.host import FileSystem, Readings
from agent.pods.dispatcher import REFUSED
from agent.pressure import Pressure
from agent.shutdown import ENDED, GracefulShutdown
from agent.thresholds import Reserves
from shared.api.kinds import PODS, PRIORITY_CLASSES
from shared.work.clock import SystemClock
from tests.agent_host import Host

GB = 1 << 30
DISK = FileSystem(total=100 * GB, free=50 * GB, inodes=1000, inodes_free=500)
FINE = Readings(memory_total=8 * GB, memory_available=4 * GB, nodefs=DISK, imagefs=DISK, pids_used=9, pids_limit=999)
SHORT = replace(FINE, memory_available=50 << 20)
FULL = replace(FINE, imagefs=replace(DISK, free=1 * GB))


class Groups:
    """Memory by the name of the container's pod."""

    def __init__(self, host: Host, memory: dict[str, int]) -> None:
        self._host, self._memory = host, memory

    def memory(self, container_id: str) -> int:
        return self._memory.get(self._host.runtime.containers[container_id].pod.name, 0)

    def processes(self, container_id: str) -> int:
        return 1


class Short:
    """A host whose readings a test sets, and its evictor."""

    def __init__(self, host: Host, agent, memory: dict[str, int], tmp_path: Path) -> None:
        self.readings, self.reclaimed, self.noticed = SHORT, 0, 0
        self.frees = None
        uses = PodUses(lambda: agent.states, Groups(host, memory), host.runtime, tmp_path)
        clock = SystemClock()
        self.pressure = Pressure(Reserves(), clock)
        self.evictor = Evictor(agent, self.pressure, self.look, uses.of, self.reclaim, self.notice, clock)

    async def look(self) -> Readings:
        return self.readings

    async def reclaim(self) -> int:
        self.reclaimed += 1
        if self.frees is not None:
            self.readings = self.frees
            return 1
        return 0

    def notice(self) -> None:
        self.noticed += 1


async def test_the_pod_furthest_above_its_request_goes_and_the_node_says_so(host: Host, tmp_path: Path) -> None:
    async with host.agent() as agent:
        for name in ("small", "big"):
            await host.create(name)
        await host.until(lambda: len(host.running()) == 2)
        short = Short(host, agent, {"small": 1 << 20, "big": 900 << 20}, tmp_path)
        assert await short.evictor.look() == next(p.metadata.uid for p in host.pods if p.metadata.name == "big")
        assert (short.pressure.conditions, short.noticed) == ({"MemoryPressure"}, 1)
        await host.until(lambda: [info.pod.name for info in host.running()] == ["small"])
        big = await host.until(lambda: next((p for p in host.pods if p.status.phase == "Failed"), None))
        assert (big.metadata.name, big.status.reason) == ("big", "Evicted")
        assert big.status.message.startswith("The node was low on resource: memory. Threshold quantity: 102400Ki")
        assert any(c.type == "DisruptionTarget" and c.status == "True" for c in big.status.conditions)
        short.readings = FINE
        assert await short.evictor.look() == ""
        assert len(host.running()) == 1


async def test_a_pod_that_comes_under_pressure_fails_at_once(host: Host, tmp_path: Path) -> None:
    async with host.agent() as agent:
        short = Short(host, agent, {}, tmp_path)
        agent.refuses = short.evictor.refuses
        short.readings = FULL
        await short.evictor.look()
        await host.create()
        await host.until(lambda: host.phase() == "Failed")
        found = host.pod()
        assert (found.status.reason, found.status.message) == ("Evicted", "The node had condition: [DiskPressure]. ")
        assert not host.runtime.containers
        await agent.tools.events.flush(10)
        assert ("Evicted", "The node had condition: [DiskPressure]. ") in await host.reasons()


async def test_unused_images_go_before_pods(host: Host, tmp_path: Path) -> None:
    async with host.agent() as agent:
        await host.create()
        await host.until(host.ready)
        short = Short(host, agent, {}, tmp_path)
        short.readings, short.frees = FULL, FINE
        assert (await short.evictor.look(), short.reclaimed) == ("", 1)
        short.readings, short.frees = FULL, None
        host.runtime.sizes[host.running()[0].id] = 5 * GB
        assert await short.evictor.look()
        await host.until(lambda: host.phase() == "Failed")
        assert "low on resource: ephemeral-storage" in host.pod().status.message


async def test_a_deleted_evicted_pod_leaves_nothing(host: Host, tmp_path: Path) -> None:
    async with host.agent() as agent:
        await host.create()
        await host.until(host.ready)
        await Short(host, agent, {"p": GB}, tmp_path).evictor.look()
        await host.until(lambda: host.phase() == "Failed")
        await host.client.delete(PODS, "p", "default")
        await host.until(lambda: host.pod() is None and not host.runtime.containers)


async def test_with_nothing_that_may_go_it_goes_on_looking(host: Host, tmp_path: Path) -> None:
    async with host.agent() as agent:
        short = Short(host, agent, {}, tmp_path)
        assert await short.evictor.look() == ""
        short.evictor._interval = 0.01
        task = asyncio.create_task(short.evictor.run())
        await host.create()
        await host.until(lambda: host.phase() == "Failed")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


class Node:
    """Notes that it was told."""

    def __init__(self, host: Host) -> None:
        self._host, self.running_then = host, -1

    async def shutting_down(self) -> None:
        self.running_then = len(self._host.running())


async def test_a_host_that_shuts_down_ends_critical_pods_last_and_takes_no_more(host: Host) -> None:
    async with host.agent() as agent:
        await host.create("plain")
        name = "system-cluster-critical"
        await host.client.create(PRIORITY_CLASSES, {"metadata": {"name": name}, "value": CRITICAL_PRIORITY})
        await host.create("critical", priorityClassName=name)
        await host.until(lambda: len(host.running()) == 2)
        ended: list[str] = []
        stop = host.runtime.stop_container

        async def noting(container_id: str, grace_seconds: int) -> None:
            ended.append(host.runtime.containers[container_id].pod.name)
            await stop(container_id, grace_seconds)

        host.runtime.stop_container = noting  # type: ignore[method-assign]
        node = Node(host)
        async with asyncio.timeout(20):
            await GracefulShutdown(agent, node, SystemClock(), grace=15, critical=10).run()
        assert (ended, node.running_then, host.running()) == (["plain", "critical"], 2, [])
        for name in ended:
            await host.until(lambda name=name: host.phase(name) == "Failed")
            found = host.pod(name)
            assert (found.status.reason, found.status.message) == ("Terminated", ENDED)
        await host.create("late")
        late = await host.until(lambda: (p := host.pod("late")) is not None and p.status.phase == "Failed" and p)
        assert (late.status.reason, late.status.message) == ("NodeShutdown", REFUSED)
        assert "create_container" in host.runtime.calls
        assert host.runtime.calls["create_container"] == 2
