"""Big things rest between two looks, small ones never."""

from datetime import UTC, datetime

import pytest

from controlplane.controllers.pace import PER_ITEM, SMALL, Pace
from shared.work.clock import FakeClock

KEY = ("default", "web")


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(datetime(2026, 1, 1, tzinfo=UTC))


def test_nothing_rests_before_its_first_look(clock: FakeClock) -> None:
    assert Pace(clock).wait(KEY) is None


@pytest.mark.parametrize(
    ("items", "rest"),
    [
        pytest.param(0, None, id="empty"),
        pytest.param(SMALL, None, id="small"),
        pytest.param(3000, 3000 * PER_ITEM, id="big"),
    ],
)
def test_the_rest_follows_the_size(clock: FakeClock, items: int, rest: float | None) -> None:
    pace = Pace(clock)
    pace.looked(KEY, items)
    assert pace.wait(KEY) == (None if rest is None else pytest.approx(rest))


def test_a_rest_ends(clock: FakeClock) -> None:
    pace = Pace(clock)
    pace.looked(KEY, 1000)
    clock.advance(1000 * PER_ITEM / 2)
    assert pace.wait(KEY) == pytest.approx(1000 * PER_ITEM / 2)
    clock.advance(1000 * PER_ITEM / 2 + 0.001)
    assert pace.wait(KEY) is None


def test_a_rest_ends_when_the_thing_has_become_small_or_is_gone(clock: FakeClock) -> None:
    pace = Pace(clock)
    pace.looked(KEY, 1000)
    pace.looked(KEY, SMALL)
    assert pace.wait(KEY) is None
    pace.looked(KEY, 1000)
    pace.forget(KEY)
    assert pace.wait(KEY) is None


def test_others_do_not_rest(clock: FakeClock) -> None:
    pace = Pace(clock)
    pace.looked(KEY, 1000)
    assert pace.wait(("default", "other")) is None
