"""Cluster addresses and node ports: given, kept, refused and given back."""

from __future__ import annotations

import asyncio
import ipaddress
from typing import Any

import pytest

from controlplane.apiserver.api import ApiServer
from controlplane.apiserver.local_client import LocalClient
from shared.api.errors import InternalError, Invalid
from shared.api.kinds import IP_ADDRESSES, SERVICE_CIDRS, SERVICES
from shared.client.base import PatchType

RANGE = ipaddress.IPv4Network("10.43.0.0/24")


@pytest.fixture(autouse=True)
def addresses(api: ApiServer) -> None:
    api.service_cidr = RANGE


async def make(client: LocalClient, name: str = "s", namespace: str = "g", **spec: Any) -> Any:
    body = {"ports": [{"port": 80}], **spec}
    return (await client.create(SERVICES, {"metadata": {"name": name}, "spec": body}, namespace))["spec"]


async def held(client: LocalClient) -> set[str]:
    return {address.metadata.name for address in (await client.list(IP_ADDRESSES)).items}


async def test_service_gets_an_address_of_its_own(client: LocalClient) -> None:
    specs = [await make(client, f"s{number}") for number in range(20)]
    given = {spec["clusterIP"] for spec in specs}
    assert len(given) == 20
    assert all(ipaddress.ip_address(ip) in RANGE for ip in given)
    assert specs[0]["clusterIPs"] == [specs[0]["clusterIP"]]
    assert await held(client) == given


async def test_address_object_names_its_service(client: LocalClient) -> None:
    await make(client, clusterIP="10.43.0.9")
    made = await client.patch(IP_ADDRESSES, "10.43.0.9", {"metadata": {"labels": {"x": "y"}}})
    assert made["spec"]["parentRef"] == {"group": "", "resource": "services", "namespace": "g", "name": "s"}


@pytest.mark.parametrize("spec", [{"clusterIP": "None"}, {"type": "ExternalName", "externalName": "x", "ports": []}])
async def test_who_needs_none_gets_none(client: LocalClient, spec: dict[str, Any]) -> None:
    assert (await make(client, **spec)).get("clusterIP") in (None, "None")
    assert await held(client) == set()


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"clusterIP": "10.43.0.9"}, "provided IP is already allocated"),
        ({"clusterIP": "10.99.0.1"}, "not in the valid range. The range of valid IPs is 10.43.0.0/24"),
        ({"ipFamilies": ["IPv6"]}, "not configured on this cluster"),
        ({"type": "NodePort", "ports": [{"port": 80, "nodePort": 30001}]}, "provided port is already allocated"),
        ({"type": "NodePort", "ports": [{"port": 80, "nodePort": 80}]}, "The range of valid ports is 30000-32767"),
    ],
)
async def test_what_is_refused(client: LocalClient, spec: dict[str, Any], words: str) -> None:
    await make(client, "taken", "other", clusterIP="10.43.0.9", type="NodePort", ports=[{"port": 1, "nodePort": 30001}])
    with pytest.raises(Invalid, match=words):
        await make(client, **spec)
    assert await held(client) == {"10.43.0.9"}


async def test_deletion_and_change_of_type_give_back(client: LocalClient) -> None:
    await make(client, clusterIP="10.43.0.9", type="NodePort", ports=[{"port": 80, "nodePort": 30001}])
    await client.patch(SERVICES, "s", {"spec": {"type": "ClusterIP"}}, "g")
    again = await make(client, "n", type="NodePort", ports=[{"port": 80, "nodePort": 30001}])
    assert again["ports"][0]["nodePort"] == 30001
    await client.patch(
        SERVICES,
        "s",
        {"spec": {"type": "ExternalName", "externalName": "x", "clusterIP": None, "clusterIPs": None}},
        "g",
    )
    assert await held(client) == {again["clusterIP"]}
    await client.delete(SERVICES, "n", "g")
    assert await held(client) == set()
    assert await make(
        client, "m", clusterIP=again["clusterIP"], type="NodePort", ports=[{"port": 1, "nodePort": 30001}]
    )


async def test_finalizer_holds_the_address_until_it_goes(client: LocalClient) -> None:
    await make(client)
    await client.patch(SERVICES, "s", {"metadata": {"finalizers": ["example.com/wait"]}}, "g")
    await client.delete(SERVICES, "s", "g")
    assert len(await held(client)) == 1
    await client.patch(SERVICES, "s", {"metadata": {"finalizers": None}}, "g")
    assert await held(client) == set()


async def test_change_keeps_the_address(client: LocalClient) -> None:
    before = await make(client)
    got = await client.patch(SERVICES, "s", {"spec": {"ports": [{"port": 81}]}}, "g")
    assert got["spec"]["clusterIP"] == before["clusterIP"]
    got = await client.patch(SERVICES, "s", {"spec": {"type": "NodePort"}}, "g", type=PatchType.MERGE)
    assert 30000 <= got["spec"]["ports"][0]["nodePort"] < 32768
    port = got["spec"]["ports"][0]["nodePort"]
    got = await client.patch(SERVICES, "s", {"metadata": {"labels": {"a": "b"}}}, "g")
    assert got["spec"]["ports"][0]["nodePort"] == port


