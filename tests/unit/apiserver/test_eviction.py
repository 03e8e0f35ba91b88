"""pods/eviction over HTTP, as kubectl drain asks for it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiohttp.test_utils import TestClient

from controlplane.apiserver.local_client import LocalClient
from shared.api.errors import NotFound
from shared.api.kinds import POD_DISRUPTION_BUDGETS, PODS
from shared.client.base import Binding

PATH = "/api/v1/namespaces/g/pods/p/eviction"
Http = TestClient  # type: ignore[type-arg]


@pytest.fixture
async def uid(client: LocalClient) -> str:
    """A pod that is bound, so that it goes gracefully."""
    spec = {"containers": [{"name": "c", "image": "i"}], "terminationGracePeriodSeconds": 60}
    made = await client.create(PODS, {"metadata": {"name": "p"}, "spec": spec}, "g")
    assert await client.bind([Binding("g", "p", made["metadata"]["uid"], "n")]) == [None]
    return str(made["metadata"]["uid"])


async def post(http: Http, **body: Any) -> tuple[int, Any]:
    async with http.post(PATH, json=body) as response:
        return response.status, await response.json()


async def test_a_pod_is_deleted_gracefully(http: Http, client: LocalClient, uid: str) -> None:
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "p"},
            "deleteOptions": {"gracePeriodSeconds": 7, "preconditions": {"uid": uid}}}  # fmt: skip
    code, status = await post(http, **body)
    assert (code, status["status"]) == (201, "Success")
    meta = (await client.get(PODS, "p", "g")).metadata
    assert (meta.deletion_grace_period_seconds, meta.deletion_timestamp is not None) == (7, True)


@pytest.mark.parametrize("place", ["query", "body"])
async def test_a_trial_changes_nothing(http: Http, client: LocalClient, uid: str, place: str) -> None:
    body = {"deleteOptions": {"dryRun": ["All"]}} if place == "body" else {}
    async with http.post(PATH + ("?dryRun=All" if place == "query" else ""), json=body) as response:
        assert response.status == 201
    assert (await client.get(PODS, "p", "g")).metadata.deletion_timestamp is None


@pytest.mark.parametrize(
    ("body", "code", "said"),
    [
        ({"kind": "Pod"}, 400, "must be an Eviction"),
        ({"apiVersion": "policy/v2"}, 400, "policy/v1"),
        ({"metadata": {"name": "q"}}, 400, "name in URL does not match name in Eviction object: p, q"),
        ({"deleteOptions": {"preconditions": {"uid": "other"}}}, 409, "UID"),
        ({"deleteOptions": {"gracePeriodSeconds": "soon"}}, 400, "gracePeriodSeconds"),
        ({"deleteOptions": []}, 400, "deleteOptions"),
    ],
)
async def test_what_is_refused(
    http: Http, client: LocalClient, uid: str, body: dict[str, Any], code: int, said: str
) -> None:
    got, status = await post(http, **body)
    assert (got, said in status["message"]) == (code, True), status
    assert (await client.get(PODS, "p", "g")).metadata.deletion_timestamp is None


async def test_a_pod_that_is_not_there(http: Http, client: LocalClient) -> None:
    code, status = await post(http)
    assert (code, status["message"]) == (404, 'pods "p" not found')
    with pytest.raises(NotFound):
        await client.get(PODS, "p", "g")


# --- budgets


def pdb(name: str = "b", **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": name}, "spec": {"minAvailable": 1, "selector": {"matchLabels": {"a": "b"}}} | spec}


async def budgeted(client: LocalClient, status: dict[str, Any], *, ready: bool = True, **spec: Any) -> None:
    """A budget with that status, and a pod ``p`` that runs and is selected by it."""
    body = {"containers": [{"name": "c", "image": "i"}]}
    meta = {"name": "p", "labels": {"a": "b"}}
    made = await client.create(PODS, {"metadata": meta, "spec": body}, "g")
    assert await client.bind([Binding("g", "p", made["metadata"]["uid"], "n")]) == [None]
    conditions = [{"type": "Ready", "status": "True" if ready else "False"}]
    await client.patch(PODS, "p", {"status": {"phase": "Running", "conditions": conditions}}, "g", subresource="status")
    await client.create(POD_DISRUPTION_BUDGETS, pdb(**spec), "g")
    body = {"observedGeneration": 1, "disruptionsAllowed": 0, "currentHealthy": 1, "desiredHealthy": 1} | status
    await client.patch(POD_DISRUPTION_BUDGETS, "b", {"status": body}, "g", subresource="status")


async def test_budget_that_allows_it_is_counted_down(http: Http, client: LocalClient) -> None:
    allowed = {"type": "DisruptionAllowed", "status": "True", "reason": "SufficientPods",
               "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"}  # fmt: skip
    await budgeted(client, {"disruptionsAllowed": 1, "conditions": [allowed]})
    assert (await post(http))[0] == 201
    status = (await client.get(POD_DISRUPTION_BUDGETS, "b", "g")).status
    assert (status.disruptions_allowed, list(status.disrupted_pods)) == (0, ["p"])
    assert (status.conditions[0].status, status.conditions[0].reason) == ("False", "InsufficientPods")
    pod = await client.get(PODS, "p", "g")
    assert pod.metadata.deletion_timestamp is not None
    assert ("DisruptionTarget", "EvictionByEvictionAPI") in [(c.type, c.reason) for c in pod.status.conditions]


async def test_trial_counts_nothing_down(http: Http, client: LocalClient) -> None:
    await budgeted(client, {"disruptionsAllowed": 1})
    assert (await post(http, deleteOptions={"dryRun": ["All"]}))[0] == 201
    assert (await client.get(POD_DISRUPTION_BUDGETS, "b", "g")).status.disruptions_allowed == 1


@pytest.mark.parametrize(
    ("status", "cause"),
    [
        ({}, "The disruption budget b needs 1 healthy pods and has 1 currently"),
        ({"observedGeneration": 0, "disruptionsAllowed": 5}, "still being processed by the server"),
    ],
    ids=["used up", "not worked out"],
)
async def test_budget_that_refuses(http: Http, client: LocalClient, status: dict[str, Any], cause: str) -> None:
    await budgeted(client, status)
    code, answer = await post(http)
    assert (code, answer["reason"]) == (429, "TooManyRequests")
    assert answer["message"] == "Cannot evict pod as it would violate the pod's disruption budget."
    assert answer["details"]["causes"][0]["reason"] == "DisruptionBudget"
    assert cause in answer["details"]["causes"][0]["message"]
    assert (await client.get(PODS, "p", "g")).metadata.deletion_timestamp is None


@pytest.mark.parametrize(
    ("status", "spec", "code"),
    [
        ({}, {}, 201),
        ({"currentHealthy": 0}, {}, 429),
        ({"currentHealthy": 0}, {"unhealthyPodEvictionPolicy": "AlwaysAllow"}, 201),
    ],
    ids=["enough healthy ones", "too few", "always"],
)
async def test_pod_that_is_not_ready(
    http: Http, client: LocalClient, status: dict[str, Any], spec: dict[str, Any], code: int
) -> None:
    await budgeted(client, status, ready=False, **spec)
    assert (await post(http))[0] == code


async def test_several_budgets_of_one_pod_are_refused(http: Http, client: LocalClient) -> None:
    await budgeted(client, {"disruptionsAllowed": 1})
    await client.create(POD_DISRUPTION_BUDGETS, pdb("c"), "g")
    code, answer = await post(http)
    assert (code, "more than one PodDisruptionBudget" in answer["message"]) == (500, True)


async def test_pod_that_has_ended_asks_nobody(http: Http, client: LocalClient) -> None:
    await budgeted(client, {})
    await client.patch(PODS, "p", {"status": {"phase": "Succeeded"}}, "g", subresource="status")
    assert (await post(http))[0] == 201


async def test_two_evictions_never_share_one_allowance(http: Http, client: LocalClient) -> None:
    await budgeted(client, {"disruptionsAllowed": 1})
    made = await client.create(PODS, {"metadata": {"name": "q", "labels": {"a": "b"}},
                                      "spec": {"containers": [{"name": "c", "image": "i"}]}}, "g")  # fmt: skip
    assert await client.bind([Binding("g", "q", made["metadata"]["uid"], "n")]) == [None]
    ready = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
    await client.patch(PODS, "q", {"status": ready}, "g", subresource="status")

    async def evict(name: str) -> int:
        async with http.post(f"/api/v1/namespaces/g/pods/{name}/eviction", json={}) as response:
            return response.status

    assert sorted(await asyncio.gather(evict("p"), evict("q"))) == [201, 429]


async def test_a_version_that_the_client_knows_is_its_condition(http: Http, client: LocalClient) -> None:
    await budgeted(client, {"disruptionsAllowed": 2})
    known = (await client.get(PODS, "p", "g")).metadata.resource_version
    for version, code in (("1", 409), (known, 201)):
        assert (await post(http, deleteOptions={"preconditions": {"resourceVersion": version}}))[0] == code
    assert (await client.get(PODS, "p", "g")).metadata.deletion_timestamp is not None


@pytest.mark.parametrize("phase", ["Pending", "Failed"])
async def test_pod_that_no_budget_counts_is_told_why_it_goes(http: Http, client: LocalClient, phase: str) -> None:
    meta = {"name": "p", "finalizers": ["example.com/hold"]}
    await client.create(PODS, {"metadata": meta, "spec": {"containers": [{"name": "c", "image": "i"}]}}, "g")
    await client.patch(PODS, "p", {"status": {"phase": phase}}, "g", subresource="status")
    assert (await post(http))[0] == 201
    pod = await client.get(PODS, "p", "g")
    assert pod.metadata.deletion_timestamp is not None
    assert "DisruptionTarget" in [condition.type for condition in pod.status.conditions]
