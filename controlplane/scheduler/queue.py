"""The scheduling queue: who is decided next, who waits for the cluster to change, who backs off.

Pure but for the clock that it is given; never sleeps. As in Kubernetes there are three places for a pod that has
no node: active (to be decided now), unschedulable (until something changes that may help it), and backoff (it
may help, but the pod was tried a moment ago). Used on one event loop.
"""

from __future__ import annotations

import heapq
import itertools
from dataclasses import dataclass

from controlplane.scheduler import metrics
from controlplane.scheduler.decide import Pending
from shared.work.backoff import Backoff
from shared.work.clock import Clock

BACKOFF = Backoff(1.0, 10.0, jitter=0.0)
"""Seconds between two attempts for one pod: podInitialBackoffSeconds and podMaxBackoffSeconds of Kubernetes."""

FLUSH_SECONDS = 300.0
"""An unschedulable pod is tried again after this even if nothing seems to have changed (as in Kubernetes)."""


@dataclass(slots=True, eq=False)
class Waiting:
    """A pod in the queue."""

    pod: Pending
    seen: float
    """When it was first seen, by the monotonic clock."""
    attempts: int = 0
    tried: float = 0.0


class SchedulingQueue:
    """Pods by uid; each is in one of the places, or taken."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._active: dict[str, Waiting] = {}
        self._backoff: dict[str, Waiting] = {}
        self._unschedulable: dict[str, Waiting] = {}
        self._taken: dict[str, Waiting] = {}
        self._moved_while_taken = False
        # (due, number, uid) for everything that time alone will move; outdated entries are passed over.
        self._due: list[tuple[float, int, str]] = []
        self._numbers = itertools.count()
        for name, place in (
            ("active", self._active), ("backoff", self._backoff), ("unschedulable", self._unschedulable),
        ):  # fmt: skip
            metrics.PENDING.labels(name).set_function(place.__len__)

    def put(self, pod: Pending) -> None:
        """A pod was added or changed: it becomes active, unless it backs off or is taken already.

        A changed pod keeps its history, so that writing its status does not end its back-off.
        """
        uid = pod.uid
        for place in (self._active, self._backoff, self._taken):
            if uid in place:
                place[uid].pod = pod
                return
        waiting = self._unschedulable.get(uid)
        if waiting is None:
            self._active[uid] = Waiting(pod, self._clock.monotonic())
        elif waiting.pod == pod:
            return  # only its status changed: nothing that would help it
        else:
            waiting.pod = pod
            self._move(waiting)

    def remove(self, uid: str) -> None:
        """The pod has a node, or is gone."""
        for place in (self._active, self._backoff, self._unschedulable, self._taken):
            place.pop(uid, None)

    def take(self, limit: int) -> list[Waiting]:
        """Active pods to decide now, higher priority first, in the order in which they came."""
        if len(self._active) <= limit:
            chosen = list(self._active.values())
        else:
            chosen = heapq.nsmallest(limit, self._active.values(), key=lambda waiting: -waiting.pod.priority)
        now = self._clock.monotonic()
        for waiting in chosen:
            del self._active[waiting.pod.uid]
            self._taken[waiting.pod.uid] = waiting
            waiting.attempts += 1
            waiting.tried = now
        self._moved_while_taken = False
        return chosen

    def give_back(self, waiting: Waiting, *, unschedulable: bool) -> None:
        """A taken pod could not be placed (or bound): it waits for a change, or backs off and is tried again."""
        if self._taken.pop(waiting.pod.uid, None) is None:
            return  # removed meanwhile
        if unschedulable and not self._moved_while_taken:
            self._unschedulable[waiting.pod.uid] = waiting
            self._at(waiting.tried + FLUSH_SECONDS, waiting)
        else:
            self._move(waiting)

    def cluster_changed(self) -> None:
        """Something happened that may let an unschedulable pod fit."""
        self._moved_while_taken = True
        for waiting in list(self._unschedulable.values()):
            self._move(waiting)

    def due(self) -> float | None:
        """When ``flush`` will have something to do, by the monotonic clock."""
        while self._due:
            when, _, uid = self._due[0]
            if self._when(uid) == when:
                return when
            heapq.heappop(self._due)
        return None

    def flush(self) -> None:
        """Make active whatever has backed off long enough."""
        now = self._clock.monotonic()
        while (when := self.due()) is not None and when <= now:
            _, _, uid = heapq.heappop(self._due)
            waiting = self._backoff.pop(uid, None) or self._unschedulable.pop(uid)
            self._active[uid] = waiting

    def __len__(self) -> int:
        """Active pods."""
        return len(self._active)

    def _move(self, waiting: Waiting) -> None:
        uid = waiting.pod.uid
        self._unschedulable.pop(uid, None)
        until = self._backoff_end(waiting)
        if until <= self._clock.monotonic():
            self._active[uid] = waiting
        else:
            self._backoff[uid] = waiting
            self._at(until, waiting)

    def _backoff_end(self, waiting: Waiting) -> float:
        return waiting.tried + BACKOFF.delay(max(0, waiting.attempts - 1))

    def _when(self, uid: str) -> float | None:
        if (waiting := self._backoff.get(uid)) is not None:
            return self._backoff_end(waiting)
        if (waiting := self._unschedulable.get(uid)) is not None:
            return waiting.tried + FLUSH_SECONDS
        return None

    def _at(self, when: float, waiting: Waiting) -> None:
        heapq.heappush(self._due, (when, next(self._numbers), waiting.pod.uid))
