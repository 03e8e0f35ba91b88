"""PodTemplate: a template kept by itself. Plain data, on which nothing acts by itself.

Pure. Rules and texts are those of pkg/apis/core.
"""

from __future__ import annotations

from collections.abc import Iterable

from controlplane.apiserver.kinds.base import Column, Kind
from controlplane.apiserver.kinds.cells import at, container_columns, format_labels, name_column
from controlplane.apiserver.kinds.podtemplate import default_template_spec, validate_template
from shared.api import kinds
from shared.api.errors import Cause
from shared.api.meta import JSON


def default(obj: JSON) -> None:
    default_template_spec(obj.setdefault("template", {}))


def validate(obj: JSON, old: JSON | None) -> Iterable[Cause]:
    return validate_template(obj.get("template") or {}, "template")


POD_TEMPLATE = Kind(
    resource=kinds.POD_TEMPLATES,
    singular="podtemplate",
    columns=(
        name_column(),
        *container_columns("template", priority=0),
        Column(
            "Pod Labels", "string", "Labels of the pods made of it.",
            lambda obj: format_labels(at(obj, "template", "metadata", "labels")),
        ),
    ),
    default=default,
    validate=validate,
    has_generation=True,
    spec_fields=("template",),
)  # fmt: skip
