"""A row of the table of pod fields. Pure.

A field that is acted on and has fields of its own names the table of those (``of``), so that a field that Kubernetes
adds below it is missing there and a test says so. What is warned about or refused is so with all that is below it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Verdict(StrEnum):
    ACTED_ON = "acted on"
    WARNED = "warned about"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Field:
    """One field. ``note`` says what is not done, or how; ``of`` is the table of its own fields.

    ``quiet`` are values that ask for nothing beyond what happens anyway, Kubernetes' defaults mostly: they are passed
    over, as are null and what is empty.
    """

    verdict: Verdict
    note: str = ""
    of: str = ""
    quiet: tuple[Any, ...] = (False,)


Fields = Mapping[str, Field]
"""The fields of one type, by name."""


def acted(*names: str, note: str = "", **of: str) -> dict[str, Field]:
    """Fields that are acted on as in Kubernetes; those given by keyword have fields of their own, in that table."""
    found = {name: Field(Verdict.ACTED_ON, note) for name in names}
    return found | {name: Field(Verdict.ACTED_ON, note, table) for name, table in of.items()}


def warned(note: str, *names: str, quiet: tuple[Any, ...] = (False,)) -> dict[str, Field]:
    """Fields that are stored and then left alone; who writes them is told so."""
    return {name: Field(Verdict.WARNED, note, quiet=quiet) for name in names}


def refused(note: str, *names: str, quiet: tuple[Any, ...] = (False,)) -> dict[str, Field]:
    """Fields without which a pod would be less safe than it says."""
    return {name: Field(Verdict.REFUSED, note, quiet=quiet) for name in names}
