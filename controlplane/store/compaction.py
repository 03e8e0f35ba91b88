"""Forgetting history online: which rows go, in steps small enough that no writer waits for long.

Rule: with history kept from revision C on, every change at C or later can be told with its previous value, and
every key can be read as of C or later. So a row goes when the row that replaced it is older than C, and the
mark of a deletion goes when it is itself older than C. Both are found by walking history once in order of
revision, through each row's ``previous``: the cost is that of the revisions forgotten, not of the database.

Runs on the writer thread, inside the transaction of the group being committed, or alone when the writer is
idle. A step that is rolled back is simply done again: ``advance`` is called after the commit.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from controlplane.store.group import POSITION_BITS


@dataclass(frozen=True, slots=True)
class Step:
    """What a step did, to be given to ``advance`` once it is committed."""

    compacted: int
    swept: int


class Sweep:
    """The state of compaction: ``compacted`` is the oldest revision that can be asked for."""

    def __init__(self, db: sqlite3.Connection) -> None:
        counters = dict(db.execute("SELECT name, value FROM counter WHERE name IN ('compacted', 'swept')"))
        self._db = db
        self.compacted: int = counters["compacted"]
        self._recorded: int = self.compacted
        self._swept: int = counters["swept"]

    @property
    def pending(self) -> bool:
        """Whether there is work for ``step``."""
        return self._swept < self.compacted << POSITION_BITS or self._recorded < self.compacted

    def aim(self, revision: int) -> None:
        """Keep history from ``revision`` on; never moves back."""
        self.compacted = max(self.compacted, revision)

    def step(self, rows: int) -> Step:
        """Look at the next ``rows`` rows of history, inside the transaction that the caller has open."""
        end = self.compacted << POSITION_BITS
        last = self._db.execute(
            "SELECT id FROM history WHERE id >= ? AND id < ? ORDER BY id LIMIT 1 OFFSET ?", (self._swept, end, rows)
        ).fetchone()
        upto = last[0] if last is not None else end
        bounds = (self._swept, upto)
        self._db.execute(
            "DELETE FROM history WHERE id IN "
            "(SELECT previous FROM history WHERE id >= ? AND id < ? AND previous != 0)",
            bounds,
        )  # fmt: skip
        self._db.execute("DELETE FROM history WHERE id >= ? AND id < ? AND version = 0", bounds)
        self._db.execute(
            "UPDATE counter SET value = CASE name WHEN 'swept' THEN ? ELSE ? END WHERE name IN ('swept', 'compacted')",
            (upto, self.compacted),
        )
        return Step(self.compacted, upto)

    def advance(self, step: Step) -> None:
        """The transaction with the step is committed."""
        self._recorded, self._swept = step.compacted, step.swept
