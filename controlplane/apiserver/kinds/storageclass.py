"""StorageClass and VolumeAttributesClass: defaults, validation, columns.

Pure. Rules and texts are those of pkg/apis/storage.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from controlplane.apiserver.kinds.base import Column, Kind
from controlplane.apiserver.kinds.causes import (
    all_invalid,
    duplicate,
    forbidden,
    immutable,
    invalid,
    not_supported,
    required,
    too_long,
)
from controlplane.apiserver.kinds.cells import age_column, at, field_column, name_column
from shared.api import kinds, names
from shared.api.errors import Cause
from shared.api.meta import JSON

IS_DEFAULT = ("storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class")
"""Annotations that say ``true`` on the class of claims that name none."""

_MAX_PARAMETERS, _MAX_BYTES = 512, 256 * 1024
_RECLAIM = ("Delete", "Retain")
_BINDING = ("Immediate", "WaitForFirstConsumer")


def is_default(obj: JSON) -> bool:
    annotations = at(obj, "metadata", "annotations", default={})
    return any(annotations.get(key) == "true" for key in IS_DEFAULT)


def default(obj: JSON) -> None:
    for name, value in (("reclaimPolicy", "Delete"), ("volumeBindingMode", "Immediate")):
        if obj.get(name) is None:
            obj[name] = value


def validate(obj: JSON, old: JSON | None) -> Iterable[Cause]:
    if old is not None:
        for name in ("parameters", "provisioner", "reclaimPolicy"):
            if (obj.get(name) or None) != (old.get(name) or None):
                yield forbidden(name, f"updates to {name} are forbidden.")
        yield from immutable("volumeBindingMode", obj.get("volumeBindingMode"), old.get("volumeBindingMode"))
        return
    yield from _provisioner(obj.get("provisioner") or "", "provisioner")
    yield from _parameters(obj.get("parameters") or {}, "parameters")
    if (reclaim := obj.get("reclaimPolicy")) and reclaim not in _RECLAIM:
        yield not_supported("reclaimPolicy", reclaim, _RECLAIM)
    if (mode := obj.get("volumeBindingMode")) not in _BINDING:
        yield not_supported("volumeBindingMode", mode or "", _BINDING)
    terms = obj.get("allowedTopologies") or []
    for index, term in enumerate(terms):
        yield from _topology(term, f"allowedTopologies[{index}]")
        if term in terms[:index]:
            yield duplicate(f"allowedTopologies[{index}].matchLabelExpressions", "")


def _topology(term: JSON, path: str) -> Iterator[Cause]:
    keys: set[str] = set()
    for index, expression in enumerate(term.get("matchLabelExpressions") or ()):
        here = f"{path}.matchLabelExpressions[{index}]"
        key, values = expression.get("key") or "", expression.get("values") or []
        if not values:
            yield required(f"{here}.values")
        for position, value in enumerate(values):
            if value in values[:position]:
                yield duplicate(f"{here}.values[{position}]", value)
        yield from all_invalid(f"{here}.key", key, names.qualified_name(key))
        if key in keys:
            yield duplicate(f"{here}.key", key)
        keys.add(key)


def _provisioner(name: str, path: str) -> list[Cause]:
    return all_invalid(path, name, names.qualified_name(name.lower())) if name else [required(path)]


def _parameters(parameters: JSON, path: str) -> Iterator[Cause]:
    if len(parameters) > _MAX_PARAMETERS:
        yield too_long(path, _MAX_PARAMETERS)
        return
    if "" in parameters:
        yield invalid(path, "", "field can not be empty.")
    if sum(len(key.encode()) + len(value.encode()) for key, value in parameters.items()) > _MAX_BYTES:
        yield too_long(path, _MAX_BYTES)


def validate_attributes(obj: JSON, old: JSON | None) -> Iterable[Cause]:
    if old is not None:
        for name in ("driverName", "parameters"):
            if (obj.get(name) or None) != (old.get(name) or None):
                yield forbidden(name, f"updates to {name} are forbidden.")
    yield from _provisioner(obj.get("driverName") or "", "driverName")
    parameters = obj.get("parameters") or {}
    yield from _parameters(parameters, "parameters")
    if not parameters:
        yield required("parameters", "must contain at least one key/value pair")


def _name(obj: JSON) -> str:
    name = str(obj["metadata"]["name"])
    return f"{name} (default)" if is_default(obj) else name


STORAGE_CLASS = Kind(
    resource=kinds.STORAGE_CLASSES,
    singular="storageclass",
    short_names=("sc",),
    columns=(
        Column("Name", "string", "Name of the class; (default) marks that of claims that name none.", _name,
               format="name"),
        field_column("Provisioner", "string", "Who makes volumes of this class.", "provisioner", default=""),
        field_column("ReclaimPolicy", "string", "What becomes of a volume when its claim is gone.", "reclaimPolicy",
                     default="Delete"),
        field_column("VolumeBindingMode", "string", "When a claim gets its volume.", "volumeBindingMode",
                     default="Immediate"),
        field_column("AllowVolumeExpansion", "string", "Whether claims may grow.", "allowVolumeExpansion",
                     default=False),
        age_column(),
    ),
    default=default,
    validate=validate,
    inert=True,
)  # fmt: skip
VOLUME_ATTRIBUTES_CLASS = Kind(
    resource=kinds.VOLUME_ATTRIBUTES_CLASSES,
    singular="volumeattributesclass",
    short_names=("vac",),
    columns=(
        name_column(),
        field_column("DriverName", "string", "The CSI driver that knows these attributes.", "driverName", default=""),
        age_column(),
    ),
    validate=validate_attributes,
    inert=True,
)
