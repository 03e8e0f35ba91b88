"""pods/eviction over HTTP, as kubectl drain asks for it."""

from __future__ import annotations

from typing import Any

import pytest
from aiohttp.test_utils import TestClient

from controlplane.apiserver.local_client import LocalClient
from shared.api.errors import NotFound
from shared.api.kinds import PODS
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
        ({"apiVersion": "policy/v1beta1"}, 400, "policy/v1"),
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
