"""Endpoints and EndpointSlice: the addresses behind services.

Pure. Rules and texts are those of pkg/apis/core/validation and pkg/apis/discovery/validation.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator
from typing import Any

from controlplane.apiserver.kinds.base import Column, Kind
from controlplane.apiserver.kinds.causes import (
    all_invalid,
    duplicate,
    immutable,
    invalid,
    not_supported,
    required,
    too_many,
)
from controlplane.apiserver.kinds.cells import NONE, age_column, field_column, first_few, name_column
from controlplane.apiserver.kinds.podspec.containers import PROTOCOLS
from shared.api import kinds, names
from shared.api.errors import Cause
from shared.api.meta import JSON

_ADDRESS_TYPES = ("FQDN", "IPv4", "IPv6")
_MAX_ENDPOINTS, _MAX_ADDRESSES, _MAX_PORTS = 1000, 100, 20000


def default_endpoints(obj: JSON) -> None:
    for subset in obj.get("subsets") or ():
        for port in subset.get("ports") or ():
            if not port.get("protocol"):
                port["protocol"] = "TCP"


def default_slice(obj: JSON) -> None:
    for port in obj.get("ports") or ():
        if port.get("name") is None:
            port["name"] = ""
        if not port.get("protocol"):
            port["protocol"] = "TCP"


def validate_endpoints(obj: JSON, old: JSON | None) -> Iterable[Cause]:
    for index, subset in enumerate(obj.get("subsets") or ()):
        path = f"subsets[{index}]"
        if not subset.get("addresses") and not subset.get("notReadyAddresses"):
            yield required(path, "must specify `addresses` or `notReadyAddresses`")
        for field in ("addresses", "notReadyAddresses"):
            for position, address in enumerate(subset.get(field) or ()):
                yield from _address(address, f"{path}.{field}[{position}]")
        ports = subset.get("ports") or ()
        for position, port in enumerate(ports):
            here = f"{path}.ports[{position}]"
            name, number = port.get("name") or "", port.get("port") or 0
            if not name and len(ports) > 1:
                yield required(f"{here}.name")
            elif name:
                yield from all_invalid(f"{here}.name", name, names.dns_label(name))
            yield from all_invalid(f"{here}.port", number, names.port_number(number))
            yield from _protocol(port, here)


def _address(address: JSON, path: str) -> Iterable[Cause]:
    ip = address.get("ip") or ""
    yield from usable_ip(f"{path}.ip", ip)
    if hostname := address.get("hostname"):
        yield from all_invalid(f"{path}.hostname", hostname, names.dns_label(hostname))
    if node := address.get("nodeName"):
        yield from all_invalid(f"{path}.nodeName", node, names.dns_subdomain(node))


def usable_ip(path: str, text: str) -> list[Cause]:
    """An address that an endpoint may have: of no special range."""
    if wrong := names.ip(text):
        return all_invalid(path, text, wrong)
    ip = ipaddress.ip_address(text)
    for special, detail in (
        (ip.is_unspecified, f"may not be unspecified ({text})"),
        (ip.is_loopback, "may not be in the loopback range (127.0.0.0/8, ::1/128)"),
        (ip.is_link_local, "may not be in the link-local range (169.254.0.0/16, fe80::/10)"),
        (ip.is_multicast, "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)"),
    ):
        if special:
            return [invalid(path, text, detail)]
    return []


def _protocol(port: JSON, path: str) -> list[Cause]:
    protocol = port.get("protocol") or ""
    if protocol in PROTOCOLS:
        return []
    return [not_supported(f"{path}.protocol", protocol, PROTOCOLS) if protocol else required(f"{path}.protocol")]


def validate_slice(obj: JSON, old: JSON | None) -> Iterable[Cause]:
    kind = obj.get("addressType") or ""
    if not kind:
        yield required("addressType")
    elif kind not in _ADDRESS_TYPES:
        yield not_supported("addressType", kind, _ADDRESS_TYPES)
    endpoints, ports = obj.get("endpoints") or (), obj.get("ports") or ()
    if len(endpoints) > _MAX_ENDPOINTS:
        yield too_many("endpoints", len(endpoints), _MAX_ENDPOINTS)
        return
    for index, endpoint in enumerate(endpoints):
        yield from _endpoint(endpoint, kind, f"endpoints[{index}]")
    yield from _slice_ports(ports)
    if old is not None:
        yield from immutable("addressType", kind, old.get("addressType"))


def _endpoint(endpoint: JSON, kind: str, path: str) -> Iterator[Cause]:
    addresses = endpoint.get("addresses") or ()
    if not addresses:
        yield required(f"{path}.addresses", "must contain at least 1 address")
    elif len(addresses) > _MAX_ADDRESSES:
        yield too_many(f"{path}.addresses", len(addresses), _MAX_ADDRESSES)
    for index, address in enumerate(addresses):
        here = f"{path}.addresses[{index}]"
        if kind == "FQDN":
            yield from all_invalid(here, address, names.dns_subdomain(address))
        elif kind in _ADDRESS_TYPES:
            wrong = usable_ip(here, address)
            yield from wrong
            if not wrong and (":" in address) != (kind == "IPv6"):
                yield invalid(here, address, f"must be an {kind} address")
    if hostname := endpoint.get("hostname"):
        yield from all_invalid(f"{path}.hostname", hostname, names.dns_label(hostname))
    if node := endpoint.get("nodeName"):
        yield from all_invalid(f"{path}.nodeName", node, names.dns_subdomain(node))


def _slice_ports(ports: Any) -> Iterator[Cause]:
    if len(ports) > _MAX_PORTS:
        yield too_many("ports", len(ports), _MAX_PORTS)
        return
    taken: set[str] = set()
    for index, port in enumerate(ports):
        path = f"ports[{index}]"
        name = port.get("name") or ""
        if name:
            yield from all_invalid(f"{path}.name", name, names.dns_label(name))
        if name in taken:
            yield duplicate(f"{path}.name", name)
        taken.add(name)
        if (number := port.get("port")) is not None:
            yield from all_invalid(f"{path}.port", number, names.port_number(number))
        yield from _protocol(port, path)


def _endpoints_cell(obj: JSON) -> str:
    subsets = obj.get("subsets") or ()
    if not subsets:
        return NONE
    listed: list[str] = []
    for subset in subsets:
        ips = [address.get("ip") or "" for address in subset.get("addresses") or ()]
        ports = subset.get("ports") or ()
        if not ports:
            listed += ips
        for port in ports:
            listed += [f"[{ip}]:{port['port']}" if ":" in ip else f"{ip}:{port['port']}" for ip in ips]
    return first_few(listed, "")


def _ports_cell(obj: JSON) -> str:
    ports = obj.get("ports") or ()
    return first_few([str(p["port"] if p.get("port") is not None else p.get("name") or "*") for p in ports], "<unset>")


def _addresses_cell(obj: JSON) -> str:
    endpoints = obj.get("endpoints") or ()
    return first_few([a for endpoint in endpoints for a in endpoint.get("addresses") or ()], "<unset>")


ENDPOINTS = Kind(
    resource=kinds.ENDPOINTS,
    singular="endpoints",
    short_names=("ep",),
    columns=(
        name_column(),
        Column("Endpoints", "string", "Addresses and ports that are ready.", _endpoints_cell),
        age_column(),
    ),
    deprecated="v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice",
    default=default_endpoints,
    validate=validate_endpoints,
)
ENDPOINT_SLICE = Kind(
    resource=kinds.ENDPOINT_SLICES,
    singular="endpointslice",
    columns=(
        name_column(),
        field_column("AddressType", "string", "Type of the addresses.", "addressType", default=""),
        Column("Ports", "string", "Ports of all the endpoints.", _ports_cell),
        Column("Endpoints", "string", "Addresses of the endpoints.", _addresses_cell),
        age_column(),
    ),
    default=default_slice,
    validate=validate_slice,
    spec_fields=("addressType", "endpoints", "ports"),
    has_generation=True,
    generation_metadata=("labels",),
)
