"""Server-side apply and managedFields over HTTP."""

from __future__ import annotations

import json
from typing import Any

import pytest
from aiohttp.test_utils import TestClient

from controlplane.apiserver.local_client import LocalClient
from shared.api.kinds import CONFIG_MAPS

CONFIG = "/api/v1/namespaces/g/configmaps/c"
DEPLOYMENT = "/apis/apps/v1/namespaces/g/deployments/d"
MERGE = "application/merge-patch+json"


def config(**data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": data}


def deployment(**spec: Any) -> dict[str, Any]:
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"},
            "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": template, **spec}}  # fmt: skip


async def send(http: TestClient, method: str, path: str, body: Any, type_: str = "") -> tuple[int, Any]:  # type: ignore[type-arg]
    headers = {"Content-Type": type_ or "application/apply-patch+yaml", "User-Agent": "tester/1.0"}
    data = body if isinstance(body, str) else json.dumps(body)
    async with http.request(method, path, data=data, headers=headers) as response:
        return response.status, await response.json()


def managers(obj: Any) -> list[tuple[str, str, str]]:
    return [(e["manager"], e["operation"], e.get("subresource", "")) for e in obj["metadata"].get("managedFields", ())]


async def test_yaml_creates_then_changes_then_changes_nothing(http: TestClient) -> None:  # type: ignore[type-arg]
    text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata: {a: '1', b: '2'}\n"
    code, made = await send(http, "PATCH", f"{CONFIG}?fieldManager=one", text)
    assert (code, made["data"]) == (201, {"a": "1", "b": "2"})
    code, changed = await send(http, "PATCH", f"{CONFIG}?fieldManager=one", config(a="1"))
    assert (code, changed["data"]) == (200, {"a": "1"})
    code, again = await send(http, "PATCH", f"{CONFIG}?fieldManager=one", config(a="1"))
    assert (code, again) == (200, changed)  # the resourceVersion too: nothing was written


async def test_managers_of_other_writes_are_named(http: TestClient) -> None:  # type: ignore[type-arg]
    code, made = await send(http, "POST", "/apis/apps/v1/namespaces/g/deployments", deployment(), "application/json")
    assert (code, managers(made)) == (201, [("tester", "Update", "")])
    await send(http, "PATCH", f"{DEPLOYMENT}/scale?fieldManager=hpa", {"spec": {"replicas": 3}}, MERGE)
    status = {"status": {"replicas": 3, "observedGeneration": 1}}
    _, got = await send(http, "PATCH", f"{DEPLOYMENT}/status?fieldManager=controller", status, MERGE)
    assert managers(got) == [
        ("controller", "Update", "status"),
        ("hpa", "Update", "scale"),
        ("tester", "Update", ""),
    ]
    owned = {entry["manager"]: entry["fieldsV1"] for entry in got["metadata"]["managedFields"]}
    assert owned["hpa"] == {"f:spec": {"f:replicas": {}}}
    assert owned["controller"] == {"f:status": {"f:observedGeneration": {}, "f:replicas": {}}}
    assert "f:replicas" not in owned["tester"]["f:spec"]
    assert "f:progressDeadlineSeconds" in owned["tester"]["f:spec"]


async def test_status_is_applied_apart(http: TestClient) -> None:  # type: ignore[type-arg]
    await send(http, "PATCH", f"{DEPLOYMENT}?fieldManager=user", deployment(replicas=2))
    intent = {**deployment(replicas=9), "status": {"replicas": 2}}
    code, got = await send(http, "PATCH", f"{DEPLOYMENT}/status?fieldManager=operator", intent)
    assert (code, got["spec"]["replicas"], got["status"]) == (200, 2, {"replicas": 2})
    assert managers(got) == [("operator", "Apply", "status"), ("user", "Apply", "")]
    code, got = await send(http, "PATCH", f"{DEPLOYMENT}?fieldManager=user", {**intent, "spec": deployment()["spec"]})
    assert (code, got["status"]) == (200, {"replicas": 2})


