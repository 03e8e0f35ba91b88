"""A CustomResourceDefinition as rows of the registry: one for each served version.

Pure: trees in, rows out. What is special to custom kinds is in the functions of their rows; the verbs are everybody's.
All versions are views of one stored kind, also the stored one itself: an object that was stored before the schema
changed is pruned and defaulted when it is read (apiextensions-apiserver/pkg/apiserver/customresource_handler.go).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any

from controlplane.apiserver import schema as built_in
from controlplane.apiserver.custom import defaulting, jsonpath, pruning, validation
from controlplane.apiserver.custom.rules import Rules
from controlplane.apiserver.custom.schema import META_FIELDS, Node, compiled
from controlplane.apiserver.custom.shape import shape_of
from controlplane.apiserver.kinds.base import Column, Kind, ScalePaths, Subresource
from controlplane.apiserver.kinds.causes import invalid
from controlplane.apiserver.kinds.cells import UNKNOWN, age_column, name_column, since
from controlplane.apiserver.shapes import Findings, Struct
from shared import codec
from shared.api.errors import Cause
from shared.api.kinds import Resource
from shared.api.meta import JSON, Object

ENDING = ("delete", "deletecollection", "get", "list", "patch", "update", "watch")
"""What is left of the verbs while a definition is being deleted: whoever holds an object can let it go, and nobody
makes new ones (customresource_handler.go)."""

_CHANGES = ("get", "patch", "update")


def is_served(crd: JSON) -> bool:
    """Whether a definition's names are its own, so that its objects may be asked for."""
    conditions = {c.get("type"): c.get("status") for c in (crd.get("status") or {}).get("conditions") or ()}
    return "True" in (conditions.get("NamesAccepted"), conditions.get("Established"))


def stored_row(crd: JSON) -> Kind:
    """The row of what is stored: where, and in which version it is written."""
    spec, names = crd["spec"], _names(crd)
    version = next(v["name"] for v in spec["versions"] if v.get("storage"))
    return Kind(_resource(spec, names, version), singular=names["singular"], columns=())


def rows(crd: JSON, stored: Kind) -> list[Kind]:
    """A row for each served version. ``stored`` is what they are views of.

    Where none is served, objects can still be deleted with their definition: then the stored version is.
    """
    terminating = bool(crd["metadata"].get("deletionTimestamp"))
    versions = crd["spec"]["versions"]
    served = [version for version in versions if version.get("served")]
    if not served and terminating:
        served = [version for version in versions if version.get("storage")]
    kept = compiled(_schema(next(version for version in versions if version.get("storage"))))
    return [_row(crd, version, stored, terminating, kept) for version in served]


def _names(crd: JSON) -> JSON:
    accepted = (crd.get("status") or {}).get("acceptedNames") or {}
    return {**crd["spec"]["names"], **{key: value for key, value in accepted.items() if value}}


def _resource(spec: JSON, names: JSON, version: str) -> Resource[Object]:
    return Resource(spec["group"], version, names["plural"], names["kind"], spec["scope"] == "Namespaced", Object)


def _row(crd: JSON, version: JSON, stored: Kind, terminating: bool, kept: Node) -> Kind:
    spec, names = crd["spec"], _names(crd)
    resource = _resource(spec, names, version["name"])
    subresources = version.get("subresources") or {}
    has_status, scale = "status" in subresources, _scale(subresources.get("scale"))
    custom = CustomKind(_schema(version), resource.kind, scale)
    listed = [Subresource("status", _CHANGES)] if has_status else []
    if scale is not None:
        listed.append(Subresource("scale", _CHANGES, kind="Scale", group="autoscaling", version="v1"))
    fields = [field["jsonPath"] for field in version.get("selectableFields") or ()]
    return Kind(
        resource,
        singular=names["singular"],
        columns=tuple(_columns(version.get("additionalPrinterColumns"))),
        short_names=tuple(names.get("shortNames") or ()),
        categories=tuple(names.get("categories") or ()),
        verbs=ENDING if terminating else ("create", *ENDING),
        subresources=tuple(listed),
        default=custom.default,
        validate=custom.validate,
        validate_status=custom.validate,
        warnings=_warnings,
        deprecated=_deprecation(resource, version),
        has_generation=True,
        spec_fields=(),
        selectable_fields=_selectable(fields) if fields else None,
        scale=scale,
        list_kind=names.get("listKind") or "",
        storage=stored,
        from_stored=custom.shown,
        to_stored=None if version.get("storage") else _stored_by(kept),
        conversion=(spec.get("conversion") or {}).get("webhook"),
        openapi=_openapi(custom.node.raw),
        custom=custom,
    )


