"""Ranges of service addresses: each gets a finalizer and is called ready; one that is being deleted stays while
addresses of Services would be in no range any more.

Writes the finalizer networking.k8s.io/service-cidr-finalizer and the condition Ready. After k8s.io/kubernetes
pkg/controller/servicecidrs, but that a range which is being deleted itself holds nobody's addresses. One sync at a
time for each object.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from datetime import datetime

from controlplane.controllers.base import Context, Key, Watch
from controlplane.controllers.volume_protection import decide as protect
from controlplane.controllers.writes import Patch, apply
from shared.api.core import ServiceCIDR
from shared.api.kinds import IP_ADDRESSES, SERVICE_CIDRS
from shared.api.meta import Object, timestamp
from shared.client.base import PatchType

FINALIZER = "networking.k8s.io/service-cidr-finalizer"
MANAGED_BY, ALLOCATOR = "ipaddress.kubernetes.io/managed-by", "ipallocator.kubernetes.io"
READY = "Kubernetes Service CIDR is ready"
HELD = "There are still IPAddresses referencing the ServiceCIDR, please remove them or create a new ServiceCIDR"
GRACE = 10.0
"""Seconds from a deletion until the finalizer goes: who was about to take an address has done so by then."""


def orphans(cidr: ServiceCIDR, others: Iterable[ServiceCIDR], addresses: Iterable[Object]) -> bool:
    """Whether an address that the server gave to a Service would be in none of the ranges without this one."""
    own = _networks(cidr)
    kept = [network for other in others if _stays(other, cidr) for network in _networks(other)]
    for address in addresses:
        if address.metadata.labels.get(MANAGED_BY) == ALLOCATOR:
            ip = ipaddress.ip_address(address.metadata.name)
            if any(ip in network for network in own) and not any(ip in network for network in kept):
                return True
    return False


def _stays(other: ServiceCIDR, cidr: ServiceCIDR) -> bool:
    return other.metadata.name != cidr.metadata.name and other.metadata.deletion_timestamp is None


def _networks(cidr: ServiceCIDR) -> list[ipaddress.IPv4Network | ipaddress.IPv6Network]:
    return [ipaddress.ip_network(text) for text in cidr.spec.cidrs]


def judged(cidr: ServiceCIDR, now: datetime, *, held: bool) -> Patch | None:
    """The write that says that it is ready, or ``held``; None where that is said."""
    status, reason = ("False", "Terminating") if held else ("True", "")
    if any((c.type, c.status, c.reason) == ("Ready", status, reason) for c in cidr.status.conditions):
        return None
    condition = {
        "type": "Ready", "status": status, "reason": reason, "message": HELD if held else READY,
        "lastTransitionTime": timestamp(now),
    }  # fmt: skip
    patch = {"metadata": {"uid": cidr.metadata.uid}, "status": {"conditions": [condition]}}
    return Patch(SERVICE_CIDRS, cidr.metadata.name, patch, type=PatchType.STRATEGIC, subresource="status")


class ServiceCidrController:
    """See the module."""

    name = "service-cidr-controller"

    def __init__(self, context: Context) -> None:
        self._client, self._clock = context.client, context.clock
        self._cidrs = context.informers.cache(SERVICE_CIDRS)
        self._addresses = context.informers.cache(IP_ADDRESSES)

    def watches(self) -> Sequence[Watch]:
        return Watch(SERVICE_CIDRS, self._all), Watch(IP_ADDRESSES, self._around)

    def _all(self, old: ServiceCIDR | None, new: ServiceCIDR | None) -> Iterable[Key]:
        """Whatever comes or goes may hold, or have held, what another gives up."""
        return [("", cidr.metadata.name) for cidr in self._cidrs]

    def _around(self, old: Object | None, new: Object | None) -> Iterable[Key]:
        """The ranges that wait for an address to go."""
        if new is not None:
            return []
        return [("", cidr.metadata.name) for cidr in self._cidrs if cidr.metadata.deletion_timestamp is not None]

    async def sync(self, key: Key) -> float | None:
        """See ``Controller.sync``; the key is a ServiceCIDR's."""
        cidr = self._cidrs.get(key[1])
        if cidr is None:
            return None
        deleted = cidr.metadata.deletion_timestamp
        if deleted is None:
            await self._write(protect(SERVICE_CIDRS, cidr, FINALIZER, used=True))
            await self._write(judged(cidr, self._clock.now(), held=False))
            return None
        if orphans(cidr, self._cidrs, self._addresses):
            await self._write(judged(cidr, self._clock.now(), held=True))
            return None
        if (left := GRACE - (self._clock.now() - deleted).total_seconds()) > 0:
            return left
        # The informers may be behind: before the range goes, the API itself is asked.
        cidrs, addresses = await self._client.list(SERVICE_CIDRS), await self._client.list(IP_ADDRESSES)
        if not orphans(cidr, cidrs.items, addresses.items):
            await self._write(protect(SERVICE_CIDRS, cidr, FINALIZER, used=False))
            return None
        return GRACE

    async def _write(self, write: Patch | None) -> None:
        if write is not None:
            await apply(self._client, (write,))
