"""A sequence of calls and what a real API server answered, replayed in order."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient

GOLDEN = Path(__file__).parents[2] / "golden"

OTHER_CODES = {
    # A broken patch is the client's mistake: BadRequest since strict decoding came (1.25).
    "bad patch body": 400,
    # No server error is due to a resourceVersion that is no number.
    "rv not a number": 400,
}

NEWER = {
    "terminatingReplicas",
    "uid",
    "resourceVersion",
    "creationTimestamp",
    "deletionTimestamp",
    "observedGeneration",
}
ACCEPTS = {
    "partial metadata": "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json",
    "accept unknown": "text/html",
}


@pytest.mark.parametrize("history", [3], ids=["short history"])
async def test_answers_as_kubernetes_does(http: TestClient) -> None:  # type: ignore[type-arg]
    cases = json.loads((GOLDEN / "verbs.json").read_text())
    assert len(cases) == 52
    wrong = []
    await _create_listed(http)
    for case in cases:
        if case["case"] == "managedFields after two managers":
            wrong += await _owners(http, case["response"])
            continue
        code, answer = await _call(http, case)
        expected = case.get("code"), case["response"]
        if differing := _difference(case["case"], expected, (code, answer)):
            wrong.append(f"{case['case']}: {differing}")
    assert not wrong, "\n".join(wrong)


async def _owners(http: TestClient, expected: list[dict[str, Any]]) -> list[str]:  # type: ignore[type-arg]
    """How the owners of the applied Deployment differ; the real cluster's controller manager had written to it too."""
    async with http.get("/apis/apps/v1/namespaces/g/deployments/s3") as response:
        entries = (await response.json())["metadata"]["managedFields"]
    want = [entry for entry in expected if entry["operation"] == "Apply"]
    have = [{**entry, "time": "<time>"} for entry in entries]
    return [] if have == want else [f"managedFields are {json.dumps(have)}"]


async def _create_listed(http: TestClient) -> None:  # type: ignore[type-arg]
    """Six ConfigMaps that the list cases speak of."""
    for index in range(5):
        body = {"metadata": {"name": f"l{index}", "labels": {"n": str(index)}}}
        assert (await http.post("/api/v1/namespaces/g/configmaps", json=body)).status == 201
    assert (await http.post("/api/v1/namespaces/g/configmaps", json={"metadata": {"name": "root"}})).status == 201


async def _call(http: TestClient, case: dict[str, Any]) -> tuple[int, Any]:  # type: ignore[type-arg]
    headers = {"Accept": ACCEPTS.get(case["case"], "application/json")}
    if case["contentType"]:
        headers["Content-Type"] = case["contentType"]
    request = case["request"]
    body = None if request is None else request if isinstance(request, str) else json.dumps(request)
    if case["case"] == "put other name":  # the recorded uid is another cluster's; the name is what is wrong
        body = body and re.sub(r'"(uid|resourceVersion)": "[^"]*", ', "", body)
    if case["case"] == "put stale":
        body = body and re.sub(r'"uid": "[^"]*", ', "", body)
    async with http.request(case["method"], case["path"], data=body, headers=headers) as response:
        text = await response.text()
    return response.status, json.loads(text.splitlines()[0])


def _difference(name: str, expected: tuple[int, Any], got: tuple[int, Any]) -> str:
    code, response = expected
    if got[0] != OTHER_CODES.get(name, code):
        return f"code {got[0]} instead of {code}: {json.dumps(got[1])[:300]}"
    if name in OTHER_CODES:
        return ""
    answer = got[1]
    if isinstance(response, str):
        return "" if answer["kind"] == response else f"kind {answer['kind']}"
    if response.get("kind", "").endswith("List"):
        return _list_difference(response, answer)
    if response.get("kind") == "Status":
        return _status_difference(response, answer)
    if "type" in response:
        ok = response["type"] == answer["type"] and response["object"]["code"] == answer["object"]["code"]
        return "" if ok else json.dumps(answer)[:300]
    # A real cluster's controllers had written status and the revision annotation; without them only these parts
    # are the server's own.
    return _object_difference(response, answer)


def _list_difference(expected: dict[str, Any], got: dict[str, Any]) -> str:
    if (expected["kind"], expected["apiVersion"]) != (got["kind"], got["apiVersion"]):
        return f"{got['apiVersion']} {got['kind']}"
    items, names = expected.get("items"), [item["metadata"]["name"] for item in got["items"]]
    if isinstance(items, int) and items != len(names):
        return f"{len(names)} items"
    if isinstance(items, list) and items != names:
        return f"items {names}"
    want, have = expected.get("metadata", {}), got["metadata"]
    if set(want) - set(have) or want.get("remainingItemCount") != have.get("remainingItemCount"):
        return f"metadata {have}"
    return ""


def _status_difference(expected: dict[str, Any], got: dict[str, Any]) -> str:
    for key in ("status", "reason"):
        if expected.get(key) != got.get(key):
            return f"{key} {got.get(key)!r} instead of {expected.get(key)!r}: {got.get('message')}"
    if ("details" in expected) != ("details" in got):  # kubectl reads into it where it expects it
        return f"details {got.get('details')!r} instead of {expected.get('details')!r}"
    want, have = expected.get("details") or {}, got.get("details") or {}
    for key in ("name", "group", "kind"):
        if want.get(key) != have.get(key):
            return f"details.{key} {have.get(key)!r} instead of {want.get(key)!r}"
    causes = [[(c["reason"], c.get("field")) for c in d.get("causes", ())] for d in (want, have)]
    if want and "causes" in want and set(causes[0]) != set(causes[1]):
        return f"causes {causes[1]} instead of {causes[0]}"
    return ""


def _object_difference(expected: dict[str, Any], got: dict[str, Any]) -> str:
    for key in ("kind", "apiVersion"):
        if expected.get(key) != got.get(key):
            return f"{key} {got.get(key)!r}"
    for key in ("name", "namespace", "generation", "labels", "finalizers", "deletionGracePeriodSeconds"):
        if expected["metadata"].get(key) != got["metadata"].get(key):
            return f"metadata.{key} {got['metadata'].get(key)!r} instead of {expected['metadata'].get(key)!r}"
    if set(expected["metadata"]) - {"annotations"} - set(got["metadata"]):
        return f"metadata has {sorted(got['metadata'])}"
    if _bare(expected.get("spec")) != _bare(got.get("spec")):
        return f"spec {json.dumps(got.get('spec'))} instead of {json.dumps(expected.get('spec'))}"
    return ""


def _bare(value: Any) -> Any:
    """Without nulls, which 1.20 wrote for empty times."""
    if isinstance(value, dict):
        return {key: _bare(member) for key, member in value.items() if member is not None}
    if isinstance(value, list):
        return [_bare(item) for item in value]
    return value
