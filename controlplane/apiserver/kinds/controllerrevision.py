"""ControllerRevision: what a StatefulSet or DaemonSet was at some time. Plain data, on which nothing acts by itself.

Pure. Rules and texts are those of pkg/apis/apps.
"""

from __future__ import annotations

from collections.abc import Iterable

from controlplane.apiserver.kinds.base import Column, Kind
from controlplane.apiserver.kinds.causes import immutable, non_negative, required
from controlplane.apiserver.kinds.cells import NONE, age_column, field_column, name_column
from shared.api import kinds
from shared.api.errors import Cause
from shared.api.meta import JSON


def default(obj: JSON) -> None:
    """Not a default of Kubernetes': its struct writes the number even where it is zero."""
    obj.setdefault("revision", 0)


def validate(obj: JSON, old: JSON | None) -> Iterable[Cause]:
    if obj.get("data") is None:
        yield required("data", "data is mandatory")
    yield from non_negative("revision", obj.get("revision"))
    if old is not None:
        yield from immutable("data", obj.get("data"), old.get("data"))


def _controller(obj: JSON) -> str:
    """``statefulset.apps/web``: the owner that manages it."""
    for owner in obj["metadata"].get("ownerReferences") or ():
        if owner.get("controller"):
            group = str(owner.get("apiVersion") or "").rpartition("/")[0]
            kind = str(owner.get("kind") or "").lower()
            return f"{kind}.{group}/{owner.get('name')}" if group else f"{kind}/{owner.get('name')}"
    return NONE


CONTROLLER_REVISION = Kind(
    resource=kinds.CONTROLLER_REVISIONS,
    singular="controllerrevision",
    columns=(
        name_column(),
        Column("Controller", "string", "The object that manages this one.", _controller),
        field_column("Revision", "string", "Which state of it this is, counted up.", "revision", default=0),
        age_column(),
    ),
    default=default,
    validate=validate,
)
