"""Nodes on the real API and store: joining, ranges, what is lost, tainted, evicted and collected."""

import asyncio
import base64
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from controlplane.apiserver.identity import User
from controlplane.apiserver.local_client import LocalClient
from controlplane.controllers.csr import SIGNER
from shared import pki
from shared.api.kinds import (
    CERTIFICATE_SIGNING_REQUESTS,
    EVENTS,
    NODES,
    PODS,
)
from tests.controllers import CA, UNREACHABLE, Cluster, running


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Cluster]:
    async with running(tmp_path) as found:
        yield found


async def ask(cluster: Cluster, name: str, user: User, node: str) -> Any:
    """Make a request as ``user`` does, and wait for its outcome."""
    pem = pki.signing_request(pki.new_key(), f"system:node:{node}", ["system:nodes"])
    obj = {
        "apiVersion": "certificates.k8s.io/v1",
        "kind": "CertificateSigningRequest",
        "metadata": {"name": name},
        "spec": {
            "request": base64.b64encode(pem).decode(),
            "signerName": SIGNER,
            "usages": ["digital signature", "client auth"],
        },
    }
    await LocalClient(cluster.api, user).create(CERTIFICATE_SIGNING_REQUESTS, obj)
    found = lambda: cluster.get(CERTIFICATE_SIGNING_REQUESTS, name)  # noqa: E731
    await cluster.until(
        lambda: (csr := found()) and (csr.status.certificate or any(c.type == "Denied" for c in csr.status.conditions)),
        CERTIFICATE_SIGNING_REQUESTS,
    )
    return found().status


TOKEN = User("system:bootstrap:abcdef", ("system:bootstrappers", "system:authenticated"))


async def test_a_host_joins_and_renews(cluster):
    status = await ask(cluster, "join", TOKEN, "n0")
    assert pki.issued_by(base64.b64decode(status.certificate), CA.certificate)
    await cluster.node("n0")
    itself = User("system:node:n0", ("system:nodes", "system:authenticated"))
    assert (await ask(cluster, "renew", itself, "n0")).certificate


async def test_a_token_does_not_take_over_a_living_node_but_a_silent_one(cluster):
    await cluster.node("n0")
    status = await ask(cluster, "steal", TOKEN, "n0")
    assert [(c.type, c.reason) for c in status.conditions] == [("Denied", "NodeIsAlive")]
    await cluster.lose("n0")
    assert (await ask(cluster, "repair", TOKEN, "n0")).certificate


async def test_nodes_get_ranges_of_their_own(cluster):
    for number in range(3):
        await cluster.node(f"n{number}")
    await cluster.until(lambda: all(node.spec.pod_cidr for node in cluster.informers.cache(NODES)), NODES)
    ranges = {node.spec.pod_cidr for node in cluster.informers.cache(NODES)}
    assert ranges == {"10.42.0.0/24", "10.42.1.0/24", "10.42.2.0/24"}


async def test_what_happens_to_a_node_is_told_in_events(cluster):
    await cluster.node("n0")
    await cluster.until(lambda: cluster.ready("n0") == "True", NODES)
    await cluster.client.patch(NODES, "n0", {"spec": {"unschedulable": True}})
    await cluster.lose("n0")
    await cluster.until(lambda: cluster.ready("n0") == "Unknown", NODES)
    wanted = {"RegisteredNode", "NodeNotSchedulable", "NodeNotReady"}
    async with asyncio.timeout(10):
        while not wanted <= {event.reason for event in (await cluster.client.list(EVENTS, "default")).items}:
            await asyncio.sleep(0.02)


async def test_a_lost_nodes_pods_are_evicted_within_milliseconds(cluster):
    for number in range(3):
        await cluster.node(f"n{number}")
    for number in range(100):
        await cluster.pod(f"p{number}", "n0", ip=f"10.42.0.{number + 2}")
    await cluster.pod("elsewhere", "n1", ip="10.42.1.2")
    await cluster.until(lambda: len(cluster.informers.cache(PODS)) == 101, PODS)
    began = time.perf_counter()
    await cluster.lose("n0")
    await cluster.until(lambda: len(cluster.going()) == 100, PODS)
    print(f"100 pods evicted {1000 * (time.perf_counter() - began):.0f} ms after the lease ended")
    assert "elsewhere" not in cluster.going()
    assert cluster.taints("n0") == {(UNREACHABLE, "NoSchedule"), (UNREACHABLE, "NoExecute")}
    await cluster.until(lambda: cluster.ready("n0") == "Unknown", NODES)
    await cluster.beat("n0")
    await cluster.report("n0", "True")
    await cluster.until(lambda: cluster.taints("n0") == set(), NODES)


