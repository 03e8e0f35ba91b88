"""Cron schedules: the grammar and the errors of Kubernetes' own parser."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.api.cron import Schedule, duration, parse

EVERY_DAY, EVERY_MONTH, EVERY_WEEKDAY = frozenset(range(1, 32)), frozenset(range(1, 13)), frozenset(range(7))


@pytest.mark.parametrize(
    ("text", "minutes", "hours"),
    [
        ("* * * * *", range(60), range(24)),
        ("5 0 * * *", {5}, {0}),
        ("*/20 ? * * *", {0, 20, 40}, range(24)),
        ("*/61 3 * * *", {0}, {3}),
        ("50/5 1-3 * * *", {50, 55}, {1, 2, 3}),
        ("0,30 9-17/4 * * *", {0, 30}, {9, 13, 17}),
        ("  0   0  *  *  * ", {0}, {0}),
        ("@hourly", {0}, range(24)),
        ("@midnight", {0}, {0}),
        ("CRON_TZ=Europe/Paris 1 2 * * *", {1}, {2}),
    ],
)
def test_minutes_and_hours(text: str, minutes: set[int], hours: set[int]) -> None:
    found = parse(text)
    assert (found.minutes, found.hours) == (frozenset(minutes), frozenset(hours))
    assert (found.days, found.months, found.weekdays) == (EVERY_DAY, EVERY_MONTH, EVERY_WEEKDAY)


def test_names_and_what_was_a_star() -> None:
    found = parse("0 0 */2 JAN,mar-May mon-FRI")
    assert (found.months, found.weekdays) == (frozenset({1, 3, 4, 5}), frozenset(range(1, 6)))
    assert (found.any_day, found.any_weekday) == (False, False), "a step makes a star less than all"
    assert parse("@weekly") == Schedule(
        frozenset({0}), frozenset({0}), EVERY_DAY, EVERY_MONTH, frozenset({0}), any_day=True
    )


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", "empty spec string"),
        ("* * * *", "expected exactly 5 fields, found 4: [* * * *]"),
        ("61 * * * *", "end of range (61) above maximum (59): 61"),
        ("* * 0 * *", "beginning of range (0) below minimum (1): 0"),
        ("* * * * 7", "end of range (7) above maximum (6): 7"),
        ("30-10 * * * *", "beginning of range (30) beyond end of range (10): 30-10"),
        ("1-2-3 * * * *", "too many hyphens: 1-2-3"),
        ("*/2/3 * * * *", "too many slashes: */2/3"),
        ("*/0 * * * *", "step of range should be a positive number: */0"),
        ("*/-1 * * * *", "negative number (-1) not allowed: -1"),
        ("x * * * *", 'failed to parse int from x: strconv.Atoi: parsing "x": invalid syntax'),
        ("* * L * *", 'failed to parse int from L: strconv.Atoi: parsing "L": invalid syntax'),
        ("@sometimes", "unrecognized descriptor: @sometimes"),
        ("@every soon", 'failed to parse duration @every soon: time: invalid duration "soon"'),
    ],
)
def test_errors(text: str, error: str) -> None:
    with pytest.raises(ValueError) as caught:
        parse(text)
    assert str(caught.value) == error


@pytest.mark.parametrize(
    ("text", "seconds"), [("1h30m", 5400), ("0", 0), ("-1.5s", -1.5), ("250ms", 0.25), ("+2m", 120)]
)
def test_durations(text: str, seconds: float) -> None:
    assert duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(("text", "every"), [("@every 90m", 5400), ("@every 10ms", 1), ("@every 1.7s", 1)])
def test_every(text: str, every: float) -> None:
    assert parse(text) == Schedule(every=every)


@given(st.text(alphabet="0123456789*/-,? @TZ=LJANfri", max_size=20))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        found = parse(text)
    except ValueError:
        return
    assert found.every or found.minutes <= frozenset(range(60))
