"""What is refused in a CustomResourceDefinition, with Kubernetes' fields and texts."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from controlplane.apiserver.identity import User
from controlplane.apiserver.kinds.crd import CUSTOM_RESOURCE_DEFINITION as ROW
from controlplane.apiserver.kinds.crd import warnings
from controlplane.apiserver.request import Request
from controlplane.apiserver.strategy import check_update
from tests.custom import CRON, definition

SCHEMA = "spec.versions[0].schema.openAPIV3Schema"


def found(crd: Any, old: Any = None) -> dict[str, str]:
    crd = copy.deepcopy(crd)
    if old is not None:
        old = copy.deepcopy(old)
        ROW.default(old)
    ROW.default(crd)
    return {cause.field: cause.message for cause in ROW.validate(crd, old)}


def with_schema(schema: Any, **version: Any) -> Any:
    crd = definition()
    one = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}, **version}
    crd["spec"]["versions"] = [one]
    return crd


def with_property(**schema: Any) -> Any:
    return with_schema({"type": "object", "properties": {"x": schema}})


def test_the_one_of_the_other_tests_is_right() -> None:
    assert found(CRON) == {}
    assert list(warnings(CRON)) == []


def test_defaults() -> None:
    crd = copy.deepcopy(CRON)
    del crd["spec"]["names"]["singular"]
    ROW.default(crd)
    assert crd["spec"]["names"]["singular"] == "crontab"
    assert crd["spec"]["names"]["listKind"] == "CronTabList"
    assert crd["spec"]["conversion"] == {"strategy": "None"}
    assert crd["status"] == {
        "conditions": None,
        "acceptedNames": {"plural": "", "kind": ""},
        "storedVersions": ["v1"],
    }


@pytest.mark.parametrize(
    ("spec", "field", "text"),
    [
        ({"group": "nodots"}, "spec.group", "should be a domain with at least one dot"),
        ({"group": ""}, "spec.group", "Required value"),
        ({"scope": "Galaxy"}, "spec.scope", 'Unsupported value: "Galaxy": supported values: "Cluster", "Namespaced"'),
        ({"scope": ""}, "spec.scope", "Required value"),
        ({"names": {"plural": "crontabs", "kind": ""}}, "spec.names.kind", "Required value"),
        ({"names": {"plural": "CronTabs", "kind": "CronTab"}}, "spec.names.plural", "DNS-1035 label"),
        ({"names": {"plural": "crontabs", "kind": "Cron_Tab"}}, "spec.names.kind", "may have mixed case"),
        ({"names": {"plural": "crontabs", "kind": "A", "listKind": "A"}}, "spec.names.listKind", "may not be the same"),
        ({"names": {"plural": "crontabs", "kind": "A", "shortNames": ["B"]}}, "spec.names.shortNames[0]", "DNS-1035"),
        ({"versions": []}, "spec.versions", "must have exactly one version marked as storage version"),
        ({"versions": [{"name": "v1", "served": True, "storage": True}]}, SCHEMA, "schemas are required"),
        ({"conversion": {"strategy": "Magic"}}, "spec.conversion.strategy", "Unsupported value"),
        ({"preserveUnknownFields": True}, "spec.preserveUnknownFields", "cannot set to true"),
    ],
)  # fmt: skip
def test_the_definition_itself(spec: Any, field: str, text: str) -> None:
    assert text in found(definition(**spec))[field]


def test_its_name_is_of_its_names() -> None:
    crd = definition()
    crd["metadata"]["name"] = "other.stable.example.com"
    assert found(crd) == {
        "metadata.name": 'Invalid value: "other.stable.example.com": must be spec.names.plural+"."+spec.group'
    }


def test_kubernetes_own_groups_need_approval() -> None:
    crd = definition(group="gateway.networking.k8s.io")
    crd["metadata"]["name"] = "crontabs.gateway.networking.k8s.io"
    assert list(found(crd)) == ["metadata.annotations[api-approved.kubernetes.io]"]
    crd["metadata"]["annotations"] = {"api-approved.kubernetes.io": "https://github.com/x/y/pull/1"}
    assert found(crd) == {}


@pytest.mark.parametrize(
    ("schema", "field", "text"),
    [
        ({"properties": {}}, ".type", "must not be empty at the root"),
        ({"type": "array", "items": {"type": "string"}}, ".type", "must be object at the root"),
        ({"type": "object", "additionalProperties": {"type": "string"}}, ".additionalProperties", "at the root"),
        ({"type": "object", "nullable": True}, ".nullable", "nullable cannot be true at the root"),
        ({"type": "object", "properties": {"metadata": {"type": "object", "properties": {"labels": {}}}}},
         ".properties[metadata]", "must not specify anything other than name and generateName"),
        ({"type": "object", "properties": {"kind": {"type": "integer"}}}, ".properties[kind].type", "must be string"),
        ({"type": "object", "definitions": {"a": {"type": "object"}}}, ".definitions", "definitions is not supported"),
    ],
)  # fmt: skip
def test_the_root_of_a_schema(schema: Any, field: str, text: str) -> None:
    assert text in found(with_schema(schema))[SCHEMA + field]


@pytest.mark.parametrize(
    ("schema", "field", "text"),
    [
        ({}, ".type", "must not be empty for specified object fields"),
        ({"type": "text"}, ".type", 'Unsupported value: "text"'),
        ({"type": "array"}, ".items", "must be specified"),
        ({"type": "array", "items": {}}, ".items.type", "must not be empty for specified array items"),
        ({"type": "string", "anyOf": [{"type": "string"}]}, ".anyOf[0].type", "must be empty to be structural"),
        ({"type": "object", "allOf": [{"description": "x"}]}, ".allOf[0].description", "must be empty"),
        ({"type": "object", "not": {"default": 1}}, ".not.default", "must be undefined to be structural"),
        ({"type": "string", "pattern": "("}, ".pattern", "must be a valid regular expression"),
        ({"type": "string", "uniqueItems": True}, ".uniqueItems", "runtime complexity becomes quadratic"),
        ({"x-kubernetes-int-or-string": True, "x-kubernetes-preserve-unknown-fields": True},
         ".x-kubernetes-preserve-unknown-fields", "must be false if x-kubernetes-int-or-string is true"),
        ({"type": "string", "x-kubernetes-embedded-resource": True}, ".type", "must be object if"),
        ({"type": "object", "x-kubernetes-embedded-resource": True}, ".properties", "must not be empty if"),
        ({"type": "object", "x-kubernetes-map-type": "odd"}, ".x-kubernetes-map-type", "Unsupported value"),
        ({"type": "object", "x-kubernetes-list-type": "set"}, ".type", "must be array if x-kubernetes-list-type"),
        ({"type": "array", "items": {"type": "object"}, "x-kubernetes-list-type": "set"},
         ".items.x-kubernetes-map-type", "must be atomic as item of a list"),
        ({"type": "array", "items": {"type": "object"}, "x-kubernetes-list-type": "map"},
         ".x-kubernetes-list-map-keys", "must not be empty if x-kubernetes-list-type is map"),
        ({"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"],
          "items": {"type": "object", "properties": {"k": {"type": "string"}}}},
         ".items.properties[k].default", "must have a default or be a required property"),
        ({"type": "object", "properties": {"a": {"type": "string"}}, "additionalProperties": {"type": "string"}},
         ".additionalProperties", "mutual exclusive"),
        ({"type": "integer", "default": "x"}, ".default", "must be of type integer"),
        ({"type": "object", "properties": {"a": {"type": "string"}}, "default": {"b": 1}}, ".default",
         "must not have unknown fields"),
        ({"type": "integer", "x-kubernetes-validations": [{"rule": " "}]}, ".x-kubernetes-validations[0].rule",
         "rule is not specified"),
        ({"type": "integer", "x-kubernetes-validations": [{"rule": "nope"}]}, ".x-kubernetes-validations[0].rule",
         "undeclared reference to 'nope'"),
        ({"type": "object", "x-kubernetes-validations": [{"rule": "self.nope"}]}, ".x-kubernetes-validations[0].rule",
         "undefined field 'nope'"),
        ({"type": "integer", "x-kubernetes-validations": [{"rule": "1"}]}, ".x-kubernetes-validations[0].rule",
         "must evaluate to a bool"),
        ({"type": "integer", "x-kubernetes-validations": [{"rule": "true", "reason": "Odd"}]},
         ".x-kubernetes-validations[0].reason", "Unsupported value"),
        ({"type": "integer", "x-kubernetes-validations": [{"rule": "true", "messageExpression": "1"}]},
         ".x-kubernetes-validations[0].messageExpression", "must evaluate to string"),
        ({"type": "integer", "x-kubernetes-validations": [{"rule": "true", "optionalOldSelf": True}]},
         ".x-kubernetes-validations[0].optionalOldSelf", "may not be set if oldSelf is not used"),
        ({"type": "array", "items": {"type": "integer", "x-kubernetes-validations": [{"rule": "self == oldSelf"}]}},
         ".items.x-kubernetes-validations[0].rule", "oldSelf cannot be used on the uncorrelatable portion"),
    ],
)  # fmt: skip
def test_a_property(schema: Any, field: str, text: str) -> None:
    assert text in found(with_property(**schema))[f"{SCHEMA}.properties[x]{field}"]


@pytest.mark.parametrize(
    "schema",
    [
        {"x-kubernetes-int-or-string": True, "anyOf": [{"type": "integer"}, {"type": "string"}]},
        {"x-kubernetes-int-or-string": True, "allOf": [{"anyOf": [{"type": "integer"}, {"type": "string"}]}]},
        {"x-kubernetes-preserve-unknown-fields": True}, {"type": "object", "additionalProperties": True},
        {"type": "object", "oneOf": [{"required": ["a"]}, {"required": ["b"]}],
         "properties": {"a": {"type": "string"}, "b": {"type": "string"}}},
        {"type": "array", "items": {"type": "integer"}, "x-kubernetes-validations": [
            {"rule": "self.size() >= oldSelf.size()", "optionalOldSelf": False}]},
    ],
)  # fmt: skip
def test_what_is_structural(schema: Any) -> None:
    assert found(with_property(**schema)) == {}


@pytest.mark.parametrize(
    ("version", "field", "text"),
    [
        ({"deprecationWarning": "x"}, ".deprecationWarning", "can only be set for deprecated versions"),
        ({"deprecated": True, "deprecationWarning": "a\nb"}, ".deprecationWarning", "printable UTF-8"),
        ({"subresources": {"scale": {}}}, ".subresources.scale.specReplicasPath", "Required value"),
        ({"subresources": {"scale": {"specReplicasPath": ".status.x", "statusReplicasPath": ".status.x"}}},
         ".subresources.scale.specReplicasPath", "should be a json path under .spec"),
        ({"additionalPrinterColumns": [{"name": "A", "type": "odd", "jsonPath": ".a"}]},
         ".additionalPrinterColumns[0].type", "must be one of boolean,date,integer,number,string"),
        ({"additionalPrinterColumns": [{"name": "A", "type": "string", "jsonPath": ".a["}]},
         ".additionalPrinterColumns[0].jsonPath", "unrecognized column definition"),
        ({"selectableFields": [{"jsonPath": ".nope"}]}, ".selectableFields[0].jsonPath",
         "does not refer to a valid field"),
        ({"selectableFields": [{"jsonPath": ".x"}]}, ".selectableFields[0].jsonPath", "must point to a field of type"),
        ({"name": "1"}, ".name", "DNS-1035 label"),
    ],
)  # fmt: skip
def test_a_version(version: Any, field: str, text: str) -> None:
    schema = {"type": "object", "properties": {"x": {"type": "object"}}}
    assert text in found(with_schema(schema, **version))[f"spec.versions[0]{field}"]


def test_what_may_not_change() -> None:
    old = definition()
    old["status"] = {"conditions": [{"type": "Established", "status": "True"}], "storedVersions": ["v1"]}
    new = definition(scope="Cluster", group="other.example.com")
    new["spec"]["names"] = {**new["spec"]["names"], "kind": "Other", "plural": "others"}
    new["status"] = old["status"]
    changed = {"spec.scope", "spec.names.kind", "spec.group", "spec.names.plural"}
    assert changed <= {field for field, text in found(new, old).items() if "field is immutable" in text}
    renamed = definition()
    renamed["spec"]["versions"][0]["name"] = "v2"
    renamed["status"] = {"storedVersions": ["v1"]}
    assert "missing from spec.versions" in found(renamed, old)["status.storedVersions[0]"]


def test_formats_that_nothing_checks_are_warned_of() -> None:
    assert list(warnings(with_property(type="string", format="odd"))) == ['unrecognized format "odd"']
    assert list(warnings(with_property(type="string", format="date-time"))) == []


def test_a_deletion_is_held_until_the_objects_are_gone() -> None:
    crd = {**CRON, "status": {"conditions": [{"type": "Established", "status": "True"}]}}
    assert ROW.on_deletion is not None
    ending = ROW.on_deletion(crd, "2026-05-04T12:00:00Z")
    assert ending["metadata"]["finalizers"] == ["customresourcecleanup.apiextensions.k8s.io"]
    assert [c["type"] for c in ending["status"]["conditions"]] == ["Established", "Terminating"]
    assert "finalizers" not in crd["metadata"]


def told_on_update(new: Any, old: Any) -> list[str]:
    request = Request(User("somebody"), ROW)
    for crd in (new, old):
        ROW.default(crd)
        crd["metadata"]["resourceVersion"] = "1"
    check_update(request, new, old)
    return request.warnings


def test_only_an_updates_own_formats_are_warned_of() -> None:
    """As upstream, by name: who moves or repeats a format brings nothing new."""
    old, new = with_property(type="string", format="odd"), with_property(type="string", format="odd")
    properties = new["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]
    properties["y"] = {"type": "string", "format": "odd"}
    assert told_on_update(new, old) == []
    properties["z"] = {"type": "string", "format": "odder"}
    assert told_on_update(new, old) == ['unrecognized format "odder"']
