"""Quantities against tables from Kubernetes' own rules, and their algebra."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.api import quantity

CANONICAL = [
    ("0", "0"),
    ("0.0", "0"),
    ("0Ki", "0"),
    ("-0", "0"),
    ("1", "1"),
    ("0.5", "500m"),
    ("0.1", "100m"),
    ("1.5", "1500m"),
    ("1500m", "1500m"),
    ("1000m", "1"),
    ("100k", "100k"),
    ("1000", "1k"),
    ("1000k", "1M"),
    ("10000", "10k"),
    ("1024", "1024"),
    ("1024Ki", "1Mi"),
    ("1024Mi", "1Gi"),
    ("1Gi", "1Gi"),
    ("1.5Gi", "1536Mi"),
    ("512Ki", "512Ki"),
    ("1073741824", "1073741824"),
    ("0.5Ki", "512"),
    ("0.001Ki", "1024m"),
    ("1Ki", "1Ki"),
    ("1023Ki", "1023Ki"),
    ("0.1Gi", "107374182400m"),
    ("12e6", "12e6"),
    ("1E3", "1e3"),
    ("1e1", "10"),
    ("1e-3", "1e-3"),
    ("100E", "9223372036854775807"),
    ("1E", "1E"),
    ("1u", "1u"),
    ("1n", "1n"),
    ("0.1n", "1n"),
    ("-0.5", "-500m"),
    ("-1Ki", "-1Ki"),
    (".5", "500m"),
    ("5.", "5"),
    ("+1", "1"),
    ("1.50", "1500m"),
    (1, "1"),
    (0.5, "500m"),
    (2048, "2048"),
    (" 1 ", "1"),
]


@pytest.mark.parametrize(("text", "expected"), CANONICAL, ids=[repr(c[0]) for c in CANONICAL])
def test_canonical_form(text: str | float, expected: str) -> None:
    assert quantity.canonical(text) == expected


@pytest.mark.parametrize(
    "text", ["", "lots", "1.1.1", "1+1", "0.1mi", "aoeu", ".5i", "1i", "-3.01e-", "1 ki", "1Zi", ".", "--1", "1e1e1"]
)
def test_refuses(text: str) -> None:
    with pytest.raises(ValueError, match=r"quantit"):
        quantity.parse(text)


def test_refusal_names_the_expression() -> None:
    with pytest.raises(ValueError, match=r"^quantities must match the regular expression '"):
        quantity.parse("lots")


@pytest.mark.parametrize(
    ("text", "milli", "whole"),
    [
        ("1", 1000, 1),
        ("1m", 1, 1),
        ("1u", 1, 1),
        ("1500m", 1500, 2),
        ("1Gi", 1024**3 * 1000, 1024**3),
        ("-1500m", -1500, -2),
    ],
)
def test_scaled_values_round_up(text: str, milli: int, whole: int) -> None:
    assert (quantity.milli(text), quantity.value(text)) == (milli, whole)


def test_resource_lists_keep_milli() -> None:
    assert quantity.canonical_resource("0.0001") == "1m"
    assert quantity.canonical_resource("1Gi") == "1Gi"


suffixes = st.sampled_from(["", "n", "u", "m", "k", "M", "G", "T", "P", "Ki", "Mi", "Gi", "Ti", "e3", "e-3", "E6"])
quantities = st.builds(
    lambda number, places, suffix: f"{Decimal(number).scaleb(-places):f}{suffix}",
    st.integers(-(10**9), 10**9),
    st.integers(0, 6),
    suffixes,
)


@given(quantities)
def test_canonical_form_keeps_the_value_and_is_a_fixed_point(text: str) -> None:
    canonical = quantity.canonical(text)
    assert quantity.parse(canonical) == quantity.parse(text)
    assert quantity.canonical(canonical) == canonical


@given(quantities)
def test_whole_and_milli_never_round_towards_zero(text: str) -> None:
    exact = abs(quantity.parse(text))
    assert exact <= abs(quantity.value(text)) < exact + 1
    assert exact * 1000 <= abs(quantity.milli(text)) < exact * 1000 + 1
