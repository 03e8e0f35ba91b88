"""When gathered requests are given to the writer."""

import asyncio
from collections.abc import Callable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from controlplane.store.intake import GATHER_SECONDS, IDLE_SECONDS, QUIET_SECONDS, Intake

BUSY = IDLE_SECONDS * 4
"""A turn of the loop in which something else was done."""


class Turns:
    """A loop of which each turn is made by hand, and its clock."""

    def __init__(self) -> None:
        self.now, self.soon = 0.0, list[Callable[[], Any]]()

    def call_soon(self, callback: Callable[[], Any]) -> None:
        self.soon.append(callback)

    def turn(self, seconds: float) -> None:
        self.now += seconds
        callbacks, self.soon = self.soon, []
        for callback in callbacks:
            callback()


def made() -> tuple[Turns, "Intake[int]", list[list[int]]]:
    loop, given_ = Turns(), list[list[int]]()
    return loop, Intake(loop, given_.append, lambda: loop.now), given_  # type: ignore[arg-type]


def test_a_lone_request_goes_with_the_next_turn_of_an_idle_loop() -> None:
    loop, intake, groups = made()
    intake.put(1)
    assert groups == []
    loop.turn(IDLE_SECONDS / 2)
    assert groups == [[1]]
    loop.turn(1.0)
    assert (groups, loop.soon) == ([[1]], [])


def test_what_a_busy_loop_takes_in_goes_together_when_it_has_no_more() -> None:
    loop, intake, groups = made()
    for number in range(5):
        intake.put(number)
        loop.turn(BUSY)
    assert groups == []
    loop.turn(IDLE_SECONDS / 2)
    assert groups == [[0, 1, 2, 3, 4]]


def test_a_loop_busy_with_other_things_is_not_waited_for() -> None:
    loop, intake, groups = made()
    intake.put(1)
    turns = 0
    while not groups:
        loop.turn(BUSY)
        turns += 1
    assert QUIET_SECONDS < turns * BUSY < QUIET_SECONDS + 2 * BUSY


def test_a_stream_that_does_not_end_is_cut_off() -> None:
    loop, intake, groups = made()
    while not groups:
        intake.put(0)
        loop.turn(BUSY)
    assert GATHER_SECONDS <= loop.now < GATHER_SECONDS + 2 * BUSY
    assert len(groups[0]) == round(loop.now / BUSY)


@given(st.lists(st.tuples(st.integers(0, 3), st.floats(0.0, 0.01)), max_size=60))
def test_everything_is_given_once_and_in_order(turns: list[tuple[int, float]]) -> None:
    loop, intake, groups = made()
    count = 0
    for puts, seconds in turns:
        for _ in range(puts):
            intake.put(count)
            count += 1
        loop.turn(seconds)
    for _ in range(2):
        loop.turn(1.0)
    assert [number for group in groups for number in group] == list(range(count))
    assert all(groups)


async def test_on_a_real_loop() -> None:
    groups: asyncio.Queue[list[int]] = asyncio.Queue()
    intake = Intake(asyncio.get_running_loop(), groups.put_nowait)
    for number in range(100):
        intake.put(number)
    async with asyncio.timeout(10):
        assert await groups.get() == list(range(100))
