"""delete: grace, finalizers, propagation and preconditions; deletecollection."""

from __future__ import annotations

import pytest

from controlplane.apiserver.api import ApiServer
from controlplane.apiserver.identity import User
from controlplane.apiserver.local_client import LocalClient
from controlplane.apiserver.request import DeleteOptions, ListOptions, Request
from controlplane.apiserver.verbs import delete
from shared.api.errors import Conflict, Forbidden, Invalid, NotFound
from shared.api.kinds import CONFIG_MAPS, DEPLOYMENTS, NAMESPACES, PODS, Resource
from shared.api.meta import JSON
from shared.client.base import Binding
from shared.work.clock import FakeClock

POD: JSON = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
TEMPLATE: JSON = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
DEPLOYMENT: JSON = {"metadata": {"name": "d"}, "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": TEMPLATE}}


async def _delete(
    api: ApiServer,
    client: LocalClient,
    resource: Resource[object],
    name: str,
    options: DeleteOptions = DeleteOptions(),  # type: ignore[type-var]
) -> JSON:
    request = Request(User("u"), client.kind_of(resource), "g" if resource.namespaced else "", name)
    return (await delete.delete(api, request, options)).tree()


async def _bound_pod(client: LocalClient, **meta: object) -> JSON:
    made = await client.create(PODS, {**POD, "metadata": {"name": "p", **meta}}, "g")
    assert await client.bind([Binding("g", "p", "", "n")]) == [None]
    return made


async def test_a_plain_object_goes_at_once(api: ApiServer, client: LocalClient) -> None:
    made = await client.create(CONFIG_MAPS, {"metadata": {"name": "a"}}, "g")
    answer = await _delete(api, client, CONFIG_MAPS, "a")
    assert answer["status"] == "Success"
    assert answer["details"] == {"name": "a", "kind": "configmaps", "uid": made["metadata"]["uid"]}
    with pytest.raises(NotFound):
        await _delete(api, client, CONFIG_MAPS, "a")


async def test_a_running_pod_gets_its_grace(api: ApiServer, client: LocalClient) -> None:
    await _bound_pod(client)
    pod = await _delete(api, client, PODS, "p")
    assert pod["metadata"]["deletionTimestamp"] == "2026-05-04T12:00:30Z"
    assert pod["metadata"]["deletionGracePeriodSeconds"] == 30
    again = await _delete(api, client, PODS, "p")
    assert again["metadata"]["resourceVersion"] == pod["metadata"]["resourceVersion"]


async def test_grace_is_only_ever_shortened(api: ApiServer, client: LocalClient, clock: FakeClock) -> None:
    await _bound_pod(client)
    await _delete(api, client, PODS, "p", DeleteOptions(20))
    clock.advance(3)
    pod = await _delete(api, client, PODS, "p", DeleteOptions(60))
    assert pod["metadata"]["deletionGracePeriodSeconds"] == 20
    pod = await _delete(api, client, PODS, "p", DeleteOptions(5))
    assert pod["metadata"]["deletionTimestamp"] == "2026-05-04T12:00:05Z"
    await _delete(api, client, PODS, "p", DeleteOptions(0))
    with pytest.raises(NotFound):
        await client.get(PODS, "p", "g")


@pytest.mark.parametrize("phase", ["", "Succeeded", "Failed"], ids=["unscheduled", "succeeded", "failed"])
async def test_a_pod_that_does_not_run_goes_at_once(api: ApiServer, client: LocalClient, phase: str) -> None:
    if phase:
        await _bound_pod(client)
        await client.patch(PODS, "p", {"status": {"phase": phase}}, "g", subresource="status")
    else:
        await client.create(PODS, POD, "g")
    await _delete(api, client, PODS, "p", DeleteOptions(30))
    with pytest.raises(NotFound):
        await client.get(PODS, "p", "g")


async def test_a_deletion_counts_up_the_generation(api: ApiServer, client: LocalClient) -> None:
    made = await client.create(DEPLOYMENTS, {**DEPLOYMENT, "metadata": {"name": "d", "finalizers": ["x.io/f"]}}, "g")
    marked = await _delete(api, client, DEPLOYMENTS, "d")
    assert marked["metadata"]["generation"] == made["metadata"]["generation"] + 1
    assert marked["metadata"]["deletionGracePeriodSeconds"] == 0


