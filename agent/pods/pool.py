"""How many warm sandboxes to keep: ``target`` is pure. ``WarmPool`` holds them and hands them out.

A warm sandbox makes a pod's start three times as fast and costs 5 MB of memory. So there are as many as recently
came at once: after a burst the next one is met, and a quiet host falls back to the minimum. Sandboxes of pods that
end go back into the pool while it wants some, which spares a rolling update most of the engine's work for them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from agent.runtime.base import Sandbox

WINDOW = 5.0
"""Seconds within which arrivals count as at once: about what it takes to fill the pool anew."""
MEMORY = 900.0
"""Seconds for which a burst is remembered."""


def target(arrivals: Sequence[float], now: float, *, cap: int, minimum: int) -> int:
    """Sandboxes to keep ready: the largest number of pods that arrived within ``WINDOW`` seconds, lately.

    ``arrivals`` are monotonic seconds in order; at least ``minimum``, at most ``cap``.
    """
    recent = [when for when in arrivals if now - MEMORY <= when <= now]
    burst = start = 0
    for end, when in enumerate(recent):
        while recent[start] < when - WINDOW:
            start += 1
        burst = max(burst, end - start + 1)
    return min(cap, max(minimum, burst))


@dataclass(frozen=True, slots=True)
class WarmSandbox:
    """A sandbox that waits for a pod, its network put in already."""

    sandbox: Sandbox
    address: str


class WarmPool:
    """The sandboxes that wait, and the history of arrivals. One event loop; refilled by the dispatcher."""

    def __init__(self, *, cap: int, minimum: int) -> None:
        self.cap, self.minimum = cap, min(minimum, cap)
        self._ready: deque[WarmSandbox] = deque()
        self._arrivals: deque[float] = deque(maxlen=1000)
        self._coming = 0

    def __len__(self) -> int:
        return len(self._ready)

    def __iter__(self) -> Iterator[WarmSandbox]:
        """Those that wait; take a list before awaiting."""
        return iter(self._ready)

    def __contains__(self, sandbox_id: object) -> bool:
        return any(warm.sandbox.id == sandbox_id for warm in self._ready)

    def arrived(self, now: float) -> None:
        """A pod that could use a warm sandbox came."""
        self._arrivals.append(now)

    def missing(self, now: float) -> int:
        """How many to make; negative when there are more than wanted."""
        wanted = target(self._arrivals, now, cap=self.cap, minimum=self.minimum)
        return wanted - len(self._ready) - self._coming

    @contextmanager
    def coming(self) -> Iterator[None]:
        """While one is being made, it counts as there."""
        self._coming += 1
        try:
            yield
        finally:
            self._coming -= 1

    def take(self) -> WarmSandbox | None:
        """The one that waited longest, or None."""
        return self._ready.popleft() if self._ready else None

    def put(self, warm: WarmSandbox) -> None:
        self._ready.append(warm)

    def drop(self, sandbox_id: str) -> WarmSandbox | None:
        """Take out a sandbox that died; None when it is not here."""
        found = next((warm for warm in self._ready if warm.sandbox.id == sandbox_id), None)
        if found is not None:
            self._ready.remove(found)
        return found

    def surplus(self, now: float) -> WarmSandbox | None:
        """One to give up, when there are more than wanted."""
        return self._ready.pop() if self.missing(now) < 0 else None
