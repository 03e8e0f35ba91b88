"""Names, and what belongs to whom: the pod network's decisions. Pure.

A sandbox's veth pair says itself what it is: its host end is named after the sandbox, and that end's alias holds
the address and the sandbox's full id. So a restarted agent reads everything from one dump of the host's links.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address

VETH_PREFIX = "lb"
_ID_DIGITS = 11
_ALIAS = "longboat"


def veth_name(sandbox_id: str) -> str:
    """The host end of a sandbox's pair: ``lb`` and eleven digits of its id, within the kernel's 15 characters."""
    return VETH_PREFIX + sandbox_id[:_ID_DIGITS]


def alias(address: IPv4Address, sandbox_id: str) -> str:
    return f"{_ALIAS} {address} {sandbox_id}"


def read_alias(text: str | None) -> tuple[IPv4Address, str] | None:
    """Address and sandbox id out of an alias of ours, else None."""
    match (text or "").split():
        case [word, address, sandbox_id] if word == _ALIAS:
            try:
                return IPv4Address(address), sandbox_id
            except ValueError:
                return None
    return None


def mac_of(address: IPv4Address) -> str:
    """A locally administered MAC that follows from the address, so that a neighbour's cache entry for an address
    stays right when a new pod gets it. (CNI's bridge plug-in does so, with the same prefix.)"""
    return "0a:58:" + ":".join(f"{byte:02x}" for byte in address.packed)


@dataclass(frozen=True, slots=True)
class HostLink:
    """A link of the host as found: ``bridge`` is the name of the bridge it is in."""

    name: str
    alias: str = ""
    bridge: str = ""


@dataclass(frozen=True, slots=True)
class Adoption:
    """``addresses`` by sandbox id of what stays, and the names of the links that belong to nobody."""

    addresses: Mapping[str, IPv4Address]
    remove: tuple[str, ...]


def adopt(links: Iterable[HostLink], bridge: str, sandbox_ids: Iterable[str]) -> Adoption:
    """What a restarted agent finds: links of ours that serve one of these sandboxes, and the rest."""
    wanted = set(sandbox_ids)
    addresses: dict[str, IPv4Address] = {}
    remove = []
    for link in links:
        if not is_ours(link, bridge):
            continue
        known = read_alias(link.alias)
        if known is None or known[1] not in wanted or veth_name(known[1]) != link.name or link.bridge != bridge:
            remove.append(link.name)
        else:
            addresses[known[1]] = known[0]
    return Adoption(addresses, tuple(remove))


def is_ours(link: HostLink, bridge: str) -> bool:
    """By its alias; or, made by an agent that was killed before it set one, by bridge and name."""
    return read_alias(link.alias) is not None or (link.bridge == bridge and link.name.startswith(VETH_PREFIX))
