"""Conditions and status patches: the smallest merge patch from the status that is to the one that should be.

Pure. Zero values are left out as Go's ``omitempty`` does: a field that became zero is removed by null.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from shared.api.meta import JSON, Condition, Struct, camel, timestamp


def with_condition(conditions: Iterable[Condition], new: Condition) -> tuple[Condition, ...]:
    """``conditions`` with ``new`` at the end, in place of the one of its type.

    Nothing changes if status and reason are what they were; the transition time stays while the status does.
    """
    conditions = tuple(conditions)
    old = find(conditions, new.type)
    if old is not None and (old.status, old.reason) == (new.status, new.reason):
        return conditions
    if old is not None and old.status == new.status:
        new = replaced(new, last_transition_time=old.last_transition_time)
    return (*without(conditions, new.type), new)


def without(conditions: Iterable[Condition], type: str) -> tuple[Condition, ...]:
    """``conditions`` but for that type."""
    return tuple(condition for condition in conditions if condition.type != type)


def find(conditions: Iterable[Condition], type: str) -> Condition | None:
    """The condition of that type, if there."""
    return next((condition for condition in conditions if condition.type == type), None)


def replaced(condition: Condition, **changes: Any) -> Condition:
    """A copy with some fields changed."""
    fields = {name: getattr(condition, name) for name in condition.__struct_fields__}
    return Condition(**{**fields, **changes})


def condition_tree(condition: Condition) -> JSON:
    """The condition as JSON, empty fields left out."""
    tree: JSON = {"type": condition.type, "status": condition.status}
    for name in ("last_heartbeat_time", "last_update_time", "last_transition_time"):
        if (when := getattr(condition, name)) is not None:
            tree[camel(name)] = timestamp(when)
    if condition.reason:
        tree["reason"] = condition.reason
    if condition.message:
        tree["message"] = condition.message
    return tree


@dataclass(frozen=True, slots=True)
class StatusRules:
    """``always``: fields that are written even when zero (pointers, and fields without omitempty in Go)."""

    always: frozenset[str] = frozenset()

    def patch(self, old: Struct, new: Struct, *, first: bool) -> JSON:
        """A merge patch of ``status`` that turns ``old`` into ``new``; empty if nothing changed.

        ``first``: nobody has written this status before, so the zero fields of ``always`` are missing.
        """
        changes: JSON = {}
        for name in new.__struct_fields__:
            before, after = getattr(old, name), getattr(new, name)
            if before == after and not (first and name in self.always):
                continue
            if name == "conditions":
                changes["conditions"] = [condition_tree(condition) for condition in after] or None
            else:
                changes[camel(name)] = after if after or name in self.always else None
        return changes
