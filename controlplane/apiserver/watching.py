"""One watch: which events it selects, as what, and the queue between the cache and its reader.

Owns a bounded queue. The cache offers events without ever waiting; a reader that lets the queue overflow gets
what was queued and then the end, and resumes from its last revision. One event loop, one reader.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, Self

from controlplane.apiserver.cache import WatchCache
from controlplane.apiserver.metrics import WATCHES_CUT
from controlplane.apiserver.resource_cache import RING_BYTES, Entry, Event, ResourceCache
from shared.api.selectors import EVERYTHING, FieldSelector, Selector
from shared.client.base import EventType

Selected = tuple[EventType, Entry]
"""What a watch is told: the type as this watch sees it, and the object's state to send."""

Tell = Callable[[list[Event], bool], Awaitable[list[Event]]]
"""Makes stored events those of another version, with what was before them if the second argument says so."""

QUEUE_EVENTS = 10_000
"""Events that may wait for a reader, beside those that it began with; and ``RING_BYTES`` of them, since they keep
alive what the ring has let go of."""

EVERY_FIELD = FieldSelector()


class Selection:
    """What a list or a watch chooses: a namespace (or all), labels and fields."""

    __slots__ = ("_labels", "_requirements", "_whole", "fields", "labels", "namespace")

    def __init__(self, namespace: str = "", labels: Selector = EVERYTHING, fields: FieldSelector = EVERY_FIELD) -> None:
        self.namespace, self.labels, self.fields = namespace, labels, fields
        self._requirements = fields.requirements
        self._labels = None if labels.empty else labels
        self._whole = labels.empty and fields.empty

    @property
    def whole(self) -> bool:
        """Whether everything in the namespace is chosen."""
        return self._whole

    def matches(self, entry: Entry) -> bool:
        """Whether labels and fields choose the object; its namespace is not looked at."""
        if self._whole:
            return True
        if self._labels is not None and not self._labels.matches(entry.labels):
            return False
        return all((entry.field(r.field) == r.value) is not r.negative for r in self._requirements)

    def told(self, event: Event) -> Selected | None:
        """What a watch is told of the event, as k8s.io/apiserver/pkg/storage/cacher converts it: an object that
        begins to match is ADDED, one that ceases to is DELETED, in its state from before."""
        entry = event.entry
        if self.namespace and entry.namespace != self.namespace:
            return None
        if self._whole:
            return event.type, entry
        before = event.previous is not None and self.matches(event.previous)
        if event.type is EventType.DELETED:
            return (EventType.DELETED, entry) if before else None
        if self.matches(entry):
            return (EventType.MODIFIED if before else EventType.ADDED), entry
        return (EventType.DELETED, event.left) if before else None

    def trigger(self) -> tuple[str, str] | None:
        """A field that must have one certain value, which watches can be indexed by."""
        return next(((r.field, r.value) for r in self._requirements if not r.negative), None)


