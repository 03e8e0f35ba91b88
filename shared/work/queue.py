"""A keyed work queue with the guarantees of Kubernetes' client-go workqueue.

- A key waits at most once, however often it is added.
- A key is worked on by one worker at a time; added meanwhile, it is worked on again afterwards.
- ``add_after`` delays; of several delays for a key the earliest counts, and ``add`` makes it due now. ``retry``
  delays by back-off for each key until ``forget``.
- A taker that is cancelled while it waits takes no key with it.

Lives on one event loop. Memory is bounded by the number of distinct keys.
"""

from __future__ import annotations

import asyncio
import heapq
import random
from collections import deque
from collections.abc import Hashable
from typing import Generic, TypeVar

from shared.work.backoff import Backoff

K = TypeVar("K", bound=Hashable)


class WorkQueue(Generic[K]):
    """``len`` is how many keys are ready and wait for a worker. ``rng`` spreads the retries."""

    def __init__(self, backoff: Backoff = Backoff(0.005, 60.0), rng: random.Random | None = None) -> None:
        self._backoff, self._rng = backoff, rng
        self._ready: deque[K] = deque()
        self._added: dict[K, float] = {}
        self._working: set[K] = set()
        self._again: set[K] = set()
        self._failures: dict[K, int] = {}
        self._delayed: list[tuple[float, int, K]] = []
        self._due: dict[K, tuple[float, int]] = {}
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
        if key in self._added or (key in self._due and self._due[key][0] <= due):
            return
        self._sequence += 1
        self._due[key] = (due, self._sequence)
        heapq.heappush(self._delayed, (due, self._sequence, key))
        if len(self._delayed) > 2 * len(self._due) + 64:
            # Keys that became ready sooner leave their entries behind; a busy key asked for every ten minutes
            # would otherwise gather ten minutes of them.
            self._delayed = [entry for entry in self._delayed if self._due.get(entry[2]) == entry[:2]]
            heapq.heapify(self._delayed)
        self._arm()

    def retry(self, key: K) -> float:
        """Add after the key's back-off; the seconds it will wait."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        delay = self._backoff.delay(failures, self._rng)
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
        """Have the timer fire when the first delayed key is due."""
        first = self._delayed[0][0] if self._delayed else None
        if self._timer is not None:
            if self._timer.when() == first:
                return
            self._timer.cancel()
            self._timer = None
        if first is not None:
            self._timer = asyncio.get_running_loop().call_at(first, self._release)

    def _release(self) -> None:
        self._timer = None
        now = asyncio.get_running_loop().time()
        while self._delayed and self._delayed[0][0] <= now + 0.001:
            due, sequence, key = heapq.heappop(self._delayed)
            if self._due.get(key) == (due, sequence):
                self.add(key)
        self._arm()
