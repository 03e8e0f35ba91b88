"""/openapi/v3: what kubectl explains, validates and decides about field validation by.

Owns the documents, one for each group version, as bytes: made together on first use (some 100 ms, better in a
thread), then kept. Schemas are Kubernetes' own, turned into OpenAPI 3.0; paths are made from the table of kinds.
Safe from any thread: two first users at once make the same bytes twice.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import Any

from controlplane.apiserver import definitions, openapi_connect
from controlplane.apiserver.kinds.base import Kind, Subresource
from controlplane.apiserver.kinds.table import KINDS
from controlplane.apiserver.patching import CONTENT_TYPES as PATCH_TYPES
from controlplane.apiserver.patching.apply import STRATEGIC_MERGE_PATCH
from shared import codec
from shared.api.meta import JSON

_META = "io.k8s.apimachinery.pkg.apis.meta.v1."
_PREFIX = "#/components/schemas/"
_BODIES = ("application/json", "application/yaml")
_VERSION = "v" + ".".join(map(str, definitions.TARGET))


def index(kinds: Iterable[Kind] = KINDS, custom: Mapping[str, bytes] = {}) -> JSON:
    """The answer for /openapi/v3: where each document of the served group versions is, with a hash of its content.

    ``custom`` are documents beside those of the table's group versions.
    """
    wanted = {_root(kind) for kind in kinds}
    return {
        "paths": {
            root: {"serverRelativeURL": f"/openapi/v3/{root}?hash={hashlib.sha256(data).hexdigest().upper()}"}
            for root, data in {**custom, **_documents()}.items()
            if root in wanted
        }
    }


def document(group_version: str, custom: Mapping[str, bytes] = {}) -> bytes:
    """The document of ``api/v1`` or ``apis/apps/v1`` (also ``v1``, ``apps/v1``). Raises KeyError."""
    name = group_version.strip("/")
    if name.partition("/")[0] not in ("api", "apis"):
        name = f"apis/{name}" if "/" in name else f"api/{name}"
    return custom[name] if name in custom else _documents()[name]


def custom_documents(kinds: Iterable[Kind]) -> dict[str, bytes]:
    """Documents of custom kinds, whose rows bring their own schemas (``Kind.openapi``)."""
    source = meta_definitions()
    made: dict[str, bytes] = {}
    by_root: dict[str, list[Kind]] = {}
    for kind in kinds:
        by_root.setdefault(_root(kind), []).append(kind)
    for root, rows in by_root.items():
        names: dict[tuple[str, str, str], str] = {("autoscaling", "v1", "Scale"): "io.k8s.api.autoscaling.v1.Scale"}
        found: JSON = {}
        for kind in rows:
            resource = kind.resource
            gvk = {"group": resource.group, "version": resource.version, "kind": resource.kind}
            name = definition_name(resource.group, resource.version, resource.kind)
            names[resource.group, resource.version, resource.kind] = name
            found[name] = {**kind.openapi, "x-kubernetes-group-version-kind": [gvk]}
            found[f"{name}List"] = _list_schema(name, {**gvk, "kind": f"{resource.kind}List"})
        paths: JSON = {}
        for kind in rows:
            paths.update(_paths(kind, names, strategic=False))
        needed = {name for name in (*_refs(paths, _PREFIX), *_refs(found, _PREFIX)) if name not in found}
        for name in sorted(_closed(needed, source)):
            found[name] = _convert(source[name])
        made[root] = _encoded(paths, found)
    return made


def definition_name(group: str, version: str, kind: str) -> str:
    """A custom kind's name among the schemas, as kube-apiserver's: the group's parts turned round."""
    return ".".join((*reversed(group.split(".")), version, kind))


def _list_schema(name: str, gvk: JSON) -> JSON:
    reference = {"allOf": [{"$ref": f"{_PREFIX}{_META}ListMeta"}]}
    return {
        "type": "object", "required": ["items"],
        "properties": {
            "apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": reference,
            "items": {"type": "array", "items": {"allOf": [{"$ref": f"{_PREFIX}{name}"}]}},
        },
        "x-kubernetes-group-version-kind": [gvk],
    }  # fmt: skip


@cache
def meta_definitions() -> definitions.Definitions:
    """Those of Kubernetes' schemas that custom kinds refer to: metadata, options, Status and Scale."""
    source = definitions.load()
    wanted = {f"{_META}{name}" for name in ("DeleteOptions", "ListMeta", "ObjectMeta", "Patch", "Status")}
    return {name: source[name] for name in _closed({*wanted, "io.k8s.api.autoscaling.v1.Scale"}, source)}


