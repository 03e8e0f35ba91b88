"""StatefulSet, DaemonSet and ReplicationController through the verbs: status, scale, deletion, warnings."""

from __future__ import annotations

from typing import Any

import pytest
from aiohttp.test_utils import TestClient

from controlplane.apiserver.local_client import LocalClient
from shared.api.kinds import DAEMON_SETS, REPLICATION_CONTROLLERS, STATEFUL_SETS
from shared.api.meta import JSON

TEMPLATE: JSON = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
SET: JSON = {"metadata": {"name": "w"}, "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": TEMPLATE}}
RC: JSON = {"metadata": {"name": "w"}, "spec": {"template": TEMPLATE}}


@pytest.mark.parametrize(("resource", "obj"), [(STATEFUL_SETS, SET), (REPLICATION_CONTROLLERS, RC)], ids=["sts", "rc"])
async def test_scale_changes_the_replicas_and_knows_the_selector(client: LocalClient, resource: Any, obj: JSON) -> None:
    await client.create(resource, obj, "g")
    scaled = await client.patch(resource, "w", {"spec": {"replicas": 3}}, "g", subresource="scale")
    assert (scaled["spec"], scaled["status"]) == ({"replicas": 3}, {"replicas": 0, "selector": "a=b"})
    found = await client.patch(resource, "w", {"metadata": {"labels": {"x": "y"}}}, "g")
    assert found["spec"]["replicas"] == 3
    assert found["metadata"]["generation"] == 2, "the spec changed once"


@pytest.mark.parametrize("resource", [STATEFUL_SETS, DAEMON_SETS], ids=lambda resource: resource.kind)
async def test_status_is_its_own(client: LocalClient, resource: Any) -> None:
    created = await client.create(resource, {**SET, "status": {"observedGeneration": 9}}, "g")
    assert "observedGeneration" not in created["status"]
    change = {"spec": {"minReadySeconds": 5}, "status": {"observedGeneration": 1}}
    found = await client.patch(resource, "w", change, "g", subresource="status")
    assert found["status"]["observedGeneration"] == 1
    assert "minReadySeconds" not in found["spec"]
    assert found["metadata"]["generation"] == 1


async def test_pods_of_a_replication_controller_outlive_it(client: LocalClient) -> None:
    await client.create(REPLICATION_CONTROLLERS, RC, "g")
    await client.delete(REPLICATION_CONTROLLERS, "w", "g")
    left = await client.get(REPLICATION_CONTROLLERS, "w", "g")
    assert left.metadata.finalizers == ("orphan",)


async def test_field_selectors_of_a_replication_controller(http: TestClient) -> None:  # type: ignore[type-arg]
    path = "/api/v1/namespaces/g/replicationcontrollers"
    async with http.post(path, json=RC) as response:
        assert response.status == 201
        assert "nothing acts on them" in response.headers["Warning"]
    for selector, count in (("status.replicas=0", 1), ("status.replicas=1", 0)):
        async with http.get(path, params={"fieldSelector": selector}) as response:
            assert len((await response.json())["items"]) == count


@pytest.mark.parametrize(
    ("path", "params", "warned"),
    [("/w", {}, True), ("/w", {"propagationPolicy": "Background"}, False), ("/w", {"orphanDependents": "true"}, False),
     ("", {}, True)],
    ids=["unsaid", "background", "orphan", "all of them"],
)  # fmt: skip
async def test_who_deletes_a_job_is_warned_that_its_pods_stay(
    http: TestClient,  # type: ignore[type-arg]
    path: str,
    params: dict[str, str],
    warned: bool,
) -> None:
    jobs = "/apis/batch/v1/namespaces/g/jobs"
    spec = {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}}
    for name in ("w", "x"):
        async with http.post(jobs, json={"metadata": {"name": name}, "spec": spec}) as response:
            assert response.status == 201
    async with http.delete(jobs + path, params=params) as response:
        assert response.status == 200
        warnings = response.headers.getall("Warning", [])
    assert ["child pods are preserved" in warning for warning in warnings] == [True] * warned


async def test_a_job_says_how_it_is_found(http: TestClient) -> None:  # type: ignore[type-arg]
    jobs = "/apis/batch/v1/namespaces/g/jobs"
    spec = {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}}
    async with http.post(jobs, json={"metadata": {"generateName": "w-"}, "spec": spec}) as response:
        made = await response.json()
    labels = made["spec"]["template"]["metadata"]["labels"]
    assert (labels["job-name"], labels["controller-uid"]) == (made["metadata"]["name"], made["metadata"]["uid"])
    for selector, count in (("status.successful=0", 1), ("status.successful=1", 0)):
        async with http.get(jobs, params={"fieldSelector": selector}) as response:
            assert len((await response.json())["items"]) == count
