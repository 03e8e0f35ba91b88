"""What the engine says of this node's pods: its events as they come, and a full look where one may have been missed.

Owns when the engine is looked at; what that means for a pod is ``engine_watch``'s to say, and the pods are the
dispatcher's. One event loop.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from agent.pods import engine_watch
from agent.pods.state import PodState
from agent.pods.steps.base import Tools
from agent.pods.steps.sandbox import discard
from agent.pods.warming import Warming
from agent.runtime.base import EngineEvent, RuntimeFailure
from shared.work.backoff import Backoff

logger = logging.getLogger(__name__)

_LOOK_BACKOFF = Backoff(1.0, 15.0)


class EngineFollower:
    """``states`` gives the pods by uid, to be added to; ``synced`` is whether the server has said which there are, so
    that what is of none of them may go."""

    def __init__(
        self,
        tools: Tools,
        states: Callable[[], dict[str, PodState]],
        synced: Callable[[], bool],
        warming: Warming,
        resync: float,
    ) -> None:
        self._tools, self._states, self._synced, self._warming, self._resync = tools, states, synced, warming, resync
        self._due = asyncio.Event()

    async def follow(self) -> None:
        """Take in events until cancelled."""
        async for event in self._tools.runtime.events():
            if event.container_id:
                self._event(event)
            else:
                self._due.set()

    def _event(self, event: EngineEvent) -> None:
        tools = self._tools
        state = engine_watch.apply_event(self._states(), event)
        if state is not None:
            if state.sandbox is not None and state.sandbox.id == event.container_id and state.pod is not None:
                text = "Pod sandbox changed, it will be killed and re-created."
                tools.events.normal(state.pod, "SandboxChanged", text)
            tools.wake(state.identity.uid)
        elif event.action in ("die", "destroy") and (warm := tools.pool.drop(event.container_id)) is not None:
            tools.supervisor.spawn(f"remove sandbox {event.container_id[:12]}", discard(tools, warm))
            self._warming.poke()

    async def look_around(self) -> None:
        """A full look when events may have been missed, and every ``resync`` seconds in any case, until cancelled."""
        failures = 0
        while True:
            try:
                async with asyncio.timeout(_LOOK_BACKOFF.delay(failures - 1) if failures else self._resync):
                    await self._due.wait()
            except TimeoutError:
                pass  # nothing asked for it: look all the same
            self._due.clear()
            try:
                await self.look()
                failures = 0
            except RuntimeFailure as error:
                failures += 1
                logger.warning("cannot look at the engine", extra={"error": error.message})

    async def look(self) -> None:
        """Compare everything that the engine has with what is known, and wake the pods where they differ.

        Raises RuntimeFailure.
        """
        tools, states = self._tools, self._states()
        sandboxes, containers = await asyncio.gather(tools.runtime.list_sandboxes(), tools.runtime.list_containers())
        for state in engine_watch.compare(states, sandboxes, containers):
            tools.wake(state.identity.uid)
        if self._synced():
            for state in engine_watch.orphans(states, sandboxes, containers, tools.now()):
                logger.info("removing what belongs to no pod", extra={"uid": state.identity.uid})
                state.authoritative = True
                states[state.identity.uid] = state
                tools.wake(state.identity.uid)
        alive = {sandbox.id for sandbox in sandboxes if sandbox.running}
        for warm in [warm for warm in tools.pool if warm.sandbox.id not in alive]:
            if tools.pool.drop(warm.sandbox.id) is not None:
                await discard(tools, warm)
        await self._warming.remove_strays(tools, list(sandboxes))
        self._warming.poke()
