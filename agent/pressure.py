"""Whether the host is short of something, now or a short while ago.

Owns when each condition was last so. On the event loop.
"""

from __future__ import annotations

import logging

from agent.host import Readings
from agent.thresholds import CONDITIONS, LASTS, Reserves, Shortage
from shared.work.clock import Clock

logger = logging.getLogger(__name__)


class Pressure:
    """``reserves`` say what is a shortage; ``lasts`` is how long a condition outlives one, so that a node does not go
    to and fro."""

    def __init__(self, reserves: Reserves, clock: Clock, lasts: float = LASTS) -> None:
        self.reserves, self._clock, self._lasts = reserves, clock, lasts
        self._seen: dict[str, float] = {}

    def look(self, readings: Readings) -> dict[str, Shortage]:
        """What there is less of than wanted, by signal; the conditions follow it."""
        short = {shortage.signal: shortage for shortage in self.reserves.shortages(readings)}
        now = self._clock.monotonic()
        for condition, signals in CONDITIONS.items():
            if found := [short[signal] for signal in signals if signal in short]:
                if condition not in self._seen:
                    logger.warning("the host is short of something", extra={"condition": condition, "found": found})
                self._seen[condition] = now
            elif condition in self._seen and now >= self._seen[condition] + self._lasts:
                del self._seen[condition]
        return short

    @property
    def conditions(self) -> frozenset[str]:
        """Such as MemoryPressure."""
        return frozenset(self._seen)
