"""Definitions as OpenAPI 3.0 says them: Kubernetes' own, and those that custom kinds bring. Pure.

Kubernetes' own are JSON schemas in a package (``controlplane.apiserver.definitions``); here they lose what OpenAPI 3.0
does not have. A custom kind's row brings its schema (``Kind.openapi``).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import Any

from controlplane.apiserver import definitions
from controlplane.apiserver.kinds.base import Kind
from shared.api.meta import JSON

META = "io.k8s.apimachinery.pkg.apis.meta.v1."
PREFIX = "#/components/schemas/"
SCALE = "io.k8s.api.autoscaling.v1.Scale"

Names = Mapping[tuple[str, str, str], str]
"""The definition of each (group, version, kind)."""

_FOR_ALL = ("APIGroup", "APIGroupList", "APIResourceList", "DeleteOptions", "ListMeta", "ObjectMeta", "Patch", "Status")


def root_of(kind: Kind) -> str:
    """The path of its group version, without a slash before it: ``api/v1``, ``apis/apps/v1``."""
    resource = kind.resource
    return f"apis/{resource.group}/{resource.version}" if resource.group else f"api/{resource.version}"


@cache
def meta_definitions() -> definitions.Definitions:
    """Those of Kubernetes' schemas that custom kinds refer to: metadata, options, Status and Scale."""
    source = definitions.load()
    return {name: source[name] for name in _closed({*(f"{META}{name}" for name in _FOR_ALL), SCALE}, source)}


def own_definitions(kinds: Iterable[Kind]) -> tuple[JSON, dict[tuple[str, str, str], str]]:
    """Definitions of kinds whose schemas are not in the package, and of their lists; and their names."""
    found: JSON = {}
    names: dict[tuple[str, str, str], str] = {}
    for kind in kinds:
        group, version, name = kind.resource.group, kind.resource.version, kind.resource.kind
        listed = kind.list_kind or f"{name}List"
        schema = embedded(kind.openapi) or {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
        for each in ((group, version, name), (group, version, listed)):
            names[each] = definition_name(*each)
        gvk = {"group": group, "version": version, "kind": name}
        found[definition_name(group, version, name)] = {**schema, "x-kubernetes-group-version-kind": [gvk]}
        found[definition_name(group, version, listed)] = _list_schema(kind, {**gvk, "kind": listed})
    return found, names


def definition_name(group: str, version: str, kind: str) -> str:
    """A custom kind's name among the schemas, as kube-apiserver's: the group's parts turned round."""
    return ".".join((*reversed(group.split(".")), version, kind))


def _list_schema(kind: Kind, gvk: JSON) -> JSON:
    name = definition_name(kind.resource.group, kind.resource.version, kind.resource.kind)
    return {
        "description": f"{gvk['kind']} is a list of {kind.resource.kind}", "type": "object", "required": ["items"],
        "properties": {
            "apiVersion": {"type": "string"}, "kind": {"type": "string"},
            "metadata": {"allOf": [{"$ref": f"{PREFIX}{META}ListMeta"}]},
            "items": {"type": "array", "items": {"allOf": [{"$ref": f"{PREFIX}{name}"}]}},
        },
        "x-kubernetes-group-version-kind": [gvk],
    }  # fmt: skip


def embedded(schema: Mapping[str, Any]) -> JSON:
    """A custom schema whose embedded resources have what every object has
    (apiextensions-apiserver/pkg/controller/openapi/builder, addEmbeddedProperties)."""
    out = {key: _embedded_in(key, value) for key, value in schema.items()}
    if schema.get("x-kubernetes-embedded-resource"):
        out["properties"] = {
            **out.get("properties", {}),
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"allOf": [{"$ref": f"{PREFIX}{META}ObjectMeta"}]},
        }
        out["required"] = list(dict.fromkeys((*out.get("required", ()), "kind", "apiVersion")))
    return out


def _embedded_in(key: str, value: Any) -> Any:
    if key == "properties":
        return {name: embedded(inner) for name, inner in value.items()}
    return embedded(value) if key in ("items", "additionalProperties") and isinstance(value, dict) else value


def with_referred(paths: JSON, own: JSON, source: definitions.Definitions) -> JSON:
    """``own`` definitions, and all of ``source`` that they or ``paths`` refer to, directly or through others."""
    referred = {*_refs(paths, PREFIX), *_refs(own, PREFIX)} - own.keys()
    return {**own, **{name: converted(source[name]) for name in sorted(_closed(referred, source))}}


def _closed(names: set[str], source: definitions.Definitions) -> set[str]:
    """``names``, and all that their definitions refer to."""
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += _refs(source[name], definitions.REF_PREFIX)
    return found


def _refs(tree: Any, prefix: str) -> Iterator[str]:
    if isinstance(tree, dict):
        for key, value in tree.items():
            if key == "$ref" and isinstance(value, str):
                yield value.removeprefix(prefix)
            else:
                yield from _refs(value, prefix)
    elif isinstance(tree, list):
        for item in tree:
            yield from _refs(item, prefix)


def converted(schema: Mapping[str, Any]) -> JSON:
    """A JSON schema as OpenAPI 3.0: no ``null`` types, no siblings of ``$ref``, int-or-string as Kubernetes says it."""
    out: JSON = {}
    for key, value in schema.items():
        if key == "type":
            out["type"] = value if isinstance(value, str) else next(kind for kind in value if kind != "null")
        elif key == "properties":
            out["properties"] = {name: converted(inner) for name, inner in value.items()}
        elif key in ("items", "additionalProperties") and isinstance(value, dict):
            out[key] = converted(value)
        elif key == "oneOf":
            out["oneOf"] = [converted(choice) for choice in value]
            if any(choice.get("type") == "integer" for choice in out["oneOf"]):
                out["format"] = "int-or-string"
        elif key == "$ref":
            out["allOf"] = [{"$ref": value.replace(definitions.REF_PREFIX, PREFIX)}]
        elif key != "enum" or schema.get("description", "")[:11] not in ("APIVersion ", "Kind is a s"):
            out[key] = value
    return out["allOf"][0] if out.keys() == {"allOf"} else out
