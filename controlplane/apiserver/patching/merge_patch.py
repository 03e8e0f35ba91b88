"""JSON merge patch (RFC 7386).

Changes and returns its first argument, and takes over parts of the second: give it copies.
"""

from __future__ import annotations

from typing import Any

from shared.api.meta import JSON


def merge_patch(target: JSON, patch: JSON) -> JSON:
    """``target`` with every member of ``patch`` set, merged or (when null) removed."""
    for key, value in patch.items():
        if value is None:
            target.pop(key, None)
        elif isinstance(value, dict):
            inner: Any = target.get(key)
            target[key] = merge_patch(inner if isinstance(inner, dict) else {}, value)
        else:
            target[key] = value
    return target
