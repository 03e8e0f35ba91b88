"""Log lines: fields, contexts, formats."""

import asyncio
import io
import json
import logging
from collections.abc import Callable, Iterator

import pytest

from shared.observe import logs, metrics

logger = logging.getLogger("longboat.test")


@pytest.fixture
def lines() -> Iterator[Callable[..., list[str]]]:
    """Configure logging on a buffer; puts the root logger back."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    stream = io.StringIO()

    def configured(level: str = "info", format: str = "plain") -> Callable[[], list[str]]:
        logs.configure(level, format, stream)
        return lambda: stream.getvalue().splitlines()

    yield configured
    for handler in list(root.handlers):
        root.removeHandler(handler)
    for handler in handlers:
        root.addHandler(handler)
    root.setLevel(level)


def test_plain_lines_have_their_fields_behind(lines):
    read = lines()
    with logs.bound(controller="deployment", key="ns/web"):
        logger.info("scaled", extra={"size": 3, "why": 'a "b" c', "empty": ""})
    (line,) = read()
    when, rest = line.split(" ", 1)
    assert when.endswith("Z")
    assert rest == ('INFO    longboat.test: scaled controller=deployment key=ns/web size=3 why="a \\"b\\" c" empty=""')


def test_a_line_break_in_a_value_makes_no_second_line(lines):
    read = lines()
    logger.info("asked", extra={"text": "a\nERROR forged"})
    assert len(read()) == 1


def test_json_lines(lines):
    read = lines(format="json")
    with logs.bound(key="ns/web", size=1):
        logger.warning("scaled %s", "up", extra={"size": 3, "odd": object, "level": "mine"})
    line = json.loads(read()[0])
    assert {
        "level": "warning",
        "logger": "longboat.test",
        "message": "scaled up",
        "key": "ns/web",
        "size": 3,
    }.items() <= (line.items())
    assert line["odd"] == "<class 'object'>"


@pytest.mark.parametrize("format", ["plain", "json"])
def test_exceptions_have_their_trace(lines, format):
    read = lines(format=format)
    try:
        raise ValueError("broken")
    except ValueError:
        logger.exception("failed")
    text = "\n".join(read())
    assert "Traceback" in text
    assert "ValueError: broken" in text
    assert format == "plain" or len(read()) == 1


def test_the_level_holds(lines):
    read = lines(level="warning")
    logger.info("quiet")
    logger.warning("loud")
    assert len(read()) == 1


def test_configuring_again_replaces(lines):
    lines()
    read = lines(format="json")
    logger.info("once")
    assert len(read()) == 1


@pytest.mark.parametrize(("level", "format"), [("loud", "plain"), ("info", "xml")])
def test_mistakes_say_what_is_allowed(lines, level, format):
    with pytest.raises(ValueError, match="use "):
        lines(level, format)


async def test_bound_fields_stay_in_their_task():
    seen: dict[str, dict[str, object]] = {}

    async def work(name: str) -> None:
        with logs.bound(task=name):
            await asyncio.sleep(0)
            seen[name] = dict(logs.context())

    with logs.bound(server=1):
        await asyncio.gather(work("a"), work("b"))
    assert seen == {"a": {"server": 1, "task": "a"}, "b": {"server": 1, "task": "b"}}
    assert logs.context() == {}


def test_the_exposition_has_process_figures_and_ours():
    text = metrics.exposition().decode()
    assert "process_resident_memory_bytes" in text
    assert metrics.CONTENT_TYPE.startswith("text/plain")


@pytest.mark.parametrize("buckets", [metrics.FAST, metrics.REQUEST, metrics.SLOW], ids=["fast", "request", "slow"])
def test_buckets_grow(buckets):
    assert list(buckets) == sorted(set(buckets))
