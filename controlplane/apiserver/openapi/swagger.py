"""/openapi/v2: all documents of v3 as one of Swagger 2.0, in JSON and in protobuf. Pure.

Made piece by piece, each path and definition straight to its bytes, so that the whole is never a tree in memory.
Custom schemas lose what clients of v2 cannot bear, as in pkg/controller/openapi/v2/conversion.go and builder.go of
k8s.io/apiextensions-apiserver: kubectl takes an object with properties for one that has no others.
"""

from __future__ import annotations

import zlib
from collections.abc import Collection, Iterable
from functools import cache, lru_cache
from typing import NamedTuple

from controlplane.apiserver.openapi import gnostic
from controlplane.apiserver.openapi.documents import INFO, builtin
from controlplane.apiserver.openapi.packed import Packed
from controlplane.apiserver.openapi.schemas import PREFIX, meta_definitions
from shared import codec
from shared.api.meta import JSON

_DEFINITIONS = "#/definitions/"
_HEAD: JSON = {
    "swagger": "2.0",
    "info": INFO,
    "securityDefinitions": {
        "BearerToken": {
            "type": "apiKey", "name": "authorization", "in": "header", "description": "Bearer Token authentication",
        },
    },
    "security": [{"BearerToken": []}],
}  # fmt: skip


class Fragment(NamedTuple):
    """Paths and definitions of some documents, compressed: members of JSON objects, and entries of protobuf maps."""

    paths: bytes
    definitions: bytes
    paths_protobuf: bytes
    definitions_protobuf: bytes


class Swagger(NamedTuple):
    """The document in both its forms; the hash of both is that of the JSON."""

    json: Packed
    protobuf: Packed


@cache
def of_builtin() -> Fragment:
    """That of the table's kinds; some 400 ms, better in a thread."""
    return fragment(builtin().values())


def of_custom(document: Packed) -> Fragment:
    """That of a group version of custom kinds, without the definitions that everybody refers to."""
    return fragment([document], meta_definitions().keys(), custom=True)


def fragment(documents: Iterable[Packed], without: Collection[str] = (), *, custom: bool = False) -> Fragment:
    """``custom`` is whether the definitions are those of custom kinds."""
    paths: dict[str, tuple[bytes, bytes]] = {}
    definitions: dict[str, tuple[bytes, bytes]] = dict.fromkeys(without, (b"", b""))
    for document in documents:
        tree = codec.decode(document.plain())
        for path, item in tree["paths"].items():
            made = _path_item(item)
            paths[path] = _member(path, made), gnostic.named(2, path, gnostic.path_item(made))
        for name, schema in tree["components"]["schemas"].items():
            if name not in definitions:
                made = _custom(schema) if custom else _schema(schema)
                definitions[name] = _member(name, made), gnostic.named(1, name, gnostic.schema(made))
    for name in without:
        del definitions[name]
    return Fragment(
        _joined(b",", [text for text, _ in paths.values()]),
        _joined(b",", [text for text, _ in definitions.values()]),
        _joined(b"", [message for _, message in paths.values()]),
        _joined(b"", [message for _, message in definitions.values()]),
    )


def _joined(separator: bytes, pieces: Iterable[bytes]) -> bytes:
    return zlib.compress(separator.join(pieces), 1)


def whole(fragments: Iterable[Fragment]) -> Swagger:
    """The document of all of them."""
    plain = [Fragment(*map(zlib.decompress, found)) for found in fragments]
    body = b'%b,"paths":{%b},"definitions":{%b}}' % (
        codec.encode(_HEAD)[:-1], b",".join([part.paths for part in plain]),
        b",".join([part.definitions for part in plain]),
    )  # fmt: skip
    json = Packed(body)
    del body
    paths = b"".join([part.paths_protobuf for part in plain])
    definitions = b"".join([part.definitions_protobuf for part in plain])
    return Swagger(json, Packed(gnostic.document(_HEAD, paths, definitions), json.hash))


def _member(name: str, tree: JSON) -> bytes:
    return b"%b:%b" % (codec.encode(name), codec.encode(tree))


# --- paths


def _path_item(item: JSON) -> JSON:
    return {
        key: [_parameter(each) for each in value] if key == "parameters" else _operation(value)
        for key, value in item.items()
    }


