"""The Warning headers of an answer."""

import pytest

from controlplane.apiserver.warnings import EACH, TOTAL, told, warning_header


@pytest.mark.parametrize(
    ("texts", "kept"),
    [
        ([], []),
        (["a", "b", "a"], ["a", "b"]),
        (["a" * TOTAL], ["a" * TOTAL]),
        (["a" * TOTAL, "b"], ["a" * EACH, "b"]),
        ([f"{number:04}" + "x" * 500 for number in range(100)],
         [f"{number:04}" + "x" * (EACH - 4) for number in range(TOTAL // EACH)]),
    ],
    ids=["none", "one twice", "one that just fits", "cut short", "as many as fit"],
)  # fmt: skip
def test_warnings_are_told_once_and_within_limits(texts: list[str], kept: list[str]) -> None:
    assert told(texts) == kept


def test_nothing_ends_a_header_early() -> None:
    assert warning_header('a "b"\r\nSet-Cookie: c\\') == '299 - "a \\"b\\"Set-Cookie: c\\\\"'