def _encoded(paths: JSON, schemas: JSON) -> bytes:
    return codec.encode(
        {
            "openapi": "3.0.0",
            "info": {"title": "Kubernetes", "version": f"{_VERSION}.0"},
            "paths": paths,
            "components": {"schemas": schemas},
        }
    )


def _root(kind: Kind) -> str:
    resource = kind.resource
    return f"apis/{resource.group}/{resource.version}" if resource.group else f"api/{resource.version}"


@cache
def _documents() -> Mapping[str, bytes]:
    source = definitions.load()
    names = definitions.by_gvk(source)
    made: dict[str, bytes] = {}
    for root in dict.fromkeys(_root(kind) for kind in KINDS):
        paths: JSON = {}
        for kind in KINDS:
            if _root(kind) == root:
                paths.update(_paths(kind, names))
        schemas = {name: _convert(source[name]) for name in sorted(_reachable(paths, source))}
        for name, gvks in _kinds_of(schemas, source):
            schemas[name]["x-kubernetes-group-version-kind"] = gvks
        made[root] = _encoded(paths, schemas)
    return made


# --- schemas ---------------------------------------------------------------------------------------------------


def _reachable(paths: JSON, source: definitions.Definitions) -> set[str]:
    """All definitions that the paths refer to, directly or through others."""
    return _closed(set(_refs(paths, _PREFIX)), source)


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


def _kinds_of(schemas: JSON, source: definitions.Definitions) -> Iterator[tuple[str, list[JSON]]]:
    for name in schemas:
        if gvks := source[name].get("x-kubernetes-group-version-kind"):
            yield name, gvks


def _convert(schema: Mapping[str, Any]) -> JSON:
    """A JSON schema as OpenAPI 3.0: no ``null`` types, no siblings of ``$ref``, int-or-string as Kubernetes says it."""
    out: JSON = {}
    for key, value in schema.items():
        if key == "type":
            out["type"] = value if isinstance(value, str) else next(kind for kind in value if kind != "null")
        elif key == "properties":
            out["properties"] = {name: _convert(inner) for name, inner in value.items()}
        elif key in ("items", "additionalProperties") and isinstance(value, dict):
            out[key] = _convert(value)
        elif key == "oneOf":
            out["oneOf"] = [_convert(choice) for choice in value]
            if any(choice.get("type") == "integer" for choice in out["oneOf"]):
                out["format"] = "int-or-string"
        elif key == "$ref":
            out["allOf"] = [{"$ref": value.replace(definitions.REF_PREFIX, _PREFIX)}]
        elif key != "enum" or schema.get("description", "")[:11] not in ("APIVersion ", "Kind is a s"):
            out[key] = value
    return out["allOf"][0] if out.keys() == {"allOf"} else out


# --- paths -----------------------------------------------------------------------------------------------------


def _paths(kind: Kind, names: Mapping[tuple[str, str, str], str], strategic: bool = True) -> Iterator[tuple[str, JSON]]:
    resource = kind.resource
    gvk = {"group": resource.group, "version": resource.version, "kind": resource.kind}
    schema = names[resource.group, resource.version, resource.kind]
    everywhere = f"/{_root(kind)}/{resource.plural}"
    one = f"/{_root(kind)}/namespaces/{{namespace}}/{resource.plural}" if resource.namespaced else everywhere
    yield one, {**_collection(kind, schema, gvk), "parameters": _place(kind, False)}
    if resource.namespaced and "list" in kind.verbs:
        yield everywhere, {"get": _list(schema, gvk), "parameters": []}
    if operations := _object(kind.verbs, schema, gvk, strategic):
        yield f"{one}/{{name}}", {**operations, "parameters": _place(kind, True)}
    for sub in kind.subresources:
        yield f"{one}/{{name}}/{sub.name}", {**_sub(kind, sub, names, strategic), "parameters": _place(kind, True)}


def _collection(kind: Kind, schema: str, gvk: JSON) -> JSON:
    operations: JSON = {"get": _list(schema, gvk)} if "list" in kind.verbs else {}
    if "create" in kind.verbs:
        operations["post"] = _write("post", schema, gvk, 201)
    if "deletecollection" in kind.verbs:
        operations["delete"] = {
            **_operation("deletecollection", gvk, [*_LISTING, *_DELETING], f"{_META}Status"),
            "requestBody": _body(f"{_META}DeleteOptions"),
        }
    return operations