async def test_ports_of_a_load_balancer(client: LocalClient) -> None:
    both = [{"name": "t", "port": 53, "protocol": "TCP"}, {"name": "u", "port": 53, "protocol": "UDP"}]
    spec = await make(client, "dns", type="LoadBalancer", externalTrafficPolicy="Local", ports=both)
    assert spec["ports"][0]["nodePort"] == spec["ports"][1]["nodePort"]
    assert 30000 <= spec["healthCheckNodePort"] < 32768
    spec = await make(client, "none", type="LoadBalancer", allocateLoadBalancerNodePorts=False)
    assert "nodePort" not in spec["ports"][0]


async def test_many_at_once_never_share_one(client: LocalClient, api: ApiServer) -> None:
    api.service_cidr = ipaddress.IPv4Network("10.43.0.0/27")
    specs = await asyncio.gather(*(make(client, f"s{number}") for number in range(29)))
    assert len({spec["clusterIP"] for spec in specs}) == 29
    with pytest.raises(InternalError, match="range is full"):
        await make(client, "more")


async def test_trial_takes_nothing(http: Any, client: LocalClient) -> None:
    body = {"metadata": {"name": "s"}, "spec": {"ports": [{"port": 80}]}}
    async with http.post("/api/v1/namespaces/g/services?dryRun=All", json=body) as response:
        assert (await response.json())["spec"]["clusterIP"].startswith("10.43.0.")
    assert await held(client) == set()


# --- further ranges


async def add_range(client: LocalClient, name: str, cidr: str, ready: str = "") -> None:
    await client.create(SERVICE_CIDRS, {"metadata": {"name": name}, "spec": {"cidrs": [cidr]}})
    if ready:
        await judge(client, name, ready)


async def judge(client: LocalClient, name: str, ready: str) -> None:
    condition = {"type": "Ready", "status": ready, "reason": "", "message": "",
                 "lastTransitionTime": "2026-01-01T00:00:00Z"}  # fmt: skip
    await client.patch(SERVICE_CIDRS, name, {"status": {"conditions": [condition]}}, subresource="status")


@pytest.mark.parametrize(("ready", "given"), [("True", True), ("", True), ("False", False)])
async def test_addresses_of_a_further_range(client: LocalClient, ready: str, given: bool) -> None:
    await add_range(client, "more", "10.99.0.0/24", ready)
    if given:
        assert (await make(client, clusterIP="10.99.0.9"))["clusterIP"] == "10.99.0.9"
        assert await held(client) == {"10.99.0.9"}
    else:
        with pytest.raises(Invalid, match=r"not in the valid range. The range of valid IPs is 10.43.0.0/24"):
            await make(client, clusterIP="10.99.0.9")


async def test_a_full_range_is_followed_by_the_next(client: LocalClient, api: ApiServer) -> None:
    api.service_cidr = ipaddress.IPv4Network("10.43.0.0/30")
    await add_range(client, "tiny", "10.98.0.0/31", "True")
    await add_range(client, "v6", "fd00::/112", "True")
    assert (await make(client, "first"))["clusterIP"] == "10.43.0.2"
    with pytest.raises(InternalError, match="range is full"):
        await make(client, "second")
    await add_range(client, "next", "10.99.0.0/24", "True")
    assert ipaddress.ip_address((await make(client, "second"))["clusterIP"]) in ipaddress.IPv4Network("10.99.0.0/24")


async def test_nothing_more_is_taken_from_a_range_that_is_being_deleted(client: LocalClient) -> None:
    await add_range(client, "more", "10.99.0.0/24", "True")
    await make(client, clusterIP="10.99.0.9")
    await client.patch(SERVICE_CIDRS, "more", {"metadata": {"finalizers": ["example.com/wait"]}})
    await client.delete(SERVICE_CIDRS, "more")
    with pytest.raises(Invalid, match="not in the valid range"):
        await make(client, "late", clusterIP="10.99.0.10")
    got = await client.patch(SERVICES, "s", {"spec": {"ports": [{"port": 81}]}}, "g")
    assert got["spec"]["clusterIP"] == "10.99.0.9", "what it has, a Service keeps"
    await add_range(client, "again", "10.99.0.0/24", "True")
    assert (await make(client, "late", clusterIP="10.99.0.10"))["clusterIP"] == "10.99.0.10"


async def test_the_servers_own_range_follows_its_object_too(client: LocalClient) -> None:
    await add_range(client, "kubernetes", str(RANGE), "False")
    with pytest.raises(InternalError, match="range is full"):
        await make(client)
    await judge(client, "kubernetes", "True")
    assert ipaddress.ip_address((await make(client))["clusterIP"]) in RANGE
