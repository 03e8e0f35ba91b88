"""Hooks: what succeeds and what fails, against a real server on loopback; and what they change in decisions."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from aiohttp import web

from agent.pods.decide import decide
from agent.pods.hooks import HookFailed, Hooks
from agent.pods.http_get import HttpGetter, Target
from agent.pods.observed import Failure, Observed, spec_hash
from agent.pods.plan import EnsureImage, StartContainer, StopContainers
from agent.pods.status import NodeFacts, pod_status
from agent.runtime.base import ContainerInfo, ExecResult, State
from agent.runtime.hollow import HollowRuntime
from shared.api.pod import Container, LifecycleHandler, Pod
from shared.work.clock import SystemClock
from tests.unit.agent_pods.test_pod_decisions import NOW, SANDBOX, info, pod

HOOK = {"postStart": {"exec": {"command": ["true"]}}}
DIGEST = spec_hash(Container(name="c", image="app:1"))
NODE = NodeFacts("n", "192.0.2.1")


class Engine(HollowRuntime):
    """Commands end with the code that they are called."""

    async def exec(self, container_id: str, command: Any, timeout: float) -> ExecResult:
        if command[0] == "hang":
            await asyncio.sleep(30)
        return ExecResult(int(command[0]), b"a secret")


@pytest.fixture
async def told() -> list[tuple[str, str]]:
    return []


@pytest.fixture
async def port(unused_tcp_port: int, told: list[tuple[str, str]]) -> AsyncIterator[int]:
    async def answer(request: web.Request) -> web.Response:
        told.append((request.path, request.headers["User-Agent"]))
        return web.Response(status=int(request.match_info["code"]))

    app = web.Application()
    app.router.add_get("/{code}", answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", unused_tcp_port).start()
    yield unused_tcp_port
    await runner.cleanup()


@pytest.fixture
async def hooks() -> AsyncIterator[Hooks]:
    http = HttpGetter()
    yield Hooks(Engine("n", SystemClock()), http)
    await http.close()


def target(port: int = 80) -> Target:
    tree = {"name": "c", "ports": [{"name": "web", "containerPort": port}]}
    return Target("id", "127.0.0.1", msgspec.convert(tree, Container))


def handler(**tree: Any) -> LifecycleHandler:
    return msgspec.convert(tree, LifecycleHandler)


async def test_a_request_succeeds_whatever_the_answer(hooks: Hooks, port: int, told: list[tuple[str, str]]) -> None:
    await hooks.run(handler(httpGet={"port": "web", "path": "/200"}), target(port), 10)
    await hooks.run(handler(httpGet={"port": port, "path": "/500"}), target(port), 10)
    assert told == [("/200", "kube-lifecycle/1.36"), ("/500", "kube-lifecycle/1.36")]


async def test_commands_and_sleeps_that_succeed(hooks: Hooks) -> None:
    await hooks.run(handler(exec={"command": ["0"]}), target(), 10)
    await hooks.run(handler(sleep={"seconds": 0}), target(), 10)


@pytest.mark.parametrize(
    ("tree", "why"),
    [
        ({"exec": {"command": ["3"]}}, "its command exited with 3"),
        ({"exec": {"command": ["hang"]}}, "it did not end within 0.05 s"),
        ({"sleep": {"seconds": 30}}, "it did not end within 0.05 s"),
        ({"httpGet": {"port": "none"}}, "its request was not answered"),
        ({"tcpSocket": {"port": 80}}, "it has no handler that can be run"),
    ],
)
async def test_what_fails_says_nothing_of_what_it_printed(hooks: Hooks, tree: Any, why: str) -> None:
    with pytest.raises(HookFailed) as caught:
        await hooks.run(handler(**tree), target(), 0.05)
    assert str(caught.value) == why


# --- decisions


def two(lifecycle: Any) -> Pod:
    first = {"name": "c", "image": "app:1", "lifecycle": lifecycle}
    return pod(containers=[first, {"name": "d", "image": "app:1"}])


def steps(pod: Pod, *containers: ContainerInfo, **more: Any) -> list[tuple[type, str]]:
    seen = Observed(sandbox=SANDBOX, address="10.0.0.1", volumes_ready=True, containers=containers, **more)
    found: list[tuple[type, str]] = []
    for step in decide(pod, seen, NOW).steps:
        if isinstance(step, EnsureImage | StartContainer):
            found.append((type(step), step.container))
        elif isinstance(step, StopContainers):
            found.append((type(step), " ".join(step.ids)))
    return found


@pytest.mark.parametrize(
    ("containers", "more", "starts"),
    [
        ((), {}, ["c"]),
        ((info("c", State.CREATED),), {}, ["c"]),
        ((info("c"),), {"post_start": frozenset({"c-0"})}, []),
        ((info("c"),), {}, ["d"]),
        ((info("c", State.EXITED, exit_code=1),), {}, ["c", "d"]),
        ((), {"failures": {"c": Failure("ErrImagePull", "", 990, 2000, subject=DIGEST)}}, ["d"]),
    ],
    ids=["none runs", "created", "hook is under way", "hook has ended", "has ended", "cannot be pulled"],
)
def test_the_next_container_waits_for_the_hook(
    containers: tuple[ContainerInfo, ...], more: dict[str, Any], starts: list[str]
) -> None:
    found = steps(two(HOOK), *containers, **more)
    assert [name for kind, name in found if kind is StartContainer] == starts


def test_nobody_waits_for_a_container_without_a_hook() -> None:
    assert [name for kind, name in steps(two({"preStop": HOOK["postStart"]})) if kind is StartContainer] == ["c", "d"]


def test_a_failed_hook_stops_its_container() -> None:
    found = steps(two(HOOK), info("c"), info("d"), post_start_failed=frozenset({"c-0"}))
    assert found == [(StopContainers, "c-0")]


def test_a_sidecar_has_started_when_its_hook_has_ended() -> None:
    sidecar = {"name": "s", "image": "app:1", "restartPolicy": "Always", "lifecycle": HOOK}
    wanted = pod(initContainers=[sidecar])
    assert steps(wanted, info("s", init=True), post_start=frozenset({"s-0"})) == []
    assert (StartContainer, "c") in steps(wanted, info("s", init=True))


def test_until_the_hook_has_ended_the_container_waits() -> None:
    def told(**more: Any) -> tuple[str, Any, bool]:
        seen = Observed(sandbox=SANDBOX, address="10.0.0.1", containers=(info("c"),), **more)
        status = pod_status(pod(), seen, NODE, NOW)
        return status["phase"], status["containerStatuses"][0]["state"], status["containerStatuses"][0]["ready"]

    waiting = {"waiting": {"reason": "ContainerCreating"}}
    assert told(post_start=frozenset({"c-0"})) == ("Pending", waiting, False)
    phase, state, ready = told()
    assert (phase, list(state), ready) == ("Running", ["running"], True)


# --- the end of a pod


def test_sidecars_end_after_the_others_the_last_first() -> None:
    sidecars = [{"name": name, "image": "app:1", "restartPolicy": "Always"} for name in ("s", "t")]
    meta = {"deletionTimestamp": "2026-05-01T12:00:30Z", "deletionGracePeriodSeconds": 30}
    wanted = pod(initContainers=sidecars, metadata=meta)
    s, t, c = info("s", init=True), info("t", init=True), info("c")
    assert steps(wanted, s, t, c, deletion_deadline=1030.0) == [(StopContainers, "c-0")]
    assert steps(wanted, s, t, deletion_deadline=1030.0) == [(StopContainers, "t-0")]
    assert steps(wanted, s, deletion_deadline=1030.0) == [(StopContainers, "s-0")]


def test_sidecars_of_a_pod_that_has_ended_too() -> None:
    sidecars = [{"name": name, "image": "app:1", "restartPolicy": "Always"} for name in ("s", "t")]
    wanted = pod(initContainers=sidecars, restartPolicy="Never")
    over = info("c", State.EXITED)
    assert steps(wanted, info("s", init=True), info("t", init=True), over) == [(StopContainers, "t-0")]
