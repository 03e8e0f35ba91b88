"""A rest between two looks at something big, so that a storm of changes is taken in by the batch.

A service or a ReplicaSet of 3,000 pods is counted through on each sync; while its pods become ready, a hundred a
second, that alone would take most of a core. After a look at ``n`` items the next one waits ``n`` times a fixed
fraction of a millisecond; small things never wait. Kubernetes has one period for all services, whatever their size
(--endpointslice-updates-batch-period). Pure but for its clock; one event loop.
"""

from __future__ import annotations

from controlplane.controllers.base import Key
from shared.work.clock import Clock

PER_ITEM = 200e-6
"""Seconds of rest for each item looked at: some ten times what the look and its write take."""
SMALL = 100
"""Items up to which nothing rests."""


class Pace:
    """What has rested enough. A change during a rest is seen at its end: ``wait`` says when that is."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._until: dict[Key, float] = {}

    def wait(self, key: Key) -> float | None:
        """Seconds of rest that are left, for a sync to return at its beginning; None: look now."""
        until = self._until.get(key)
        if until is None:
            return None
        left = until - self._clock.monotonic()
        if left > 0:
            return left
        del self._until[key]
        return None

    def looked(self, key: Key, items: int) -> None:
        """``items`` were looked at, now."""
        if items > SMALL:
            self._until[key] = self._clock.monotonic() + items * PER_ITEM
        else:
            self._until.pop(key, None)

    def forget(self, key: Key) -> None:
        """It is gone."""
        self._until.pop(key, None)
