"""Guarded tasks that last as long as a block of code, and leave the block's own exceptions as they are.

A task group wraps whatever its body raises into a group of exceptions, which callers that know single errors would
have to take apart.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

from shared.work.supervisor import Supervisor


@asynccontextmanager
async def alongside(**works: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Do ``works`` while the block lasts; its end cancels them. A work's failure is logged under its name."""
    failures: list[Exception] = []
    async with Supervisor() as supervisor:
        for name, work in works.items():
            supervisor.spawn(name, work)
        try:
            yield
        except Exception as error:  # raised again below
            failures.append(error)
        finally:
            supervisor.stop()
    if failures:
        raise failures[0]
