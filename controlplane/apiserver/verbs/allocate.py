"""Cluster addresses and node ports of Services: given, and kept from being given twice, in the Service's own write.

Addresses come from every ServiceCIDR that is ready and not being deleted, and from the server's own range.
Each address is an IPAddress object (networking.k8s.io), each node port a key of its own, written in the same
transaction as the Service under the condition that it is not there yet: two Services never get the same, and none
keeps what it no longer has. After pkg/registry/core/service/{ipallocator,portallocator} and KEP-1880.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import cast

from controlplane.apiserver.api import ApiServer
from controlplane.apiserver.encoding import stored
from controlplane.apiserver.kinds import causes
from controlplane.apiserver.kinds.base import Kind
from controlplane.apiserver.request import Request
from controlplane.store.base import Compare, Delete, Put, TxnResult
from shared import codec
from shared.api.core import ServiceCIDR
from shared.api.errors import Cause, InternalError
from shared.api.kinds import IP_ADDRESSES, SERVICE_CIDRS, SERVICES
from shared.api.meta import JSON

NODE_PORTS = range(30000, 32768)
"""The default of --service-node-port-range."""

TRIES = 16
"""How often a random choice is made before all are looked through, and a write tried again that lost its choice."""

_PORT_KEY = "/registry/longboat.dev/nodeports/"
_WITH_PORTS = ("NodePort", "LoadBalancer")


@dataclass(frozen=True, slots=True)
class Allocation:
    """The object with all it needs, and what is to be written with it."""

    obj: JSON
    compares: tuple[Compare, ...] = ()
    ops: tuple[Put | Delete, ...] = ()

    def lost(self, result: TxnResult) -> bool:
        """Whether a write failed since somebody else has taken something meanwhile."""
        mine = {compare.key for compare in self.compares}
        return any(key in mine for key, _ in result.failed)


def plan(api: ApiServer, request: Request, new: JSON, old: JSON | None, *, ends: bool = False) -> Allocation:
    """What a write of ``new`` in place of ``old`` takes and gives back; all is given back when the object ``ends``.

    Raises Invalid for an address or port that is taken or out of range, InternalError when there is none left.
    """
    if not _concerned(api, request.kind) or request.subresource:
        return Allocation(new)
    before = set() if old is None else _held(old["spec"])
    if ends:
        return Allocation(new, (), tuple(_given_back(api, before)))
    obj = {**new, "spec": {**new["spec"]}}
    wrong = [*_fill_address(api, obj["spec"], before), *_fill_ports(api, obj["spec"], before)]
    if wrong:
        raise causes.refusal("", SERVICES.kind, new["metadata"].get("name") or "", wrong)
    held = _held(obj["spec"])
    taken = [(_key(api, token), _value(api, token, obj)) for token in sorted(held - before, key=str)]
    return Allocation(
        obj,
        tuple(Compare(key, 0) for key, _ in taken),
        (*(Put(key, data) for key, data in taken), *_given_back(api, before - held)),
    )


def released(api: ApiServer, kind: Kind, old: JSON) -> tuple[Delete, ...]:
    """What a deletion of ``old`` gives back."""
    return tuple(_given_back(api, _held(old["spec"]))) if _concerned(api, kind) else ()


def _concerned(api: ApiServer, kind: Kind) -> bool:
    return api.service_cidr is not None and (kind.resource.group, kind.resource.plural) == ("", SERVICES.plural)


Token = str | int
"""An address, or the number of a node port."""


def _held(spec: JSON) -> set[Token]:
    if spec.get("type") == "ExternalName":
        return set()
    held: set[Token] = {ip for ip in spec.get("clusterIPs") or () if ip and ip != "None"}
    if spec.get("type") in _WITH_PORTS:
        held |= {port["nodePort"] for port in spec.get("ports") or () if port.get("nodePort")}
        if spec.get("healthCheckNodePort"):
            held.add(spec["healthCheckNodePort"])
    return held


def _key(api: ApiServer, token: Token) -> str:
    return f"{_PORT_KEY}{token}" if isinstance(token, int) else api.key(_addresses(api), "", token)


def _value(api: ApiServer, token: Token, service: JSON) -> bytes:
    meta = service["metadata"]
    parent = {"resource": SERVICES.plural, "namespace": meta["namespace"], "name": meta["name"]}
    if isinstance(token, int):
        return codec.encode(parent)
    family = "IPv6" if ":" in token else "IPv4"
    labels = {"ipaddress.kubernetes.io/ip-family": family,
              "ipaddress.kubernetes.io/managed-by": "ipallocator.kubernetes.io"}  # fmt: skip
    address = {
        "metadata": {"name": token, "uid": api.new_uid(), "creationTimestamp": api.now(), "labels": labels},
        "spec": {"parentRef": {"group": "", **parent}},
    }
    return stored(IP_ADDRESSES, address)


def _given_back(api: ApiServer, tokens: Iterable[Token]) -> Iterator[Delete]:
    for token in sorted(tokens, key=str):
        yield Delete(_key(api, token))


def _addresses(api: ApiServer) -> Kind:
    return api.cache.served(IP_ADDRESSES).kind


# --- addresses


def _fill_address(api: ApiServer, spec: JSON, before: set[Token]) -> Iterator[Cause]:
    if spec.get("type") == "ExternalName" or spec.get("clusterIP") == "None":
        return
    if families := [family for family in spec.get("ipFamilies") or () if family != "IPv4"]:
        yield causes.invalid("spec.ipFamilies[0]", families[0], "not configured on this cluster")
        return
    given = spec.get("clusterIP") or ""
    if not given:
        spec["clusterIP"] = _free_address(api)
        spec["clusterIPs"] = [spec["clusterIP"]]
        return
    if given in before:
        return
    path, shown = "spec.clusterIPs", spec.get("clusterIPs") or [given]
    ranges = _ranges(api)
    if not any(ipaddress.ip_address(given) in each for each in ranges):
        valid = ", ".join(map(str, ranges))
        detail = f"the provided IP ({given}) is not in the valid range. The range of valid IPs is {valid}"
        yield causes.invalid(path, shown, f"failed to allocate IP {given}: {detail}")
    elif _is_taken(api, given):
        yield causes.invalid(path, shown, f"failed to allocate IP {given}: provided IP is already allocated")


def _is_taken(api: ApiServer, address: str) -> bool:
    return api.of(_addresses(api)).get("", address) is not None


def _ranges(api: ApiServer) -> list[ipaddress.IPv4Network]:
    """Where addresses may be taken now, the server's own range first; one that several ServiceCIDRs have is ready when
    one of them is. Without objects for it, while the cluster starts, the server's own range is (ipallocator's
    cidrallocator.go)."""
    found: dict[str, bool | None] = {} if api.service_cidr is None else {str(api.service_cidr): None}
    for entry in api.cache.served(SERVICE_CIDRS).entries():
        cidr = cast(ServiceCIDR, entry.object)
        for text in cidr.spec.cidrs:
            if ":" not in text:
                found[text] = bool(found.get(text)) or _gives(cidr)
    return [ipaddress.IPv4Network(text) for text, usable in found.items() if usable is not False]


def _gives(cidr: ServiceCIDR) -> bool:
    """One that nobody has judged yet counts as ready."""
    if cidr.metadata.deletion_timestamp is not None:
        return False
    return all(condition.status == "True" for condition in cidr.status.conditions if condition.type == "Ready")


def _free_address(api: ApiServer) -> str:
    """Raises InternalError."""
    for network in _ranges(api):
        if address := _free_in(api, network):
            return address
    raise InternalError("Internal error occurred: failed to allocate a serviceIP: range is full")


def _free_in(api: ApiServer, network: ipaddress.IPv4Network) -> str:
    """One of the range's upper band, so that the lower is left to whoever names addresses (KEP-3070); empty when all
    are taken. The first address of a range is nobody's: of the server's own it is the API's."""
    size = network.num_addresses
    low = min(max(16, size // 16), 256) if size > 32 else 2
    if size <= low + 1:
        return ""
    for _ in range(TRIES):
        address = str(network[api.rng.randrange(low, size - 1)])
        if not _is_taken(api, address):
            return address
    for offset in (*range(low, size - 1), *range(2, low)):
        if not _is_taken(api, str(network[offset])):
            return str(network[offset])
    return ""


# --- node ports


def _fill_ports(api: ApiServer, spec: JSON, before: set[Token]) -> Iterator[Cause]:
    if spec.get("type") not in _WITH_PORTS:
        return
    wanted = spec["type"] == "NodePort" or spec.get("allocateLoadBalancerNodePorts") is not False
    taken = _taken_ports(api) - before
    mine: dict[int, int] = {}
    ports = spec["ports"] = [dict(port) for port in spec.get("ports") or ()]
    for index, port in enumerate(ports):
        number, path = port.get("nodePort") or 0, f"spec.ports[{index}].nodePort"
        if number:
            yield from _port_given(number, taken, before, path)
        elif wanted:
            # The protocols of one port share a node port, as upstream.
            number = port["nodePort"] = mine.get(port["port"]) or _free_port(api, taken)
        mine[port["port"]] = number
        taken.add(number)
    local = spec.get("externalTrafficPolicy") == "Local" and spec["type"] == "LoadBalancer"
    if local and not spec.get("healthCheckNodePort"):
        spec["healthCheckNodePort"] = _free_port(api, taken)


def _port_given(number: int, taken: set[Token], before: set[Token], path: str) -> Iterator[Cause]:
    if number in before:
        return
    if number not in NODE_PORTS:
        detail = "provided port is not in the valid range. The range of valid ports is "
        yield causes.invalid(path, number, f"{detail}{NODE_PORTS.start}-{NODE_PORTS.stop - 1}")
    elif number in taken:
        yield causes.invalid(path, number, "provided port is already allocated")


def _taken_ports(api: ApiServer) -> set[Token]:
    services = api.cache.served(SERVICES).entries()
    return {token for entry in services for token in _held(entry.tree()["spec"]) if isinstance(token, int)}


def _free_port(api: ApiServer, taken: set[Token]) -> int:
    for _ in range(TRIES):
        if (port := api.rng.choice(NODE_PORTS)) not in taken:
            return port
    for port in NODE_PORTS:
        if port not in taken:
            return port
    raise InternalError("Internal error occurred: failed to allocate a nodePort: range is full")
