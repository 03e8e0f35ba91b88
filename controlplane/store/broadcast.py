"""Watches: one stream of committed changes, handed to many readers without waiting for any.

Owns the subscriptions. ``publish`` is called on the event loop after every commit, before the writers' calls
return. Each watch has a queue bounded by its number of changes; a reader that lets it overflow is cut off with
WatchLagged, and the others do not notice. Lives on one event loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from controlplane.store import metrics
from controlplane.store.base import Change, CompactedError, StoreError, StoreUnavailable, WatchLagged

HISTORY_PAGE = 1000
"""Changes read from the database at a time while a watch catches up."""

History = Callable[[str, int, int, int], Awaitable[tuple[Sequence[Change], int]]]
"""(prefix, first, last, limit): changes of those revisions, and the revision to go on from."""


class Broadcast:
    """All watches of a store. ``revision`` is the newest one published."""

    def __init__(self, revision: int, history: History, *, queue_changes: int) -> None:
        self.revision = revision
        self._history = history
        self._limit = queue_changes
        self._watches: dict[str, list[Watch]] = {}
        self._closed = False

    def watch(self, prefix: str, from_revision: int) -> Watch:
        """A subscription that begins here: what is older comes from history, what is newer by ``publish``."""
        watch = Watch(self, prefix, from_revision, self.revision, self._history, self._limit)
        if self._closed:
            watch.fail(StoreUnavailable("the store is closed"))
        else:
            self._watches.setdefault(prefix, []).append(watch)
            metrics.WATCHES.inc()
        return watch

    def publish(self, changes: Sequence[Change]) -> None:
        """Hand a group's changes, in revision order, to every watch that they concern."""
        if not changes:
            return
        self.revision = changes[-1].revision
        for prefix, watches in list(self._watches.items()):
            matching = [change for change in changes if change.key.startswith(prefix)] if prefix else changes
            if matching:
                for watch in list(watches):
                    watch.offer(matching)

    def remove(self, watch: Watch) -> None:
        """Forget a watch; one that is not there is no error."""
        watches = self._watches.get(watch.prefix, [])
        if watch in watches:
            watches.remove(watch)
            metrics.WATCHES.dec()
            if not watches:
                del self._watches[watch.prefix]

    def close(self) -> None:
        """End every watch with StoreUnavailable."""
        self._closed = True
        for watches in list(self._watches.values()):
            for watch in list(watches):
                watch.fail(StoreUnavailable("the store is closed"))


class Watch:
    """One subscription, read by one task: an async iterator of batches of changes."""

    def __init__(
        self, hub: Broadcast, prefix: str, from_revision: int, published: int, history: History, limit: int
    ) -> None:
        self.prefix = prefix
        self._hub = hub
        self._first = from_revision
        # Whatever is published already is in the database; whatever is not will be offered. So nothing is
        # missed between the two, and nothing comes twice.
        self._catch_up = from_revision if from_revision else published + 1
        self._published = published
        self._history = history
        self._limit = limit
        self._pending: list[Change] = []
        self._error: StoreError | None = None
        self._ended = False
        self._wake = asyncio.Event()

    def __aiter__(self) -> Watch:
        return self

    async def __anext__(self) -> Sequence[Change]:
        while True:
            if self._error is not None:
                raise self._error
            if self._ended:
                raise StopAsyncIteration
            if self._catch_up <= self._published:
                if batch := await self._from_history():
                    return batch
            elif self._pending:
                batch, self._pending = self._pending, []
                return batch
            else:
                self._wake.clear()
                await self._wake.wait()

    async def _from_history(self) -> Sequence[Change]:
        try:
            changes, following = await self._history(self.prefix, self._catch_up, self._published, HISTORY_PAGE)
        except CompactedError as error:
            self.fail(error)
            return ()
        self._catch_up = following
        return changes

    async def aclose(self) -> None:
        """End the subscription; a reader that waits is told that the iteration is over. Idempotent."""
        self._ended = True
        self._pending = []
        self._hub.remove(self)
        self._wake.set()

    def offer(self, changes: Sequence[Change]) -> None:
        """Queue changes for the reader. A batch larger than the queue is let through to a reader that keeps up."""
        if self._first > changes[0].revision:
            changes = [change for change in changes if change.revision >= self._first]
            if not changes:
                return
        if self._pending and len(self._pending) + len(changes) > self._limit:
            metrics.LAGGED.inc()
            self.fail(WatchLagged(f"the reader of {self.prefix or 'all keys'} fell {self._limit} changes behind"))
            return
        self._pending.extend(changes)
        self._wake.set()

    def fail(self, error: StoreError) -> None:
        """Cut the reader off: its next read raises ``error``."""
        self._error = error
        self._pending = []
        self._hub.remove(self)
        self._wake.set()
