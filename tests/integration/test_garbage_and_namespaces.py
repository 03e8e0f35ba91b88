"""Owners and their dependents, and namespaces, on the real API and store."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from shared import join
from shared.api.kinds import (
    CONFIG_MAPS,
    EVENTS,
    NAMESPACES,
    NODE_LEASE_NAMESPACE,
    PODS,
    SECRETS,
    SERVICE_ACCOUNTS,
)
from shared.api.meta import JSON
from tests.controllers import CA, Cluster, running


@pytest.fixture
async def cluster(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Cluster]:
    """Its parameter, if any, is how late the controllers see what happens, in seconds."""
    async with running(tmp_path, getattr(request, "param", 0.0)) as found:
        yield found


async def owned_by(cluster: Cluster, owner: JSON, *names: str, block: bool = True) -> None:
    meta = owner["metadata"]
    reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": meta["name"], "uid": meta["uid"]}
    for name in names:
        metadata = {"name": name, "ownerReferences": [{**reference, "blockOwnerDeletion": block}]}
        await cluster.client.create(SECRETS, {"apiVersion": "v1", "kind": "Secret", "metadata": metadata}, "default")


async def config_map(cluster: Cluster, name: str, namespace: str = "default", **metadata: Any) -> JSON:
    obj = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, **metadata}}
    return await cluster.client.create(CONFIG_MAPS, obj, namespace)


@pytest.mark.parametrize("cluster", [0.0, 0.01], ids=["fresh", "stale"], indirect=True)
@pytest.mark.parametrize("policy", ["Background", "Foreground", None])
async def test_dependents_go_with_their_owner(cluster, policy):
    await owned_by(cluster, await config_map(cluster, "owner"), "a", "b")
    await cluster.client.delete(CONFIG_MAPS, "owner", "default", propagation_policy=policy)
    await cluster.until(
        lambda: (
            not any(cluster.get(SECRETS, name, "default") for name in "ab")
            and cluster.get(CONFIG_MAPS, "owner", "default") is None
        ),
        SECRETS,
        CONFIG_MAPS,
    )


async def test_in_the_foreground_the_owner_goes_last(cluster):
    order: list[str] = []
    for resource in (SECRETS, CONFIG_MAPS):
        cluster.informers.cache(resource).add_handler(
            lambda old, new: order.append(old.metadata.name) if new is None else None
        )
    await owned_by(cluster, await config_map(cluster, "owner"), "a", "b")
    await cluster.client.delete(CONFIG_MAPS, "owner", "default", propagation_policy="Foreground")
    await cluster.until(lambda: len(order) == 3, SECRETS, CONFIG_MAPS)
    assert order[-1] == "owner"


async def test_orphans_stay_without_their_owner(cluster):
    await owned_by(cluster, await config_map(cluster, "owner"), "a", "b")
    await cluster.client.delete(CONFIG_MAPS, "owner", "default", propagation_policy="Orphan")
    await cluster.until(lambda: cluster.get(CONFIG_MAPS, "owner", "default") is None, CONFIG_MAPS)
    for name in "ab":
        assert (await cluster.client.get(SECRETS, name, "default")).metadata.owner_references == ()


async def test_an_object_made_for_an_owner_that_never_was_is_collected(cluster):
    await owned_by(cluster, {"metadata": {"name": "never", "uid": "0000"}}, "a")
    await cluster.until(lambda: cluster.get(SECRETS, "a", "default") is None, SECRETS)


async def test_a_namespace_has_its_account_and_the_ca(cluster):
    await cluster.client.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team"}})
    await cluster.until(
        lambda: (
            cluster.get(SERVICE_ACCOUNTS, "default", "team") and cluster.get(CONFIG_MAPS, "kube-root-ca.crt", "team")
        ),
        SERVICE_ACCOUNTS,
        CONFIG_MAPS,
    )  # fmt: skip
    assert cluster.get(CONFIG_MAPS, "kube-root-ca.crt", "team").data == {"ca.crt": CA.pem.decode()}
    await cluster.client.delete(SERVICE_ACCOUNTS, "default", "team")
    await cluster.until(lambda: cluster.get(SERVICE_ACCOUNTS, "default", "team"), SERVICE_ACCOUNTS)


async def test_a_deleted_namespace_is_emptied_and_ends(cluster):
    await cluster.node("n0")
    await cluster.client.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team"}})
    await cluster.pod("p", "n0", namespace="team", ip="10.42.0.2")
    await config_map(cluster, "held", "team", finalizers=["example.com/hold"])
    event = {
        "apiVersion": "v1", "kind": "Event", "metadata": {"name": "e"}, "reason": "Test",
        "involvedObject": {"kind": "Pod", "namespace": "team", "name": "p"},
    }  # fmt: skip
    await cluster.client.create(EVENTS, event, "team")
    await cluster.client.delete(NAMESPACES, "team")
    await cluster.until(lambda: cluster.going() == {"p"}, PODS)
    assert (await cluster.client.get(CONFIG_MAPS, "held", "team")).metadata.deletion_timestamp is None
    await cluster.client.delete(PODS, "p", "team", grace_period_seconds=0)
    said = lambda: {c.type: c.message for c in cluster.get(NAMESPACES, "team").status.conditions}  # noqa: E731
    await cluster.until(
        lambda: "example.com/hold in 1 resource instances" in said().get("NamespaceFinalizersRemaining", ""), NAMESPACES
    )
    await cluster.client.patch(CONFIG_MAPS, "held", {"metadata": {"finalizers": None}}, "team")
    await cluster.until(lambda: cluster.get(NAMESPACES, "team") is None, NAMESPACES)
    assert (await cluster.client.list(EVENTS, "team")).items == []


async def test_a_system_namespace_comes_back(cluster):
    uid = cluster.get(NAMESPACES, NODE_LEASE_NAMESPACE).metadata.uid
    await cluster.client.delete(NAMESPACES, NODE_LEASE_NAMESPACE)
    await cluster.until(
        lambda: (found := cluster.get(NAMESPACES, NODE_LEASE_NAMESPACE)) and found.metadata.uid != uid, NAMESPACES
    )


async def test_a_join_token_goes_when_it_expires_and_others_stay(cluster):
    now = datetime.now(UTC)
    ends = {
        "aaaaaa": now - timedelta(hours=1),
        "bbbbbb": now + timedelta(seconds=2),
        "cccccc": None,
        "dddddd": now + timedelta(days=999),
    }
    for id_, expires in ends.items():
        await cluster.client.create(SECRETS, join.token_secret(id_, "0123456789abcdef", expires), join.NAMESPACE)
    tokens = lambda: {s.metadata.name[-6:] for s in cluster.informers.cache(SECRETS)}  # noqa: E731
    await cluster.until(lambda: tokens() == {"cccccc", "dddddd"}, SECRETS)
