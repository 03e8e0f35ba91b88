"""The work queue's promises, in virtual time."""

import asyncio
import random

import pytest

from shared.work.backoff import Backoff
from shared.work.queue import WorkQueue

pytestmark = pytest.mark.looptime


def now() -> float:
    return asyncio.get_running_loop().time()


async def take_within(queue: WorkQueue[str], seconds: float) -> str | None:
    try:
        async with asyncio.timeout(seconds):
            key, _ = await queue.take()
    except TimeoutError:
        return None
    return key


async def test_a_key_added_often_waits_once():
    queue = WorkQueue[str]()
    for key in ("a", "b", "a", "a"):
        queue.add(key)
    assert len(queue) == 2
    assert [await take_within(queue, 1), await take_within(queue, 1), await take_within(queue, 1)] == ["a", "b", None]


async def test_a_key_added_while_worked_on_is_ready_after_done_and_not_before():
    queue = WorkQueue[str]()
    queue.add("a")
    await queue.take()
    queue.add("a")
    queue.add("a")
    assert await take_within(queue, 1) is None
    queue.done("a")
    assert await take_within(queue, 1) == "a"
    queue.done("a")
    assert await take_within(queue, 1) is None


async def test_take_tells_how_long_the_key_waited():
    queue = WorkQueue[str]()
    queue.add("a")
    await asyncio.sleep(3)
    queue.add("a")  # again: it has waited since the first time
    await asyncio.sleep(2)
    assert await queue.take() == ("a", pytest.approx(5))


async def test_a_delayed_key_is_ready_when_due():
    queue = WorkQueue[str]()
    queue.add_after("a", 10)
    assert await take_within(queue, 9.9) is None
    assert await take_within(queue, 0.2) == "a"


@pytest.mark.parametrize(
    ("delays", "expected"),
    [([10, 5], 5), ([5, 10], 5), ([5, 5, 5], 5), ([5, 0], 0), ([5, -1], 0), ([30, 20, 10, 20], 10)],
    ids=str,
)
async def test_of_several_delays_the_earliest_counts_and_only_once(delays, expected):
    queue = WorkQueue[str]()
    for delay in delays:
        queue.add_after("a", delay)
    began = now()
    await queue.take()
    assert now() - began == pytest.approx(expected, abs=0.01)
    queue.done("a")
    assert await take_within(queue, 100) is None


async def test_delayed_keys_come_in_order_of_their_times():
    queue = WorkQueue[str]()
    for key, delay in (("c", 3), ("a", 1), ("d", 4), ("b", 2)):
        queue.add_after(key, delay)
    assert [await take_within(queue, 1.01) for _ in range(4)] == ["a", "b", "c", "d"]


async def test_add_makes_a_delayed_key_ready_now_and_cancels_the_delay():
    queue = WorkQueue[str]()
    queue.add_after("a", 10)
    queue.add("a")
    assert await take_within(queue, 0.1) == "a"
    queue.done("a")
    assert await take_within(queue, 100) is None


async def test_a_delay_that_ends_while_the_key_is_worked_on_makes_it_ready_after_done():
    queue = WorkQueue[str]()
    queue.add("a")
    await queue.take()
    queue.add_after("a", 1)
    await asyncio.sleep(5)
    assert await take_within(queue, 1) is None
    queue.done("a")
    assert await take_within(queue, 0.1) == "a"


async def test_retries_back_off_until_forgotten():
    queue = WorkQueue[str](Backoff(1.0, 8.0, jitter=0))
    waits = []
    for _ in range(6):
        queue.retry("a")
        began = now()
        await queue.take()
        waits.append(now() - began)
        queue.done("a")
    assert waits == pytest.approx([1, 2, 4, 8, 8, 8], abs=0.01)
    assert queue.failures("a") == 6
    queue.forget("a")
    assert queue.retry("a") == 1.0


async def test_jitter_comes_from_the_given_randomness():
    delays = [WorkQueue[str](Backoff(1.0, 8.0), random.Random(7)).retry("a") for _ in range(2)]
    assert delays[0] == delays[1]
    assert 0.8 <= delays[0] <= 1.2


async def test_waiting_takers_each_get_one_key():
    queue = WorkQueue[str]()
    async with asyncio.TaskGroup() as group:
        takers = [group.create_task(queue.take()) for _ in range(3)]
        await asyncio.sleep(1)
        for key in ("a", "b", "c"):
            queue.add(key)
    assert sorted(taker.result()[0] for taker in takers) == ["a", "b", "c"]


async def test_a_cancelled_taker_loses_no_key():
    queue = WorkQueue[str]()
    async with asyncio.TaskGroup() as group:
        taker = group.create_task(queue.take())
        await asyncio.sleep(1)
        queue.add("a")
        taker.cancel()
    assert await take_within(queue, 1) == "a"


async def test_many_delays_of_one_key_take_no_memory():
    queue = WorkQueue[str]()
    for _ in range(10_000):
        queue.add_after("a", 600)
        queue.add("a")
        await queue.take()
        queue.done("a")
    assert len(queue._delayed) < 200
    queue.add_after("b", 5)
    assert await take_within(queue, 6) == "b"
