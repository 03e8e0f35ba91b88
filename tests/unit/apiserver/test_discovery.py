"""Discovery against what a real API server answered, for the kinds that are served."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient

from controlplane.apiserver.discovery import Discovery
from controlplane.apiserver.kinds.table import KINDS

GOLDEN: dict[str, list[dict[str, Any]]] = json.loads(
    (Path(__file__).parents[2] / "golden" / "discovery.json").read_text()
)
NOT_YET = {
    "pods/attach", "pods/exec", "pods/portforward", "pods/proxy", "nodes/proxy", "services/proxy",
}  # fmt: skip
ADDED_SINCE = {"services": {"deletecollection"}}
"""Verbs that Kubernetes has had since 1.23."""


@pytest.mark.parametrize("path", GOLDEN)
def test_resources_are_those_of_kubernetes(path: str) -> None:
    found = Discovery(KINDS).answer(path.replace("v1beta1", "v1"), aggregated=False)
    assert found is not None
    ours = {entry["name"]: entry for entry in json.loads(found)["resources"]}
    for theirs in GOLDEN[path]:
        name = theirs["name"]
        if name in NOT_YET:
            continue
        mine = ours[name]
        if "version" in theirs:
            theirs["version"] = theirs["version"].replace("v1beta1", "v1")  # as policy's Eviction, since 1.22
        for key in ("kind", "namespaced", "shortNames", "categories", "group", "version"):
            assert mine.get(key) == theirs.get(key), f"{name}: {key}"
        assert set(mine["verbs"]) == set(theirs["verbs"]) | (set(mine["verbs"]) & ADDED_SINCE.get(name, set())), name


def test_aggregated_discovery_holds_every_kind() -> None:
    discovery = Discovery(KINDS)
    listed = set()
    for root in ("/api", "/apis"):
        found = json.loads(discovery.answer(root, aggregated=True) or b"")
        assert (found["kind"], found["apiVersion"]) == ("APIGroupDiscoveryList", "apidiscovery.k8s.io/v2")
        for group in found["items"]:
            for version in group["versions"]:
                listed |= {
                    (group["metadata"]["name"], version["version"], entry["resource"]) for entry in version["resources"]
                }
    assert listed == {(k.resource.group, k.resource.version, k.resource.plural) for k in KINDS}


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/api", "APIVersions"), ("/api/", "APIVersions"), ("/apis", "APIGroupList"), ("/apis/apps", "APIGroup"),
        ("/apis/apps/v1", "APIResourceList"), ("/api/v1", "APIResourceList"), ("/api/v1/", "APIResourceList"),
    ],
)  # fmt: skip
async def test_plain_documents(http: TestClient, path: str, kind: str) -> None:  # type: ignore[type-arg]
    async with http.get(path) as response:
        assert response.status == 200
        assert (await response.json())["kind"] == kind


async def test_aggregated_when_it_is_preferred(http: TestClient) -> None:  # type: ignore[type-arg]
    accept = (
        "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,"
        "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json"
    )
    async with http.get("/apis", headers={"Accept": accept}) as response:
        assert response.headers["Content-Type"].startswith("application/json;g=apidiscovery.k8s.io;v=v2;")
        assert (await response.json(content_type=None))["kind"] == "APIGroupDiscoveryList"


async def test_version_is_a_kubernetes_version(http: TestClient) -> None:  # type: ignore[type-arg]
    async with http.get("/version/") as response:
        answer = await response.json()
    assert (answer["major"], answer["minor"], answer["gitVersion"]) == ("1", "36", "v1.36.0+longboat")


async def test_openapi_lists_a_document_for_every_group_version(http: TestClient) -> None:  # type: ignore[type-arg]
    async with http.get("/openapi/v3") as response:
        paths = (await response.json())["paths"]
    assert {"api/v1", "apis/apps/v1"} <= set(paths)
    async with http.get(paths["apis/apps/v1"]["serverRelativeURL"]) as response:
        assert response.status == 200
        assert (await response.json())["openapi"].startswith("3.")
