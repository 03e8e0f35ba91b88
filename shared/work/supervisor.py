"""The owner of background tasks: named, watched, and ended together. One event loop.

``Supervisor`` is an asyncio.TaskGroup for the essential services of a process (one fails: all end, the process
exits and its own supervisor restarts it), plus guarded tasks for work on single objects, whose failure is
logged and told to nobody else. Nothing else in the code starts a task.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from types import TracebackType
from typing import Any

logger = logging.getLogger(__name__)


class Supervisor:
    """``async with Supervisor() as supervisor``: leaving the block waits for, or on error cancels, every task."""

    def __init__(self) -> None:
        self._group = asyncio.TaskGroup()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._stopped = False

    async def __aenter__(self) -> Supervisor:
        await self._group.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._group.__aexit__(kind, error, trace)

    def service(self, name: str, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """An essential task: its failure ends the whole group with an ExceptionGroup."""
        return self._start(name, work)

    def spawn(self, name: str, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """A guarded task: an exception is logged with the task's name and goes no further."""
        return self._start(name, _guard(name, work))

    def stop(self) -> None:
        """Cancel every task, and any that is started from now on; ``__aexit__`` then waits for their ends."""
        self._stopped = True
        for task in list(self._tasks):
            task.cancel()

    def _start(self, name: str, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        try:
            task = self._group.create_task(work, name=name)
        except RuntimeError:  # the group has ended, or a failure is ending it
            work.close()
            raise
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        if self._stopped:
            task.cancel()
        return task


async def _guard(name: str, work: Coroutine[Any, Any, Any]) -> None:
    try:
        await work
    except Exception:
        logger.exception("task failed", extra={"task": name})
