"""Events go by themselves after an hour: each is written with a store lease that many share.

A lease is a durable row, so there is one a minute at most, not one an event (as kube-apiserver's lease manager,
k8s.io/apiserver/pkg/storage/etcd3/lease_manager.go, --event-ttl). An event that is written again lives anew. After
a restart of the server the store gives every lease its full time again, so events may live longer, never shorter.
"""

from __future__ import annotations

import asyncio

from controlplane.store.base import Store
from shared.work.clock import Clock

SHARE_SECONDS = 60.0
"""How long new events join the same lease, which lives that much longer than they must."""


class EventLeases:
    """``ttl`` is how many seconds an event lives at least. One event loop."""

    def __init__(self, store: Store, clock: Clock, ttl: float) -> None:
        self._store, self._clock, self._ttl = store, clock, ttl
        self._lease, self._until = 0, 0.0
        self._granting = asyncio.Lock()

    async def current(self) -> int:
        """The lease to write an event with now. Raises StoreError."""
        if self._lease and self._clock.monotonic() < self._until:
            return self._lease
        async with self._granting:
            if not self._lease or self._clock.monotonic() >= self._until:
                self._lease = await self._store.lease_grant(self._ttl + SHARE_SECONDS)
                self._until = self._clock.monotonic() + SHARE_SECONDS
        return self._lease

    def forget(self) -> None:
        """The lease is gone: the next event takes another."""
        self._lease = 0