async def test_finalizers_hold_an_object_until_the_last_is_off(api: ApiServer, client: LocalClient) -> None:
    await client.create(CONFIG_MAPS, {"metadata": {"name": "a", "finalizers": ["x.io/f", "x.io/g"]}}, "g")
    marked = await _delete(api, client, CONFIG_MAPS, "a")
    assert marked["metadata"]["deletionTimestamp"] == "2026-05-04T12:00:00Z"
    with pytest.raises(Invalid, match="no new finalizers can be added"):
        await client.patch(CONFIG_MAPS, "a", {"metadata": {"finalizers": ["x.io/f", "x.io/g", "x.io/h"]}}, "g")
    await client.patch(CONFIG_MAPS, "a", {"metadata": {"finalizers": ["x.io/g"]}}, "g")
    last = await client.patch(CONFIG_MAPS, "a", {"metadata": {"finalizers": []}}, "g")
    assert "finalizers" not in last["metadata"]
    with pytest.raises(NotFound):
        await client.get(CONFIG_MAPS, "a", "g")


async def test_a_pod_with_a_finalizer_waits_for_both_holds(api: ApiServer, client: LocalClient) -> None:
    await _bound_pod(client, finalizers=["x.io/f"])
    await _delete(api, client, PODS, "p")
    pod = await _delete(api, client, PODS, "p", DeleteOptions(0))
    assert pod["metadata"]["deletionGracePeriodSeconds"] == 0
    await client.patch(PODS, "p", {"metadata": {"finalizers": None}}, "g")
    with pytest.raises(NotFound):
        await client.get(PODS, "p", "g")


@pytest.mark.parametrize(
    ("policy", "finalizers"),
    [("Foreground", ["foregroundDeletion"]), ("Orphan", ["orphan"]), ("Background", None), ("", None)],
    ids=["foreground", "orphan", "background", "none"],
)
async def test_propagation_policies(
    api: ApiServer, client: LocalClient, policy: str, finalizers: list[str] | None
) -> None:
    await client.create(DEPLOYMENTS, DEPLOYMENT, "g")
    answer = await _delete(api, client, DEPLOYMENTS, "d", DeleteOptions(propagation=policy))
    if finalizers is None:
        assert answer["status"] == "Success"
    else:
        assert answer["metadata"]["finalizers"] == finalizers
        assert answer["metadata"]["deletionTimestamp"]


async def test_the_collectors_finalizer_is_exchanged_by_a_later_policy(api: ApiServer, client: LocalClient) -> None:
    await client.create(DEPLOYMENTS, DEPLOYMENT, "g")
    await _delete(api, client, DEPLOYMENTS, "d", DeleteOptions(propagation="Foreground"))
    same = await _delete(api, client, DEPLOYMENTS, "d")
    assert same["metadata"]["finalizers"] == ["foregroundDeletion"]
    await _delete(api, client, DEPLOYMENTS, "d", DeleteOptions(propagation="Background"))
    with pytest.raises(NotFound):
        await client.get(DEPLOYMENTS, "d", "g")


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (DeleteOptions(uid="other"), "the UID in the precondition"),
        (DeleteOptions(resource_version="1"), "the ResourceVersion in the precondition"),
    ],
    ids=["uid", "resourceVersion"],
)
async def test_preconditions(api: ApiServer, client: LocalClient, options: DeleteOptions, text: str) -> None:
    await client.create(CONFIG_MAPS, {"metadata": {"name": "a"}}, "g")
    with pytest.raises(Conflict, match=text):
        await _delete(api, client, CONFIG_MAPS, "a", options)
    assert await client.get(CONFIG_MAPS, "a", "g")


async def test_dry_run_deletes_nothing(api: ApiServer, client: LocalClient) -> None:
    await client.create(CONFIG_MAPS, {"metadata": {"name": "a"}}, "g")
    answer = await _delete(api, client, CONFIG_MAPS, "a", DeleteOptions(dry_run=True))
    assert answer["status"] == "Success"
    assert await client.get(CONFIG_MAPS, "a", "g")


async def test_system_namespaces_stay(api: ApiServer, client: LocalClient) -> None:
    await client.create(NAMESPACES, {"metadata": {"name": "default"}})
    with pytest.raises(Forbidden, match="this namespace may not be deleted"):
        await _delete(api, client, NAMESPACES, "default")


async def test_a_collection_by_label(api: ApiServer, client: LocalClient) -> None:
    for index in range(4):
        labels = {"n": str(index % 2)}
        await client.create(CONFIG_MAPS, {"metadata": {"name": f"a{index}", "labels": labels}}, "g")
    request = Request(User("u"), client.kind_of(CONFIG_MAPS), "g")
    page = await delete.delete_collection(api, request, DeleteOptions(), ListOptions("n=1"))
    assert [entry.name for entry in page.entries] == ["a1", "a3"]
    assert [o.metadata.name for o in (await client.list(CONFIG_MAPS, "g")).items] == ["a0", "a2"]