def _operation(operation: JSON) -> JSON:
    out = {key: value for key, value in operation.items() if key not in ("requestBody", "responses")}
    out["parameters"] = [_parameter(each) for each in operation.get("parameters", ())]
    out["schemes"] = ["https"]
    if (body := operation.get("requestBody")) is not None:
        content = body["content"]
        required = {"required": True} if body.get("required") else {}
        schema = _reference(next(iter(content.values()))["schema"])
        out["parameters"].insert(0, {"name": "body", "in": "body", **required, "schema": schema})
        out["consumes"] = list(content)
    else:
        out["consumes"] = ["*/*"]
    out["responses"] = {code: _response(each) for code, each in operation["responses"].items()}
    out["produces"] = list(next(iter(operation["responses"].values()))["content"])
    return out


def _parameter(parameter: JSON) -> JSON:
    return {**{key: value for key, value in parameter.items() if key != "schema"}, **parameter["schema"]}


def _response(response: JSON) -> JSON:
    out = {"description": response["description"]}
    if "content" in response:
        out["schema"] = _reference(next(iter(response["content"].values()))["schema"])
    return out


def _reference(schema: JSON) -> JSON:
    return {"$ref": _renamed(schema["$ref"])} if "$ref" in schema else schema


@lru_cache(2048)
def _renamed(reference: str) -> str:
    return _DEFINITIONS + reference.removeprefix(PREFIX)


# --- definitions


def _schema(schema: JSON) -> JSON:
    """A schema of OpenAPI 3.0 as Swagger 2.0 says it: a reference beside what it is described by, no alternatives."""
    out: JSON = {}
    for key, value in schema.items():
        if key == "allOf" and len(value) == 1 and "$ref" in value[0]:
            out["$ref"] = _renamed(value[0]["$ref"])
        elif key == "$ref":
            out["$ref"] = _renamed(value)
        elif key == "oneOf" and any(choice.get("type") == "string" for choice in value):
            out["type"] = "string"  # int-or-string, a quantity: numbers are written as text too
        elif key == "properties":
            out["properties"] = {name: _schema(inner) for name, inner in value.items()}
        elif key in ("items", "additionalProperties") and isinstance(value, dict):
            out[key] = _schema(value)
        elif key in gnostic.SCHEMA_KEYS or key.startswith("x-"):
            out[key] = value
    return out


def _custom(schema: JSON) -> JSON:
    """A custom kind's definition. One that takes fields that it does not know is any object."""
    if schema.get("x-kubernetes-preserve-unknown-fields"):
        gvk = "x-kubernetes-group-version-kind"
        return {"type": "object", gvk: schema[gvk]}
    return _schema(_structural(schema))


_JUNCTORS = ("allOf", "oneOf", "anyOf", "not")
_OF_ALL = ("apiVersion", "kind", "metadata")
"""What every object has, and ``schemas.embedded`` therefore gives an embedded one."""


def _structural(schema: JSON) -> JSON:
    """ToStructuralOpenAPIV2, from the outside in."""
    if any("$ref" in each for each in schema.get("allOf") or ()):
        return schema  # of ours: a custom schema has none
    out = {key: value for key, value in schema.items() if key not in (*_JUNCTORS, "nullable")}
    nullable, unknown = schema.get("nullable"), schema.get("x-kubernetes-preserve-unknown-fields")
    embedded = schema.get("x-kubernetes-embedded-resource")
    if nullable:
        out.pop("type", None)
    if nullable or unknown:
        out.pop("items", None)
        own = out.pop("properties", {})
        if embedded and not unknown:  # what addEmbeddedProperties adds, it adds afterwards
            out["properties"] = {name: own[name] for name in _OF_ALL}
    if embedded and unknown:  # and not at all where it would make kubectl refuse unknown fields
        out["required"] = [name for name in out["required"] if name not in _OF_ALL]
    if "items" not in out and out.get("type") == "array":
        del out["type"]
    if unknown and out.get("type") == "object":
        del out["type"]
    properties = out.get("properties") or {}
    additional = out.get("additionalProperties")
    required = [name for name in out.get("required") or () if not properties.get(name, {}).get("nullable")]
    if isinstance(additional, dict) and additional.get("nullable"):
        required = []
    if "required" in out and not required:
        del out["required"]
    elif required:
        out["required"] = required
    if properties:
        out["properties"] = {name: _structural(inner) for name, inner in properties.items()}
    for key in ("items", "additionalProperties"):
        if isinstance(out.get(key), dict):
            out[key] = _structural(out[key])
    return out
