"""Logging: plain lines for people or JSON lines for machines, with the fields of the work at hand.

Owns the root logger's handler and the context of the current task. Code logs a constant message with its values
in ``extra={...}``; ``bound(controller=..., key=...)`` adds fields to every line logged inside it, in that task
only. Never logs secrets: nothing here looks into objects, so what is not passed is not written. Any thread.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, TextIO

from shared import codec

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_context: ContextVar[Mapping[str, Any]] = ContextVar("log_fields", default={})  # noqa: B039 - never changed in place


@contextmanager
def bound(**fields: Any) -> Iterator[None]:
    """Add ``fields`` to every line that is logged inside, in this task and in tasks started inside."""
    token = _context.set({**_context.get(), **fields})
    try:
        yield
    finally:
        _context.reset(token)


def context() -> Mapping[str, Any]:
    """The fields bound at this point; not to be changed."""
    return _context.get()


def configure(level: str = "info", format: str = "plain", stream: TextIO | None = None) -> None:
    """Send every logger to ``stream`` (standard error by default) as ``plain`` or ``json`` lines.

    Replaces handlers set before, so it may be called again. Raises ValueError on an unknown level or format.
    """
    number = logging.getLevelNamesMapping().get(level.upper())
    if number is None:
        raise ValueError(f'unknown log level "{level}": use debug, info, warning or error')
    formatters: dict[str, type[logging.Formatter]] = {"plain": PlainFormatter, "json": JSONFormatter}
    if format not in formatters:
        raise ValueError(f'unknown log format "{format}": use plain or json')
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(formatters[format]())
    handler.addFilter(_attach)
    root = logging.getLogger()
    for old in list(root.handlers):
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(number)


def _attach(record: logging.LogRecord) -> bool:
    record.__dict__["_bound"] = _context.get()
    return True


def fields_of(record: logging.LogRecord) -> dict[str, Any]:
    """The bound fields and then the record's own ``extra``, which wins."""
    own = {key: value for key, value in vars(record).items() if key not in _STANDARD and key != "_bound"}
    return {**getattr(record, "_bound", _context.get()), **own}


class PlainFormatter(logging.Formatter):
    """``12:00:00.123 WARNING module: message key=value``; a traceback follows on lines of its own."""

    def format(self, record: logging.LogRecord) -> str:
        when = datetime.fromtimestamp(record.created, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3]
        fields = "".join(f" {key}={_word(value)}" for key, value in fields_of(record).items())
        line = f"{when}Z {record.levelname:<7} {record.name}: {record.getMessage()}{fields}"
        return "\n".join([line, *_trace(self, record)])


class JSONFormatter(logging.Formatter):
    """One JSON object a line: time, level, logger, message, the fields, and ``trace`` of an exception."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        for key, value in fields_of(record).items():
            line.setdefault(key, value if isinstance(value, str | int | float | bool | None) else str(value))
        if trace := _trace(self, record):
            line["trace"] = "\n".join(trace)
        return codec.encode(line).decode()


def _trace(formatter: logging.Formatter, record: logging.LogRecord) -> list[str]:
    return [formatter.formatException(record.exc_info)] if record.exc_info and record.exc_info[0] else []


def _word(value: object) -> str:
    text = str(value)
    plain = text and text.isprintable() and not set(text) & set(' "=')
    return text if plain else codec.encode(text).decode()
