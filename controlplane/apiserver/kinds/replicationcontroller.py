"""ReplicationController: defaults, validation, columns.

Pure. Rules and texts are those of pkg/apis/core.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from controlplane.apiserver.kinds.base import Column, Kind, ScalePaths, Subresource
from controlplane.apiserver.kinds.causes import invalid, non_negative, required
from controlplane.apiserver.kinds.cells import (
    age_column,
    at,
    container_columns,
    field_column,
    format_labels,
    name_column,
)
from controlplane.apiserver.kinds.podtemplate import (
    PATH,
    default_template_spec,
    runs_always,
    validate_template,
)
from controlplane.apiserver.kinds.workload_status import validate_counts
from shared.api import kinds
from shared.api.errors import Cause
from shared.api.meta import JSON
from shared.api.selectors import from_set


def default(obj: JSON) -> None:
    """Selector and labels come from the template's labels where none are given."""
    spec = obj.setdefault("spec", {})
    if (template := spec.get("template")) is not None:
        default_template_spec(template)
        if labels := template["metadata"].get("labels"):
            if not spec.get("selector"):
                spec["selector"] = dict(labels)
            if not obj["metadata"].get("labels"):
                obj["metadata"]["labels"] = dict(labels)
    if spec.get("replicas") is None:
        spec["replicas"] = 1
    status = obj.get("status") or {}
    obj["status"] = status
    status.setdefault("replicas", 0)


def validate(obj: JSON, old: JSON | None) -> Iterable[Cause]:
    spec: JSON = obj.get("spec") or {}
    selector: Mapping[str, str] = spec.get("selector") or {}
    template: JSON | None = spec.get("template")
    found = non_negative("spec.minReadySeconds", spec.get("minReadySeconds"))
    if not selector:
        found.append(required("spec.selector"))
    found += non_negative("spec.replicas", spec.get("replicas"))
    if template is None:
        return [*found, required(PATH)]
    labels = (template.get("metadata") or {}).get("labels") or {}
    if selector and not from_set(selector).matches(labels):
        found.append(invalid(f"{PATH}.metadata.labels", labels, "`selector` does not match template `labels`"))
    return found + validate_template(template, PATH) + runs_always(template, "ReplicationController")


def validate_status(obj: JSON, old: JSON | None) -> Iterable[Cause]:
    return validate_counts(obj.get("status") or {}, ("fullyLabeledReplicas", "readyReplicas", "availableReplicas"))


def selectable(obj: JSON) -> Mapping[str, str]:
    count = at(obj, "status", "replicas")
    return {"status.replicas": "" if count is None else str(count)}


REPLICATION_CONTROLLER = Kind(
    resource=kinds.REPLICATION_CONTROLLERS,
    singular="replicationcontroller",
    short_names=("rc",),
    categories=("all",),
    columns=(
        name_column(),
        field_column("Desired", "integer", "Number of desired pods.", "spec", "replicas", default=0),
        field_column("Current", "integer", "Number of pods that exist.", "status", "replicas", default=0),
        field_column("Ready", "integer", "Number of pods that are ready.", "status", "readyReplicas", default=0),
        age_column(),
        *container_columns("spec", "template"),
        Column(
            "Selector", "string", "Labels of the pods that belong to the object.",
            lambda obj: format_labels(at(obj, "spec", "selector")), priority=1,
        ),
    ),
    subresources=(
        Subresource("scale", ("get", "patch", "update"), kind="Scale", group="autoscaling", version="v1"),
        Subresource("status", ("get", "patch", "update")),
    ),
    default=default,
    validate=validate,
    validate_status=validate_status,
    inert=True,
    has_generation=True,
    status_metadata=("labels", "annotations", "finalizers", "ownerReferences"),
    selectable_fields=selectable,
    scale=ScalePaths(),
    default_propagation="orphan",
)  # fmt: skip
