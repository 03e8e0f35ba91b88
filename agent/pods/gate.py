"""Bounds how many containers and sandboxes are made side by side, the most urgent first.

More at a time gains nothing: the engine is the bottleneck. What makes a pod run goes before what begins another pod,
and that before what only fills the warm pool; so pods become ready one after the other, not all at the end. One event
loop; within an urgency first come, first served.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from enum import IntEnum


class Urgency(IntEnum):
    """Smaller goes first."""

    CONTAINER = 0
    SANDBOX = 1
    WARM = 2


class StartGate:
    """``limit`` at a time."""

    def __init__(self, limit: int) -> None:
        self._free = max(1, limit)
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._sequence = 0

    @asynccontextmanager
    async def slot(self, urgency: Urgency) -> AsyncIterator[None]:
        """Hold a place inside; waits for one."""
        await self._enter(urgency)
        try:
            yield
        finally:
            self._leave()

    async def _enter(self, urgency: Urgency) -> None:
        if self._free > 0:
            self._free -= 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._sequence += 1
        heapq.heappush(self._waiting, (urgency, self._sequence, turn))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._leave()  # the place came with the cancellation: pass it on
            raise

    def _leave(self) -> None:
        while self._waiting:
            _, _, turn = heapq.heappop(self._waiting)
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1
