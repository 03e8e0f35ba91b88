"""What the functions of one evaluation have been given and have made, counted as they are called.

The library keeps all of it until the evaluation ends, so that a loop of ten thousand calls with a text of a megabyte
would take ten gigabytes. An expression may go on after an error (``||``), so a limit that was met stays met. One
evaluation at a time in a thread.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

MOST = 16 << 20
"""Characters, bytes and items. The library takes up to twenty bytes for each."""


class _Spent(threading.local):
    amount = 0


_spent = _Spent()


def begin() -> None:
    """An evaluation begins in this thread."""
    _spent.amount = 0


def is_over() -> bool:
    """Whether the evaluation in this thread has met the limit."""
    return _spent.amount > MOST


def counted(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, which raises ValueError once too much was spent."""

    def call(*arguments: Any) -> Any:
        for argument in arguments:
            _spend(argument)
        found = function(*arguments)
        _spend(found)
        return found

    return call


def _spend(value: Any) -> None:
    _spent.amount += weight(value)
    if _spent.amount > MOST:
        raise ValueError("call cost exceeds limit")


def weight(value: Any) -> int:
    """How many characters, bytes and items a value has in all, keys of maps included."""
    total = 1
    waiting = [value]
    while waiting:
        found = waiting.pop()
        if isinstance(found, str | bytes | bytearray):
            total += len(found)
        elif isinstance(found, dict):
            total += len(found)
            waiting += found.values()
            waiting += found
        elif isinstance(found, list):
            total += len(found)
            waiting += found
    return total
