"""Checks of the replica counts in a workload's spec and status.

Pure. Rules and texts are those of pkg/apis/apps/validation.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from controlplane.apiserver.kinds.causes import invalid, non_negative
from shared.api.errors import Cause
from shared.api.meta import JSON


def validate_counts(status: JSON, fields: Sequence[str]) -> Iterable[Cause]:
    """No count below zero, none above ``status.replicas``, and no more available than ready."""
    for field in ("replicas", *fields, "observedGeneration"):
        yield from non_negative(f"status.{field}", status.get(field))
    total = status.get("replicas") or 0
    for field in fields:
        if (status.get(field) or 0) > total:
            yield invalid(f"status.{field}", status.get(field), "cannot be greater than status.replicas")
    ready, available = status.get("readyReplicas") or 0, status.get("availableReplicas") or 0
    if available > ready:
        yield invalid("status.availableReplicas", available, "cannot be greater than readyReplicas")
