"""Quotas, limits and classes through HTTP: what is charged, refused and filled in, and never twice or too much."""

import asyncio
from typing import Any

import pytest

CORE = "/api/v1/namespaces/g"


def pod(name: str, **resources: Any) -> Any:
    return {
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
        "spec": {"containers": [{"name": "c", "image": "i", "resources": resources}]},
    }  # fmt: skip


async def ask(http: Any, method: str, path: str, body: Any = None, code: int = 0) -> Any:
    kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
    async with http.request(method, path, json=body, headers={"Content-Type": kind}) as answer:
        found = await answer.json()
        assert not code or answer.status == code, found
        return found


async def limit(http: Any, **hard: str) -> None:
    """A quota as its controller leaves it."""
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "q"}, "spec": {"hard": hard}}
    await ask(http, "POST", f"{CORE}/resourcequotas", quota, 201)
    status = {"status": {"hard": hard, "used": dict.fromkeys(hard, "0")}}
    await ask(http, "PATCH", f"{CORE}/resourcequotas/q/status", status, 200)


async def used(http: Any) -> Any:
    return (await ask(http, "GET", f"{CORE}/resourcequotas/q", code=200))["status"]["used"]


async def test_a_creation_and_its_charge_are_one_write(http: Any) -> None:
    await limit(http, pods="1", cpu="1")
    made = await ask(http, "POST", f"{CORE}/pods", pod("a", requests={"cpu": "250m"}), 201)
    quota = await ask(http, "GET", f"{CORE}/resourcequotas/q")
    assert quota["status"]["used"] == {"pods": "1", "cpu": "250m"}
    assert quota["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]
    refused = await ask(http, "POST", f"{CORE}/pods", pod("b", requests={"cpu": "100m"}), 403)
    assert refused["message"] == (
        'pods "b" is forbidden: exceeded quota: q, requested: pods=1, used: pods=1, limited: pods=1'
    )
    assert refused["details"] == {"name": "b", "kind": "pods"}


async def test_what_is_not_written_is_not_charged(http: Any) -> None:
    await limit(http, pods="2", cpu="1")
    await ask(http, "POST", f"{CORE}/pods?dryRun=All", pod("a", requests={"cpu": "1"}), 201)
    await ask(http, "POST", f"{CORE}/pods?dryRun=All", pod("a", requests={"cpu": "2"}), 403)
    await ask(http, "POST", f"{CORE}/pods", pod("a"), 403)
    await ask(http, "POST", "/api/v1/namespaces/other/pods", pod("a"), 201)
    assert await used(http) == {"pods": "0", "cpu": "0"}
    await ask(http, "POST", f"{CORE}/pods", pod("a", requests={"cpu": "1"}), 201)
    await ask(http, "POST", f"{CORE}/pods", pod("a", requests={"cpu": "0"}), 409)
    assert await used(http) == {"pods": "1", "cpu": "1"}


async def test_many_at_once_get_exactly_what_there_is(http: Any) -> None:
    await limit(http, pods="7")
    answers = await asyncio.gather(*(ask(http, "POST", f"{CORE}/pods", pod(f"p{n}")) for n in range(30)))
    assert sum(answer["kind"] == "Pod" for answer in answers) == 7
    assert {answer["reason"] for answer in answers if answer["kind"] == "Status"} == {"Forbidden"}
    assert await used(http) == {"pods": "7"}


async def test_a_service_that_becomes_reachable_is_charged_for_its_ports(http: Any) -> None:
    await limit(http, **{"services.nodeports": "1"})
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}, "spec": {"ports": [{"port": 80}]}}
    await ask(http, "POST", f"{CORE}/services", service, 201)
    await ask(http, "PATCH", f"{CORE}/services/s", {"spec": {"type": "NodePort"}}, 200)
    assert await used(http) == {"services.nodeports": "1"}
    more = {"spec": {"ports": [{"port": 80, "name": "a"}, {"port": 81, "name": "b"}]}}
    refused = await ask(http, "PATCH", f"{CORE}/services/s", more, 403)
    assert "exceeded quota: q, requested: services.nodeports=1" in refused["message"]


async def test_limits_are_given_and_held(http: Any) -> None:
    bounds = {"type": "Container", "default": {"cpu": "500m"}, "max": {"cpu": "1"}}
    limits = {"apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "l"}, "spec": {"limits": [bounds]}}
    await ask(http, "POST", f"{CORE}/limitranges", limits, 201)
    made = await ask(http, "POST", f"{CORE}/pods", pod("a"), 201)
    assert made["spec"]["containers"][0]["resources"] == {"limits": {"cpu": "500m"}, "requests": {"cpu": "500m"}}
    assert made["status"]["qosClass"] == "Burstable"
    refused = await ask(http, "POST", f"{CORE}/pods", pod("b", limits={"cpu": "2"}), 403)
    assert refused["message"] == ('pods "b" is forbidden: maximum cpu usage per Container is 1, but limit is 2')
    await ask(http, "DELETE", f"{CORE}/limitranges/l", code=200)
    await ask(http, "POST", f"{CORE}/pods", pod("b", limits={"cpu": "2"}), 201)


async def test_classes_of_priority_and_storage(http: Any) -> None:
    high = {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": "high"}, "value": 7}
    await ask(http, "POST", "/apis/scheduling.k8s.io/v1/priorityclasses", {**high, "globalDefault": True}, 201)
    assert (await ask(http, "POST", f"{CORE}/pods", pod("a"), 201))["spec"]["priority"] == 7
    second = {**high, "metadata": {"name": "second"}, "globalDefault": True}
    refused = await ask(http, "POST", "/apis/scheduling.k8s.io/v1/priorityclasses", second, 403)
    assert refused["details"]["kind"] == "priorityclasses"
    marked = {"storageclass.kubernetes.io/is-default-class": "true"}
    of_storage = {
        "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "provisioner": "e.x/p",
        "metadata": {"name": "gold", "annotations": marked},
    }  # fmt: skip
    await ask(http, "POST", "/apis/storage.k8s.io/v1/storageclasses", of_storage, 201)
    claim = {
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "c"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    }  # fmt: skip
    made = await ask(http, "POST", f"{CORE}/persistentvolumeclaims", claim, 201)
    assert made["spec"]["storageClassName"] == "gold"
    assert made["metadata"]["finalizers"] == ["kubernetes.io/pvc-protection"]


@pytest.mark.parametrize("path", ["limitranges", "resourcequotas", "persistentvolumeclaims"])
async def test_tables_over_http(http: Any, path: str) -> None:
    accept = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}
    async with http.get(f"{CORE}/{path}", headers=accept) as answer:
        found = await answer.json()
    assert found["kind"] == "Table"
    assert found["columnDefinitions"][0]["name"] == "Name"


async def test_what_is_deleted_at_once_is_answered(http: Any) -> None:
    await limit(http, pods="1")
    gone = await ask(http, "DELETE", f"{CORE}/resourcequotas/q", code=200)
    assert (gone["kind"], gone["metadata"]["name"]) == ("ResourceQuota", "q")