class CustomKind:
    """What a version's schema makes of its objects. Implements ``kinds.base.Custom``."""

    def __init__(self, schema: Mapping[str, Any], kind: str, scale: ScalePaths | None = None) -> None:
        self.node: Node = compiled(schema)
        self._kind, self._scale = kind, scale

    @cached_property
    def _rules(self) -> Rules:
        return Rules(self.node)

    @cached_property
    def shape(self) -> Struct:
        """For server-side apply."""
        return shape_of(self.node, self._kind, built_in.metadata_shape())

    def check(self, obj: JSON) -> Findings:
        """Metadata as of every kind; then fields that the schema does not know are taken out, and told."""
        found = Findings()
        meta = obj.get("metadata")
        if meta is not None:
            if not isinstance(meta, dict):
                found.type_errors.append(f"json: cannot unmarshal {type(meta).__name__} into ObjectMeta")
                return found
            shape = built_in.metadata_shape()
            shape.check(meta, ((), "metadata"), found)
            for path in found.unknown_fields:
                meta.pop(path.removeprefix("metadata."), None)
            shape.prune(meta)
            found.has_nulls = False
        found.unknown_fields += pruning.prune(self.node, obj)
        return found

    def default(self, obj: JSON) -> None:
        defaulting.apply_defaults(self.node, obj)

    def shown(self, stored: JSON) -> JSON:
        """A stored object as this version shows it."""
        pruning.prune(self.node, stored)
        if self.node.has_defaults:
            defaulting.apply_defaults(self.node, stored)
        return stored

    def validate(self, obj: JSON, old: JSON | None) -> Iterable[Cause]:
        """Schema first; rules only on what has the right types, as rules take those for granted."""
        found = validation.validate(self.node, obj, old)
        found += self._counts(obj)
        return found or self._rules.validate(obj, old)

    def _counts(self, obj: JSON) -> list[Cause]:
        """Numbers of replicas are whole and not negative (customresource/validator.go)."""
        found: list[Cause] = []
        for path in (self._scale.spec_replicas, self._scale.status_replicas) if self._scale else ():
            value: Any = obj
            for part in path.split("."):
                value = value.get(part) if isinstance(value, dict) else None
            if isinstance(value, int) and value < 0:
                found.append(invalid(f".{path}", value, "should be a non-negative integer"))
        return found


def _schema(version: JSON) -> JSON:
    schema: JSON = (version.get("schema") or {}).get("openAPIV3Schema") or {}
    return schema


def _stored_by(kept: Node) -> Callable[[JSON], JSON]:
    """A conversion to the stored version, which keeps only what that one knows."""

    def to_stored(obj: JSON) -> JSON:
        made: JSON = codec.copy(obj)
        pruning.prune(kept, made)
        return made

    return to_stored


_STANDARD_FINALIZERS = ("orphan", "foregroundDeletion")


def _warnings(obj: JSON) -> Iterable[str]:
    """Of finalizers that others may use too (customresource/strategy.go)."""
    for name in obj["metadata"].get("finalizers") or ():
        if "/" not in name and name not in _STANDARD_FINALIZERS:
            yield (
                f'metadata.finalizers: "{name}": prefer a domain-qualified finalizer name including a path (/) to '
                "avoid accidental conflicts with other finalizer writers"
            )


def _deprecation(resource: Resource[Object], version: JSON) -> str:
    if not version.get("deprecated"):
        return ""
    return version.get("deprecationWarning") or f"{resource.api_version} {resource.kind} is deprecated"


def _scale(scale: JSON | None) -> ScalePaths | None:
    if scale is None:
        return None
    selector = scale.get("labelSelectorPath") or ""
    return ScalePaths(scale["specReplicasPath"][1:], scale["statusReplicasPath"][1:], selector[1:])


def _selectable(paths: Sequence[str]) -> Callable[[JSON], Mapping[str, str]]:
    finds = {path.lstrip("."): jsonpath.parse(path) for path in paths}

    def select(obj: JSON) -> Mapping[str, str]:
        return {name: _text(next(iter(find(obj)), "")) for name, find in finds.items()}

    return select


# --- columns


def _columns(columns: Sequence[JSON] | None) -> Iterable[Column]:
    yield name_column()
    if not columns:
        age = age_column()
        yield Column(age.name, "date", "CreationTimestamp is a timestamp representing the server time when this object "
                     "was created.", age.cell)  # fmt: skip
        return
    for column in columns:
        path = column["jsonPath"]
        yield Column(
            column["name"], column["type"],
            column.get("description") or f"Custom resource definition column (in JSONPath format): {path}",
            _cell(column["type"], jsonpath.parse(path)),
            format=column.get("format") or "", priority=column.get("priority") or 0,
        )  # fmt: skip


def _cell(kind: str, find: Callable[[Any], list[Any]]) -> Callable[[JSON], Any]:
    def cell(obj: JSON) -> Any:
        found = find(obj)
        return None if not found or found[0] is None else _shown(kind, found[0])

    return cell


def _shown(kind: str, value: Any) -> Any:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if kind == "string":
        return _text(value)
    if kind == "integer":
        return int(value) if number else None
    if kind == "number":
        return float(value) if number else None
    if kind == "boolean":
        return value if isinstance(value, bool) else None
    if kind == "date" and isinstance(value, str):
        shown = since(value)
        return "<invalid>" if shown == UNKNOWN else shown
    return None


def _text(value: Any) -> str:
    """As kubectl's JSONPath prints a value."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    return codec.encode(value).decode()


# --- OpenAPI

_META_REFERENCE = "#/components/schemas/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"


def _openapi(schema: JSON) -> JSON:
    """The published schema: the definition's own, with what every object has."""
    properties = {key: value for key, value in (schema.get("properties") or {}).items() if key not in META_FIELDS}
    return {
        **schema,
        "type": "object",
        "properties": {
            "apiVersion": {
                "type": "string",
                "description": "APIVersion defines the versioned schema of this representation of an object.",
            },
            "kind": {
                "type": "string",
                "description": "Kind is a string value representing the REST resource this object represents.",
            },
            "metadata": {"description": "Standard object's metadata.", "allOf": [{"$ref": _META_REFERENCE}]},
            **properties,
        },
    }
