"""Which windows usage is told over, of a process that really works: this one, as the process of every container."""

import os
from datetime import UTC, datetime, timedelta

from agent.pods.state import PodState
from agent.runtime.base import ContainerInfo, PodIdentity, RuntimeFailure, State
from agent.usage.sampler import UsageSampler
from shared.usage import NodeUsage
from shared.work.clock import FakeClock

START = datetime(2026, 1, 1, tzinfo=UTC)
POD = PodIdentity("uid", "default", "web")


class Processes:
    """Those that are not ``unknown`` are this process."""

    def __init__(self) -> None:
        self.unknown: set[str] = set()

    async def process_id(self, container_id: str) -> int:
        if container_id in self.unknown:
            raise RuntimeFailure("it is not running")
        return os.getpid()


class Host:
    def __init__(self) -> None:
        self.clock, self.processes, self.state = FakeClock(START), Processes(), PodState(POD)

        async def send(usage: NodeUsage) -> None:
            raise AssertionError("nothing is sent here")

        self.sampler = UsageSampler(self.processes, lambda: {POD.uid: self.state}, send, self.clock, interval=15)

    def run(self, name: str, began: float, state: State = State.RUNNING) -> None:
        """A container that started ``began`` seconds after the clock's start."""
        started = START + timedelta(seconds=began)
        self.state.containers[name] = ContainerInfo(name, POD, name, 0, "s", state, "i", "", started, started)

    async def sample(self, after: float) -> NodeUsage:
        self.clock.advance(after)
        found = await self.sampler.sample()
        assert found is not None
        return found


async def test_the_first_look_tells_nothing() -> None:
    assert await Host().sampler.sample() is None


async def test_windows_lie_between_two_looks() -> None:
    host = Host()
    host.run("old", -1000)
    await host.sampler.sample()
    usage = await host.sample(15)
    assert (usage.window, usage.at) == (15, "2026-01-01T00:00:15Z")
    (pod,) = usage.pods
    assert (pod.namespace, pod.name, pod.uid, pod.window) == ("default", "web", "uid", 15)
    (container,) = pod.containers
    assert container.name == "old"
    assert container.memory > 0
    assert container.cpu >= 0


async def test_a_new_container_is_told_from_its_start() -> None:
    host = Host()
    await host.sampler.sample()
    host.run("new", 10)
    usage = await host.sample(15)
    assert usage.pods[0].window == 5


async def test_a_container_that_was_there_long_before_waits_for_the_next_look() -> None:
    host = Host()
    await host.sampler.sample()
    host.run("old", -1000)
    assert (await host.sample(15)).pods == ()
    assert (await host.sample(15)).pods[0].window == 15


async def test_a_pod_is_told_as_a_whole_or_not() -> None:
    host = Host()
    host.run("a", -1000)
    host.run("b", -1000)
    host.processes.unknown = {"b"}
    await host.sampler.sample()
    assert (await host.sample(15)).pods == ()
    host.processes.unknown = set()
    await host.sample(15)
    assert [each.name for each in (await host.sample(15)).pods[0].containers] == ["a", "b"]


async def test_a_container_that_has_ended_is_not_told() -> None:
    host = Host()
    host.run("a", -1000)
    host.run("b", -1000)
    await host.sampler.sample()
    host.run("b", -1000, State.EXITED)
    assert [each.name for each in (await host.sample(15)).pods[0].containers] == ["a"]
