"""How many requests are worked on at a time, and whose turn is next: the server answers nodes and administrators
while others flood it.

Owns the priority levels, each with seats of its own and a bounded queue for every user, served in turn: who asks for
much waits behind himself. Everybody works on one event loop, so it is the number of requests taken up at a time that
decides how long the next one waits. Watches and other streams take no seat. After Kubernetes' API Priority and
Fairness (https://kubernetes.io/docs/concepts/cluster-administration/flow-control/), with fixed levels.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable

from prometheus_client import Counter, Gauge

from controlplane.apiserver.identity import User
from shared.api.errors import TooManyRequests

REJECTED = Counter(
    "apiserver_flowcontrol_rejected_requests_total", "Requests refused as too many.", ["priority_level", "reason"]
)
EXECUTING = Gauge("apiserver_flowcontrol_current_executing_requests", "Seats taken.", ["priority_level"])
QUEUED = Gauge("apiserver_flowcontrol_current_inqueue_requests", "Requests that wait for a seat.", ["priority_level"])

WAIT_SECONDS = 15.0
"""The longest wait for a seat: a quarter of the time that a request has, as in Kubernetes."""

RETRY_AFTER = 1
"""Seconds that a refused client is told to wait, as in Kubernetes."""

REQUEST_SECONDS = 60.0
"""The longest that an answer may take (kube-apiserver's --request-timeout)."""

_STREAMS = frozenset({"log", "exec", "attach", "portforward", "proxy", "tunnel", "streams"})


def is_long_running(verb: str, subresource: str) -> bool:
    """Whether a request is a stream, which takes as long as it takes (--long-running-request-regexp)."""
    return verb == "watch" or subresource in _STREAMS


class Level:
    """Seats, and who waits for one. ``each``: requests of one user that may wait; ``total``: of all."""

    def __init__(self, name: str, seats: int, each: int, total: int, wait: float = WAIT_SECONDS) -> None:
        self.name, self.seats, self._each, self._total, self._wait = name, seats, each, total, wait
        self.executing = self.waiting = 0
        self._queues: dict[str, deque[asyncio.Future[None]]] = {}
        """By user; the first one's turn is next."""
        EXECUTING.labels(name).set_function(lambda: self.executing)
        QUEUED.labels(name).set_function(lambda: self.waiting)

    def enter(self, user: str) -> Awaitable[None] | None:
        """Take a seat, for which ``leave`` must be called: None when there is one at once, else what to wait for,
        which raises TooManyRequests."""
        if self.executing < self.seats and not self._queues:
            self.executing += 1
            return None
        return self._queue(user)

    def leave(self) -> None:
        """Give the seat to who is next."""
        while self._queues:
            user = next(iter(self._queues))
            queue = self._queues.pop(user)
            turn = queue.popleft()
            self.waiting -= 1
            if queue:
                self._queues[user] = queue  # behind the others
            if not turn.done():
                turn.set_result(None)
                return
        self.executing -= 1

    async def _queue(self, user: str) -> None:
        queue = self._queues.get(user, deque())
        if len(queue) >= self._each or self.waiting >= self._total:
            raise self._refuse("queue-full")
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        queue.append(turn)
        self._queues[user] = queue
        self.waiting += 1
        try:
            async with asyncio.timeout(self._wait):
                await turn
        except TimeoutError as error:
            self._give_up(user, turn)
            raise self._refuse("time-out") from error
        except asyncio.CancelledError:
            self._give_up(user, turn)
            raise

    def _give_up(self, user: str, turn: asyncio.Future[None]) -> None:
        if turn.done() and not turn.cancelled():
            self.leave()  # the seat came at the same moment
            return
        queue = self._queues.get(user)
        if queue is not None and turn in queue:
            queue.remove(turn)
            self.waiting -= 1
            if not queue:
                del self._queues[user]

    def _refuse(self, reason: str) -> TooManyRequests:
        REJECTED.labels(self.name, reason).inc()
        return TooManyRequests("too many requests, please try again later", retry_after_seconds=RETRY_AFTER)


class Overload:
    """The levels. ``seats`` is for ordinary users; nodes and the control plane's own accounts have others."""

    def __init__(self, seats: int = 64) -> None:
        self._nodes = Level("node-high", 128, each=64, total=8192)
        self._system = Level("system", 64, each=128, total=2048)
        self._others = Level("global-default", seats, each=128, total=2048)

    def level(self, user: User, verb: str, subresource: str) -> Level | None:
        """Where the request takes its seat; None for what needs none: administrators, streams, and those without a
        name, who get to see nothing but health."""
        groups = user.groups
        if is_long_running(verb, subresource) or "system:masters" in groups:
            return None
        if "system:nodes" in groups:
            return self._nodes
        if "system:serviceaccounts:kube-system" in groups:
            return self._system
        return None if "system:unauthenticated" in groups else self._others
