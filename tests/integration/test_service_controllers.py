"""Endpoints and EndpointSlices on the real API and store."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from shared.api.kinds import (
    ENDPOINT_SLICES,
    ENDPOINTS,
    PODS,
    SERVICES,
)
from shared.api.meta import JSON
from tests.controllers import Cluster, running


@pytest.fixture
async def cluster(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Cluster]:
    """Its parameter, if any, is how late the controllers see what happens, in seconds."""
    async with running(tmp_path, getattr(request, "param", 0.0)) as found:
        yield found


def service(**spec: Any) -> JSON:
    fields = {"selector": {"app": "web"}, "ports": [{"name": "http", "port": 80}], "clusterIP": "None", **spec}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web", "namespace": "default"}, "spec": fields}


async def test_endpoints_follow_pods(cluster):
    await cluster.node("n0")
    await cluster.client.create(SERVICES, service(), "default")
    await cluster.pod("a", "n0", ip="10.42.0.2")
    await cluster.pod("b", "n0", ip="10.42.0.3")
    await cluster.until(lambda: cluster.listed() == ["10.42.0.2", "10.42.0.3"], ENDPOINT_SLICES)
    addresses = lambda: [a.ip for s in cluster.get(ENDPOINTS, "web", "default").subsets for a in s.addresses]  # noqa: E731
    await cluster.until(
        lambda: cluster.get(ENDPOINTS, "web", "default") and addresses() == ["10.42.0.2", "10.42.0.3"], ENDPOINTS
    )
    await cluster.client.delete(PODS, "a", "default")
    await cluster.until(lambda: cluster.listed() == ["10.42.0.3"], ENDPOINT_SLICES)
    await cluster.until(lambda: addresses() == ["10.42.0.3"], ENDPOINTS)
    assert len(cluster.informers.cache(ENDPOINT_SLICES)) == 1
    await cluster.client.delete(SERVICES, "web", "default")
    await cluster.until(
        lambda: len(cluster.informers.cache(ENDPOINT_SLICES)) + len(cluster.informers.cache(ENDPOINTS)) == 0,
        ENDPOINT_SLICES,
        ENDPOINTS,
    )


@pytest.mark.parametrize("cluster", [0.0, 0.003], ids=["fresh", "stale"], indirect=True)
async def test_a_lost_nodes_addresses_are_dropped_and_no_slice_is_made_twice(cluster):
    for number in range(3):
        await cluster.node(f"n{number}")
    await cluster.client.create(SERVICES, service(), "default")
    await asyncio.gather(*(cluster.pod(f"p{n}", f"n{n % 3}", ip=f"10.42.{n % 3}.{n + 2}") for n in range(150)))
    await cluster.until(lambda: len(cluster.listed()) == 150, ENDPOINT_SLICES)
    assert len(cluster.informers.cache(ENDPOINT_SLICES)) <= 4
    uids = [e.target_ref["uid"] for s in cluster.informers.cache(ENDPOINT_SLICES) for e in s.endpoints]
    assert len(uids) == len(set(uids))
    await cluster.lose("n0")
    await cluster.until(lambda: len(cluster.listed()) == 100, ENDPOINT_SLICES)
    assert not any(address.startswith("10.42.0.") for address in cluster.listed())
