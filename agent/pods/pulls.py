"""Pulls of images: in the background, one at a time for each image, told to all who wait.

A worker never waits for a pull; it is woken when the pull has ended. Lives on one event loop.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from agent import metrics
from agent.runtime.base import Image, Runtime, RuntimeFailure
from shared.work.clock import Clock
from shared.work.supervisor import Supervisor


@dataclass(frozen=True, slots=True)
class PullOutcome:
    """How a pull ended: an image or a failure; ``seconds`` it took."""

    image: Image | None
    failure: RuntimeFailure | None
    seconds: float


Listener = Callable[[PullOutcome], None]


class ImagePulls:
    """See the module."""

    def __init__(self, runtime: Runtime, clock: Clock, supervisor: Supervisor) -> None:
        self._runtime, self._clock, self._supervisor = runtime, clock, supervisor
        self._waiting: dict[str, list[Listener]] = {}

    def pull(self, image: str, listener: Listener) -> None:
        """Begin to pull, or join the pull of the same image; ``listener`` must not block or raise."""
        listeners = self._waiting.get(image)
        if listeners is not None:
            listeners.append(listener)
            return
        self._waiting[image] = [listener]
        self._supervisor.spawn(f"pull {image}", self._pull(image))

    async def _pull(self, image: str) -> None:
        began = self._clock.monotonic()
        found: Image | None = None
        failure: RuntimeFailure | None = None
        try:
            found = await self._runtime.pull_image(image)
        except RuntimeFailure as error:
            failure = error
        finally:
            seconds = self._clock.monotonic() - began
            metrics.START_SECONDS.labels("pull").observe(seconds)
            listeners = self._waiting.pop(image)
        for listener in listeners:
            listener(PullOutcome(found, failure, seconds))
