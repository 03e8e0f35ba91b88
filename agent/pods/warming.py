"""Keeps the warm pool at its size, behind the backs of pods that start. One service; one sandbox at a time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from agent import metrics
from agent.network.base import NetworkFailure
from agent.pods.gate import Urgency
from agent.pods.pool import WarmSandbox
from agent.pods.steps.base import Tools
from agent.pods.steps.sandbox import discard
from agent.runtime.base import RuntimeFailure, Sandbox, SandboxSpec
from shared.work.backoff import Backoff

logger = logging.getLogger(__name__)

LOOK = 30.0
"""Seconds between looks at the size when nothing asks for one."""
PATIENCE = 5.0
"""Seconds that filling waits at most for pods that are being started."""
_BACKOFF = Backoff(1.0, 60.0)


class Warming:
    """``poke`` asks for a look; ``idle`` returns when no pod is being worked on."""

    def __init__(self, idle: Callable[[], Awaitable[object]]) -> None:
        self._idle = idle
        self._poked = asyncio.Event()
        self._strays: set[str] = set()

    def poke(self) -> None:
        self._poked.set()

    async def run(self, tools: Tools) -> None:
        """Fill and trim until cancelled."""
        failures = 0
        while True:
            try:
                await self._settle(tools)
                failures = 0
            except (RuntimeFailure, NetworkFailure) as error:
                if failures == 0:
                    logger.warning("no warm sandbox can be made", extra={"error": str(error)})
                failures += 1
            metrics.WARM_SANDBOXES.set(len(tools.pool))
            await _within(self._poked.wait(), _BACKOFF.delay(failures - 1) if failures else LOOK)
            self._poked.clear()

    async def _settle(self, tools: Tools) -> None:
        while tools.pool.missing(tools.clock.monotonic()) > 0:
            await _within(self._idle(), PATIENCE)
            async with tools.starts.slot(Urgency.WARM):
                with tools.pool.coming():
                    warm = await make(tools)
                tools.pool.put(warm)
        while (surplus := tools.pool.surplus(tools.clock.monotonic())) is not None:
            await discard(tools, surplus)

    async def remove_strays(self, tools: Tools, sandboxes: list[Sandbox]) -> None:
        """Remove warm sandboxes that are in nobody's hands: seen so in two looks in a row, since one that is just
        being made or claimed is in nobody's hands for a moment too."""
        unknown = {s.id: s for s in sandboxes if s.pod is None and s.id not in tools.pool}
        for sandbox_id in self._strays & set(unknown):
            await discard(tools, WarmSandbox(unknown.pop(sandbox_id), ""))
        self._strays = set(unknown)


async def make(tools: Tools) -> WarmSandbox:
    """A new warm sandbox with its network. Raises RuntimeFailure, NetworkFailure."""
    sandbox = await tools.runtime.create_sandbox(SandboxSpec(None, ""))
    try:
        address = await tools.network.attach(None, sandbox.id, sandbox.process_id)
    except NetworkFailure:
        await discard(tools, WarmSandbox(sandbox, ""))
        raise
    return WarmSandbox(sandbox, address)


async def _within(work: Awaitable[object], seconds: float) -> None:
    """Wait for ``work``, but no longer than ``seconds``."""
    try:
        async with asyncio.timeout(seconds):
            await work
    except TimeoutError:
        return
