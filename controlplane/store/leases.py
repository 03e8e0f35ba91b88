"""Deadlines of leases, in memory: keeping a lease alive is one assignment and never a write.

Owns when a lease ends; what its end does is ``expire``, given by the store. Sleeps until the next deadline and
never polls. Nobody is judged for time in which this process did not run: after a start, and after being stopped
or blocked past a deadline that it should have served, every lease first gets one full TTL, since keepalives may
be waiting unread in the sockets. Lives on one event loop.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
from collections.abc import Callable, Mapping

from controlplane.store import metrics
from controlplane.store.base import LeaseNotFound
from shared.work.backoff import Backoff
from shared.work.clock import Clock

logger = logging.getLogger(__name__)

_RETRY = Backoff(0.5, 10.0)


class Leases:
    """TTLs and deadlines by lease, in seconds of ``clock.monotonic``."""

    def __init__(self, clock: Clock, expire: Callable[[int], None], *, late_after: float = 1.0) -> None:
        """``expire`` must lead to ``ended`` or ``retry``; ``late_after`` is in seconds, see the module."""
        self._clock, self._expire, self._late_after = clock, expire, late_after
        self._ttl: dict[int, float] = {}
        self._deadline: dict[int, float] = {}
        self._expiring: dict[int, int] = {}
        # One entry for each lease, at its deadline or earlier: a keepalive does not touch the heap, the entry
        # is put back when it comes up and finds the deadline moved.
        self._heap: list[tuple[float, int]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._armed = 0.0
        self._closed = False

    def restore(self, ttls: Mapping[int, float]) -> None:
        """The leases of the database, each with one full TTL from now."""
        for lease, ttl in ttls.items():
            self.granted(lease, ttl)

    def granted(self, lease: int, ttl: float) -> None:
        """A new lease."""
        self._ttl[lease] = ttl
        self._deadline[lease] = self._clock.monotonic() + ttl
        heapq.heappush(self._heap, (self._deadline[lease], lease))
        metrics.LEASES.set(len(self._ttl))
        self._arm()

    def keepalive(self, lease: int) -> float:
        """Begin the TTL anew and return it. Raises LeaseNotFound, also for one that is just being expired."""
        if lease not in self._ttl or lease in self._expiring:
            raise LeaseNotFound(f"lease {lease} has ended")
        self._deadline[lease] = self._clock.monotonic() + self._ttl[lease]
        return self._ttl[lease]

    def ended(self, lease: int) -> None:
        """The lease is gone from the store."""
        self._ttl.pop(lease, None)
        self._deadline.pop(lease, None)
        self._expiring.pop(lease, None)
        metrics.LEASES.set(len(self._ttl))

    def retry(self, lease: int) -> None:
        """Expiring it failed (a full disk): try again later, with back-off."""
        failures = self._expiring.get(lease)
        if failures is None:
            return
        self._expiring[lease] = failures + 1
        self._deadline[lease] = self._clock.monotonic() + _RETRY.delay(failures)
        heapq.heappush(self._heap, (self._deadline[lease], lease))
        self._arm()

    def serve(self) -> None:
        """Expire what is due, unless this comes so late that the process itself must have stood still."""
        self._timer = None
        now = self._clock.monotonic()
        if self._heap and now - self._heap[0][0] > self._late_after:
            logger.warning("late for a lease: every lease gets a full TTL", extra={"seconds": now - self._heap[0][0]})
            self._start_anew(now)
        while self._heap and self._heap[0][0] <= now:
            _, lease = heapq.heappop(self._heap)
            deadline = self._deadline.get(lease)
            if deadline is None:
                continue
            if deadline > now:
                heapq.heappush(self._heap, (deadline, lease))
                continue
            self._expiring.setdefault(lease, 0)
            self._expire(lease)
        self._arm()

    def close(self) -> None:
        """Expire nothing more."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _start_anew(self, now: float) -> None:
        for lease, ttl in self._ttl.items():
            if lease not in self._expiring:
                self._deadline[lease] = now + ttl
        self._heap = [(deadline, lease) for lease, deadline in self._deadline.items()]
        heapq.heapify(self._heap)

    def _arm(self) -> None:
        if self._closed or not self._heap:
            return
        due = self._heap[0][0]
        if self._timer is not None:
            if self._armed <= due:
                return
            self._timer.cancel()
        self._armed = due
        # A millisecond more than needed: a timer may fire a clock tick early.
        self._timer = asyncio.get_running_loop().call_later(max(0.0, due - self._clock.monotonic()) + 0.001, self.serve)
