"""The ``Warning:`` headers of answers (KEP-1693), which kubectl shows to people. Pure."""

from __future__ import annotations

from controlplane.apiserver.kinds.base import Kind


def deprecation(kind: Kind) -> tuple[str, ...]:
    """What every answer about this kind warns of: at most one text."""
    return (kind.deprecated,) if kind.deprecated else ()


def warning_header(text: str) -> str:
    """A header's value, without anything that could end it (net.NewWarningHeader)."""
    printable = "".join(char for char in text if char.isprintable()).encode("ascii", "replace").decode()
    return '299 - "' + printable.replace("\\", "\\\\").replace('"', '\\"') + '"'