async def test_object_without_owners_belonged_to_somebody_before(http: TestClient) -> None:  # type: ignore[type-arg]
    await send(http, "POST", "/api/v1/namespaces/g/configmaps", config(a="1"), "application/json")
    reset = [{"op": "replace", "path": "/metadata/managedFields", "value": [{}]}]
    code, got = await send(http, "PATCH", CONFIG, reset, "application/json-patch+json")
    assert (code, managers(got)) == (200, [])
    _, got = await send(http, "PATCH", CONFIG, {"data": {"b": "1"}}, MERGE)
    assert managers(got) == []
    code, refused = await send(http, "PATCH", f"{CONFIG}?fieldManager=one", config(a="2"))
    assert (code, refused["details"]["causes"][0]["field"]) == (409, ".data.a")
    assert "before-first-apply" in refused["message"]
    _, got = await send(http, "PATCH", f"{CONFIG}?fieldManager=one&force=true", config(a="2"))
    assert managers(got) == [("one", "Apply", ""), ("before-first-apply", "Update", "")]


async def test_client_may_set_owners_itself(http: TestClient) -> None:  # type: ignore[type-arg]
    await send(
        http, "POST", "/api/v1/namespaces/g/configmaps?fieldManager=kubectl-create", config(a="1"), "application/json"
    )
    entry = {"manager": "kubectl", "operation": "Apply", "apiVersion": "v1", "fieldsType": "FieldsV1",
             "fieldsV1": {"f:data": {"f:a": {}}}, "time": "2026-05-04T12:00:00Z"}  # fmt: skip
    patch = [{"op": "replace", "path": "/metadata/managedFields", "value": [entry]}]
    code, got = await send(http, "PATCH", CONFIG, patch, "application/json-patch+json")
    assert (code, got["metadata"]["managedFields"]) == (200, [entry])
    broken = [{"op": "replace", "path": "/metadata/managedFields", "value": [entry | {"operation": "Take"}]}]
    code, got = await send(http, "PATCH", CONFIG, broken, "application/json-patch+json")
    assert (code, got["metadata"]["managedFields"]) == (200, [entry])


@pytest.mark.parametrize(
    ("path", "body", "code", "words"),
    [
        (f"{CONFIG}?fieldManager=m", {"kind": "ConfigMap"}, 400, "'apiVersion' is missing"),
        (f"{CONFIG}?fieldManager=m", config() | {"apiVersion": "v2"}, 400, "does not match"),
        (f"{CONFIG}?fieldManager=m", config() | {"nope": 1}, 400, ".nope: field not declared in schema"),
        (f"{CONFIG}?fieldManager=m", config() | {"data": []}, 400, "cannot unmarshal"),
        (f"{CONFIG}?fieldManager=m", config() | {"metadata": {"name": "x"}}, 400, "does not match the name"),
        (f"{CONFIG}?fieldManager=m", config() | {"metadata": {"managedFields": []}}, 400, "managedFields must be nil"),
        (f"{CONFIG}?fieldManager=m", config() | {"metadata": {"uid": "u"}}, 409, "uid mismatch"),
        (f"{CONFIG}?fieldManager=m", config() | {"metadata": {"resourceVersion": "1"}}, 404, "not found"),
        (f"{DEPLOYMENT}/status?fieldManager=m", deployment(), 404, "not found"),
        (f"{DEPLOYMENT}/scale?fieldManager=m", deployment(), 415, "not supported"),
        (f"{CONFIG}?fieldManager=m", "[1, 2]", 400, "must be an object"),
        (f"{CONFIG}?fieldManager=m", "a: [", 400, "invalid YAML"),
    ],
    ids=["no version", "wrong version", "unknown field", "wrong type", "wrong name", "owners", "uid",
         "version of nothing", "status of nothing", "scale", "list", "no YAML"],
)  # fmt: skip
async def test_refusals(http: TestClient, path: str, body: Any, code: int, words: str) -> None:  # type: ignore[type-arg]
    got, answer = await send(http, "PATCH", path, body)
    assert (got, answer["kind"]) == (code, "Status")
    assert words in answer["message"]


async def test_force_is_of_apply_only(http: TestClient) -> None:  # type: ignore[type-arg]
    code, answer = await send(http, "PATCH", f"{CONFIG}?force=true", {"data": {}}, MERGE)
    assert (code, answer["details"]["causes"][0]["reason"]) == (422, "FieldValueForbidden")


async def test_dry_run_writes_nothing(http: TestClient, client: LocalClient) -> None:  # type: ignore[type-arg]
    code, made = await send(http, "PATCH", f"{CONFIG}?fieldManager=m&dryRun=All", config(a="1"))
    assert (code, made["data"]) == (201, {"a": "1"})
    assert not [c for c in (await client.list(CONFIG_MAPS, "g")).items if c.metadata.name == "c"]
