"""Calls that answer an optional in Kubernetes: the index is written behind them that makes one of a map's member.

Pure. Functions of ours cannot make optional values (docs/decisions/0005): ``format.named(…)`` and ``….validate(…)``
answer a map with one member or none, and an optional index of it is what Kubernetes' functions answer.
"""

from __future__ import annotations

import re

_CALLS = re.compile(r"(?:\.\s*(validate)|(?<![\w.])format\s*\.\s*(named))\s*$")
_INDEX = {"validate": '[?"errors"]', "named": '[?"format"]'}
_LITERAL = re.compile(r"""[rRbB]{0,2}("{3}|'{3}|"|')""")


def optional_calls(source: str) -> str:
    """``source`` with an optional index after each call that is to answer an optional."""
    if "validate" not in source and "named" not in source:
        return source
    out: list[str] = []
    suffixes: list[str] = []
    at = 0
    while at < len(source):
        end = _skipped(source, at)
        if end > at:
            out.append(source[at:end])
            at = end
            continue
        character = source[at]
        at += 1
        out.append(character)
        if character == "(":
            call = _CALLS.search("".join(out[-256:-1]))
            suffixes.append("" if call is None else _INDEX[call[1] or call[2]])
        elif character == ")" and suffixes:
            out.append(suffixes.pop())
    return "".join(out)


def _skipped(source: str, at: int) -> int:
    """Where the text literal or comment ends that begins at ``at``; ``at`` where none does."""
    if source.startswith("//", at):
        end = source.find("\n", at)
        return len(source) if end < 0 else end
    before = source[at - 1] if at else ""
    found = None if before.isalnum() or before == "_" else _LITERAL.match(source, at)
    if found is None:
        return at
    quote, raw = found[1], "r" in found[0].lower()
    end = found.end()
    while end < len(source) and not source.startswith(quote, end):
        end += 2 if source[end] == "\\" and not raw else 1
    return min(len(source), end + len(quote))
