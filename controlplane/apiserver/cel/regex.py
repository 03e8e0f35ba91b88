"""Regular expressions of users: RE2's, whose time is linear in the text, as Go's are. Pure; any thread."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache

import re2

MAX_PATTERN = 16 << 10
"""Bytes of a pattern."""
_OPTIONS = re2.Options()
_OPTIONS.log_errors = False
_OPTIONS.max_mem = 8 << 20


@lru_cache(1024)
def _compiled(pattern: str) -> re2._Regexp:
    if len(pattern.encode()) > MAX_PATTERN:
        raise ValueError(f"the pattern is longer than {MAX_PATTERN} bytes")
    try:
        return re2.compile(pattern, _OPTIONS)
    except re2.error as error:
        text = error.args[0]
        raise ValueError(text.decode() if isinstance(text, bytes) else str(text)) from error


def matcher(pattern: str) -> Callable[[str], bool]:
    """Whether a text has the pattern somewhere in it. Raises ValueError for what is no pattern."""
    search = _compiled(pattern).search
    return lambda text: search(text) is not None


def find(text: str, pattern: str) -> str:
    """The first match, or an empty text. Raises ValueError."""
    return next(find_all(text, pattern), "")


def find_all(text: str, pattern: str) -> Iterator[str]:
    """Every match, from left to right. Raises ValueError."""
    for match in _compiled(pattern).finditer(text):
        yield match.group()
