"""A keyed work queue with the guarantees of Kubernetes' client-go workqueue.

- A key waits at most once, however often it is added.
- A key is worked on by one worker at a time; added meanwhile, it is worked on again afterwards.
- ``add_after`` delays; of several delays for a key the earliest counts. ``retry`` delays by back-off for each
  key until ``forget``. Lives on one event loop.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import deque
from collections.abc import Hashable
from typing import Generic, TypeVar

from shared.work.backoff import Backoff

K = TypeVar("K", bound=Hashable)


class WorkQueue(Generic[K]):
    """Bounded by the number of distinct keys. ``waiting_since`` tells how long the oldest key has waited."""

    def __init__(self, backoff: Backoff = Backoff(0.005, 60.0)) -> None:
        self._backoff = backoff
        self._ready: deque[K] = deque()
        self._added: dict[K, float] = {}
        self._working: set[K] = set()
        self._again: set[K] = set()
        self._failures: dict[K, int] = {}
        self._delayed: list[tuple[float, int, K]] = []
        self._due: dict[K, float] = {}
        self._sequence = 0
        self._timer: asyncio.TimerHandle | None = None
        self._wake: asyncio.Event = asyncio.Event()

    def __len__(self) -> int:
        return len(self._ready)

    def add(self, key: K) -> None:
        """Make the key ready now."""
        self._due.pop(key, None)
        if key in self._working:
            self._again.add(key)
        elif key not in self._added:
            self._added[key] = asyncio.get_running_loop().time()
            self._ready.append(key)
            self._wake.set()

    def add_after(self, key: K, seconds: float) -> None:
        """Make the key ready after ``seconds``, unless it is ready or due earlier already."""
        if seconds <= 0:
            self.add(key)
            return
        due = asyncio.get_running_loop().time() + seconds
        if key in self._added or self._due.get(key, due + 1) <= due:
            return
        self._due[key] = due
        self._sequence += 1
        heapq.heappush(self._delayed, (due, self._sequence, key))
        self._arm()

    def retry(self, key: K) -> float:
        """Add after the key's back-off; the seconds it will wait."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        delay = self._backoff.delay(failures)
        self.add_after(key, delay)
        return delay

    def forget(self, key: K) -> None:
        """The key succeeded: its back-off begins anew."""
        self._failures.pop(key, None)

    def failures(self, key: K) -> int:
        """How often in a row ``retry`` was called for the key."""
        return self._failures.get(key, 0)

    async def take(self) -> tuple[K, float]:
        """The next key and the seconds it waited; the caller must call ``done`` with it."""
        while not self._ready:
            self._wake.clear()
            await self._wake.wait()
        key = self._ready.popleft()
        waited = asyncio.get_running_loop().time() - self._added.pop(key)
        self._working.add(key)
        return key, waited

    def done(self, key: K) -> None:
        """The work on the key has ended; if it was added meanwhile it is ready again."""
        self._working.discard(key)
        if key in self._again:
            self._again.discard(key)
            self.add(key)

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._delayed:
            self._timer = asyncio.get_running_loop().call_at(self._delayed[0][0], self._release)

    def _release(self) -> None:
        self._timer = None
        now = asyncio.get_running_loop().time()
        while self._delayed and self._delayed[0][0] <= now + 0.001:
            due, _, key = heapq.heappop(self._delayed)
            if self._due.get(key) == due:
                self.add(key)
        self._arm()
