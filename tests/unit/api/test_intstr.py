"""IntOrString: numbers as they are, percentages scaled."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.api import intstr


@pytest.mark.parametrize(
    ("value", "total", "up", "expected"),
    [
        (3, 10, True, 3),
        ("25%", 10, True, 3),
        ("25%", 10, False, 2),
        ("0%", 10, True, 0),
        ("100%", 7, False, 7),
        ("150%", 2, True, 3),
    ],
)
def test_resolves(value: int | str, total: int, up: bool, expected: int) -> None:
    assert intstr.resolve(value, total, up) == expected


@pytest.mark.parametrize("value", ["x%", "25", "", "%", "2.5%"])
def test_other_strings_are_refused(value: str) -> None:
    with pytest.raises(ValueError, match="invalid value for IntOrString"):
        intstr.resolve(value, 10, True)


@given(st.integers(0, 200), st.integers(0, 10_000))
def test_rounding_brackets_the_exact_share(share: int, total: int) -> None:
    low, high = intstr.resolve(f"{share}%", total, False), intstr.resolve(f"{share}%", total, True)
    assert low == math.floor(share * total / 100)
    assert low <= high <= low + 1
