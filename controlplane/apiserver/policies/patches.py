"""What one mutation of a policy makes of an object.

Pure. After apiserver/pkg/admission/plugin/policy/mutating/patch: an apply configuration is merged as server-side apply
merges what is applied, owned by nobody; atomic lists, maps and structs, whose other fields would go, may not be set.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from controlplane.apiserver import schema
from controlplane.apiserver.cel import building
from controlplane.apiserver.cel.building import NotBuilt
from controlplane.apiserver.cel.engine import CelError, Program
from controlplane.apiserver.managedfields.typed import check_applied, merge
from controlplane.apiserver.patching.json_patch import TestFailed, json_patch
from controlplane.apiserver.request import Request
from controlplane.apiserver.shapes import ListOf, MapOf, Scalar, Shape, Struct
from shared import codec
from shared.api.errors import StatusError
from shared.api.meta import JSON

APPLY_CONFIGURATION, JSON_PATCH = "ApplyConfiguration", "JSONPatch"


class Mutation(Protocol):
    """One of a policy's mutations. ``program`` makes a value, of which ``applied`` makes a new object; it raises
    CelError, and leaves ``obj`` alone."""

    @property
    def program(self) -> Program: ...
    def applied(self, request: Request, obj: JSON, value: Any) -> JSON: ...


@dataclass(frozen=True, slots=True)
class ApplyConfiguration:
    program: Program

    def applied(self, request: Request, obj: JSON, value: Any) -> JSON:
        try:
            fields = building.fields_of(value)
        except NotBuilt as error:
            raise CelError(str(error)) from error
        shape = _shape(request)
        patch: JSON = {**fields, **{key: obj[key] for key in ("apiVersion", "kind") if key in obj}}
        wrong = _mistakes(request, patch)
        if wrong:
            raise CelError(f"error applying patch: failed to convert patch object to typed object: {'; '.join(wrong)}")
        if atomics := [path for path in _atomics(patch, shape, "") if path]:
            raise CelError(
                "error applying patch: invalid ApplyConfiguration: may not mutate atomic arrays, maps or structs: "
                + ", ".join(atomics)
            )
        try:
            check_applied(patch, shape)
        except StatusError as error:
            raise CelError(
                f"error applying patch: failed to convert patch object to typed object: {error.message}"
            ) from error
        merged: JSON = merge(obj, patch, shape)
        return merged


@dataclass(frozen=True, slots=True)
class JSONPatch:
    program: Program

    def applied(self, request: Request, obj: JSON, value: Any) -> JSON:
        try:
            patched = json_patch(codec.copy(obj), building.operations_of(value))
        except NotBuilt as error:
            raise CelError(str(error)) from error
        except TestFailed:
            return obj  # a test that fails is a condition that does not hold
        except StatusError as error:
            raise CelError(f"JSONPatch: {error.message.rpartition('error in our request: ')[2]}") from error
        if not isinstance(patched, dict) or ("metadata" in obj and not isinstance(patched.get("metadata"), dict)):
            raise CelError("JSONPatch: the result is no object")
        known = _mistakes(request, codec.copy(obj))
        if wrong := [mistake for mistake in _mistakes(request, patched) if mistake not in known]:
            raise CelError(f"JSONPatch: the result is no object of its kind: {'; '.join(wrong)}")
        return patched


def _shape(request: Request) -> Struct:
    shape = schema.shape(request.kind) if request.sent is None else schema.shape_of(request.sent)
    if shape is None:
        raise CelError(f"Resource kind {request.sent} has no schema to merge an ApplyConfiguration by")
    return shape


def _mistakes(request: Request, tree: JSON) -> list[str]:
    """What of an object does not fit its schema; nulls are for the caller to take out. May take unknown fields out of
    ``tree``."""
    if request.sent is None:
        found = schema.check(request.kind, tree)
    elif schema.shape_of(request.sent) is not None:
        found = schema.check_gvk(request.sent, tree)
    else:
        return []
    return [*found.type_errors, *(f".{path}: field not declared in schema" for path in found.unknown_fields)]


def _atomics(value: Any, shape: Shape, path: str) -> Iterator[str]:
    """Paths of the atomic values in a patch; into what only a schema of anything describes nobody looks."""
    if isinstance(value, dict):
        if (isinstance(shape, Struct | MapOf) and shape.atomic) or isinstance(shape, Scalar):
            yield path
        if isinstance(shape, Struct):
            for key, item in value.items():
                if (field := shape.fields.get(key)) is not None:
                    yield from _atomics(item, field.shape, f"{path}.{key}")
    elif isinstance(value, list):
        if not isinstance(shape, ListOf) or not shape.associative:
            yield path
        if isinstance(shape, ListOf):
            for index, item in enumerate(value):
                yield from _atomics(item, shape.item, f"{path}[{index}]")
