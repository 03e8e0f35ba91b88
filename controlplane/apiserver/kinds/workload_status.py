"""Checks of the replica counts in a workload's spec and status.

Pure. Rules and texts are those of pkg/apis/apps/validation.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from controlplane.apiserver.kinds.causes import invalid, non_negative
from controlplane.apiserver.kinds.cells import at
from shared.api.errors import Cause
from shared.api.meta import JSON


def validate_counts(status: JSON, fields: Sequence[str], ready: str = "readyReplicas") -> Iterable[Cause]:
    """No count below zero, none above ``status.replicas``, and no more available than ready, which the text of a
    cause calls as in ``ready``."""
    for field in ("replicas", *fields, "observedGeneration"):
        yield from non_negative(f"status.{field}", status.get(field))
    total = status.get("replicas") or 0
    for field in fields:
        if (status.get(field) or 0) > total:
            yield invalid(f"status.{field}", status.get(field), "cannot be greater than status.replicas")
    available = status.get("availableReplicas") or 0
    if available > (status.get("readyReplicas") or 0):
        yield invalid("status.availableReplicas", available, f"cannot be greater than {ready}")


def validate_collisions(status: JSON, old: JSON | None) -> Iterable[Cause]:
    """The count of collisions of a controller's hashes only grows."""
    count, before = status.get("collisionCount") or 0, at(old, "status", "collisionCount", default=0)
    yield from non_negative("status.collisionCount", count)
    if count < before:
        yield invalid("status.collisionCount", count, "cannot be decremented")
