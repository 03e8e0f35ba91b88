"""Namespace: it begins Active, and ends when its finalizer is taken off.

Pure. Rules are those of pkg/registry/core/namespace.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from controlplane.apiserver.kinds.base import Kind, Subresource
from controlplane.apiserver.kinds.causes import all_invalid, invalid
from controlplane.apiserver.kinds.cells import age_column, at, field_column, name_column
from shared.api import kinds, names
from shared.api.errors import Cause
from shared.api.meta import JSON

NAME_LABEL = "kubernetes.io/metadata.name"


def default(namespace: JSON) -> None:
    """The label that carries its name; a new one gets the finalizer and the phase Active."""
    meta = namespace["metadata"]
    if name := meta.get("name"):
        labels = meta.get("labels") or {}
        labels[NAME_LABEL] = name
        meta["labels"] = labels
    if not namespace.get("status"):
        namespace["status"] = {"phase": "Active"}
        spec = namespace.get("spec") or {}
        if "kubernetes" not in (spec.get("finalizers") or ()):
            spec["finalizers"] = [*(spec.get("finalizers") or ()), "kubernetes"]
        namespace["spec"] = spec
    elif namespace.get("spec") is None:
        namespace["spec"] = {}


def validate(namespace: JSON, old: JSON | None) -> Iterable[Cause]:
    for index, finalizer in enumerate(at(namespace, "spec", "finalizers", default=())):
        path = f"spec.finalizers[{index}]"
        wrong = names.qualified_name(finalizer)
        yield from all_invalid(path, finalizer, wrong)
        if not wrong and "/" not in finalizer and finalizer != "kubernetes":
            yield invalid(path, finalizer, "name is neither a standard finalizer name nor is it fully qualified")


def validate_status(namespace: JSON, old: JSON | None) -> Iterable[Cause]:
    phase = at(namespace, "status", "phase", default="")
    if (namespace.get("metadata") or {}).get("deletionTimestamp"):
        if phase != "Terminating":
            yield invalid("status.phase", phase, "may only be 'Terminating' if `deletionTimestamp` is not empty")
    elif phase != "Active":
        yield invalid("status.phase", phase, "may only be 'Active' if `deletionTimestamp` is empty")


def selectable(namespace: JSON) -> Mapping[str, str]:
    return {"status.phase": at(namespace, "status", "phase", default="")}


NAMESPACE = Kind(
    resource=kinds.NAMESPACES,
    singular="namespace",
    short_names=("ns",),
    columns=(
        name_column(),
        field_column("Status", "string", "The status of the namespace", "status", "phase", default=""),
        age_column(),
    ),
    verbs=("create", "delete", "get", "list", "patch", "update", "watch"),
    subresources=(Subresource("finalize", ("update",)), Subresource("status", ("get", "patch", "update"))),
    default=default,
    validate=validate,
    validate_status=validate_status,
    status_metadata=("labels", "annotations", "finalizers", "ownerReferences"),
    selectable_fields=selectable,
    name_rule="dns-label",
)
