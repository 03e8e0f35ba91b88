"""Deadlines of leases, on a clock that moves only when told."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from controlplane.store.base import LeaseNotFound
from controlplane.store.leases import Leases
from shared.work.clock import FakeClock


class Table:
    """Leases on a fake clock; ``expired`` is what was told to expire."""

    def __init__(self) -> None:
        self.clock = FakeClock(datetime(2026, 1, 1, tzinfo=UTC))
        self.expired: list[int] = []
        self.leases = Leases(self.clock, self.expired.append)

    def pass_time(self, seconds: float, step: float = 0.5) -> None:
        """Time passes while the process runs: it is served at least every ``step`` seconds."""
        while seconds > 0:
            self.clock.advance(min(step, seconds))
            seconds -= step
            self.leases.serve()


@pytest.fixture
async def table():
    made = Table()
    yield made
    made.leases.close()


async def test_a_lease_expires_at_its_deadline_and_once(table):
    table.leases.granted(1, 4.0)
    table.pass_time(3.9)
    assert table.expired == []
    table.pass_time(0.2)
    table.pass_time(10)
    assert table.expired == [1]


async def test_keepalive_moves_the_deadline(table):
    table.leases.granted(1, 4.0)
    table.leases.granted(2, 4.0)
    for _ in range(5):
        table.pass_time(3)
        assert table.leases.keepalive(1) == 4.0
    assert table.expired == [2]


async def test_an_expiring_lease_cannot_be_kept_alive(table):
    table.leases.granted(1, 1.0)
    table.pass_time(1.1)
    with pytest.raises(LeaseNotFound):
        table.leases.keepalive(1)
    table.leases.ended(1)
    with pytest.raises(LeaseNotFound):
        table.leases.keepalive(1)


async def test_after_a_pause_every_lease_gets_one_full_ttl(table):
    table.leases.granted(1, 4.0)
    table.leases.granted(2, 8.0)
    table.clock.advance(60)  # stopped
    table.leases.serve()
    assert table.expired == []
    table.pass_time(3.9)
    assert table.expired == []
    table.pass_time(0.2)
    assert table.expired == [1]
    table.pass_time(4)
    assert table.expired == [1, 2]


async def test_a_little_late_is_not_a_pause(table):
    table.leases.granted(1, 4.0)
    table.clock.advance(4.9)
    table.leases.serve()
    assert table.expired == [1]


async def test_restored_leases_get_one_full_ttl(table):
    table.clock.advance(100)
    table.leases.restore({7: 4.0, 9: 2.0})
    table.pass_time(2.1)
    assert table.expired == [9]
    table.pass_time(2)
    assert table.expired == [9, 7]


async def test_a_failed_expiry_is_tried_again_with_backoff(table):
    table.leases.granted(1, 1.0)
    table.pass_time(1.1, step=0.1)
    for _ in range(3):
        table.leases.retry(1)
        table.pass_time(13, step=0.1)
    assert table.expired == [1, 1, 1, 1]
    table.leases.ended(1)
    table.pass_time(60)
    assert len(table.expired) == 4
