"""Progress for people on a terminal, and plain lines otherwise (pipes, CI)."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO


class Progress:
    """Steps, one after another. On a terminal a spinner shows the one under way."""

    def __init__(self, out: TextIO | None = None) -> None:
        self._out = out or sys.stdout
        self._terminal = self._out.isatty()
        self.changed = 0
        """How many steps said that they changed something."""

    def say(self, text: str = "") -> None:
        print(text, file=self._out, flush=True)

    @contextmanager
    def step(self, text: str) -> Iterator[Step]:
        """One step: its result is a line with what ``Step`` was told, or the error that ended it."""
        step = Step(text)
        began = time.monotonic()
        try:
            if self._terminal:
                from rich.console import Console

                with Console(file=self._out).status(text):
                    yield step
            else:
                yield step
        except BaseException:
            self.say(f"failed  {text}")
            raise
        self.changed += step.is_change
        took = time.monotonic() - began
        mark = "done   " if step.is_change else "ok     "
        self.say(f"{mark} {step.text}" + (f" ({took:.1f} s)" if took >= 0.1 else ""))


class Step:
    """What a step has to say: ``did`` when it changed something, ``found`` when all was as it should be."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.is_change = False

    def did(self, text: str) -> None:
        self.text, self.is_change = text, True

    def found(self, text: str) -> None:
        self.text = text
