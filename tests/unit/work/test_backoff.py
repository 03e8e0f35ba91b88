"""Back-off as numbers, and the clocks."""

import random
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.work.backoff import Backoff
from shared.work.clock import FakeClock, SystemClock


@pytest.mark.parametrize(
    ("attempt", "expected"), [(0, 0.5), (1, 1.0), (2, 2.0), (5, 16.0), (6, 30.0), (1000, 30.0), (10**9, 30.0)]
)
def test_doubles_up_to_the_cap(attempt, expected):
    assert Backoff(0.5, 30.0, jitter=0).delay(attempt) == expected


@given(st.integers(0, 100), st.floats(0, 1), st.integers())
def test_jitter_stays_within_its_share(attempt, jitter, seed):
    exact = Backoff(0.1, 30.0, jitter=0).delay(attempt)
    delay = Backoff(0.1, 30.0, jitter).delay(attempt, random.Random(seed))
    assert exact * (1 - jitter) <= delay <= exact * (1 + jitter)


def test_a_fake_clock_moves_only_when_told():
    clock = FakeClock(datetime(2026, 1, 1, tzinfo=UTC))
    assert (clock.now(), clock.monotonic()) == (clock.now(), clock.monotonic())
    clock.advance(1.5)
    assert clock.now() == datetime(2026, 1, 1, 0, 0, 1, 500_000, tzinfo=UTC)
    assert clock.monotonic() == 1.5


def test_the_system_clock_is_aware_and_its_durations_never_go_back():
    clock = SystemClock()
    assert clock.now().utcoffset() == timedelta(0)
    assert clock.monotonic() <= clock.monotonic()
