"""ServiceCIDRs: when they are ready, and what holds one that is being deleted."""

from __future__ import annotations

from datetime import UTC, datetime
from ipaddress import IPv4Network
from typing import Any

import msgspec
import pytest

from controlplane.controllers import kubernetes_service
from controlplane.controllers.service_cidrs import ALLOCATOR, MANAGED_BY, judged, orphans
from shared.api.core import ServiceCIDR
from shared.api.meta import Object

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def cidr(name: str, *ranges: str, going: bool = False, conditions: Any = ()) -> ServiceCIDR:
    metadata = {"name": name, "uid": name} | ({"deletionTimestamp": "2026-01-01T00:00:00Z"} if going else {})
    tree = {"metadata": metadata, "spec": {"cidrs": ranges}, "status": {"conditions": list(conditions)}}
    return msgspec.convert(tree, ServiceCIDR)


def address(ip: str, by: str = ALLOCATOR) -> Object:
    return msgspec.convert({"metadata": {"name": ip, "labels": {MANAGED_BY: by}}}, Object)


@pytest.mark.parametrize(
    ("others", "addresses", "held"),
    [
        ([], [], False),
        ([], [address("10.0.0.5")], True),
        ([], [address("10.0.1.5"), address("fd00::5")], False),
        ([], [address("10.0.0.5", by="somebody")], False),
        ([cidr("wider", "10.0.0.0/16")], [address("10.0.0.5")], False),
        ([cidr("same", "10.0.0.0/24")], [address("10.0.0.5")], False),
        ([cidr("narrower", "10.0.0.0/28")], [address("10.0.0.5")], False),
        ([cidr("narrower", "10.0.0.0/28")], [address("10.0.0.5"), address("10.0.0.200")], True),
        ([cidr("same", "10.0.0.0/24", going=True)], [address("10.0.0.5")], True),
        ([cidr("wider", "fd00::/64", "10.0.0.0/16")], [address("10.0.0.5")], False),
    ],
    ids=["unused", "an address", "addresses elsewhere", "somebody else's", "a wider range", "the same range",
         "a narrower one", "beyond a narrower one", "the same, which goes too", "a range of two families"],
)  # fmt: skip
def test_what_holds_a_range(others: list[ServiceCIDR], addresses: list[Object], held: bool) -> None:
    one = cidr("one", "10.0.0.0/24", going=True)
    assert orphans(one, [one, *others], addresses) is held


def test_it_is_said_once() -> None:
    for held, status, reason in ((False, "True", ""), (True, "False", "Terminating")):
        said = {"type": "Ready", "status": status, "reason": reason}
        write = judged(cidr("one", "10.0.0.0/24"), NOW, held=held)
        assert write is not None
        assert said.items() <= write.patch["status"]["conditions"][0].items()
        assert judged(cidr("one", "10.0.0.0/24", conditions=[said]), NOW, held=held) is None
        assert judged(cidr("one", "10.0.0.0/24", conditions=[said]), NOW, held=not held) is not None


def test_who_keeps_the_default_one_leaves_its_end_to_the_controller() -> None:
    """Else the two would write against each other for ever; and the Service cannot have an address from it."""
    held = cidr("kubernetes", "10.43.0.0/16", going=True, conditions=[{"type": "Ready", "status": "False"}])
    found = kubernetes_service.Found(None, None, None, held)
    where = kubernetes_service.Address(IPv4Network("10.43.0.0/16"), "", 6443)
    assert list(kubernetes_service.decide(found, where, "2026-01-01T00:00:00Z")) == []
