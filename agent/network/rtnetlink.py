"""The kernel's rtnetlink messages as bytes: how they are built of headers and attributes, and taken apart. Pure.

Numbers and layouts are those of linux/rtnetlink.h, if_link.h and if_addr.h (man rtnetlink(7)), in the machine's own
byte order. They are written out here since the libraries that know them all take 10 MB of an agent's memory, and
each message takes them as long as the kernel needs for a pod.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

HEADER = struct.Struct("=IHHII")
"""nlmsghdr: length, type, flags, sequence number, port."""

_LINK = struct.Struct("=BxHiII")
_ADDRESS = struct.Struct("=BBBBI")
_ROUTE = struct.Struct("=BBBBBBBBI")
_ATTRIBUTE = struct.Struct("=HH")
_NUMBER, _SIGNED = struct.Struct("=I"), struct.Struct("=i")

ERROR, DONE = 2, 3
NEW_LINK, DELETE_LINK, GET_LINK = 16, 17, 18
NEW_ADDRESS, DELETE_ADDRESS, GET_ADDRESS = 20, 21, 22
NEW_ROUTE, GET_ROUTE = 24, 26

REQUEST, ACK, DUMP, EXCLUSIVE, CREATE = 0x1, 0x4, 0x300, 0x200, 0x400
INTERRUPTED = 0x10
"""On the parts of a dump: what is listed changed meanwhile, so that something may be missing."""

IFLA_ADDRESS, IFLA_IFNAME, IFLA_MTU, IFLA_MASTER, IFLA_LINKINFO = 1, 3, 4, 10, 18
IFLA_IFALIAS, IFLA_NET_NS_FD = 20, 28
INFO_KIND, INFO_DATA, INFO_SLAVE_KIND, INFO_SLAVE_DATA = 1, 2, 4, 5
BR_FORWARD_DELAY, BR_STP_STATE, BR_MCAST_SNOOPING = 1, 5, 23
BRPORT_MODE = 4
VETH_INFO_PEER = 1
IFA_ADDRESS, IFA_LOCAL = 1, 2
RTA_DST, RTA_OIF, RTA_GATEWAY, RTA_TABLE = 1, 4, 5, 15

IPV4 = 2
MAIN_TABLE = 254
_BOOT, _UNICAST = 3, 1
_UP = 0x1
_TYPE = 0x3FFF
"""What of an attribute's number is no flag."""

_EVERYTHING = {
    GET_LINK: _LINK.pack(0, 0, 0, 0, 0),
    GET_ADDRESS: _ADDRESS.pack(IPV4, 0, 0, 0, 0),
    GET_ROUTE: _ROUTE.pack(IPV4, 0, 0, 0, 0, 0, 0, 0, 0),
}


@dataclass(frozen=True, slots=True)
class Link:
    """An interface as the kernel lists it; ``master`` is the number of the bridge that it is in, 0 for none."""

    index: int
    name: str
    alias: str
    master: int
    mtu: int


@dataclass(frozen=True, slots=True)
class Address:
    """An IPv4 address of an interface."""

    link: int
    address: IPv4Address
    prefix: int


@dataclass(frozen=True, slots=True)
class Route:
    """An IPv4 route: ``link`` is the number of the interface that it leaves by, 0 for one with several ways."""

    target: IPv4Network
    table: int
    link: int


# --- building


def message(kind: int, flags: int, sequence: int, body: bytes) -> bytes:
    return HEADER.pack(HEADER.size + len(body), kind, flags, sequence, 0) + body


def link(*attributes: bytes, index: int = 0, up: bool = False) -> bytes:
    """The body of a message about an interface."""
    return _LINK.pack(0, 0, index, _UP if up else 0, _UP if up else 0) + b"".join(attributes)


def address(index: int, ip: IPv4Address, prefix: int) -> bytes:
    """The body of a message about an IPv4 address."""
    return _ADDRESS.pack(IPV4, prefix, 0, 0, index) + data(IFA_LOCAL, ip.packed) + data(IFA_ADDRESS, ip.packed)


def default_route(gateway: IPv4Address) -> bytes:
    """The body of a message about the default route of the main table."""
    return _ROUTE.pack(IPV4, 0, 0, 0, MAIN_TABLE, _BOOT, 0, _UNICAST, 0) + data(RTA_GATEWAY, gateway.packed)


def everything(kind: int) -> bytes:
    """The body of the request for a dump of ``kind``."""
    return _EVERYTHING[kind]


def data(kind: int, value: bytes) -> bytes:
    """An attribute, filled up to a multiple of four bytes."""
    return _ATTRIBUTE.pack(_ATTRIBUTE.size + len(value), kind) + value + bytes(-len(value) % 4)


def number(kind: int, value: int) -> bytes:
    return data(kind, _NUMBER.pack(value))


def text(kind: int, value: str) -> bytes:
    return data(kind, value.encode() + b"\0")


def nested(kind: int, *attributes: bytes) -> bytes:
    return data(kind, b"".join(attributes))


def hardware(kind: int, mac: str) -> bytes:
    return data(kind, bytes.fromhex(mac.replace(":", "")))


# --- taking apart


def messages(received: bytes) -> Iterator[tuple[int, int, int, bytes]]:
    """Type, flags, sequence number and body of each message in what was received at once."""
    position = 0
    while position + HEADER.size <= len(received):
        length, kind, flags, sequence, _ = HEADER.unpack_from(received, position)
        yield kind, flags, sequence, received[position + HEADER.size : position + length]
        position += max(HEADER.size, (length + 3) & ~3)


def code(body: bytes) -> int:
    """The error number in an ERROR or DONE message, 0 for none."""
    return -int(_SIGNED.unpack_from(body)[0]) if len(body) >= _SIGNED.size else 0


def read_link(body: bytes) -> Link:
    found = _attributes(body, _LINK.size)
    return Link(
        index=_LINK.unpack_from(body)[2],
        name=_text(found, IFLA_IFNAME),
        alias=_text(found, IFLA_IFALIAS),
        master=_number(found, IFLA_MASTER),
        mtu=_number(found, IFLA_MTU),
    )


def read_address(body: bytes) -> Address | None:
    """None for an address of another family."""
    family, prefix, _, _, index = _ADDRESS.unpack_from(body)
    found = _attributes(body, _ADDRESS.size)
    local = found.get(IFA_LOCAL) or found.get(IFA_ADDRESS)
    return Address(index, IPv4Address(local), prefix) if family == IPV4 and local else None


def read_route(body: bytes) -> Route | None:
    """None for a route of another family."""
    family, length, _, _, table, *_ = _ROUTE.unpack_from(body)
    if family != IPV4:
        return None
    found = _attributes(body, _ROUTE.size)
    target = IPv4Network((found.get(RTA_DST, bytes(4)), length), strict=False)
    return Route(target, _number(found, RTA_TABLE) or table, _number(found, RTA_OIF))


def _attributes(body: bytes, position: int) -> Mapping[int, bytes]:
    found: dict[int, bytes] = {}
    while position + _ATTRIBUTE.size <= len(body):
        length, kind = _ATTRIBUTE.unpack_from(body, position)
        found[kind & _TYPE] = body[position + _ATTRIBUTE.size : position + length]
        position += max(_ATTRIBUTE.size, (length + 3) & ~3)
    return found


def _text(found: Mapping[int, bytes], kind: int) -> str:
    return found.get(kind, b"").rstrip(b"\0").decode(errors="replace")


def _number(found: Mapping[int, bytes], kind: int) -> int:
    value = found.get(kind, b"")
    return int(_NUMBER.unpack(value)[0]) if len(value) == _NUMBER.size else 0
