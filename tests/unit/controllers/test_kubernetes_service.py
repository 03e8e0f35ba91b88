"""The API server as a service of its own cluster: what is written for what is there."""

from dataclasses import replace
from ipaddress import IPv4Network
from typing import Any

import msgspec
import pytest

from controlplane.controllers.kubernetes_service import Address, Found, decide, reachable, usable
from controlplane.controllers.writes import Create, Patch
from shared.api.core import ServiceCIDR, ServiceCIDRStatus
from shared.api.kinds import ENDPOINT_SLICES, ENDPOINTS, SERVICE_CIDRS, SERVICES
from shared.api.meta import Condition

ADDRESS = Address(IPv4Network("10.43.0.0/16"), "192.0.2.7", 6443)
NOW = "2026-01-01T00:00:00Z"


def writes(found: Found, address: Address = ADDRESS) -> list[Any]:
    return list(decide(found, address, NOW))


def made(address: Address = ADDRESS) -> Found:
    """What there is once everything was written."""
    by_resource = {
        write.resource.plural: msgspec.convert(write.obj, write.resource.type, strict=False)
        for write in writes(Found(None, None, None, None), address)
        if isinstance(write, Create)
    }
    found = Found(*(by_resource.get(each.plural) for each in (SERVICES, ENDPOINTS, ENDPOINT_SLICES, SERVICE_CIDRS)))  # type: ignore[arg-type] # fmt: skip
    ready = ServiceCIDRStatus(conditions=(Condition(type="Ready", status="True"),))
    return replace(found, cidr=ServiceCIDR(status=ready))


def test_a_new_cluster() -> None:
    found = writes(Found(None, None, None, None))
    assert [write.resource.kind for write in found if isinstance(write, Create)] == [
        "ServiceCIDR", "Service", "Endpoints", "EndpointSlice",
    ]  # fmt: skip
    assert found[0].obj["spec"] == {"cidrs": ["10.43.0.0/16"]}
    assert found[1].patch["status"]["conditions"][0]["type"] == "Ready"
    assert found[2].obj["spec"]["clusterIP"] == "10.43.0.1"


def test_nothing_is_written_twice() -> None:
    assert writes(made()) == []


def test_an_address_that_has_changed() -> None:
    other = Address(ADDRESS.cidr, "192.0.2.8", 7443)
    found = writes(made(), other)
    assert [(type(write), write.resource.kind) for write in found] == [
        (Patch, "Service"), (Patch, "Endpoints"), (Patch, "EndpointSlice"),
    ]  # fmt: skip
    assert found[0].patch["spec"]["ports"][0]["targetPort"] == 7443


def test_a_server_that_only_its_own_machine_reaches() -> None:
    kinds = [write.resource.kind for write in writes(Found(None, None, None, None), Address(ADDRESS.cidr, "", 6443))]
    assert kinds == ["ServiceCIDR", "ServiceCIDR", "Service"]


def test_a_range_that_nobody_has_called_ready() -> None:
    """A server that ended between the object and its status."""
    (patch,) = writes(replace(made(), cidr=ServiceCIDR()))
    assert patch.subresource == "status"


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("127.0.0.1", ""),
        ("0.0.0.0", ""),
        ("server.example", ""),
        ("2001:db8::1", ""),
        ("", ""),
    ],
)
def test_addresses_that_endpoints_may_have(host: str, expected: str) -> None:
    assert usable(host) == expected


def test_names_for_the_certificate() -> None:
    assert {"kubernetes.default.svc", "10.43.0.1"} <= ADDRESS.names


def test_a_server_that_was_reached_by_others_before() -> None:
    """It listens on loopback only now: what it wrote then must not stay, since nobody answers there."""
    alone = Address(ADDRESS.cidr, "", 6443)
    found = writes(made(), alone)
    assert [(type(write), write.resource.kind, write.patch) for write in found] == [
        (Patch, "Endpoints", {"subsets": None}), (Patch, "EndpointSlice", {"endpoints": []}),
    ]  # fmt: skip
    before = made()
    assert before.endpoints is not None
    assert before.slice is not None
    gone = replace(
        before,
        endpoints=msgspec.structs.replace(before.endpoints, subsets=()),
        slice=msgspec.structs.replace(before.slice, endpoints=()),
    )
    assert writes(gone, alone) == [], "once is enough"
    assert {write.resource.kind for write in writes(gone)} == {"Endpoints", "EndpointSlice"}, "and it may come back"


@pytest.mark.parametrize(
    ("advertised", "listens", "expected"),
    [
        ("192.0.2.7", "0.0.0.0", "192.0.2.7"),
        ("192.0.2.7", "127.0.0.1", "192.0.2.7"),
        ("127.0.0.1", "0.0.0.0", "192.0.2.9"),
        ("server.example", "192.0.2.9", "192.0.2.9"),
        ("127.0.0.1", "127.0.0.1", ""),
        ("127.0.0.1", "localhost", ""),
    ],
)
def test_where_a_server_is_reached(advertised: str, listens: str, expected: str) -> None:
    assert reachable(advertised, listens, "192.0.2.9") == expected
