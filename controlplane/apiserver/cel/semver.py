"""Semantic versions in expressions: ``semver()``, ``isSemver()`` and what a version tells.

Pure. After k8s.io/apiserver/pkg/cel/library/semverlib.go and https://semver.org. A version is a map of one member,
without its build metadata: that counts neither for order nor for equality, and no function tells it.
"""

from __future__ import annotations

import re
from typing import Any

from cel_expr_python import cel

from controlplane.apiserver.cel.functions import Functions

SEMVER = "semver"
_NUMBER = r"(0|[1-9]\d*)"
_PART = r"(?:0|[1-9]\d*|\d*[A-Za-z-][0-9A-Za-z-]*)"
_VERSION = re.compile(
    rf"{_NUMBER}\.{_NUMBER}\.{_NUMBER}(?:-({_PART}(?:\.{_PART})*))?(?:\+[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?", re.ASCII
)
_MOST = (1 << 64) - 1
T = cel.Type


def declare(made: Functions) -> None:
    """All but the comparisons, which versions share with quantities."""
    text, flag = T.STRING, T.BOOL
    made.add("semver", T.DYN, [text], parse, member=False)
    made.add("semver", T.DYN, [text, flag], lambda s, tolerant: parse(normalized(s) if tolerant else s), member=False)
    made.add("isSemver", flag, [text], is_version, member=False)
    made.add("isSemver", flag, [text, flag], is_version, member=False)
    for index, name in enumerate(("major", "minor", "patch"), 1):
        made.add(name, T.INT, [T.MAP], _numbered(index))


def parse(text: str) -> dict[str, str]:
    """A version. Raises ValueError."""
    _match(text)
    return {SEMVER: text.partition("+")[0]}


def is_version(text: str, tolerant: bool = False) -> bool:
    try:
        parse(normalized(text) if tolerant else text)
    except ValueError:
        return False
    return True


def normalized(text: str) -> str:
    """``v1.02`` as ``1.2.0``. Raises ValueError for a short version with a suffix."""
    parts = [_without_zeros(part) for part in text.removeprefix("v").split(".", 2)]
    if len(parts) < 3 and ("+" in parts[-1] or "-" in parts[-1]):
        raise ValueError("short version cannot contain PreRelease/Build meta data")
    return ".".join([*parts, "0", "0"][: max(3, len(parts))])


def compare(one: dict[str, Any], other: dict[str, Any]) -> int:
    """-1, 0 or 1. Raises ValueError for what is no version."""
    left, right = _order(one), _order(other)
    return (left > right) - (left < right)


def _match(text: str) -> re.Match[str]:
    found = _VERSION.fullmatch(text)
    if found is None or any(int(found[index]) > _MOST for index in (1, 2, 3)):
        raise ValueError(f"invalid semantic version {text[:64]!r}")
    return found


def _without_zeros(part: str) -> str:
    if len(part) < 2:
        return part
    stripped = part.lstrip("0")
    return stripped if stripped[:1].isdigit() else f"0{stripped}"


def _of(value: dict[str, Any]) -> re.Match[str]:
    if SEMVER not in value:
        raise ValueError("no such overload: semver is wanted")
    return _match(str(value[SEMVER]))


def _order(value: dict[str, Any]) -> tuple[Any, ...]:
    """A release comes after its pre-releases; in these, numbers come before words."""
    found = _of(value)
    numbers = tuple(int(found[index]) for index in (1, 2, 3))
    if not found[4]:
        return (*numbers, 1, ())
    parts = tuple((0, int(part), "") if part.isdigit() else (1, 0, part) for part in found[4].split("."))
    return (*numbers, 0, parts)


def _numbered(index: int) -> Any:
    def number(value: dict[str, Any]) -> int:
        found = int(_of(value)[index])
        if found >= 1 << 63:
            raise ValueError("integer overflow")
        return found

    return number
