"""What a controller wrote and its caches do not show yet, so that it never acts twice on the same news.

A write is in the server before its call returns, but an informer's cache gets it a moment later. A sync that
ran in between would create the same pods again. So a controller notes the revision of each of its writes and
does nothing for that key until the cache has come so far: its own write then arrives as an event, which asks for
the next sync. Deletions give no revision: their uids are noted, and such pods are not counted until the cache
shows that they are going. Kubernetes' UID and count expectations (pkg/controller/controller_utils.go) serve the
same end.

Revisions are compared as numbers, which Kubernetes allows since 1.35 (KEP-5504). One event loop.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from controlplane.controllers.base import Key
from shared.api.meta import JSON
from shared.client.cache import Cache
from shared.work.clock import Clock

TIMEOUT = 300.0
"""Seconds after which an expectation is given up: the store was restored from a backup, for instance."""


@dataclass(slots=True)
class _Expected:
    caches: dict[str, tuple[Cache[Any], int]] = field(default_factory=dict)
    deleted: set[str] = field(default_factory=set)
    since: float = 0.0


class Expectations:
    """By key; ``forget`` a key whose object is gone."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._expected: dict[Key, _Expected] = {}

    def wrote(self, key: Key, cache: Cache[Any], answer: JSON) -> None:
        """A create or patch for ``key`` gave ``answer``; ``cache`` will show it."""
        expected = self._at(key)
        group_resource = cache.resource.group_resource
        revision = max(_revision(answer["metadata"]["resourceVersion"]), expected.caches.get(group_resource, (0, 0))[1])
        expected.caches[group_resource] = (cache, revision)
        expected.since = self._clock.monotonic()

    def deleted(self, key: Key, uid: str) -> None:
        """A delete for ``key`` was accepted."""
        expected = self._at(key)
        expected.deleted.add(uid)
        expected.since = self._clock.monotonic()

    def wait(self, key: Key) -> float | None:
        """None if the caches are as new as the key's own writes; else seconds after which to look again.

        The event that ends the wait asks for a sync by itself. The seconds are a net for the write whose event
        never came: its object was gone again by the time of a new list.
        """
        expected = self._expected.get(key)
        if expected is None:
            return None
        for name, (cache, revision) in list(expected.caches.items()):
            if _revision(cache.resource_version) >= revision:
                del expected.caches[name]
        if not expected.caches:
            return None
        left = expected.since + TIMEOUT - self._clock.monotonic()
        if left > 0:
            return min(left, 1.0)
        self.forget(key)
        return None

    def going(self, key: Key, uids: Iterable[str]) -> frozenset[str]:
        """Which of ``uids`` (pods that the cache shows as staying) were deleted; forgets all others."""
        expected = self._expected.get(key)
        if expected is None:
            return frozenset()
        expected.deleted &= set(uids)
        if expected.since + TIMEOUT <= self._clock.monotonic():
            expected.deleted.clear()
        if not expected.deleted and not expected.caches:
            del self._expected[key]
            return frozenset()
        return frozenset(expected.deleted)

    def forget(self, key: Key) -> None:
        """Expect nothing for ``key`` any more."""
        self._expected.pop(key, None)

    def _at(self, key: Key) -> _Expected:
        return self._expected.setdefault(key, _Expected())


def _revision(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() else 0
