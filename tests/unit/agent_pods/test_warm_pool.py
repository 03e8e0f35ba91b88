"""How many sandboxes stand ready."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.pods.pool import WarmPool, target

NOW = 10_000.0


@pytest.mark.parametrize(
    ("arrivals", "expected"),
    [
        ([], 2),
        ([NOW - 1] * 5, 5),
        ([NOW - 1] * 50, 10),
        ([NOW - 100.0 * number for number in range(8, 0, -1)], 2),
        ([NOW - 1000] * 8, 2),
        ([NOW - 800] * 4 + [NOW - 10] * 3, 4),
    ],
    ids=["nothing came", "a burst", "more than the cap", "one at a time", "long ago", "the larger of two bursts"],
)
def test_target(arrivals: list[float], expected: int) -> None:
    assert target(arrivals, NOW, cap=10, minimum=2) == expected


@given(st.lists(st.floats(0, NOW)).map(sorted), st.integers(0, 20), st.integers(0, 5))
def test_never_above_the_cap_nor_below_the_minimum(arrivals: list[float], cap: int, minimum: int) -> None:
    size = target(arrivals, NOW, cap=cap, minimum=minimum)
    assert min(cap, minimum) <= size <= cap


def test_a_pool_asks_for_what_is_missing() -> None:
    pool = WarmPool(cap=3, minimum=1)
    assert pool.missing(NOW) == 1
    for _ in range(5):
        pool.arrived(NOW)
    assert pool.missing(NOW) == 3
    assert pool.take() is None


def test_what_is_being_made_is_not_missing() -> None:
    pool = WarmPool(cap=3, minimum=2)
    with pool.coming():
        assert pool.missing(NOW) == 1
    assert pool.missing(NOW) == 2
