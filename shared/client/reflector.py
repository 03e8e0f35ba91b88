"""Keeps a Cache true: list, then watch from the list's revision, without end.

Owns the feeding of one cache; never writes to the API. One task: ``run``. It ends only by cancellation, or by an
error that is no StatusError, which is a bug. The shape is that of client-go's tools/cache/reflector.go:

- the end of a watch is ordinary: it resumes from the last revision seen, which bookmarks move forward;
- Expired means that the server forgot that revision: list again at once;
- any other refusal backs off (0.2 to 30 s, with jitter) and resumes; after ``PATIENCE`` of them in a row the
  list is read again too, in case the revision itself is what the server cannot serve.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from typing import Generic, TypeVar

from prometheus_client import Counter

from shared.api.errors import Expired, Gone, StatusError
from shared.api.kinds import Resource
from shared.api.meta import Object
from shared.client.base import Client, EventType
from shared.client.cache import Cache
from shared.work.backoff import Backoff

T = TypeVar("T", bound=Object)

logger = logging.getLogger(__name__)

PATIENCE = 3
STEADY = 5.0
"""Seconds after which a watch that brought nothing still counts as a success."""

LISTS = Counter("reflector_lists_total", "Lists that reflectors made, the first ones included.", ["resource"])
EVENTS = Counter("reflector_watch_events_total", "Watch events that reflectors received.", ["resource", "type"])
FAILURES = Counter("reflector_failures_total", "Lists and watches that were refused or broke.", ["resource"])


class Reflector(Generic[T]):
    """Feeds ``cache`` with what the selectors choose. ``on_relist`` is called after every list but the first."""

    def __init__(
        self,
        client: Client,
        resource: Resource[T],
        cache: Cache[T],
        *,
        namespace: str = "",
        field_selector: str = "",
        label_selector: str = "",
        backoff: Backoff = Backoff(0.2, 30.0),
        rng: random.Random | None = None,
        on_relist: Callable[[], None] | None = None,
    ) -> None:
        self._client, self._resource, self._cache = client, resource, cache
        self._namespace, self._fields, self._labels = namespace, field_selector, label_selector
        self._backoff, self._rng, self._on_relist = backoff, rng, on_relist
        self._failures = 0
        self._expired = 0
        self._listed = False

    async def run(self) -> None:
        """Keep the cache true until cancelled."""
        relist = True
        while True:
            try:
                if relist:
                    await self._list()
                    relist = False
                await self._watch()
            except (Expired, Gone) as error:
                relist = True
                self._expired += 1
                logger.info("history expired, listing again", extra=self._about(error))
                if self._expired > 1:  # listed and expired again at once: the server cannot keep up
                    await self._pause(error)
            except StatusError as error:
                FAILURES.labels(self._resource.group_resource).inc()
                await self._pause(error)
                relist = relist or self._failures % PATIENCE == 0

    async def _list(self) -> None:
        answer = await self._client.list(
            self._resource, self._namespace, label_selector=self._labels, field_selector=self._fields
        )
        LISTS.labels(self._resource.group_resource).inc()
        self._cache.replace(answer.items, answer.resource_version)
        if self._listed and self._on_relist is not None:
            self._on_relist()
        self._listed = True

    async def _watch(self) -> None:
        """One watch, from the last revision until it ends."""
        loop = asyncio.get_running_loop()
        began, received = loop.time(), False
        counters = {type: EVENTS.labels(self._resource.group_resource, type) for type in EventType}
        stream = self._client.watch(
            self._resource,
            self._namespace,
            resource_version=self._cache.resource_version,
            label_selector=self._labels,
            field_selector=self._fields,
        )
        try:
            async for event in stream:
                received = True
                self._succeeded()
                counters[event.type].inc()
                if event.type is EventType.BOOKMARK:
                    self._cache.resource_version = event.object.metadata.resource_version
                elif event.type is EventType.DELETED:
                    self._cache.remove(event.object)
                else:
                    self._cache.apply(event.object)
        finally:
            if loop.time() - began >= STEADY:
                self._succeeded()
            if (close := getattr(stream, "aclose", None)) is not None:
                await close()
        if not received and loop.time() - began < 1.0:
            await self._pause(None)  # a server that ends every watch at once must not make us spin

    def _succeeded(self) -> None:
        if self._failures:
            logger.info("watching again", extra={**self._about(None), "failures": self._failures})
        self._failures = self._expired = 0

    async def _pause(self, error: StatusError | None) -> None:
        delay = self._backoff.delay(self._failures, self._rng)
        if error is not None and error.retry_after_seconds:
            delay = max(delay, min(error.retry_after_seconds, self._backoff.cap))
        self._failures += 1
        if self._failures == 1 and error is not None:  # the first of a row; the rest is in the metrics
            logger.warning("cannot watch, trying again", extra=self._about(error))
        await asyncio.sleep(delay)

    def _about(self, error: StatusError | None) -> dict[str, object]:
        about: dict[str, object] = {"resource": self._resource.group_resource}
        if error is not None:
            about |= {"reason": error.reason, "error": error.message}
        return about
