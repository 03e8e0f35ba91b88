"""Crash back-off and the grace of deletions."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.pods.observed import CrashBackoff, Moment
from agent.pods.restarts import after_restart, deletion_deadline, monotonic_of, remaining
from shared.api.pod import Pod

WALL = datetime(2026, 5, 1, 12, tzinfo=UTC)


def test_the_first_crash_restarts_at_once_and_then_10_s_doubled_to_5_min() -> None:
    entry: CrashBackoff | None = None
    now, waits = 0.0, []
    for _ in range(8):
        ended = now + 1.0  # runs for a second each time
        wait = remaining(entry, ended, ended)
        waits.append(wait)
        now = ended + wait
        assert remaining(entry, ended, now) == 0.0
        entry = after_restart(entry, ended, now)
    assert waits == [0, 10, 20, 40, 80, 160, 300, 300]


@pytest.mark.parametrize(("ran", "wait"), [(599.0, 300.0), (601.0, 0.0)], ids=["9:59 is too short", "10:01 resets"])
def test_ten_minutes_of_running_reset_the_back_off(ran: float, wait: float) -> None:
    entry = CrashBackoff(300.0, 1000.0)
    assert remaining(entry, 1000.0 + ran, 1000.0 + ran) == wait
    if not wait:
        assert after_restart(entry, 1000.0 + ran, 2000.0) == CrashBackoff(10.0, 2000.0)


@given(st.floats(0, 300), st.floats(0, 1e6), st.floats(0, 1e6), st.floats(0, 1e6))
def test_nobody_waits_longer_than_the_cap(delay: float, updated: float, ended: float, now: float) -> None:
    assert 0.0 <= remaining(CrashBackoff(delay, updated), ended, now) <= 300.0


@pytest.mark.parametrize(
    ("passed", "grace", "known", "deadline"),
    [
        (0.0, 30, None, 1030.0),
        (1.0, 30, None, 1030.0),
        (12.0, 30, None, 1018.0),
        (90.0, 30, None, 1000.0),
        (-20.0, 30, None, 1030.0),
        (0.0, 5, 1025.0, 1005.0),
        (0.0, 60, 1025.0, 1025.0),
    ],
    ids=[
        "seen at once",
        "whole seconds on the wire shorten nothing",
        "seen late: what is left",
        "deleted while we were cut off: nothing left",
        "a server whose clock is ahead extends nothing",
        "a second deletion shortens",
        "a second deletion does not extend",
    ],
)
def test_the_grace_that_is_left(passed: float, grace: int, known: float | None, deadline: float) -> None:
    end = WALL - timedelta(seconds=passed) + timedelta(seconds=grace)
    meta = {"name": "p", "deletionTimestamp": end.isoformat(), "deletionGracePeriodSeconds": grace}
    pod = msgspec.convert({"metadata": meta}, Pod)
    assert deletion_deadline(pod, Moment(WALL, 1000.0), known) == deadline


def test_a_wall_clock_set_back_puts_nothing_in_the_future() -> None:
    assert monotonic_of(WALL + timedelta(hours=1), Moment(WALL, 500.0)) == 500.0
    assert monotonic_of(WALL - timedelta(seconds=5), Moment(WALL, 500.0)) == 495.0
