"""asyncio.timeout for thousands of pieces of work a second that may all take equally long.

Their deadlines come in the order in which the work began, so that one timer, set for the oldest, does for all of them:
a timer for each request costs a fiftieth of a small write. One event loop.
"""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self


class Deadlines:
    """``with deadlines.limit():`` is ended by TimeoutError after ``seconds``."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._running: dict[Limit, float] = {}
        self._timer: asyncio.TimerHandle | None = None

    def limit(self) -> Limit:
        """One piece of work, of the task that enters it."""
        return Limit(self)

    def begin(self, limit: Limit) -> None:
        loop = asyncio.get_running_loop()
        self._running[limit] = loop.time() + self._seconds
        if self._timer is None:
            self._timer = loop.call_later(self._seconds, self._expire)

    def end(self, limit: Limit) -> None:
        del self._running[limit]

    def _expire(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = None
        for limit, deadline in self._running.items():
            if limit.expired:
                continue  # told already, and not gone yet
            if deadline > loop.time():
                self._timer = loop.call_at(deadline, self._expire)
                return
            limit.expire()


class Limit:
    """As ``asyncio.Timeout``: the task is cancelled within, and told of it by TimeoutError without. A cancellation by
    somebody else stays one."""

    __slots__ = ("_cancelling", "_deadlines", "_task", "expired")

    def __init__(self, deadlines: Deadlines) -> None:
        self._deadlines = deadlines
        self.expired = False
        """Whether the time is over."""

    def __enter__(self) -> Self:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a limit is for a task")
        self._task, self._cancelling = task, task.cancelling()
        self._deadlines.begin(self)
        return self

    def expire(self) -> None:
        self.expired = True
        self._task.cancel()

    def __exit__(
        self, type_: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._deadlines.end(self)
        if self.expired and self._task.uncancel() <= self._cancelling and type_ is asyncio.CancelledError:
            raise TimeoutError from error