class Watch:
    """A registered watch of objects as they are stored; ``close`` must be called. See ``open_at`` for where it begins.

    It queues what it is told: its selection is made at once, so that only what is selected costs room.
    """

    __slots__ = (
        "_bytes", "_cache", "_ended", "_most_bytes", "_most_events", "_queue", "_waiter", "_whole", "namespace",
        "plain", "selection", "trigger",
    )  # fmt: skip

    def __init__(self, whole: WatchCache, cache: ResourceCache, selection: Selection) -> None:
        self._whole, self._cache, self.selection = whole, cache, selection
        self.namespace = selection.namespace
        self.trigger = selection.trigger()
        self.plain = selection.whole
        self._queue: deque[Any] = deque()
        self._bytes = 0
        self._most_events, self._most_bytes = QUEUE_EVENTS, RING_BYTES
        self._waiter: asyncio.Future[None] | None = None
        self._ended = False

    def open_at(self, revision: int) -> Self:
        """Begin with every change after ``revision``. Raises Expired."""
        self._begin(self._cache.since(revision))
        return self

    def open_now(self) -> Self:
        """Begin with every object there is as ADDED, then every change."""
        self._begin(Event(EventType.ADDED, entry, None) for entry in self._cache.entries(self.namespace))
        return self

    def _begin(self, first: Iterable[Event]) -> None:
        self._queue.extend(item for event in first if (item := self._item(event)) is not None)
        self._bytes = sum(len(item[1].data) for item in self._queue)
        self._most_events += len(self._queue)
        self._most_bytes += self._bytes
        self._cache.watches.add(self)

    # --- the cache's side

    def offer(self, event: Event) -> bool:
        """Queue the event if it is selected; whether there is something to wake the reader for."""
        if self._ended or (item := self._item(event)) is None:
            return False
        self.take((item,), len(item[1].data))
        return True

    def _item(self, event: Event) -> Any:
        """What is queued of an event, its entry second; None for nothing."""
        return self.selection.told(event)

    def take(self, told: Sequence[Any], size: int) -> None:
        """Queue what this watch selects, of ``size`` bytes in all, for the reader that is woken next; end the watch
        where it has too much queued already."""
        if self._ended:
            return
        if len(self._queue) >= self._most_events or self._bytes > self._most_bytes:
            WATCHES_CUT.labels(self._cache.kind.resource.group_resource).inc()
            self._ended = True
            return
        self._queue.extend(told)
        self._bytes += size

    def wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def end(self) -> None:
        """No more events; the reader gets what is queued and then the end."""
        self._ended = True
        self.wake()

    # --- the reader's side

    async def next(self, timeout: float, limit: int = 500, not_before: float = 0.0) -> list[Selected] | None:
        """Up to ``limit`` events, none when ``timeout`` seconds brought none, None at the end.

        Events that are there before the loop's time ``not_before`` wait until then for more to join them.
        """
        return await self._queued(timeout, limit, not_before)

    async def _queued(self, timeout: float, limit: int, not_before: float) -> list[Any] | None:
        queue = self._queue
        if not queue and not self._ended:
            loop = asyncio.get_running_loop()
            self._waiter = loop.create_future()
            timer = loop.call_later(timeout, self.wake)
            try:
                await self._waiter
            finally:
                timer.cancel()
                self._waiter = None
        if queue and len(queue) < limit and not self._ended:
            early = not_before - asyncio.get_running_loop().time()
            if early > 0:
                await asyncio.sleep(early)
        if not queue:
            return None if self._ended else []
        if len(queue) <= limit:
            batch = list(queue)
            queue.clear()
            self._bytes = 0
            return batch
        batch = [queue.popleft() for _ in range(limit)]
        self._bytes -= sum(len(item[1].data) for item in batch)
        return batch

    @property
    def revision(self) -> int:
        """What a bookmark may say: everything up to here was given to the reader. 0 while events are queued."""
        return 0 if self._queue else self._whole.revision

    def close(self) -> None:
        """Stop being offered events. Idempotent."""
        self._ended = True
        self._queue.clear()
        self._cache.watches.remove(self)


class ViewWatch(Watch):
    """A watch of objects as another version shows them, which its reader converts and selects: what another version
    calls a label or a field is known only then, and it may take a webhook to know it."""

    __slots__ = ("_tell",)

    def __init__(self, whole: WatchCache, cache: ResourceCache, selection: Selection, tell: Tell) -> None:
        super().__init__(whole, cache, selection)
        self._tell = tell
        self.trigger, self.plain = None, False

    def _item(self, event: Event) -> Any:
        here = self.namespace in ("", event.entry.namespace)
        return (event, event.entry) if here else None

    async def next(self, timeout: float, limit: int = 500, not_before: float = 0.0) -> list[Selected] | None:
        """See ``Watch.next``. Raises StatusError when a conversion webhook cannot say; the watch is to end then."""
        queued = await self._queued(timeout, limit, not_before)
        if not queued:
            return queued
        events = await self._tell([event for event, _ in queued], not self.selection.whole)
        return [told for event in events if (told := self.selection.told(event)) is not None]