async def test_a_pod_that_tolerates_stays_until_its_time_is_over_and_shows_as_not_ready(cluster):
    for number in range(3):
        await cluster.node(f"n{number}")
    toleration = {"key": UNREACHABLE, "operator": "Exists", "effect": "NoExecute"}
    await cluster.pod("stays", "n0", ip="10.42.0.2", tolerations=[toleration])
    await cluster.pod("later", "n0", ip="10.42.0.3", tolerations=[{**toleration, "tolerationSeconds": 1}])
    await cluster.lose("n0")
    readiness = lambda: {  # noqa: E731
        p.metadata.name: (c.status, c.reason)
        for p in cluster.informers.cache(PODS)
        for c in p.status.conditions
        if c.type == "Ready"
    }
    await cluster.until(lambda: readiness().get("stays") == ("False", "NodeNotReady"), PODS)
    assert cluster.going() == set()
    await cluster.until(lambda: cluster.going() == {"later"}, PODS)


async def test_when_every_node_is_lost_nothing_more_is_evicted_until_one_is_back_for_a_while(cluster):
    for number in range(3):
        await cluster.node(f"n{number}")
        await cluster.pod(f"p{number}", f"n{number}", ip=f"10.42.{number}.2")
    await cluster.lose("n0", "n1", "n2")
    await cluster.until(lambda: all(cluster.ready(f"n{n}") == "Unknown" for n in range(3)), NODES)
    await cluster.until(lambda: not any((UNREACHABLE, "NoExecute") in cluster.taints(f"n{n}") for n in range(3)), NODES)
    assert "p2" not in cluster.going()
    await cluster.beat("n0")
    await cluster.report("n0", "True")
    await cluster.until(lambda: (UNREACHABLE, "NoExecute") in cluster.taints("n2"), NODES)
    await cluster.until(lambda: "p2" in cluster.going(), PODS)


async def test_a_node_that_never_sends_a_heartbeat_has_a_grace(cluster):
    await cluster.node("n0")
    await cluster.node("silent", heartbeat=False)
    await cluster.pod("p", "silent", ip="10.42.0.2")
    assert cluster.ready("silent") != "Unknown"
    await cluster.until(lambda: cluster.ready("silent") == "Unknown", NODES)
    await cluster.until(lambda: cluster.going() == {"p"}, PODS)


async def test_an_agent_that_says_not_ready_has_a_grace_and_comes_back_at_once(cluster):
    await cluster.node("n0")
    await cluster.node("n1")
    await cluster.report("n1", "False")
    not_ready = "node.kubernetes.io/not-ready"
    await cluster.until(lambda: cluster.taints("n1") == {(not_ready, "NoSchedule")}, NODES)
    await cluster.until(lambda: (not_ready, "NoExecute") in cluster.taints("n1"), NODES)
    await cluster.report("n1", "True")
    await cluster.until(lambda: cluster.taints("n1") == set(), NODES)


async def test_cordon_taints(cluster):
    await cluster.node("n0")
    await cluster.client.patch(NODES, "n0", {"spec": {"unschedulable": True}})
    taint = ("node.kubernetes.io/unschedulable", "NoSchedule")
    await cluster.until(lambda: taint in cluster.taints("n0"), NODES)
    await cluster.client.patch(NODES, "n0", {"spec": {"unschedulable": None}})
    await cluster.until(lambda: taint not in cluster.taints("n0"), NODES)


async def test_pods_of_a_node_that_is_gone_are_gone(cluster):
    await cluster.node("n0")
    await cluster.node("n1")
    await cluster.pod("p0", "n0", ip="10.42.0.2")
    await cluster.client.delete(NODES, "n0")
    await cluster.until(lambda: cluster.get(PODS, "p0", "default") is None, PODS)


async def test_finished_pods_beyond_the_threshold_are_gone(cluster):
    await cluster.node("n0")
    for number in range(8):
        await cluster.pod(f"p{number}", "n0")
        status = {"status": {"phase": "Succeeded"}}
        await cluster.client.patch(PODS, f"p{number}", status, "default", subresource="status")
    await cluster.until(lambda: len(cluster.informers.cache(PODS)) == 5, PODS)
