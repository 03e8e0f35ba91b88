"""``format``: values in texts.

Pure. After github.com/google/cel-go/ext/formatting.go. What does not fit its clause raises ValueError.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any


def formatted(template: str, values: Sequence[Any]) -> str:
    """``%s %d %f %e %b %x %X %o`` and ``%%``, with a precision for the two of floating point."""
    out: list[str] = []
    left = list(reversed(values))
    at = 0
    while at < len(template):
        if template[at] != "%":
            out.append(template[at])
            at += 1
            continue
        end = at + 1
        while end < len(template) and template[end] in ".0123456789":
            end += 1
        clause = template[end : end + 1]
        precision = template[at + 1 : end]
        at = end + 1
        if clause == "%":
            out.append("%")
            continue
        if not left:
            raise ValueError("index out of range: too few arguments of format")
        out.append(_formatted(clause, precision, left.pop()))
    return "".join(out)


def _formatted(clause: str, precision: str, value: Any) -> str:
    if clause == "s":
        return shown(value)
    if clause in ("f", "e"):
        return _floating(clause, precision, value)
    if clause == "d" and isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if clause in ("b", "o", "x", "X") and isinstance(value, int) and not (clause != "b" and isinstance(value, bool)):
        return f"{int(value):{clause}}"
    if clause in ("x", "X") and isinstance(value, str | bytes | bytearray):
        digits = (value.encode() if isinstance(value, str) else value).hex()
        return digits if clause == "x" else digits.upper()
    raise ValueError(f"could not parse formatting clause: unrecognized formatting clause {clause!r}")


def _floating(clause: str, precision: str, value: Any) -> str:
    if isinstance(value, str) and value in ("NaN", "Infinity", "-Infinity"):
        return value
    if isinstance(value, bool) or not isinstance(value, float | int):
        raise ValueError(f"error during formatting: %{clause} can only be used on numbers")
    if not math.isfinite(value):
        return shown(float(value))
    digits = int(precision[1:5] or 6) if precision.startswith(".") else 6
    return f"{float(value):.{min(digits, 100)}{clause}}"


def shown(value: Any) -> str:
    """As ``%s`` has it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return "null"
    if isinstance(value, float):
        if not math.isfinite(value):
            return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
        return f"{value:.0f}" if value.is_integer() else str(value)
    if isinstance(value, bytes | bytearray):
        return value.decode("utf-8", "replace")
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, timedelta):
        return f"{value.total_seconds():.9f}".rstrip("0").rstrip(".") + "s"
    if isinstance(value, list):
        return f"[{', '.join(map(shown, value))}]"
    if isinstance(value, dict):
        pairs = sorted((shown(key), shown(item)) for key, item in value.items())
        return "{" + ", ".join(f"{key}: {item}" for key, item in pairs) + "}"
    return str(value)
