"""ReplicaSet: defaults, validation, columns.

Pure. Rules and texts are those of pkg/apis/apps.
"""

from __future__ import annotations

from collections.abc import Iterable

from controlplane.apiserver.kinds.base import Kind, ScalePaths, Subresource
from controlplane.apiserver.kinds.causes import non_negative
from controlplane.apiserver.kinds.cells import age_column, field_column, name_column, template_columns
from controlplane.apiserver.kinds.podtemplate import (
    default_template,
    validate_selector_and_template,
)
from controlplane.apiserver.kinds.workload_status import validate_counts
from shared.api import kinds
from shared.api.errors import Cause
from shared.api.meta import JSON


def default(obj: JSON) -> None:
    default_template(obj)
    if obj["spec"].get("replicas") is None:
        obj["spec"]["replicas"] = 1
    if not obj.get("status"):
        obj["status"] = {"replicas": 0}


def validate(obj: JSON, old: JSON | None) -> Iterable[Cause]:
    spec: JSON = obj.get("spec") or {}
    return [
        *non_negative("spec.replicas", spec.get("replicas")),
        *non_negative("spec.minReadySeconds", spec.get("minReadySeconds")),
        *validate_selector_and_template(spec, None if old is None else old.get("spec") or {}),
    ]


def validate_status(obj: JSON, old: JSON | None) -> Iterable[Cause]:
    return validate_counts(obj.get("status") or {}, ("fullyLabeledReplicas", "readyReplicas", "availableReplicas"))


REPLICA_SET = Kind(
    resource=kinds.REPLICA_SETS,
    singular="replicaset",
    short_names=("rs",),
    categories=("all",),
    columns=(
        name_column(),
        field_column("Desired", "integer", "Number of desired pods.", "spec", "replicas", default=0),
        field_column("Current", "integer", "Number of pods that exist.", "status", "replicas", default=0),
        field_column("Ready", "integer", "Number of pods that are ready.", "status", "readyReplicas", default=0),
        age_column(),
        *template_columns(),
    ),
    subresources=(
        Subresource("scale", ("get", "patch", "update"), kind="Scale", group="autoscaling", version="v1"),
        Subresource("status", ("get", "patch", "update")),
    ),
    default=default,
    validate=validate,
    validate_status=validate_status,
    has_generation=True,
    status_metadata=("labels", "annotations", "finalizers", "ownerReferences"),
    scale=ScalePaths(),
)
