"""Resizes of the pods of one agent, on a host that only pretends: room, waiting, errors, restarts of the agent."""

import asyncio
from typing import Any

import pytest

from agent.runtime.base import Resources
from shared.api.kinds import NODES, PODS
from shared.client.base import PatchType
from tests.agent_host import NODE, Host

ONE = {"cpu": "1", "memory": "1Gi"}


@pytest.fixture(autouse=True)
async def node(host: Host) -> None:
    await host.client.create(NODES, {"metadata": {"name": NODE}})
    offered = {"cpu": "4", "memory": "8Gi", "pods": "10"}
    status = {"status": {"allocatable": offered, "capacity": offered}}
    await host.client.patch(NODES, NODE, status, subresource="status")


def container(limits: Any = None, policy: Any = (), **requests: str) -> Any:
    resources = {"requests": requests, "limits": limits or {}}
    return [{"name": "c", "image": "app:1", "resources": resources, "resizePolicy": list(policy)}]


async def resize(host: Host, name: str = "p", *, limits: Any = None, **requests: str) -> None:
    resources = {"requests": requests, **({"limits": limits} if limits else {})}
    patch = {"spec": {"containers": [{"name": "c", "resources": resources}]}}
    await host.client.patch(PODS, name, patch, "default", type=PatchType.STRATEGIC, subresource="resize")


def condition(host: Host, name: str = "p") -> dict[str, tuple[str, str]]:
    found = host.pod(name)
    assert found is not None
    return {c.type: (c.reason, c.message) for c in found.status.conditions if "Resize" in c.type}


def allocated(host: Host, name: str = "p") -> Any:
    told = host.status(name)
    return told.allocated_resources if told is not None else None


async def test_a_running_container_is_given_what_is_wanted(host: Host) -> None:
    async with host.agent() as agent:
        await host.create(containers=container(limits={"cpu": "2"}, cpu="1"))
        await host.until(host.ready)
        await resize(host, cpu="1500m", limits={"cpu": "3"})
        await host.until(lambda: allocated(host) == {"cpu": "1500m"} and not condition(host))
        [info] = host.running()
        assert (info.resources, info.attempt) == (Resources(1536, 300_000, 0), 0)
        assert host.pod().status.observed_generation == 2
        assert host.status().resources.limits == {"cpu": "3"}
        await agent.tools.events.flush(10)
        assert {"ResizeStarted", "ResizeCompleted"} <= {reason for reason, _ in await host.reasons()}


async def test_a_container_that_wants_it_is_restarted(host: Host) -> None:
    policy = [{"resourceName": "memory", "restartPolicy": "RestartContainer"}]
    async with host.agent():
        await host.create(containers=container({"memory": "1Gi"}, policy, **ONE))
        await host.until(host.ready)
        await resize(host, cpu="2", memory="1Gi")
        await host.until(lambda: allocated(host) == {"cpu": "2", "memory": "1Gi"} and not condition(host))
        assert host.status().restart_count == 0
        await resize(host, cpu="2", memory="2Gi", limits={"memory": "2Gi"})
        await host.until(lambda: host.status().restart_count == 1 and host.ready() and not condition(host))
        [info] = host.running()
        assert info.resources == Resources(2048, 0, 2 << 30)


async def test_what_finds_no_room_waits_for_it(host: Host) -> None:
    async with host.agent() as agent:
        await host.create("p", containers=container(cpu="1"))
        await host.create("other", containers=container(cpu="2"))
        await host.until(lambda: host.ready("p") and host.ready("other"))
        await resize(host, cpu="3")
        words = "Node didn't have enough resource: cpu, requested: 3000, used: 2000, capacity: 4000"
        await host.until(lambda: condition(host) == {"PodResizePending": ("Deferred", words)})
        assert allocated(host) == {"cpu": "1"}
        assert host.running()[0].resources.cpu_shares == 1024
        await host.client.delete(PODS, "other", "default", grace_period_seconds=0)
        await host.until(lambda: allocated(host) == {"cpu": "3"} and not condition(host))
        await agent.tools.events.flush(10)
        assert "ResizeDeferred" in {reason for reason, _ in await host.reasons()}


async def test_who_changes_his_mind_waits_no_longer(host: Host) -> None:
    async with host.agent():
        await host.create("p", containers=container(cpu="1"))
        await host.create("other", containers=container(cpu="2"))
        await host.until(lambda: host.ready("p") and host.ready("other"))
        await resize(host, cpu="3")
        await host.until(lambda: "PodResizePending" in condition(host))
        await resize(host, cpu="1")
        await host.until(lambda: not condition(host))


async def test_a_pod_that_takes_less_makes_room(host: Host) -> None:
    async with host.agent():
        await host.create("p", containers=container(cpu="1"))
        await host.create("other", containers=container(cpu="2"))
        await host.until(lambda: host.ready("p") and host.ready("other"))
        await resize(host, cpu="3")
        await host.until(lambda: "PodResizePending" in condition(host))
        await resize(host, "other", cpu="1")
        await host.until(lambda: allocated(host) == {"cpu": "3"} and not condition(host))


async def test_memory_that_is_in_use_is_not_taken_away(host: Host) -> None:
    async with host.agent() as agent:
        await host.create(containers=container({"memory": "1Gi"}, memory="512Mi"))
        await host.until(host.ready)
        [info] = host.running()
        host.runtime.memory[info.id] = 600 << 20
        await resize(host, memory="512Mi", limits={"memory": "512Mi"})
        words = (
            'cannot decrease memory limits: attempting to set container "c" memory limit (536870912) below current '
            "usage (629145600)"
        )
        await host.until(lambda: condition(host) == {"PodResizeInProgress": ("Error", words)})
        assert host.status().resources.limits == {"memory": "1Gi"}
        host.runtime.memory[info.id] = 100 << 20
        await host.skip(60)
        await host.until(lambda: not condition(host))
        assert host.running()[0].resources.memory_bytes == 512 << 20
        await agent.tools.events.flush(10)
        assert "ResizeError" in {reason for reason, _ in await host.reasons()}


async def test_what_was_set_aside_is_known_to_the_next_agent(host: Host) -> None:
    async with host.agent():
        await host.create("p", containers=container(cpu="1"))
        await host.create("other", containers=container(cpu="2"))
        await host.until(lambda: host.ready("p") and host.ready("other"))
        await resize(host, cpu="3")
        await host.until(lambda: "PodResizePending" in condition(host))
    calls = dict(host.runtime.calls)
    async with host.agent() as agent:
        await host.until(lambda: all(state.authoritative for state in agent.states.values()))
        await asyncio.gather(*(agent.tools.reports.flush(uid, 10) for uid in agent.states))
        assert allocated(host) == {"cpu": "1"}
        assert condition(host)["PodResizePending"][0] == "Deferred"
        assert host.runtime.calls.get("update_container", 0) == calls.get("update_container", 0)
        await host.client.delete(PODS, "other", "default", grace_period_seconds=0)
        await host.until(lambda: allocated(host) == {"cpu": "3"} and not condition(host))
