"""The watch cache: every object of every kind as bytes, and a bounded past, kept true by one watch of the store.

Owns the entries, the rings of recent events and the registration of watches. Never writes to the store, and
never encodes an object: it splices the revision into the stored bytes once, and everybody serves these bytes.
One task (``run``) changes it; everything else reads it on the same event loop, so between two awaits a reader
sees one revision of everything.

After k8s.io/apiserver/pkg/storage/cacher. Unlike there, a start also reads the last revisions of history, so
that watches resume across a restart of the server.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from controlplane.apiserver.encoding import without_revision
from controlplane.apiserver.kinds.base import Kind
from controlplane.apiserver.resource_cache import ResourceCache
from controlplane.apiserver.unserved import nothing
from controlplane.apiserver.versions import VersionView
from controlplane.store.base import Change, CompactedError, Store, StoreUnavailable, WatchLagged
from shared.api.kinds import Resource
from shared.work.backoff import Backoff

logger = logging.getLogger(__name__)

PREFIX = "/registry/"


class WatchCache:
    """``revision`` is the newest one applied. ``history`` bounds the events that each resource remembers."""

    def __init__(self, store: Store, kinds: Iterable[Kind], *, history: int = 10_000, replay: int = 1_000) -> None:
        self._store = store
        self._history, self._replay = history, replay
        self._kinds = tuple(kinds)
        self._resources: dict[str, ResourceCache] = {}
        self._by_kind: dict[tuple[str, str], ResourceCache] = {}
        self.revision = self._applying = 0
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._sequence = itertools.count()
        self._ready = asyncio.Event()
        self._closed = False
        self._views: dict[tuple[str, str, str], VersionView] = {}
        self._unclaimed: dict[str, dict[str, tuple[bytes, int]]] = {}
        """By prefix: stored bytes and revisions of keys that no kind served now has, for a kind that may come."""
        self._followers: dict[ResourceCache, Callable[[], None]] = {}
        for kind in self._kinds:
            if not kind.is_view:
                self._make(kind)

    def of(self, kind: Kind) -> ResourceCache:
        """The cache of what is stored of a kind. Raises NotFound when its definition went meanwhile."""
        resource = kind.stored_as.resource
        cache = self._by_kind.get((resource.group, resource.plural))
        if cache is None:
            raise nothing()
        return cache

    def view(self, kind: Kind) -> VersionView:
        """What a kind that is stored as another makes of that one's entries. Raises as ``of``."""
        resource, cache = kind.resource, self.of(kind)
        key = resource.group, resource.version, resource.plural
        view = self._views.get(key)
        if view is None or view.kind is not kind or view.cache is not cache:
            view = self._views[key] = VersionView(cache, kind)
        return view

    # --- kinds that come and go

    def follow(self, group: str, plural: str, follower: Callable[[], None]) -> None:
        """Have ``follower`` called after every change of a resource and after every first list, before anybody else
        can see that state. It must not raise."""
        self._followers[self._by_kind[group, plural]] = follower

    def add(self, kind: Kind) -> None:
        """Keep a cache of a stored kind from now on, filled with what the store has of it already."""
        cache = self._make(kind)
        cache.reset(max(self.revision, self._applying))
        for key, (value, revision) in self._unclaimed.pop(cache.prefix, {}).items():
            cache.load(key, value, revision)
        cache.loaded()

    def drop(self, group: str, plural: str) -> None:
        """End the watches of a resource and forget it; what is stored of it stays."""
        cache = self._by_kind.pop((group, plural))
        del self._resources[cache.prefix]
        for key in [key for key, view in self._views.items() if view.cache is cache]:
            del self._views[key]
        left = {cache.prefix + entry.key: (without_revision(entry.data), entry.revision) for entry in cache.entries()}
        if left:
            self._unclaimed[cache.prefix] = left
        cache.end_watches()

    def _make(self, kind: Kind) -> ResourceCache:
        cache = ResourceCache(kind, self._history)
        self._resources[cache.prefix] = cache
        self._by_kind[kind.resource.group, kind.resource.plural] = cache
        return cache

    def find(self, group: str, plural: str) -> ResourceCache | None:
        """The cache of ``plural`` in ``group``, if it is served."""
        return self._by_kind.get((group, plural))

    def served(self, resource: Resource[Any]) -> ResourceCache:
        """The cache of a resource that whoever asks cannot do without. Raises LookupError when it is not served."""
        found = self.find(resource.group, resource.plural)
        if found is None:
            raise LookupError(f"{resource.group_resource} is not served")
        return found

    @property
    def ready(self) -> bool:
        """Whether the cache follows the store at this moment."""
        return self._ready.is_set()

    async def wait_ready(self) -> None:
        """Return once the cache holds what the store held when ``run`` began."""
        await self._ready.wait()

    async def wait(self, revision: int) -> None:
        """Return once ``revision`` is applied; at once if it is, which is the rule after one's own write."""
        if self.revision >= revision or self._closed:
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (revision, next(self._sequence), future))
        await future

    async def reaches(self, revision: int, seconds: float) -> bool:
        """Whether ``revision`` is applied within ``seconds``."""
        try:
            async with asyncio.timeout(seconds):
                await self.wait(revision)
        except TimeoutError:
            return False
        return self.revision >= revision

    async def run(self) -> None:
        """Follow the store until cancelled or closed. Raises what the store raises when it is gone for good."""
        backoff, failures = Backoff(0.05, 5.0), 0
        while not self._closed:
            try:
                await self._follow()
            except StoreUnavailable:
                if not self._closed:
                    raise
            except (WatchLagged, CompactedError) as error:
                # Nobody can tell what was missed, so every watch ends, its client finds its revision expired
                # and lists again.
                logger.warning("the watch cache lost the store's history and starts over", extra={"cause": str(error)})
                self._ready.clear()
                for cache in self._resources.values():
                    cache.end_watches()
                await asyncio.sleep(backoff.delay(failures))
                failures += 1

    def close(self) -> None:
        """End every watch cleanly and let go of everybody who waits."""
        self._closed = True
        self._ready.clear()
        for cache in self._resources.values():
            cache.end_watches()
        self._release()

    # --- feeding

    async def _follow(self) -> None:
        newest = await self._store.revision()
        base = max(1, newest - self._replay)
        try:
            whole = await self._store.range(PREFIX, revision=base)
        except CompactedError:
            base = newest
            whole = await self._store.range(PREFIX, revision=base)
        # The empty prefix, so that revisions that write none of our keys move us on too.
        stream = self._store.watch("", base + 1)
        try:
            for cache in self._resources.values():
                cache.reset(base)
            self._unclaimed.clear()
            for pair in whole.items:
                if (cache_ := self._resource(pair.key)) is not None:
                    cache_.load(pair.key, pair.value, pair.mod_revision)
                else:
                    self._unclaimed.setdefault(_prefix(pair.key), {})[pair.key] = pair.value, pair.mod_revision
            for cache in self._resources.values():
                cache.loaded()
            self.revision = self._applying = base
            for follower in self._followers.values():
                follower()
            if base >= newest:
                self._release()
                self._ready.set()
            async for batch in stream:
                self.apply(batch)
                if not self._ready.is_set() and self.revision >= newest:
                    self._ready.set()
        finally:
            if (aclose := getattr(stream, "aclose", None)) is not None:
                await aclose()

    def apply(self, batch: Sequence[Change]) -> None:
        """Take in changes in revision order, tell the watches, and let go of who waited for them."""
        touched: set[ResourceCache] = set()
        for change in batch:
            cache = self._resource(change.key)
            self._applying = change.revision
            if cache is None:
                self._set_aside(change)
                continue
            cache.apply(change)
            touched.add(cache)
            if (follower := self._followers.get(cache)) is not None:
                follower()
        if batch:
            self.revision = batch[-1].revision
        for cache in touched:
            cache.wake()
        self._release()

    def _release(self) -> None:
        waiting = self._waiting
        while waiting and (waiting[0][0] <= self.revision or self._closed):
            future = heapq.heappop(waiting)[2]
            if not future.done():
                future.set_result(None)

    def _resource(self, key: str) -> ResourceCache | None:
        """The cache that a key belongs to."""
        return self._resources.get(_prefix(key))

    def _set_aside(self, change: Change) -> None:
        prefix = _prefix(change.key)
        if not prefix.startswith(PREFIX):
            return
        if change.value is not None:
            self._unclaimed.setdefault(prefix, {})[change.key] = change.value, change.revision
        elif (kept := self._unclaimed.get(prefix)) is not None:
            kept.pop(change.key, None)
            if not kept:
                del self._unclaimed[prefix]


def _prefix(key: str) -> str:
    """The prefix of a key's resource: its first four parts. Empty for a key that is none of an object."""
    parts = key.split("/", 4)
    return f"/{parts[1]}/{parts[2]}/{parts[3]}/" if len(parts) == 5 else ""
