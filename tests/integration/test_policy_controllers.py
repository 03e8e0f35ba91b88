"""Quotas that are counted, and claims and volumes that stay while they are used, on the real API and store."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from controlplane.controllers.custom_resources import resource_of
from shared.api.errors import Forbidden
from shared.api.kinds import (
    CUSTOM_RESOURCE_DEFINITIONS,
    PERSISTENT_VOLUME_CLAIMS,
    PERSISTENT_VOLUMES,
    PODS,
    RESOURCE_QUOTAS,
)
from tests.controllers import Cluster, running
from tests.custom import crontab, define, definition


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Cluster]:
    async with running(tmp_path) as found:
        for resource in (RESOURCE_QUOTAS, PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES):
            found.informers.cache(resource)
        yield found


def used(cluster: Cluster) -> dict[str, str]:
    quota = cluster.get(RESOURCE_QUOTAS, "q", "default")
    return quota.status.used if quota is not None else {}


async def test_what_is_used_follows_what_is_there(cluster: Cluster) -> None:
    await cluster.pod("before")
    quota = {"metadata": {"name": "q"}, "spec": {"hard": {"pods": "3", "count/pods": "9", "secrets": "5"}}}
    await cluster.client.create(RESOURCE_QUOTAS, quota, "default")
    await cluster.until(lambda: used(cluster).get("pods") == "1", RESOURCE_QUOTAS)
    await cluster.pod("a")
    await cluster.pod("b")
    await cluster.until(lambda: used(cluster).get("pods") == "3", RESOURCE_QUOTAS)
    await cluster.client.patch(PODS, "a", {"status": {"phase": "Succeeded"}}, "default", subresource="status")
    await cluster.until(lambda: used(cluster).get("pods") == "2", RESOURCE_QUOTAS)
    assert used(cluster)["count/pods"] == "3"
    await cluster.client.delete(PODS, "b", "default")
    await cluster.until(lambda: used(cluster) == {"pods": "1", "count/pods": "2", "secrets": "0"}, RESOURCE_QUOTAS)
    await cluster.client.patch(RESOURCE_QUOTAS, "q", {"spec": {"hard": {"secrets": None}}}, "default")
    await cluster.until(lambda: used(cluster) == {"pods": "1", "count/pods": "2"}, RESOURCE_QUOTAS)


async def test_a_claim_stays_while_a_pod_uses_it(cluster: Cluster) -> None:
    claim = {
        "metadata": {"name": "c"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    }
    await cluster.client.create(PERSISTENT_VOLUME_CLAIMS, claim, "default")
    volumes = [{"name": "v", "persistentVolumeClaim": {"claimName": "c"}}]
    await cluster.node("n")
    await cluster.pod("user", "n", volumes=volumes)
    await cluster.until(lambda: cluster.get(PODS, "user", "default").spec.node_name, PODS)
    await cluster.client.delete(PERSISTENT_VOLUME_CLAIMS, "c", "default")
    await cluster.until(
        lambda: cluster.get(PERSISTENT_VOLUME_CLAIMS, "c", "default").metadata.deletion_timestamp,
        PERSISTENT_VOLUME_CLAIMS,
    )
    assert cluster.get(PERSISTENT_VOLUME_CLAIMS, "c", "default") is not None
    await cluster.client.delete(PODS, "user", "default", grace_period_seconds=0)
    await cluster.until(lambda: cluster.get(PERSISTENT_VOLUME_CLAIMS, "c", "default") is None, PERSISTENT_VOLUME_CLAIMS)


async def test_a_volume_stays_while_it_is_bound(cluster: Cluster) -> None:
    volume = {
        "metadata": {"name": "v"},
        "spec": {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/x"}},
    }
    await cluster.client.create(PERSISTENT_VOLUMES, volume)
    await cluster.client.patch(PERSISTENT_VOLUMES, "v", {"status": {"phase": "Bound"}}, subresource="status")
    await cluster.client.delete(PERSISTENT_VOLUMES, "v")
    await cluster.until(lambda: cluster.get(PERSISTENT_VOLUMES, "v").metadata.deletion_timestamp, PERSISTENT_VOLUMES)
    await cluster.client.patch(PERSISTENT_VOLUMES, "v", {"status": {"phase": "Released"}}, subresource="status")
    await cluster.until(lambda: cluster.get(PERSISTENT_VOLUMES, "v") is None, PERSISTENT_VOLUMES)


async def test_custom_objects_are_counted(cluster: Cluster) -> None:
    await define(cluster.api, definition())
    crd = await cluster.client.get(CUSTOM_RESOURCE_DEFINITIONS, "crontabs.stable.example.com")
    tabs = resource_of(crd)
    assert tabs is not None
    limit = {"count/crontabs.stable.example.com": "1"}
    await cluster.client.create(RESOURCE_QUOTAS, {"metadata": {"name": "q"}, "spec": {"hard": limit}}, "default")
    await cluster.until(lambda: "0" in used(cluster).values(), RESOURCE_QUOTAS, seconds=20)
    await cluster.client.create(tabs, crontab("a"), "default")
    with pytest.raises(Forbidden, match="exceeded quota"):
        await cluster.client.create(tabs, crontab("b"), "default")
    await cluster.client.delete(tabs, "a", "default")
    await cluster.until(lambda: "0" in used(cluster).values(), RESOURCE_QUOTAS)
    await cluster.client.create(tabs, crontab("b"), "default")
