"""PersistentVolumeClaim: defaults, validation, columns. Workloads with claim templates use the functions for specs.

Pure. Rules and texts are those of pkg/apis/core (ValidatePersistentVolumeClaim) and pkg/api/persistentvolumeclaim.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from controlplane.apiserver.kinds.base import Column, Kind, Subresource
from controlplane.apiserver.kinds.causes import all_invalid, forbidden, immutable, invalid, not_supported, required
from controlplane.apiserver.kinds.cells import age_column, at, field_column, name_column
from controlplane.apiserver.kinds.persistentvolume import (
    BETA_CLASS,
    CLASS_COLUMNS,
    MODE_COLUMN,
    VOLUME_MODES,
    phase,
    short_modes,
    validate_access_modes,
    validate_class_name,
)
from controlplane.apiserver.kinds.podspec.defaults import canonical_list
from controlplane.apiserver.kinds.podspec.scheduling import validate_label_selector
from shared import codec
from shared.api import kinds, names, quantity
from shared.api.errors import Cause
from shared.api.meta import JSON

_RESIZING = (
    "ControllerResizeFailed", "ControllerResizeInProgress", "NodeResizeFailed", "NodeResizeInProgress",
    "NodeResizePending",
)  # fmt: skip


def default(obj: JSON) -> None:
    default_spec(obj.setdefault("spec", {}))
    status = obj["status"] = obj.get("status") or {}
    if not status.get("phase"):
        status["phase"] = "Pending"
    for name in ("capacity", "allocatedResources"):
        if status.get(name):
            canonical_list(status[name])


def default_spec(spec: JSON) -> None:
    """Of a claim, or of a claim's template. dataSource and dataSourceRef say the same when only one is given."""
    if not spec.get("volumeMode"):
        spec["volumeMode"] = "Filesystem"
    resources = spec.setdefault("resources", {})
    for name in ("limits", "requests"):
        if resources.get(name):
            canonical_list(resources[name])
    source, ref = spec.get("dataSource"), spec.get("dataSourceRef")
    if source is not None and ref is None:
        spec["dataSourceRef"] = dict(source)
    elif ref is not None and source is None and not ref.get("namespace"):
        spec["dataSource"] = {key: value for key, value in ref.items() if key != "namespace"}


def validate(obj: JSON, old: JSON | None) -> Iterable[Cause]:
    spec: JSON = obj.get("spec") or {}
    yield from validate_spec(spec, "spec")
    if old is not None:
        yield from _update(obj, old)


def validate_spec(spec: JSON, path: str) -> Iterator[Cause]:
    """A claim's spec, wherever it stands."""
    yield from validate_access_modes(spec, path, "at least 1 access mode is required")
    yield from validate_label_selector(spec.get("selector"), f"{path}.selector")
    where = f"{path}.resources[storage]"
    amount = at(spec, "resources", "requests", "storage")
    if amount is None:
        yield required(where)
    elif quantity.parse(amount) <= 0:
        yield invalid(where, amount, "must be greater than zero")
    yield from validate_class_name(spec.get("storageClassName"), f"{path}.storageClassName")
    mode = spec.get("volumeMode")
    if mode is not None and mode not in VOLUME_MODES:
        yield not_supported(f"{path}.volumeMode", mode, VOLUME_MODES)
    yield from _sources(spec, path)
    yield from validate_class_name(spec.get("volumeAttributesClassName"), f"{path}.volumeAttributesClassName")


def _sources(spec: JSON, path: str) -> Iterator[Cause]:
    source, ref = spec.get("dataSource"), spec.get("dataSourceRef")
    for name, given in (("dataSource", source), ("dataSourceRef", ref)):
        if given is not None:
            yield from _source(given, f"{path}.{name}")
    if ref is not None and (namespace := ref.get("namespace")):
        yield from all_invalid(f"{path}.dataSourceRef.namespace", namespace, names.dns_label(namespace))
        if source is not None:
            detail = "may not be specified when dataSourceRef.namespace is specified"
            yield invalid(path, f"{path}.dataSource", detail)
    elif source is not None and ref is not None and not _agree(source, ref):
        yield invalid(path, f"{path}.dataSource", "must match dataSourceRef")


def _agree(source: JSON, ref: JSON) -> bool:
    return all((source.get(key) or "") == (ref.get(key) or "") for key in ("apiGroup", "kind", "name"))


