"""The text form of an Indexed Job's indexes, such as ``1,3-5,7``.

Pure. Rules and texts are those of pkg/apis/batch/validation (validateIndexesFormat).
"""

from __future__ import annotations

import re

_NUMBER = re.compile(r"[+-]?[0-9]{1,18}")


class Indexes:
    """Intervals in increasing order; their length is the number of indexes."""

    __slots__ = ("intervals",)

    def __init__(self, intervals: tuple[tuple[int, int], ...]) -> None:
        self.intervals = intervals

    def __len__(self) -> int:
        return sum(last - first + 1 for first, last in self.intervals)

    def first_shared(self, other: Indexes) -> int | None:
        """The first index that is in both, if any."""
        shared = (
            max(first, other_first)
            for first, last in self.intervals
            for other_first, other_last in other.intervals
            if first <= other_last and other_first <= last
        )
        return min(shared, default=None)


def read_indexes(text: str, completions: int) -> Indexes:
    """All of ``text``, each below ``completions``. Raises ValueError with what is wrong."""
    intervals: list[tuple[int, int]] = []
    for part in text.split(",") if text else ():
        first, last = _interval(part, completions)
        if intervals and intervals[-1][1] >= first:
            raise ValueError(f"non-increasing order, previous: {intervals[-1][1]}, current: {first}")
        intervals.append((first, last))
    return Indexes(tuple(intervals))


def _interval(text: str, completions: int) -> tuple[int, int]:
    parts = text.split("-")
    if len(parts) > 2:
        raise ValueError(
            f'the fragment "{text}" violates the requirement that an index interval can have at most two parts '
            "separated by '-'"
        )
    numbers = [_number(part, completions) for part in parts]
    if len(numbers) == 2 and numbers[0] >= numbers[1]:
        raise ValueError(f"non-increasing order, previous: {numbers[0]}, current: {numbers[1]}")
    return numbers[0], numbers[-1]


def _number(text: str, completions: int) -> int:
    if not _NUMBER.fullmatch(text):
        raise ValueError(f'cannot convert string to integer for index: "{text}"')
    if (number := int(text)) >= completions:
        raise ValueError(f'too large index: "{text}"')
    return number
