"""NetworkPolicy: defaults, validation, columns.

Pure. Rules and texts are those of pkg/apis/networking.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator

from controlplane.apiserver.kinds.base import Column, Kind
from controlplane.apiserver.kinds.causes import all_invalid, forbidden, invalid, not_supported, required
from controlplane.apiserver.kinds.cells import age_column, at, format_selector, name_column
from controlplane.apiserver.kinds.podspec.scheduling import validate_label_selector
from shared.api import kinds, names
from shared.api.errors import Cause
from shared.api.meta import JSON

_PROTOCOLS = ("TCP", "UDP", "SCTP")
_TYPES = ("Ingress", "Egress")
_DIRECTIONS = (("ingress", "from"), ("egress", "to"))


def default(obj: JSON) -> None:
    spec = obj.setdefault("spec", {})
    if spec.get("podSelector") is None:
        spec["podSelector"] = {}
    for direction, _ in _DIRECTIONS:
        for rule in spec.get(direction) or ():
            for port in rule.get("ports") or ():
                if not port.get("protocol"):
                    port["protocol"] = "TCP"
    if not spec.get("policyTypes"):
        spec["policyTypes"] = ["Ingress", "Egress"] if spec.get("egress") else ["Ingress"]


def validate(obj: JSON, old: JSON | None) -> Iterable[Cause]:
    spec: JSON = obj.get("spec") or {}
    kept = set(_cidrs(old.get("spec") or {})) if old is not None else set()
    yield from validate_label_selector(spec.get("podSelector"), "spec.podSelector")
    for direction, peers in _DIRECTIONS:
        for index, rule in enumerate(spec.get(direction) or ()):
            path = f"spec.{direction}[{index}]"
            for position, port in enumerate(rule.get("ports") or ()):
                yield from _port(port, f"{path}.ports[{position}]")
            for position, peer in enumerate(rule.get(peers) or ()):
                yield from _peer(peer, f"{path}.{peers}[{position}]", kept)
    types = spec.get("policyTypes") or ()
    if len(types) > len(_TYPES):
        yield invalid("spec.policyTypes", types, "may not specify more than two policyTypes")
        return
    for index, type_ in enumerate(types):
        if type_ not in _TYPES:
            yield not_supported(f"spec.policyTypes[{index}]", type_, _TYPES)


def _cidrs(spec: JSON) -> Iterator[str]:
    for direction, peers in _DIRECTIONS:
        for rule in spec.get(direction) or ():
            for peer in rule.get(peers) or ():
                if (block := peer.get("ipBlock")) is not None:
                    yield block.get("cidr") or ""
                    yield from block.get("except") or ()


def _port(port: JSON, path: str) -> Iterator[Cause]:
    if (protocol := port.get("protocol")) not in (None, *_PROTOCOLS):
        yield not_supported(f"{path}.protocol", protocol, _PROTOCOLS)
    number, end = port.get("port"), port.get("endPort")
    if number is None:
        if end is not None:
            yield invalid(f"{path}.endPort", end, "may not be specified when `port` is not specified")
    elif isinstance(number, str):
        if end is not None:
            yield invalid(f"{path}.endPort", end, "may not be specified when `port` is non-numeric")
        yield from all_invalid(f"{path}.port", number, names.port_name(number))
    else:
        yield from all_invalid(f"{path}.port", number, names.port_number(number))
        if end is not None:
            if end < number:
                yield invalid(f"{path}.endPort", end, "must be greater than or equal to `port`")
            yield from all_invalid(f"{path}.endPort", end, names.port_number(end))


def _peer(peer: JSON, path: str, kept: set[str]) -> Iterator[Cause]:
    selectors = [name for name in ("podSelector", "namespaceSelector") if peer.get(name) is not None]
    for name in selectors:
        yield from validate_label_selector(peer[name], f"{path}.{name}")
    block = peer.get("ipBlock")
    if block is not None:
        yield from _block(block, f"{path}.ipBlock", kept)
    if not selectors and block is None:
        yield required(path, "must specify a peer")
    elif selectors and block is not None:
        yield forbidden(path, "may not specify both ipBlock and another peer")


def _block(block: JSON, path: str, kept: set[str]) -> Iterator[Cause]:
    if not (cidr := block.get("cidr") or ""):
        yield required(f"{path}.cidr")
        return
    if cidr not in kept:
        yield from all_invalid(f"{path}.cidr", cidr, names.cidr(cidr))
    if names.cidr(cidr):
        return
    whole = ipaddress.ip_network(cidr, strict=False)
    for index, part in enumerate(block.get("except") or ()):
        here = f"{path}.except[{index}]"
        if wrong := names.cidr(part):
            if part not in kept:
                yield from all_invalid(here, part, wrong)
            continue
        network = ipaddress.ip_network(part, strict=False)
        if network.version != whole.version or network == whole or not network.subnet_of(whole):  # type: ignore[arg-type]
            yield invalid(here, part, "must be a strict subset of `cidr`")


NETWORK_POLICY = Kind(
    resource=kinds.NETWORK_POLICIES,
    singular="networkpolicy",
    short_names=("netpol",),
    columns=(
        name_column(),
        Column("Pod-Selector", "string", "Labels of the pods that it is for.",
               lambda obj: format_selector(at(obj, "spec", "podSelector"))),
        age_column(),
    ),
    default=default,
    validate=validate,
    has_generation=True,
    inert=True,
)  # fmt: skip
