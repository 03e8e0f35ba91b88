"""Disruption budgets on the real API and store: their status follows pods and scales, and evictions go by it."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from controlplane.apiserver.identity import CONTROL_PLANE
from controlplane.apiserver.kinds.table import BY_GVK
from controlplane.apiserver.request import Request
from controlplane.apiserver.verbs import evict as verb
from shared.api.errors import TooManyRequests
from shared.api.kinds import POD_DISRUPTION_BUDGETS, PODS, REPLICA_SETS
from tests.controllers import Cluster, running

LABELS = {"app": "web"}


@pytest.fixture(params=[0.0, 0.05], ids=["fresh caches", "late caches"])
async def cluster(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Cluster]:
    async with running(tmp_path, request.param) as found:
        yield found


async def budget(cluster: Cluster, **spec: Any) -> None:
    body = {"metadata": {"name": "b"}, "spec": {"selector": {"matchLabels": LABELS}, **spec}}
    await cluster.client.create(POD_DISRUPTION_BUDGETS, body, "default")
    await cluster.until(lambda: cluster.get(POD_DISRUPTION_BUDGETS, "b", "default"), POD_DISRUPTION_BUDGETS)


async def counts(cluster: Cluster, expected: tuple[int, ...]) -> None:
    """Wait for disruptionsAllowed, currentHealthy, desiredHealthy and expectedPods of the budget."""

    def seen() -> bool:
        found = cluster.get(POD_DISRUPTION_BUDGETS, "b", "default").status
        counted = found.disruptions_allowed, found.current_healthy, found.desired_healthy, found.expected_pods
        return bool(counted == expected)

    await cluster.until(seen, POD_DISRUPTION_BUDGETS)


async def evict(cluster: Cluster, name: str) -> None:
    call = Request(CONTROL_PLANE, BY_GVK["", "v1", "Pod"], "default", name, "eviction")
    await verb.evict(cluster.api, call, {"metadata": {"name": name}})


async def test_a_number_of_pods_is_kept(cluster: Cluster) -> None:
    await cluster.node("n")
    for index in range(3):
        await cluster.pod(f"p{index}", "n", ip=f"10.0.0.{index + 1}")
    await budget(cluster, minAvailable=2)
    await counts(cluster, (1, 3, 2, 3))
    outcomes = await asyncio.gather(*(evict(cluster, f"p{index}") for index in range(3)), return_exceptions=True)
    refused = [outcome for outcome in outcomes if outcome is not None]
    assert len(refused) == 2, "evictions side by side share no allowance"
    assert all(isinstance(error, TooManyRequests) for error in refused)
    await counts(cluster, (0, 2, 2, 3))
    gone = outcomes.index(None)
    await cluster.client.delete(PODS, f"p{gone}", "default", grace_period_seconds=0)
    await counts(cluster, (0, 2, 2, 2))

    budgets = POD_DISRUPTION_BUDGETS
    await cluster.until(lambda: not cluster.get(budgets, "b", "default").status.disrupted_pods, budgets)
    await cluster.pod("p3", "n", ip="10.0.0.9")
    await counts(cluster, (1, 3, 2, 3))


async def test_a_share_is_counted_of_what_is_wanted(cluster: Cluster) -> None:
    await cluster.node("n")
    template = {"metadata": {"labels": LABELS}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    spec = {"replicas": 2, "selector": {"matchLabels": LABELS}, "template": template}
    made = await cluster.client.create(REPLICA_SETS, {"metadata": {"name": "web"}, "spec": spec}, "default")
    owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "uid": made["metadata"]["uid"],
             "controller": True}  # fmt: skip
    for index in range(2):
        meta = {"ownerReferences": [owner]}
        await cluster.pod(f"p{index}", "n", ip=f"10.0.0.{index + 1}", metadata=meta)
    await budget(cluster, maxUnavailable="50%")
    await counts(cluster, (1, 2, 1, 2))
    await cluster.client.patch(REPLICA_SETS, "web", {"spec": {"replicas": 4}}, "default")
    await counts(cluster, (0, 2, 2, 4))
    await cluster.client.patch(POD_DISRUPTION_BUDGETS, "b", {"spec": {"maxUnavailable": 3}}, "default")
    await counts(cluster, (1, 2, 1, 4))
