"""Exponential back-off with jitter, as plain numbers: no sleeping here."""

from __future__ import annotations

import random
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Backoff:
    """``base`` seconds doubled with every attempt up to ``cap``, then spread by ``jitter`` (0.2: ±20 %)."""

    base: float
    cap: float
    jitter: float = 0.2

    def delay(self, attempt: int, rng: random.Random | None = None) -> float:
        """Seconds to wait after failure number ``attempt`` (from 0)."""
        exact = min(self.cap, self.base * 2.0 ** min(attempt, 62))
        spread = (rng or random).uniform(-self.jitter, self.jitter) if self.jitter else 0.0
        return exact * (1.0 + spread)
