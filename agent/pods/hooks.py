"""One postStart or preStop hook, run once: exec, HTTP(S) or sleep.

The rules are those of pkg/kubelet/lifecycle/handlers.go: a command must end with 0, a request must be answered with
whatever status, and a sleep always succeeds.
"""

from __future__ import annotations

import asyncio

from agent.pods.http_get import HttpGetFailed, HttpGetter, Target
from agent.runtime.base import Runtime, RuntimeFailure
from shared.api.pod import LifecycleHandler

USER_AGENT = "kube-lifecycle/1.36"


class HookFailed(Exception):
    """The hook did not succeed. The message holds nothing that the hook itself said, which may be a secret."""


class Hooks:
    """Runs the hooks of this node's containers."""

    def __init__(self, runtime: Runtime, http: HttpGetter) -> None:
        self._runtime, self._http = runtime, http

    async def run(self, handler: LifecycleHandler, target: Target, limit: float) -> None:
        """Return when the hook has succeeded. Raises HookFailed, also when ``limit`` seconds are over."""
        try:
            async with asyncio.timeout(limit):
                await self._run(handler, target, limit)
        except TimeoutError as error:
            raise HookFailed(f"it did not end within {limit:g} s") from error
        except RuntimeFailure as error:
            raise HookFailed("its command could not be run in the container") from error
        except HttpGetFailed as error:
            raise HookFailed("its request was not answered") from error

    async def _run(self, handler: LifecycleHandler, target: Target, limit: float) -> None:
        if handler.exec_ is not None:
            result = await self._runtime.exec(target.container_id, handler.exec_.command, limit)
            if result.exit_code:
                raise HookFailed(f"its command exited with {result.exit_code}")
        elif handler.http_get is not None:
            await self._http.get(self._http.url(handler.http_get, target), handler.http_get, USER_AGENT)
        elif handler.sleep is not None:
            await asyncio.sleep(handler.sleep.seconds)
        else:
            raise HookFailed("it has no handler that can be run")
