"""One timer for many: who is late is told, who is in time is left alone, and a cancellation stays one."""

from __future__ import annotations

import asyncio

import pytest

from controlplane.apiserver.deadlines import Deadlines, Limit

NEVER = 30.0


async def test_what_takes_too_long_is_told() -> None:
    deadlines = Deadlines(0.01)
    with pytest.raises(TimeoutError), deadlines.limit() as limit:
        await asyncio.sleep(NEVER)
    assert limit.expired
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_each_is_told_in_its_turn() -> None:
    deadlines, late = Deadlines(0.02), []

    async def work(name: str, delay: float) -> None:
        await asyncio.sleep(delay)
        try:
            with deadlines.limit():
                await asyncio.sleep(NEVER)
        except TimeoutError:
            late.append(name)

    await asyncio.gather(work("second", 0.01), work("first", 0), work("third", 0.05))
    assert late == ["first", "second", "third"]


async def test_what_ends_in_time_is_left_alone() -> None:
    deadlines = Deadlines(0.02)
    with deadlines.limit() as quick:
        await asyncio.sleep(0)
    with pytest.raises(TimeoutError), deadlines.limit():
        await asyncio.sleep(NEVER)
    assert not quick.expired


async def test_a_cancellation_by_somebody_else_stays_one() -> None:
    deadlines, entered = Deadlines(NEVER), asyncio.Event()

    async def work() -> None:
        with deadlines.limit():
            entered.set()
            await asyncio.sleep(NEVER)

    task = asyncio.create_task(work())
    await entered.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_both_at_once_are_a_cancellation() -> None:
    """The server stops just when the time is over: the task must end, not answer."""
    deadlines = Deadlines(NEVER)

    async def work(limits: list[Limit]) -> None:
        with deadlines.limit() as limit:
            limits.append(limit)
            await asyncio.sleep(NEVER)

    limits: list[Limit] = []
    task = asyncio.create_task(work(limits))
    await asyncio.sleep(0)
    limits[0].expire()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_an_error_of_the_work_is_its_own() -> None:
    with pytest.raises(ValueError, match="its own"), Deadlines(NEVER).limit():
        raise ValueError("its own")


async def test_work_that_does_not_let_itself_be_cancelled_holds_up_nobody() -> None:
    deadlines, goes_on, release = Deadlines(0.01), asyncio.Event(), asyncio.Event()

    async def stubborn() -> None:
        with deadlines.limit():
            try:
                await asyncio.sleep(NEVER)
            except asyncio.CancelledError:
                goes_on.set()
                await release.wait()

    task = asyncio.create_task(stubborn())
    await goes_on.wait()
    with pytest.raises(TimeoutError), deadlines.limit():
        await asyncio.sleep(NEVER)
    release.set()
    await task
