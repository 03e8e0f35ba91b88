"""Custom resources through the HTTP API: they come with their definition, and go with it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp.test_utils import TestClient

from controlplane.apiserver.api import ApiServer
from shared.work.supervisor import Supervisor
from tests.custom import controllers, crontab, define, definition

CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
GROUP = "/apis/stable.example.com"
TABS = f"{GROUP}/v1/namespaces/g/crontabs"
MERGE, JSON_PATCH = "application/merge-patch+json", "application/json-patch+json"
TABLE = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}


class Calls:
    def __init__(self, http: TestClient) -> None:  # type: ignore[type-arg]
        self.http = http
        self.warnings: list[str] = []

    async def __call__(self, method: str, path: str, body: Any = None, type: str = "", **headers: str) -> Any:
        """(code, decoded answer)."""
        if type:
            headers["Content-Type"] = type
        async with self.http.request(method, path, json=body, headers=headers or None) as answer:
            self.warnings = answer.headers.getall("Warning", [])
            return answer.status, await answer.json(content_type=None)


@pytest.fixture
async def call(http: TestClient, api: ApiServer) -> AsyncIterator[Calls]:  # type: ignore[type-arg]
    async with Supervisor() as supervisor:
        supervisor.service("controllers", controllers(api))
        yield Calls(http)
        supervisor.stop()


@pytest.fixture
async def tabs(call: Calls, api: ApiServer) -> Calls:
    """CronTabs are served."""
    await define(api, definition())
    return call


def causes(answer: Any) -> dict[str, str]:
    return {cause["field"]: cause["message"] for cause in answer["details"]["causes"]}


async def test_a_definition_is_established_and_tells_its_names(tabs: Calls) -> None:
    code, crd = await tabs("GET", f"{CRDS}/crontabs.stable.example.com")
    status = crd["status"]
    assert code == 200
    assert {c["type"]: c["status"] for c in status["conditions"]} == {"NamesAccepted": "True", "Established": "True"}
    assert status["acceptedNames"] == {
        "plural": "crontabs", "singular": "crontab", "kind": "CronTab", "listKind": "CronTabList",
        "shortNames": ["ct"], "categories": ["all"],
    }  # fmt: skip
    assert status["storedVersions"] == ["v1"]


async def test_discovery_and_openapi_follow(call: Calls, api: ApiServer) -> None:
    assert (await call("GET", GROUP))[0] == 404
    assert (await call("GET", TABS))[0] == 404
    await define(api, definition())
    code, resources = await call("GET", f"{GROUP}/v1")
    assert code == 200
    listed = {entry["name"]: entry for entry in resources["resources"]}
    assert set(listed) == {"crontabs", "crontabs/status", "crontabs/scale"}
    assert listed["crontabs"]["shortNames"] == ["ct"]
    assert "create" in listed["crontabs"]["verbs"]
    groups = [group["name"] for group in (await call("GET", "/apis"))[1]["groups"]]
    assert groups[-1] == "stable.example.com"
    paths = (await call("GET", "/openapi/v3"))[1]["paths"]
    code, document = await call("GET", paths["apis/stable.example.com/v1"]["serverRelativeURL"])
    schema = document["components"]["schemas"]["com.example.stable.v1.CronTab"]
    assert schema["properties"]["spec"]["properties"]["cronSpec"]["description"] == "When it runs."
    assert "/apis/stable.example.com/v1/namespaces/{namespace}/crontabs/{name}/scale" in document["paths"]


async def test_an_object_is_defaulted_pruned_and_listed(tabs: Calls) -> None:
    code, made = await tabs("POST", TABS, crontab(colour="red", anything={"a": {"b": 1}}))
    assert code == 201, made
    assert made["spec"] == {"cronSpec": "* * * * *", "anything": {"a": {"b": 1}}, "image": "busybox", "replicas": 1}
    assert made["metadata"]["generation"] == 1
    assert "status" not in made
    assert any('unknown field \\"spec.colour\\"' in warning for warning in tabs.warnings)
    code, found = await tabs("GET", f"{GROUP}/v1/crontabs")
    assert (found["kind"], found["apiVersion"], len(found["items"])) == ("CronTabList", "stable.example.com/v1", 1)
    code, refused = await tabs("POST", f"{TABS}?fieldValidation=Strict", crontab("b", colour="red"))
    assert (code, refused["reason"]) == (400, "BadRequest")
    assert 'unknown field "spec.colour"' in refused["message"]


@pytest.mark.parametrize(
    ("spec", "field", "message"),
    [
        ({"replicas": "x"}, "spec.replicas",
         'Invalid value: "string": spec.replicas in body must be of type integer: "string"'),
        ({"replicas": 11}, "spec.replicas",
         "Invalid value: 11: spec.replicas in body should be less than or equal to 10"),
        ({"cronSpec": "x"}, "spec.cronSpec",
         'Invalid value: "x": spec.cronSpec in body should match \'^(\\S+ ){4}\\S+$\''),
        ({"cronSpec": None}, "spec.cronSpec", "Required value"),
        ({"port": True}, "spec.port",
         'Invalid value: "boolean": spec.port in body must be of type integer,string: "boolean"'),
        ({"env": [{"name": "a"}, {"name": "a"}]}, "spec.env[1]", 'Duplicate value: {"name":"a"}'),
        ({"port": 80, "replicas": 7}, "spec", 'Invalid value: "object": too many for a port'),
    ],
    ids=["type", "maximum", "pattern", "required", "int-or-string", "list map", "rule"],
)  # fmt: skip
async def test_what_does_not_fit_is_refused(tabs: Calls, spec: Any, field: str, message: str) -> None:
    code, refused = await tabs("POST", TABS, crontab(**spec))
    assert (code, refused["reason"]) == (422, "Invalid")
    assert (refused["details"]["kind"], refused["details"]["group"]) == ("CronTab", "stable.example.com")
    assert causes(refused) == {field: message}


async def test_a_rule_about_a_change_sees_the_old_value(tabs: Calls) -> None:
    await tabs("POST", TABS, crontab())
    code, refused = await tabs("PATCH", f"{TABS}/a", {"spec": {"image": "other"}}, MERGE)
    assert (code, causes(refused)) == (422, {"spec.image": "Forbidden: image is immutable"})
    code, changed = await tabs("PATCH", f"{TABS}/a", [{"op": "add", "path": "/spec/replicas", "value": 3}], JSON_PATCH)
    assert (code, changed["spec"]["replicas"], changed["metadata"]["generation"]) == (200, 3, 2)


async def test_a_strategic_patch_is_refused(tabs: Calls) -> None:
    await tabs("POST", TABS, crontab())
    code, refused = await tabs("PATCH", f"{TABS}/a", {"spec": {}}, "application/strategic-merge-patch+json")
    assert (code, refused["reason"]) == (415, "UnsupportedMediaType")
    assert "strategic" not in refused["message"]


async def test_server_side_apply_merges_lists_by_their_keys(tabs: Calls) -> None:
    kind = "application/apply-patch+yaml"
    one = crontab(env=[{"name": "a", "value": "1"}])
    code, made = await tabs("PATCH", f"{TABS}/a?fieldManager=one", one, kind)
    assert code == 201, made
    code, both = await tabs("PATCH", f"{TABS}/a?fieldManager=two", crontab(env=[{"name": "b", "value": "2"}]), kind)
    assert (code, [item["name"] for item in both["spec"]["env"]]) == (200, ["a", "b"])
    code, refused = await tabs("PATCH", f"{TABS}/a?fieldManager=two", crontab(env=[{"name": "a", "value": "3"}]), kind)
    assert (code, refused["reason"]) == (409, "Conflict")


async def test_status_and_scale_are_subresources(tabs: Calls) -> None:
    await tabs("POST", TABS, {**crontab(), "status": {"replicas": 9}})
    status = {"status": {"replicas": 2, "labelSelector": "app=a", "conditions": [{"type": "Ready", "status": "True"}]}}
    code, changed = await tabs("PATCH", f"{TABS}/a/status", {**status, "spec": {"replicas": 8}}, MERGE)
    assert (code, changed["status"]["replicas"], changed["spec"]["replicas"]) == (200, 2, 1)
    assert changed["metadata"]["generation"] == 1
    code, scale = await tabs("GET", f"{TABS}/a/scale")
    assert scale["spec"] == {"replicas": 1}
    assert scale["status"] == {"replicas": 2, "selector": "app=a"}
    code, scale = await tabs("PATCH", f"{TABS}/a/scale", {"spec": {"replicas": 4}}, MERGE)
    assert (code, scale["spec"]["replicas"]) == (200, 4)
    code, table = await tabs("GET", TABS, **TABLE)
    assert [column["name"] for column in table["columnDefinitions"]] == ["Name", "Spec", "Replicas", "Ready", "Age"]
    assert table["rows"][0]["cells"][:4] == ["a", "* * * * *", 4, "True"]


async def test_fields_can_be_selected_and_watched(tabs: Calls) -> None:
    async with tabs.http.get(f"{TABS}?watch=1&fieldSelector=spec.image=x&timeoutSeconds=5") as stream:
        await tabs("POST", TABS, crontab("a"))
        await tabs("POST", TABS, crontab("b", image="x"))
        await tabs("DELETE", f"{TABS}/b")
        async with asyncio.timeout(5):
            events = [json.loads(await stream.content.readline()) for _ in range(2)]
    assert [(e["type"], e["object"]["metadata"]["name"]) for e in events] == [("ADDED", "b"), ("DELETED", "b")]
    _, found = await tabs("GET", f"{TABS}?fieldSelector=spec.image=busybox")
    assert [item["metadata"]["name"] for item in found["items"]] == ["a"]
    assert (await tabs("GET", f"{TABS}?fieldSelector=spec.replicas=1"))[0] == 400


async def test_finalizers_need_no_domain_but_better_have_one(tabs: Calls) -> None:
    obj = crontab()
    obj["metadata"]["finalizers"] = ["mine.example.com"]
    assert (await tabs("POST", TABS, obj))[0] == 201
    assert "prefer a domain-qualified finalizer name" in tabs.warnings[0]


async def test_kinds_of_the_whole_cluster(call: Calls, api: ApiServer) -> None:
    crd = definition(scope="Cluster")
    await define(api, crd)
    code, made = await call("POST", f"{GROUP}/v1/crontabs", crontab())
    assert (code, made["metadata"].get("namespace")) == (201, None)
    assert (await call("GET", f"{GROUP}/v1/crontabs/a"))[0] == 200
    assert (await call("GET", f"{TABS}/a"))[0] == 404


async def test_a_group_version_of_our_own_stays_ours(call: Calls, api: ApiServer) -> None:
    crd = definition(group="events.k8s.io")
    approval = {"api-approved.kubernetes.io": "https://example.com/1"}
    crd["metadata"] = {"name": "crontabs.events.k8s.io", "annotations": approval}
    await define(api, crd)
    assert (await call("GET", "/apis/events.k8s.io/v1/crontabs"))[0] == 404
    resources = (await call("GET", "/apis/events.k8s.io/v1"))[1]["resources"]
    assert [entry["name"] for entry in resources] == ["events"]
    await call("DELETE", f"{CRDS}/crontabs.events.k8s.io")
    await gone(call, f"{CRDS}/crontabs.events.k8s.io")


async def test_versions_are_views_of_one_object(call: Calls, api: ApiServer) -> None:
    crd = definition()
    newer = json.loads(json.dumps(crd["spec"]["versions"][0]))
    newer |= {"name": "v2", "storage": False, "deprecated": True}
    spec = newer["schema"]["openAPIV3Schema"]["properties"]["spec"]
    spec["properties"]["colour"] = {"type": "string", "default": "grey"}
    crd["spec"]["versions"].append(newer)
    await define(api, crd)
    assert (await call("GET", GROUP))[1]["preferredVersion"]["version"] == "v2"
    await call("POST", TABS, crontab())
    other = TABS.replace("/v1/", "/v2/")
    code, seen = await call("GET", f"{other}/a")
    assert (seen["apiVersion"], seen["spec"]["colour"]) == ("stable.example.com/v2", "grey")
    assert call.warnings == ['299 - "stable.example.com/v2 CronTab is deprecated"']
    code, changed = await call("PATCH", f"{other}/a", {"spec": {"replicas": 2}}, MERGE)
    assert (code, changed["apiVersion"], changed["spec"]["replicas"]) == (200, "stable.example.com/v2", 2)
    pair = (await api.store.range("/registry/stable.example.com/crontabs/")).items[0]
    assert json.loads(pair.value)["apiVersion"] == "stable.example.com/v1"
    code, changed = await call("PATCH", f"{other}/a", {"spec": {"colour": "red"}}, MERGE)
    assert (code, changed["spec"]["colour"]) == (200, "grey"), "what is stored has no such field to keep it in"
    assert (await call("GET", f"{TABS}/a"))[1]["spec"]["replicas"] == 2
    assert "colour" not in (await call("GET", f"{TABS}/a"))[1]["spec"]


async def test_a_changed_schema_holds_for_what_is_stored(tabs: Calls) -> None:
    await tabs("POST", TABS, crontab())
    path = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties"
    patch = [
        {"op": "add", "path": f"{path}/added", "value": {"type": "string", "default": "new"}},
        {"op": "replace", "path": f"{path}/replicas/maximum", "value": 0},
        {"op": "replace", "path": f"{path}/replicas/default", "value": 0},
    ]
    assert (await tabs("PATCH", f"{CRDS}/crontabs.stable.example.com", patch, JSON_PATCH))[0] == 200
    assert (await tabs("GET", f"{TABS}/a"))[1]["spec"]["added"] == "new"
    code, _ = await tabs("PATCH", f"{TABS}/a", {"metadata": {"labels": {"a": "b"}}}, MERGE)
    assert code == 200, "what is wrong already may stay so"
    assert (await tabs("PATCH", f"{TABS}/a", {"spec": {"replicas": 2}}, MERGE))[0] == 422


async def test_names_that_are_taken_are_refused(tabs: Calls) -> None:
    other = definition(names={"plural": "others", "kind": "CronTab", "shortNames": ["ct"]})
    other["metadata"]["name"] = "others.stable.example.com"
    await tabs("POST", CRDS, other)
    async with asyncio.timeout(5):
        while not (found := (await tabs("GET", f"{CRDS}/others.stable.example.com"))[1])["status"]["conditions"]:
            await asyncio.sleep(0)
    conditions = {c["type"]: (c["status"], c["reason"], c["message"]) for c in found["status"]["conditions"]}
    assert conditions["NamesAccepted"] == ("False", "ListKindConflict", '"CronTabList" is already in use')
    assert conditions["Established"][:2] == ("False", "NotAccepted")
    assert (await tabs("GET", f"{GROUP}/v1/namespaces/g/others"))[0] == 404


async def gone(call: Calls, path: str) -> None:
    async with asyncio.timeout(5):
        while (await call("GET", path))[0] != 404:
            await asyncio.sleep(0)


async def test_objects_go_before_their_definition(tabs: Calls, api: ApiServer) -> None:
    await tabs("POST", TABS, crontab())
    held = crontab("held")
    held["metadata"]["finalizers"] = ["example.com/hold"]
    await tabs("POST", TABS, held)
    crd = f"{CRDS}/crontabs.stable.example.com"
    code, answer = await tabs("DELETE", crd)
    assert (code, answer["metadata"]["finalizers"]) == (200, ["customresourcecleanup.apiextensions.k8s.io"])
    await gone(tabs, f"{TABS}/a")
    assert (await tabs("POST", TABS, crontab("late")))[0] == 405
    assert (await tabs("GET", crd))[1]["status"]["conditions"][-1]["status"] == "True"
    async with asyncio.timeout(5):
        while (found := (await tabs("GET", crd))[1]["status"]["conditions"])[-1]["reason"] == "InstanceDeletionPending":
            await asyncio.sleep(0)
    assert (found[-1]["type"], found[-1]["reason"]) == ("Terminating", "InstanceDeletionInProgress")
    code, _ = await tabs("PATCH", f"{TABS}/late?fieldManager=m", crontab("late"), "application/apply-patch+yaml")
    assert code == 405
    assert (await tabs("PATCH", f"{TABS}/held", {"metadata": {"finalizers": None}}, MERGE))[0] == 200
    await gone(tabs, crd)
    assert list((await api.store.range("/registry/stable.example.com/")).items) == []


async def test_objects_of_versions_that_are_not_served_go_too(tabs: Calls, api: ApiServer) -> None:
    await tabs("POST", TABS, crontab())
    crd = f"{CRDS}/crontabs.stable.example.com"
    unserved = [{"op": "replace", "path": "/spec/versions/0/served", "value": False}]
    assert (await tabs("PATCH", crd, unserved, JSON_PATCH))[0] == 200
    assert (await tabs("GET", TABS))[0] == 404
    await tabs("DELETE", crd)
    await gone(tabs, crd)
    assert list((await api.store.range("/registry/stable.example.com/")).items) == []


async def test_a_definition_without_objects_goes_and_comes_again(tabs: Calls, api: ApiServer) -> None:
    crd = f"{CRDS}/crontabs.stable.example.com"
    async with tabs.http.get(f"{TABS}?watch=1&timeoutSeconds=60") as stream:
        await tabs("DELETE", crd)
        await gone(tabs, crd)
        async with asyncio.timeout(5):
            assert await stream.content.read() == b""
    assert (await tabs("GET", TABS))[0] == 404
    assert (await tabs("GET", f"{GROUP}/v1"))[0] == 404
    await define(api, definition())
    assert (await tabs("POST", TABS, crontab()))[0] == 201


async def test_objects_are_there_after_a_restart(tabs: Calls, api: ApiServer) -> None:
    await tabs("POST", TABS, crontab())
    again = ApiServer(api.store, api.kinds.builtin)
    async with Supervisor() as supervisor:
        supervisor.service("cache", again.run())
        await again.ready()
        kind = again.kind("stable.example.com", "v1", "crontabs")
        assert kind is not None
        assert [entry.name for entry in again.of(kind).entries()] == ["a"]
        again.close()
        supervisor.stop()
