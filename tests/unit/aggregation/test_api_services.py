"""APIServices: what is refused of them, and what discovery makes of what other servers say."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from controlplane.apiserver.aggregation import discovered
from controlplane.apiserver.aggregation.registration import local
from controlplane.apiserver.discovery import Discovery, Remote
from controlplane.apiserver.kinds.apiservice import API_SERVICE
from controlplane.apiserver.kinds.table import KINDS

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SERVICE = {"namespace": "default", "name": "demo", "port": 443}


def api_service(name="v1.demo.example", **spec):
    filled = {"group": "demo.example", "version": "v1", "groupPriorityMinimum": 100, "versionPriority": 10} | spec
    return {"metadata": {"name": name}, "spec": {key: value for key, value in filled.items() if value is not None}}


@pytest.mark.parametrize(
    ("obj", "fields"),
    [
        (api_service(service=SERVICE), []),
        (api_service(service=SERVICE, caBundle="Zm9v"), []),
        (api_service(), []),
        (api_service("v1.", group=""), []),
        (api_service("demo"), ["metadata.name"]),
        (api_service("v2.", group="", version="v2"), ["spec.group"]),
        (api_service("v1.Demo", group="Demo"), ["spec.group"]),
        (api_service("1.demo.example", version="1"), ["spec.version"]),
        (api_service(groupPriorityMinimum=None), ["spec.groupPriorityMinimum"]),
        (api_service(groupPriorityMinimum=20001), ["spec.groupPriorityMinimum"]),
        (api_service(versionPriority=1001), ["spec.versionPriority"]),
        (api_service(caBundle="Zm9v"), ["spec.caBundle"]),
        (api_service(insecureSkipTLSVerify=True), ["spec.insecureSkipTLSVerify"]),
        (api_service(service={"port": 1}), ["spec.service.namespace", "spec.service.name"]),
        (api_service(service=SERVICE, caBundle="Zm9v", insecureSkipTLSVerify=True), ["spec.insecureSkipTLSVerify"]),
    ],
)
def test_validation(obj, fields):
    assert [cause.field for cause in API_SERVICE.validate(obj, None)] == fields


def test_the_port_of_a_service_is_443_where_none_is_said():
    obj = api_service(service={"namespace": "default", "name": "demo"})
    API_SERVICE.default(obj)
    assert obj["spec"]["service"]["port"] == 443


@pytest.mark.parametrize(
    ("spec", "conditions", "cells"),
    [
        ({}, [{"type": "Available", "status": "True", "reason": "Local"}], ["Local", "True"]),
        (
            {"service": SERVICE},
            [{"type": "Available", "status": "False", "reason": "MissingEndpoints"}],
            ["default/demo", "False (MissingEndpoints)"],
        ),
        ({"service": SERVICE}, [], ["default/demo", "Unknown"]),
    ],
)
def test_columns(spec, conditions, cells):
    obj = api_service(**spec) | {"status": {"conditions": conditions}}
    assert [column.value(obj, NOW) for column in API_SERVICE.columns[1:3]] == cells


def test_every_own_group_version_makes_a_valid_one():
    for kind in KINDS:
        obj = local(kind.resource.group, kind.resource.version, custom=False)
        assert list(API_SERVICE.validate(obj, None)) == []
    assert local("", "v1", custom=False)["metadata"]["name"] == "v1."
    assert local("a.example", "v1", custom=True)["spec"]["groupPriorityMinimum"] == 1000


LISTED = {
    "resources": [
        {"name": "widgets", "singularName": "widget", "namespaced": True, "kind": "Widget", "verbs": ["get", "list"],
         "shortNames": ["wd"]},
        {"name": "widgets/status", "namespaced": True, "kind": "Widget", "verbs": ["get"]},
        {"name": "reports", "namespaced": False, "kind": "Report", "group": "other", "verbs": ["create"]},
    ]
}  # fmt: skip


def test_resources_of_a_list():
    widgets, reports = discovered.resources(LISTED, "demo.example", "v1")
    kind = {"group": "demo.example", "version": "v1", "kind": "Widget"}
    assert widgets == {
        "resource": "widgets", "responseKind": kind, "scope": "Namespaced", "singularResource": "widget",
        "verbs": ["get", "list"], "shortNames": ["wd"],
        "subresources": [{"subresource": "status", "responseKind": kind, "verbs": ["get"]}],
    }  # fmt: skip
    assert (reports["scope"], reports["responseKind"]["group"]) == ("Cluster", "other")


@pytest.mark.parametrize(
    "listed",
    [None, [], "x", {"resources": "none"}, {"resources": [1, {}, {"name": 2}, {"name": "a/b", "verbs": 3}]}],
)
def test_what_is_no_list_has_no_resources(listed):
    assert discovered.resources(listed, "g", "v1") == []


@pytest.mark.parametrize(
    ("listed", "query"),
    [
        ({"paths": {"apis/g/v1": {"serverRelativeURL": "/openapi/v3/apis/g/v1?hash=AB"}}}, "hash=AB"),
        ({"paths": {"apis/g/v1": {"serverRelativeURL": "/openapi/v3/apis/g/v1"}}}, "hash="),
        ({"paths": {"apis/g/v2": {"serverRelativeURL": "/x?hash=AB"}}}, ""),
        ({"paths": []}, ""),
        (None, ""),
    ],
)
def test_where_a_document_is(listed, query):
    assert discovered.document(listed, "/apis/g/v1") == query


def test_discovery_tells_of_other_servers_group_versions():
    def remote(group, version, priority=10, fresh=True):
        return Remote(group, version, 100, priority, fresh, discovered.resources(LISTED, group, version), "")

    made = Discovery(KINDS, remote=[remote("demo.example", "v1beta1", 5), remote("demo.example", "v1"),
                                    remote("apps", "v9", fresh=False)])  # fmt: skip
    groups = {each["name"]: each for each in json.loads(made.answer("/apis", aggregated=False))["groups"]}
    assert [each["version"] for each in groups["demo.example"]["versions"]] == ["v1", "v1beta1"]
    assert [each["version"] for each in groups["apps"]["versions"]] == ["v1", "v9"]
    assert json.loads(made.answer("/apis/demo.example", aggregated=False))["preferredVersion"]["version"] == "v1"
    assert made.answer("/apis/demo.example/v1", aggregated=False) is None, "its server's to tell"
    items = json.loads(made.answer("/apis", aggregated=True))["items"]
    found = {each["metadata"]["name"]: each["versions"] for each in items}
    assert [(each["version"], each["freshness"]) for each in found["apps"]] == [("v1", "Current"), ("v9", "Stale")]
    assert [each["resource"] for each in found["demo.example"][0]["resources"]] == ["widgets", "reports"]
    assert "demo.example" not in str(made.answer("/api", aggregated=True))