def _object(verbs: Iterable[str], schema: str, gvk: JSON, strategic: bool) -> JSON:
    operations: JSON = {}
    if "get" in verbs:
        operations["get"] = _operation("get", gvk, [], schema)
    if "update" in verbs:
        operations["put"] = _write("put", schema, gvk, 200)
    if "patch" in verbs:
        operations["patch"] = {
            **_operation(
                "patch", gvk, [*_WRITING, _query("force", "boolean", "Take over fields of other managers.")], schema
            ),
            "requestBody": {
                "content": {
                    media: {"schema": {"$ref": f"{_PREFIX}{_META}Patch"}}
                    for media in PATCH_TYPES
                    if strategic or media != STRATEGIC_MERGE_PATCH
                },
                "required": True,
            },
        }
    if "delete" in verbs:
        operations["delete"] = {
            **_operation("delete", gvk, _DELETING, f"{_META}Status"),
            "requestBody": _body(f"{_META}DeleteOptions"),
        }
    return operations


def _sub(kind: Kind, sub: Subresource, names: Mapping[tuple[str, str, str], str], strategic: bool) -> JSON:
    resource = kind.resource
    gvk = {
        "group": resource.group if sub.group is None else sub.group,
        "version": sub.version or resource.version,
        "kind": sub.kind or resource.kind,
    }
    if sub.kind in openapi_connect.OPTIONS:
        return openapi_connect.connect(sub, gvk)
    schema = names[gvk["group"], gvk["version"], gvk["kind"]]
    if sub.name == "log":
        operation = _operation("get", gvk, [], schema)
        operation["responses"] = {
            "200": {"description": "OK", "content": {"text/plain": {"schema": {"type": "string"}}}}
        }
        return {"get": operation}
    operations = _object([verb for verb in sub.verbs if verb != "delete"], schema, gvk, strategic)
    if "create" in sub.verbs:
        operations["post"] = _write("post", schema, gvk, 201)
    return operations


def _list(schema: str, gvk: JSON) -> JSON:
    return _operation("list", gvk, _LISTING, f"{schema}List")


def _write(action: str, schema: str, gvk: JSON, code: int) -> JSON:
    return {**_operation(action, gvk, _WRITING, schema, code), "requestBody": _body(schema)}


def _operation(action: str, gvk: JSON, parameters: list[JSON], schema: str, code: int = 200) -> JSON:
    content = {media: {"schema": {"$ref": f"{_PREFIX}{schema}"}} for media in _BODIES}
    return {
        "parameters": parameters,
        "responses": {str(code): {"description": "OK" if code == 200 else "Created", "content": content}},
        "x-kubernetes-action": action,
        "x-kubernetes-group-version-kind": gvk,
    }


def _body(schema: str) -> JSON:
    return {"content": {"*/*": {"schema": {"$ref": f"{_PREFIX}{schema}"}}}}


def _query(name: str, kind: str, description: str) -> JSON:
    return {
        "name": name, "in": "query", "description": description,
        "schema": {"type": kind, "uniqueItems": True},
    }  # fmt: skip


def _place(kind: Kind, named: bool) -> list[JSON]:
    wanted = [*(["name"] if named else []), *(["namespace"] if kind.resource.namespaced else [])]
    return [
        {
            "name": name, "in": "path", "required": True, "description": f"{name} of the {kind.resource.kind}",
            "schema": {"type": "string", "uniqueItems": True},
        }
        for name in wanted
    ]  # fmt: skip


_WRITING = [
    _query("dryRun", "string", "All: do everything but write."),
    _query("fieldManager", "string", "Name of whoever makes the change."),
    _query("fieldValidation", "string", "What to do about unknown and doubled fields: Ignore, Warn or Strict."),
]
_DELETING = [
    _query("dryRun", "string", "All: do everything but write."),
    _query("gracePeriodSeconds", "integer", "Seconds that the object has to end."),
    _query("propagationPolicy", "string", "What becomes of dependents: Orphan, Background or Foreground."),
]
_LISTING = [
    _query("allowWatchBookmarks", "boolean", "Send bookmarks in a watch."),
    _query("continue", "string", "Where the list before this one ended."),
    _query("fieldSelector", "string", "Only objects with these fields."),
    _query("labelSelector", "string", "Only objects with these labels."),
    _query("limit", "integer", "At most so many objects."),
    _query("resourceVersion", "string", "How new the answer must be at least, or where a watch begins."),
    _query("resourceVersionMatch", "string", "How resourceVersion is meant: Exact or NotOlderThan."),
    _query("sendInitialEvents", "boolean", "Begin a watch with the objects that are there."),
    _query("timeoutSeconds", "integer", "End after so many seconds."),
    _query("watch", "boolean", "Stream changes instead of a list."),
]
