"""Lease: who leads, or that a node lives.

Pure. Rules and texts are those of pkg/apis/coordination/validation.
"""

from __future__ import annotations

from collections.abc import Iterable

from controlplane.apiserver.kinds.base import Kind
from controlplane.apiserver.kinds.causes import invalid
from controlplane.apiserver.kinds.cells import age_column, field_column, name_column
from shared.api import kinds
from shared.api.errors import Cause
from shared.api.meta import JSON


def default(lease: JSON) -> None:
    if lease.get("spec") is None:
        lease["spec"] = {}


def validate(lease: JSON, old: JSON | None) -> Iterable[Cause]:
    spec: JSON = lease.get("spec") or {}
    if (seconds := spec.get("leaseDurationSeconds")) is not None and seconds <= 0:
        yield invalid("spec.leaseDurationSeconds", seconds, "must be greater than 0")
    if (transitions := spec.get("leaseTransitions")) is not None and transitions < 0:
        yield invalid("spec.leaseTransitions", transitions, "must be greater than or equal to 0")


LEASE = Kind(
    resource=kinds.LEASES,
    singular="lease",
    columns=(
        name_column(),
        field_column("Holder", "string", "Who holds the lease.", "spec", "holderIdentity", default=""),
        age_column(),
    ),
    default=default,
    validate=validate,
)
