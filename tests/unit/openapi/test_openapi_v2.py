"""The one document of v2: whole in JSON, and the same in protobuf."""

import json
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest

from controlplane.apiserver.custom import rows
from controlplane.apiserver.openapi import swagger
from controlplane.apiserver.openapi.documents import custom
from tests.custom import definition


@cache
def whole() -> swagger.Swagger:
    return swagger.whole([swagger.of_builtin()])


@cache
def tree() -> Any:
    return json.loads(whole().json.plain())


def fields(message: bytes) -> Iterator[tuple[int, Any]]:
    """The fields of a protobuf message: number, and its bytes or number."""
    at = 0

    def varint() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = message[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while at < len(message):
        number, wire = divmod(varint(), 8)
        if wire == 0:
            yield number, varint()
        elif wire == 1:
            at += 8
            yield number, message[at - 8 : at]
        else:
            assert wire == 2, wire
            length = varint()
            at += length
            yield number, message[at - length : at]


def entries(message: bytes, number: int) -> dict[str, bytes]:
    """A map of a message, whose entries are in field ``number``."""
    found = {}
    for field, data in fields(message):
        if field == number:
            pair = dict(fields(data))
            found[pair[1].decode()] = pair[2]
    return found


def test_every_reference_is_defined() -> None:
    def walk(node: Any) -> Iterator[str]:
        if isinstance(node, dict):
            if isinstance(node.get("$ref"), str):
                yield node["$ref"]
            for value in node.values():
                yield from walk(value)
        elif isinstance(node, list):
            for value in node:
                yield from walk(value)

    referred = {each.removeprefix("#/definitions/") for each in walk(tree())}
    assert referred <= tree()["definitions"].keys()


def test_what_old_clients_read() -> None:
    assert tree()["swagger"] == "2.0"
    pod = tree()["definitions"]["io.k8s.api.core.v1.Pod"]
    assert pod["x-kubernetes-group-version-kind"] == [{"group": "", "version": "v1", "kind": "Pod"}]
    spec = tree()["definitions"]["io.k8s.api.core.v1.PodSpec"]
    assert spec["properties"]["containers"]["x-kubernetes-patch-merge-key"] == "name"
    assert spec["properties"]["containers"]["items"]["$ref"] == "#/definitions/io.k8s.api.core.v1.Container"
    patch = tree()["paths"]["/api/v1/namespaces/{namespace}/pods/{name}"]["patch"]
    assert patch["x-kubernetes-action"] == "patch"
    assert "application/apply-patch+yaml" in patch["consumes"]
    assert {"dryRun", "fieldManager", "force", "body"} <= {each["name"] for each in patch["parameters"]}


def test_protobuf_has_the_same_paths_and_definitions() -> None:
    top: dict[int, bytes] = {}
    for number, data in fields(whole().protobuf.plain()):
        top[number] = data
    assert top[1] == b"2.0"
    assert list(entries(top[8], 2)) == list(tree()["paths"])
    definitions = entries(top[9], 1)
    assert list(definitions) == list(tree()["definitions"])
    pod = entries(dict(fields(definitions["io.k8s.api.core.v1.Pod"]))[25], 1)
    assert list(pod) == list(tree()["definitions"]["io.k8s.api.core.v1.Pod"]["properties"])
    assert whole().protobuf.hash == whole().json.hash


@pytest.mark.parametrize("preserves", [False, True])
def test_custom_kinds(preserves: bool) -> None:
    crd = definition()
    schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    if preserves:
        schema["x-kubernetes-preserve-unknown-fields"] = True
    made = swagger.whole([swagger.of_builtin(), swagger.of_custom(custom(rows.rows(crd, rows.stored_row(crd))))])
    found = json.loads(made.json.plain())
    own = found["definitions"]["com.example.stable.v1.CronTab"]
    assert own["x-kubernetes-group-version-kind"][0]["kind"] == "CronTab"
    assert ("properties" in own) is not preserves, "kubectl would refuse fields that it does not find"
    assert "/apis/stable.example.com/v1/namespaces/{namespace}/crontabs/{name}" in found["paths"]


METADATA = {"$ref": "#/definitions/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"}
OF_ALL = {"apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": METADATA}
EMBEDDED = {"type": "object", "x-kubernetes-embedded-resource": True}
UNKNOWN = {"x-kubernetes-preserve-unknown-fields": True}


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"type": "integer", "oneOf": [{"minimum": 1}]}, {"type": "integer"}),
        ({"type": "object", "anyOf": [{"required": ["a"]}], "not": {"required": ["b"]},
          "properties": {"a": {"type": "number", "oneOf": [{"enum": [1]}, {"enum": [2]}]}}},
         {"type": "object", "properties": {"a": {"type": "number"}}}),
        ({"type": "array", "items": {"type": "boolean", "allOf": [{"enum": [True]}]}},
         {"type": "array", "items": {"type": "boolean"}}),
        ({"type": "object", "additionalProperties": {"type": "integer", "anyOf": [{"minimum": 1}]}},
         {"type": "object", "additionalProperties": {"type": "integer"}}),
        ({"x-kubernetes-int-or-string": True, "anyOf": [{"type": "integer"}, {"type": "string"}]},
         {"x-kubernetes-int-or-string": True}),
        ({"type": "object", "properties": {"oneOf": {"type": "integer"}, "anyOf": {"type": "boolean"},
                                           "items": {"type": "number"}, "required": {"type": "integer"}}},
         {"type": "object", "properties": {"oneOf": {"type": "integer"}, "anyOf": {"type": "boolean"},
                                           "items": {"type": "number"}, "required": {"type": "integer"}}}),
        ({"type": "object", "required": ["a", "b"],
          "properties": {"a": {"type": "string", "nullable": True}, "b": {"type": "string"}}},
         {"type": "object", "required": ["b"], "properties": {"a": {}, "b": {"type": "string"}}}),
        ({"type": "array", "nullable": True, "items": {"type": "string"}}, {}),
        ({"type": "object", **UNKNOWN, "properties": {"a": {"type": "string"}}}, UNKNOWN),
        ({**EMBEDDED, "properties": {"spec": {"type": "integer"}}},
         {**EMBEDDED, "properties": {"spec": {"type": "integer"}, **OF_ALL}, "required": ["kind", "apiVersion"]}),
        ({**EMBEDDED, **UNKNOWN}, {"x-kubernetes-embedded-resource": True, **UNKNOWN}),
        ({**EMBEDDED, **UNKNOWN, "required": ["spec"]},
         {"x-kubernetes-embedded-resource": True, **UNKNOWN, "required": ["spec"]}),
        ({**EMBEDDED, "nullable": True, "properties": {"spec": {"type": "integer"}}},
         {"x-kubernetes-embedded-resource": True, "properties": OF_ALL, "required": ["kind", "apiVersion"]}),
    ],
    ids=["oneOf of a number", "alternatives of an object", "allOf of items", "anyOf of a map's values",
         "int-or-string", "fields called as keywords are", "nullable is not required", "a nullable list",
         "unknown fields", "embedded", "embedded with unknown fields", "embedded, which requires more",
         "embedded and nullable"],
)  # fmt: skip
def test_what_swagger_cannot_say_of_a_custom_kind(schema: Any, expected: Any) -> None:
    """ToStructuralOpenAPIV2, then addEmbeddedProperties, of apiextensions-apiserver."""
    crd = definition()
    crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["x"] = schema
    fragment = swagger.of_custom(custom(rows.rows(crd, rows.stored_row(crd))))
    found = json.loads(swagger.whole([fragment]).json.plain())["definitions"]["com.example.stable.v1.CronTab"]
    assert found["properties"]["x"] == expected