def _source(source: JSON, path: str) -> Iterator[Cause]:
    for field in ("name", "kind"):
        if not source.get(field):
            yield required(f"{path}.{field}")
    group, kind = source.get("apiGroup") or "", source.get("kind") or ""
    if not group and kind != "PersistentVolumeClaim":
        yield invalid(path, kind, "must be 'PersistentVolumeClaim' when referencing the default apiGroup")
    if group:
        yield from all_invalid(f"{path}.apiGroup", group, names.dns_subdomain(group))


def _update(obj: JSON, old: JSON) -> Iterator[Cause]:
    """Everything but the class of attributes, and the size of a bound claim, stays; the volume's name is given once."""
    spec, before = codec.copy(obj.get("spec") or {}), codec.copy(old.get("spec") or {})
    size, was = at(spec, "resources", "requests", "storage"), at(before, "resources", "requests", "storage")
    held = at(old, "status", "capacity", "storage", default="0")
    mode, mode_before = spec.get("volumeMode"), before.get("volumeMode")
    attributes, attributes_before = spec.get("volumeAttributesClassName"), before.get("volumeAttributesClassName")
    if not before.get("volumeName"):
        before["volumeName"] = spec.get("volumeName")
    beta = at(obj, "metadata", "annotations", default={}).get(BETA_CLASS)
    beta_before = at(old, "metadata", "annotations", default={}).get(BETA_CLASS)
    name = spec.get("storageClassName")
    if name is not None and before.get("storageClassName") is None and beta_before in (None, name):
        before["storageClassName"] = name  # a claim may get a class later, or move its annotation's into the field
    if beta != beta_before and not (beta is None and name == beta_before):
        path = f"metadata.annotations[{BETA_CLASS}]"
        yield from immutable(path, beta or "", beta_before or "")
    if at(old, "status", "phase") == "Bound" and at(spec, "resources", "requests"):
        spec["resources"]["requests"]["storage"] = was
    for tree in (spec, before):
        tree.pop("volumeAttributesClassName", None)
    if {key: value for key, value in spec.items() if value is not None} != {
        key: value for key, value in before.items() if value is not None
    }:
        detail = (
            "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims"
        )
        yield forbidden("spec", detail)
    smaller = size is not None and was is not None and quantity.parse(size) < quantity.parse(was)
    if smaller and quantity.parse(size) <= quantity.parse(held):
        yield forbidden("spec.resources.requests.storage", "field can not be less than status.capacity")
    yield from immutable("volumeMode", mode, mode_before)
    if attributes_before is not None and not attributes:
        value = "nil" if attributes is None else "an empty string"
        yield forbidden("spec.volumeAttributesClassName", f"update from non-nil value to {value} is forbidden")


def validate_status(obj: JSON, old: JSON | None) -> Iterable[Cause]:
    status: JSON = obj.get("status") or {}
    for name in ("capacity", "allocatedResources"):
        for resource, amount in sorted((status.get(name) or {}).items()):
            if quantity.parse(amount) < 0:
                yield invalid(f"status.{name}[{resource}]", amount, "must be a valid resource quantity")
    for state in (status.get("allocatedResourceStatuses") or {}).values():
        if state not in _RESIZING:
            yield not_supported("status.allocatedResourceStatus", state, _RESIZING)


def _when_bound(*path: str, modes: bool = False) -> Column:
    def cell(obj: JSON) -> str:
        if not at(obj, "spec", "volumeName"):
            return ""
        value = at(obj, *path)
        return short_modes(value) if modes else str(value or "0")

    if modes:
        return Column("Access Modes", "string", "How its volume can be mounted.", cell)
    return Column("Capacity", "string", "How much its volume holds.", cell)


PERSISTENT_VOLUME_CLAIM = Kind(
    resource=kinds.PERSISTENT_VOLUME_CLAIMS,
    singular="persistentvolumeclaim",
    short_names=("pvc",),
    columns=(
        name_column(),
        Column("Status", "string", "Whether it is bound to a volume.", phase),
        field_column("Volume", "string", "The volume that it is bound to.", "spec", "volumeName", default=""),
        _when_bound("status", "capacity", "storage"),
        _when_bound("status", "accessModes", modes=True),
        *CLASS_COLUMNS,
        age_column(),
        MODE_COLUMN,
    ),
    subresources=(Subresource("status", ("get", "patch", "update")),),
    default=default,
    validate=validate,
    validate_status=validate_status,
    inert=True,
)
