"""The runner with controllers that only note what they are asked, in virtual time."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from prometheus_client import REGISTRY

from controlplane.controllers.base import Context, Key, Watch
from controlplane.controllers.runner import Runner
from shared.api.errors import Conflict, NotFound, ServiceUnavailable
from shared.api.kinds import PODS, Resource
from shared.api.meta import ObjectMeta
from shared.api.pod import Pod
from shared.client.cache import Cache
from shared.observe import logs
from shared.work.clock import FakeClock
from shared.work.supervisor import Supervisor

pytestmark = pytest.mark.looptime


def pod(name: str, revision: int = 1) -> Pod:
    return Pod(metadata=ObjectMeta(name=name, namespace="ns", resource_version=str(revision)))


def now() -> float:
    return asyncio.get_running_loop().time()


class HandFed:
    """Informers whose caches the test feeds itself."""

    def __init__(self) -> None:
        self.pods = Cache(PODS)

    def cache(self, resource: Resource[Any]) -> Cache[Any]:
        assert resource is PODS
        return self.pods

    async def synced(self) -> None:
        await self.pods.synced.wait()


class Noted:
    """Notes each sync with its time; ``do`` says what becomes of it."""

    def __init__(self, name: str, do: Callable[[int], Any] = lambda count: None) -> None:
        self.name, self.do = name, do
        self.syncs: list[tuple[float, str]] = []
        self.running, self.most = 0, 0
        self.seconds = 0.0

    def watches(self) -> list[Watch]:
        return [Watch(PODS, lambda old, new: [((new or old).metadata.namespace, (new or old).metadata.name)])]

    async def sync(self, key: Key) -> float | None:
        self.syncs.append((round(now(), 2), key[1]))
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await asyncio.sleep(self.seconds)
        finally:
            self.running -= 1
        answer = self.do(len(self.syncs))
        if isinstance(answer, Exception):
            raise answer
        return answer


@asynccontextmanager
async def running(*controllers: Noted, **options: Any) -> AsyncIterator[tuple[Cache[Pod], Runner]]:
    informers = HandFed()
    context = Context(None, informers, FakeClock(datetime(2026, 1, 1, tzinfo=UTC)), None)  # type: ignore[arg-type]
    async with Supervisor() as supervisor:
        runner = Runner(controllers, context, supervisor, **options)
        runner.start()
        yield informers.pods, runner
        supervisor.stop()


def metric(name: str, controller: str) -> float:
    return REGISTRY.get_sample_value(name, {"name": controller}) or 0.0


async def test_nothing_is_synced_before_the_caches_are():
    controller = Noted("waits")
    async with running(controller) as (cache, _):
        cache.apply(pod("a"))
        await asyncio.sleep(5)
        assert controller.syncs == []
        cache.replace([pod("a"), pod("b")], "1")
        await asyncio.sleep(1)
    assert sorted(controller.syncs) == [(5, "a"), (5, "b")]


async def test_every_change_asks_for_a_sync_and_a_burst_for_one():
    controller = Noted("bursts")
    async with running(controller) as (cache, _):
        cache.replace([], "0")
        await asyncio.sleep(1)
        for revision in range(2, 50):
            cache.apply(pod("a", revision))
        await asyncio.sleep(1)
        cache.remove(pod("a", 51))
        await asyncio.sleep(1)
    assert controller.syncs == [(1, "a"), (2, "a")]


async def test_one_key_is_never_synced_twice_at_a_time_and_others_go_on():
    controller = Noted("side-by-side")
    controller.seconds = 10
    async with running(controller, workers=3) as (cache, _):
        cache.replace([pod("a"), pod("b")], "1")
        await asyncio.sleep(1)
        cache.apply(pod("a", 2))
        await asyncio.sleep(30)
    assert controller.syncs == [(0, "a"), (0, "b"), (10, "a")]
    assert controller.most == 2


async def test_no_more_syncs_at_a_time_than_workers():
    many, few = Noted("many"), Noted("few")
    many.seconds = few.seconds = 1
    async with running(many, few, workers={"few": 2}) as (cache, _):
        cache.replace([pod(f"p{number}") for number in range(20)], "1")
        await asyncio.sleep(30)
    assert (many.most, few.most) == (5, 2)
    assert len(many.syncs) == len(few.syncs) == 20


async def test_a_sync_may_ask_to_be_called_again():
    controller = Noted("again", lambda count: 60.0 if count < 3 else None)
    async with running(controller) as (cache, _):
        cache.replace([pod("a")], "1")
        await asyncio.sleep(1000)
    assert controller.syncs == [(0, "a"), (60, "a"), (120, "a")]


@pytest.mark.parametrize("error", [ValueError("bug"), ServiceUnavailable("down")], ids=["bug", "refused"])
async def test_a_failed_sync_is_told_and_retried_with_growing_pauses(error, caplog):
    controller = Noted(f"fails-{type(error).__name__}", lambda count: error if count < 12 else None)
    async with running(controller) as (cache, _):
        cache.replace([pod("a")], "1")
        await asyncio.sleep(200)
    times = [when for when, _ in controller.syncs]
    assert len(times) == 12
    assert times[1] < 0.02
    assert all(
        late - early > (early - before) for before, early, late in zip(times[4:], times[5:], times[6:], strict=False)
    )
    told = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(told) == 11
    assert metric("workqueue_retries_total", controller.name) == 11
    assert metric("longboat_controller_failures_total", controller.name) == 11


@pytest.mark.parametrize("error", [Conflict("changed"), NotFound("gone")], ids=["conflict", "not-found"])
async def test_losing_a_race_is_retried_quietly(error, caplog):
    controller = Noted(f"loses-{error.reason}", lambda count: error if count == 1 else None)
    async with running(controller) as (cache, _):
        cache.replace([pod("a")], "1")
        await asyncio.sleep(5)
    assert len(controller.syncs) == 2
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []
    assert metric("longboat_controller_failures_total", controller.name) == 0


async def test_success_begins_the_pauses_anew():
    controller = Noted("anew", lambda count: ValueError("bug") if count in (1, 2, 3, 5) else None)
    async with running(controller) as (cache, _):
        cache.replace([pod("a")], "1")
        await asyncio.sleep(10)
        cache.apply(pod("a", 2))
        await asyncio.sleep(10)
    times = [when for when, _ in controller.syncs]
    assert times[4] == 10
    assert times[5] - times[4] < 0.02


async def test_a_sync_that_hangs_is_cut_off_and_retried(caplog):
    controller = Noted("hangs")
    controller.seconds = 1000
    async with running(controller, sync_timeout=60.0) as (cache, _):
        cache.replace([pod("a")], "1")
        await asyncio.sleep(70)
    assert len(controller.syncs) == 2
    assert controller.syncs[1][0] == pytest.approx(60, abs=0.1)
    assert "sync took too long" in caplog.text


async def test_lines_say_controller_and_key():
    seen: list[dict[str, Any]] = []
    controller = Noted("logs", lambda count: seen.append(dict(logs.context())))
    async with running(controller) as (cache, _):
        cache.replace([pod("a")], "1")
        await asyncio.sleep(1)
    assert seen == [{"controller": "logs", "key": "ns/a"}]
    assert logs.context() == {}


async def test_enqueue_from_outside_and_the_depth_of_the_queue():
    controller = Noted("outside")
    controller.seconds = 5
    async with running(controller, workers=1) as (cache, runner):
        cache.replace([], "1")
        for name in ("a", "b", "c"):
            runner.enqueue("outside", ("ns", name))
        await asyncio.sleep(1)
        assert metric("workqueue_depth", "outside") == 2
        await asyncio.sleep(20)
        assert metric("workqueue_depth", "outside") == 0
    assert metric("workqueue_queue_duration_seconds_count", "outside") == 3
    assert metric("workqueue_work_duration_seconds_count", "outside") == 3


async def test_two_controllers_of_one_name_are_refused():
    async with Supervisor() as supervisor:
        with pytest.raises(ValueError, match="same name"):
            Runner([Noted("x"), Noted("x")], None, supervisor)  # type: ignore[arg-type]
