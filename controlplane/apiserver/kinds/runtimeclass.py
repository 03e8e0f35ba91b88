"""RuntimeClass: validation, columns.

Pure. Rules and texts are those of pkg/apis/node/validation.
"""

from __future__ import annotations

from collections.abc import Iterable

from controlplane.apiserver.kinds.base import Kind
from controlplane.apiserver.kinds.causes import all_invalid, duplicate, immutable
from controlplane.apiserver.kinds.cells import age_column, field_column, name_column
from controlplane.apiserver.kinds.metadata import validate_labels
from controlplane.apiserver.kinds.podspec.defaults import canonical_list
from controlplane.apiserver.kinds.podspec.resources import validate_resources
from controlplane.apiserver.kinds.podspec.scheduling import validate_tolerations
from shared.api import kinds, names
from shared.api.errors import Cause
from shared.api.meta import JSON


def default(obj: JSON) -> None:
    if fixed := (obj.get("overhead") or {}).get("podFixed"):
        canonical_list(fixed)


def validate(obj: JSON, old: JSON | None) -> Iterable[Cause]:
    handler = obj.get("handler") or ""
    if old is not None:
        yield from immutable("handler", handler, old.get("handler") or "")
    yield from all_invalid("handler", handler, names.dns_label(handler))
    if (overhead := obj.get("overhead")) is not None:
        yield from validate_resources({"limits": overhead.get("podFixed") or {}}, "overhead")
    scheduling: JSON = obj.get("scheduling") or {}
    yield from validate_labels(scheduling.get("nodeSelector"), "scheduling.nodeSelector")
    tolerations = scheduling.get("tolerations") or []
    yield from validate_tolerations(tolerations, "scheduling.tolerations")
    for index, toleration in enumerate(tolerations):
        if toleration in tolerations[:index]:
            yield duplicate(f"scheduling.tolerations[{index}]", toleration)


RUNTIME_CLASS = Kind(
    resource=kinds.RUNTIME_CLASSES,
    singular="runtimeclass",
    columns=(
        name_column(),
        field_column("Handler", "string", "The runtime's configuration on the nodes.", "handler", default=""),
        age_column(),
    ),
    default=default,
    validate=validate,
)
