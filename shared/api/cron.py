"""Cron schedules as Kubernetes reads them: which minutes, hours, days and months a text names.

Pure. The grammar and the words of its errors are those of github.com/robfig/cron/v3's ``ParseStandard``, which
Kubernetes validates and runs CronJobs by. The cron libraries of Python each read another grammar (they take ``L``,
``#``, seconds or Sunday as 7, and refuse ``?``, ``@every`` or ``*/61``), so that with one of them a schedule would be
refused here that is good there, or be stored here and never run there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")


@dataclass(frozen=True, slots=True)
class _Bounds:
    low: int
    high: int
    names: Mapping[str, int]


_FIELDS = (
    _Bounds(0, 59, {}),
    _Bounds(0, 23, {}),
    _Bounds(1, 31, {}),
    _Bounds(1, 12, {name: number for number, name in enumerate(_MONTHS, 1)}),
    _Bounds(0, 6, {name: number for number, name in enumerate(_DAYS)}),
)
_DESCRIPTORS = {
    "@yearly": "0 0 1 1 *", "@annually": "0 0 1 1 *", "@monthly": "0 0 1 * *", "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *", "@midnight": "0 0 * * *", "@hourly": "0 * * * *",
}  # fmt: skip
_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_AMOUNT = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h)")
_INTEGER = re.compile(r"[+-]?[0-9]{1,18}")


@dataclass(frozen=True, slots=True)
class Schedule:
    """The numbers that each field names. A day must be in both of ``days`` and ``weekdays`` if either was ``*``
    (then ``any_day`` or ``any_weekday`` says so), else in one of them. ``every``: seconds of ``@every``, or 0."""

    minutes: frozenset[int] = frozenset()
    hours: frozenset[int] = frozenset()
    days: frozenset[int] = frozenset()
    months: frozenset[int] = frozenset()
    weekdays: frozenset[int] = frozenset()
    any_day: bool = False
    any_weekday: bool = False
    every: float = 0


def parse(text: str) -> Schedule:
    """Read five fields or a descriptor such as ``@daily`` or ``@every 90m``; a time zone in front (``TZ=``,
    ``CRON_TZ=``) is passed over, whatever it names. Raises ValueError with what is wrong."""
    if not text:
        raise ValueError("empty spec string")
    if text.startswith(("TZ=", "CRON_TZ=")):
        text = text.partition(" ")[2].strip()
    if text.startswith("@"):
        return _descriptor(text)
    fields = text.split()
    if len(fields) != len(_FIELDS):
        raise ValueError(f"expected exactly {len(_FIELDS)} fields, found {len(fields)}: [{' '.join(fields)}]")
    minutes, hours, days, months, weekdays = map(_field, fields, _FIELDS)
    return Schedule(minutes[0], hours[0], days[0], months[0], weekdays[0], any_day=days[1], any_weekday=weekdays[1])


def _descriptor(text: str) -> Schedule:
    if text in _DESCRIPTORS:
        return parse(_DESCRIPTORS[text])
    if text.startswith("@every "):
        try:
            seconds = duration(text.removeprefix("@every "))
        except ValueError as error:
            raise ValueError(f"failed to parse duration {text}: {error}") from None
        return Schedule(every=max(1.0, float(int(seconds))))
    raise ValueError(f"unrecognized descriptor: {text}")


def duration(text: str) -> float:
    """Seconds of a Go duration such as ``1h30m`` or ``-1.5s`` (time.ParseDuration). Raises ValueError."""
    amounts = text[1:] if text[:1] in ("-", "+") else text
    if amounts == "0":
        return 0.0
    if not amounts or "".join(match[0] for match in _AMOUNT.finditer(amounts)) != amounts:
        raise ValueError(f'time: invalid duration "{text}"')
    seconds = sum(float(match[1]) * _UNITS[match[2]] for match in _AMOUNT.finditer(amounts))
    return -seconds if text[0] == "-" else seconds


def _field(text: str, bounds: _Bounds) -> tuple[frozenset[int], bool]:
    numbers: set[int] = set()
    everything = False
    for part in text.split(","):
        if part:
            found, star = _range(part, bounds)
            numbers |= set(found)
            everything = everything or star
    return frozenset(numbers), everything


def _range(text: str, bounds: _Bounds) -> tuple[Any, bool]:
    """The numbers of ``*``, ``n``, ``n-m``, each perhaps with ``/step``; and whether that was all without a step."""
    span, *steps = text.split("/")
    low, *highs = span.split("-")
    if star := low in ("*", "?"):
        start, end = bounds.low, bounds.high
    else:
        start = end = _number_or_name(low, bounds)
        if len(highs) > 1:
            raise ValueError(f"too many hyphens: {text}")
        if highs:
            end = _number_or_name(highs[0], bounds)
    step = 1
    if len(steps) > 1:
        raise ValueError(f"too many slashes: {text}")
    if steps:
        step = _number(steps[0])
        if not highs:
            end = bounds.high  # as "n-max/step"
    if start < bounds.low:
        raise ValueError(f"beginning of range ({start}) below minimum ({bounds.low}): {text}")
    if end > bounds.high:
        raise ValueError(f"end of range ({end}) above maximum ({bounds.high}): {text}")
    if start > end:
        raise ValueError(f"beginning of range ({start}) beyond end of range ({end}): {text}")
    if step == 0:
        raise ValueError(f"step of range should be a positive number: {text}")
    return range(start, end + 1, step), star and step == 1


def _number_or_name(text: str, bounds: _Bounds) -> int:
    named = bounds.names.get(text.lower())
    return _number(text) if named is None else named


def _number(text: str) -> int:
    if not _INTEGER.fullmatch(text):
        raise ValueError(f'failed to parse int from {text}: strconv.Atoi: parsing "{text}": invalid syntax')
    if (number := int(text)) < 0:
        raise ValueError(f"negative number ({number}) not allowed: {text}")
    return number
