"""The ``Warning:`` headers of answers (KEP-1693), which kubectl shows to people. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from aiohttp import web

from controlplane.apiserver.kinds.base import Kind

WARNINGS: web.RequestKey[list[str]] = web.RequestKey("warnings", list)
"""On a request: what is to be told with its answer by the guard, because whoever makes that answer does not."""

TOTAL, EACH = 4096, 256
"""Characters of all warnings of an answer, and of one where all together are more
(k8s.io/apiserver/pkg/endpoints/filters/warning.go): clients refuse answers with too large a head."""


def deprecation(kind: Kind) -> tuple[str, ...]:
    """What every answer about this kind warns of: at most one text."""
    return (kind.deprecated,) if kind.deprecated else ()


def told(texts: Iterable[str]) -> list[str]:
    """Each text once; where that is too much each is cut short, and those past the limit are left out."""
    once = list(dict.fromkeys(texts))
    if sum(map(len, once)) <= TOTAL:
        return once
    kept: list[str] = []
    room = TOTAL
    for text in once:
        if room <= 0:
            break
        kept.append(text[:EACH])
        room -= len(kept[-1])
    return kept


def warning_header(text: str) -> str:
    """A header's value, without anything that could end it (net.NewWarningHeader)."""
    printable = "".join(char for char in text if char.isprintable()).encode("ascii", "replace").decode()
    return '299 - "' + printable.replace("\\", "\\\\").replace('"', '\\"') + '"'
