"""``pods/resize`` as it is written: what it changes, what it is refused for, what quotas count."""

from typing import Any

import pytest

from controlplane.apiserver.local_client import LocalClient
from shared.api.errors import Forbidden, Invalid
from shared.api.kinds import LIMIT_RANGES, NODES, PODS, RESOURCE_QUOTAS
from shared.client.base import PatchType


@pytest.fixture
async def node(client: LocalClient) -> None:
    await client.create(NODES, {"metadata": {"name": "n"}, "spec": {}})
    offered = {"cpu": "4", "memory": "8Gi", "pods": "10"}
    await client.patch(NODES, "n", {"status": {"allocatable": offered, "capacity": offered}}, subresource="status")


async def make(client: LocalClient, **requests: str) -> None:
    container = {"name": "c", "image": "i:1", "resources": {"requests": requests}}
    await client.create(PODS, {"metadata": {"name": "p"}, "spec": {"nodeName": "n", "containers": [container]}}, "g")


async def resize(client: LocalClient, **requests: str) -> Any:
    patch = {"spec": {"containers": [{"name": "c", "resources": {"requests": requests}}], "activeDeadlineSeconds": 9}}
    return await client.patch(PODS, "p", patch, "g", type=PatchType.STRATEGIC, subresource="resize")


@pytest.mark.usefixtures("node")
async def test_a_resize_changes_resources_and_counts_a_generation(client: LocalClient) -> None:
    await make(client, cpu="1", memory="1Gi")
    answer = await resize(client, cpu="2")
    assert answer["spec"]["containers"][0]["resources"] == {"requests": {"cpu": "2", "memory": "1Gi"}}
    assert "activeDeadlineSeconds" not in answer["spec"]
    assert answer["metadata"]["generation"] == 2
    patch = {"spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": "3"}}}]}}
    with pytest.raises(Invalid, match="pod updates may not change fields other than"):
        await client.patch(PODS, "p", patch, "g", type=PatchType.STRATEGIC)


@pytest.mark.usefixtures("node")
async def test_more_than_the_node_has_is_refused(client: LocalClient) -> None:
    await make(client, cpu="1", memory="1Gi")
    words = r"node didn't have enough allocatable resources: cpu, requested: 5000, allocatable: 4000; memory, requested"
    with pytest.raises(Forbidden, match=words) as refused:
        await resize(client, cpu="5", memory="9Gi")
    assert [cause.reason for cause in refused.value.causes] == ["NodeCapacity"]


@pytest.mark.usefixtures("node")
async def test_limit_ranges_hold_for_a_resize(client: LocalClient) -> None:
    await make(client, cpu="1", memory="1Gi")
    limits = {"limits": [{"type": "Pod", "min": {"cpu": "500m"}}]}
    await client.create(LIMIT_RANGES, {"metadata": {"name": "l"}, "spec": limits}, "g")
    with pytest.raises(Forbidden, match="minimum cpu usage per Pod is 500m, but request is 100m"):
        await resize(client, cpu="100m")


@pytest.mark.usefixtures("node")
async def test_a_quota_is_charged_for_the_growth(client: LocalClient) -> None:
    await make(client, cpu="1", memory="1Gi")
    hard = {"requests.cpu": "3"}
    await client.create(RESOURCE_QUOTAS, {"metadata": {"name": "q"}, "spec": {"hard": hard}}, "g")
    status = {"status": {"hard": hard, "used": {"requests.cpu": "1"}}}
    await client.patch(RESOURCE_QUOTAS, "q", status, "g", subresource="status")
    await resize(client, cpu="2500m")
    assert (await client.get(RESOURCE_QUOTAS, "q", "g")).status.used == {"requests.cpu": "2500m"}
    with pytest.raises(Forbidden, match=r"exceeded quota: q, requested: requests.cpu=1, used: requests.cpu=2500m"):
        await resize(client, cpu="3500m")
