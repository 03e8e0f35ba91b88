"""Pulls of images: in the background, one at a time for each image, told to all who wait.

A worker never waits for a pull; it is woken when the pull has ended. Lives on one event loop.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from agent import metrics
from agent.runtime.base import Image, RegistryAuth, Runtime, RuntimeFailure
from shared.work.clock import Clock
from shared.work.supervisor import Supervisor


@dataclass(frozen=True, slots=True)
class PullOutcome:
    """How a pull ended: an image or a failure; ``seconds`` it took, and how long this listener waited for it."""

    image: Image | None
    failure: RuntimeFailure | None
    seconds: float
    waited: float


Listener = Callable[[PullOutcome], None]
Note = Callable[[str, Image], Awaitable[None]]
"""Is told the name and the image of each pull that brought one that was not here under that name."""


_Wanted = tuple[str, tuple[RegistryAuth, ...]]


class ImagePulls:
    """See the module."""

    def __init__(self, runtime: Runtime, clock: Clock, supervisor: Supervisor, note: Note | None = None) -> None:
        self._runtime, self._clock, self._supervisor, self._note = runtime, clock, supervisor, note
        self._waiting: dict[_Wanted, list[tuple[float, Listener]]] = {}

    def pull(self, image: str, auths: tuple[RegistryAuth, ...], listener: Listener) -> None:
        """Begin to pull, or join the pull of the same image with the same credentials, which are tried in turn;
        ``listener`` must not block or raise."""
        waiter = (self._clock.monotonic(), listener)
        waiting = self._waiting.get((image, auths))
        if waiting is not None:
            waiting.append(waiter)
            return
        self._waiting[image, auths] = [waiter]
        self._supervisor.spawn(f"pull {image}", self._pull(image, auths))

    async def _pull(self, image: str, auths: tuple[RegistryAuth, ...]) -> None:
        began = self._clock.monotonic()
        found: Image | None = None
        failure: RuntimeFailure | None = None
        try:
            before = await self._runtime.image_present(image)
            found = await self._as_somebody(image, auths)
            if self._note is not None and (before is None or before.id != found.id):
                await self._note(image, found)
        except RuntimeFailure as error:
            failure = error
        finally:
            ended = self._clock.monotonic()
            metrics.START_SECONDS.labels("pull").observe(ended - began)
            waiting = self._waiting.pop((image, auths))
        for since, listener in waiting:
            listener(PullOutcome(found, failure, ended - began, ended - since))

    async def _as_somebody(self, image: str, auths: tuple[RegistryAuth, ...]) -> Image:
        """The image, pulled with the first credentials that will do. Raises RuntimeFailure: what the last were told."""
        for auth in auths[:-1]:
            try:
                return await self._runtime.pull_image(image, auth)
            except RuntimeFailure:
                continue  # the next may do; if none does, the last one's failure is told
        return await self._runtime.pull_image(image, auths[-1] if auths else None)
