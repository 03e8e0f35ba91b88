"""Exchanges with the kernel's rtnetlink: the requests of one pod sent together, and dumps.

How messages look is ``rtnetlink``'s. Requests of a batch go out in one write, and the kernel's answers (one a
request) are read together. Blocking, for one worker thread; a socket serves one exchange at a time.
"""

from __future__ import annotations

import errno
import os
import socket
from ipaddress import IPv4Address

from agent.namespaces import Kind, call_in
from agent.network import rtnetlink
from agent.network.rtnetlink import Address, Link, Route

_BUFFER = 64 * 1024
_TIMEOUT = 10.0
_LOOKS = 5
"""How often a dump is asked for that changes while it is read."""


class Batch:
    """Requests in order; each gets the number of its place."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def add_bridge(self, name: str, mac: str) -> None:
        """A bridge that forwards at once and to everybody: no forward delay, no STP, no multicast snooping."""
        settings = rtnetlink.nested(
            rtnetlink.INFO_DATA,
            rtnetlink.number(rtnetlink.BR_FORWARD_DELAY, 0),
            rtnetlink.number(rtnetlink.BR_STP_STATE, 0),
            rtnetlink.data(rtnetlink.BR_MCAST_SNOOPING, b"\0"),
        )
        self._create_link(
            rtnetlink.text(rtnetlink.IFLA_IFNAME, name),
            rtnetlink.hardware(rtnetlink.IFLA_ADDRESS, mac),
            rtnetlink.nested(rtnetlink.IFLA_LINKINFO, rtnetlink.text(rtnetlink.INFO_KIND, "bridge"), settings),
        )

    def add_pair(self, index: int, mac: str, host_end: str, *, namespace: int, mtu: int) -> None:
        """A veth pair, asked for inside a pod: ``eth0`` there, with the number ``index``, and the other end in the
        namespace behind a descriptor. (The other way round the kernel does not heed the number.)"""
        peer = rtnetlink.link(
            rtnetlink.text(rtnetlink.IFLA_IFNAME, host_end),
            rtnetlink.number(rtnetlink.IFLA_NET_NS_FD, namespace),
            rtnetlink.number(rtnetlink.IFLA_MTU, mtu),
        )
        pair = rtnetlink.nested(rtnetlink.INFO_DATA, rtnetlink.data(rtnetlink.VETH_INFO_PEER, peer))
        self._create_link(
            rtnetlink.text(rtnetlink.IFLA_IFNAME, "eth0"),
            rtnetlink.number(rtnetlink.IFLA_MTU, mtu),
            rtnetlink.hardware(rtnetlink.IFLA_ADDRESS, mac),
            rtnetlink.nested(rtnetlink.IFLA_LINKINFO, rtnetlink.text(rtnetlink.INFO_KIND, "veth"), pair),
            index=index,
        )

    def set_port(self, host_end: str, alias: str, bridge: int) -> None:
        """The alias and the bridge of a host end; it may send back where a frame came from, which a pod needs that
        asks for a host port of its own."""
        name = rtnetlink.text(rtnetlink.IFLA_IFNAME, host_end)
        self._change_link(
            name,
            rtnetlink.text(rtnetlink.IFLA_IFALIAS, alias),
            rtnetlink.number(rtnetlink.IFLA_MASTER, bridge),
            up=True,
        )
        settings = rtnetlink.nested(rtnetlink.INFO_SLAVE_DATA, rtnetlink.data(rtnetlink.BRPORT_MODE, b"\1"))
        info = rtnetlink.nested(rtnetlink.IFLA_LINKINFO, rtnetlink.text(rtnetlink.INFO_SLAVE_KIND, "bridge"), settings)
        # a request of its own: the kernel takes settings of a port only when it is in the bridge already
        self._change_link(name, info)

    def set_up(self, index: int, mtu: int = 0) -> None:
        """Up, and with another MTU where one is given."""
        self._change_link(*([rtnetlink.number(rtnetlink.IFLA_MTU, mtu)] if mtu else []), index=index, up=True)

    def delete_link(self, name: str) -> None:
        self._add(rtnetlink.DELETE_LINK, 0, rtnetlink.link(rtnetlink.text(rtnetlink.IFLA_IFNAME, name)))

    def add_address(self, index: int, address: IPv4Address, prefix: int) -> None:
        flags = rtnetlink.CREATE | rtnetlink.EXCLUSIVE
        self._add(rtnetlink.NEW_ADDRESS, flags, rtnetlink.address(index, address, prefix))

    def delete_address(self, index: int, address: IPv4Address, prefix: int) -> None:
        self._add(rtnetlink.DELETE_ADDRESS, 0, rtnetlink.address(index, address, prefix))

    def add_default_route(self, gateway: IPv4Address) -> None:
        self._add(rtnetlink.NEW_ROUTE, rtnetlink.CREATE | rtnetlink.EXCLUSIVE, rtnetlink.default_route(gateway))

    def __bytes__(self) -> bytes:
        """All requests, as they are sent."""
        return b"".join(self._parts)

    def send(self, netlink: socket.socket) -> list[int]:
        """Send all and read every answer: error numbers in the order of the requests, 0 for done. Raises OSError."""
        if not self._parts:
            return []
        netlink.send(bytes(self))
        results: dict[int, int] = {}
        while len(results) < len(self._parts):
            for kind, _, sequence, body in rtnetlink.messages(netlink.recv(_BUFFER)):
                if kind == rtnetlink.ERROR:
                    results[sequence] = rtnetlink.code(body)
        return [results.get(number, 0) for number in range(1, len(self._parts) + 1)]

    def _create_link(self, *attributes: bytes, index: int = 0) -> None:
        flags = rtnetlink.CREATE | rtnetlink.EXCLUSIVE
        self._add(rtnetlink.NEW_LINK, flags, rtnetlink.link(*attributes, index=index))

    def _change_link(self, *attributes: bytes, index: int = 0, up: bool = False) -> None:
        self._add(rtnetlink.NEW_LINK, 0, rtnetlink.link(*attributes, index=index, up=up))

    def _add(self, kind: int, flags: int, body: bytes) -> None:
        flags |= rtnetlink.REQUEST | rtnetlink.ACK
        self._parts.append(rtnetlink.message(kind, flags, len(self._parts) + 1, body))


# --- what there is


def links(netlink: socket.socket) -> list[Link]:
    """Every interface of the socket's namespace. Raises OSError."""
    return [rtnetlink.read_link(body) for body in _dump(netlink, rtnetlink.GET_LINK, rtnetlink.NEW_LINK)]


def addresses(netlink: socket.socket) -> list[Address]:
    """Every IPv4 address of the socket's namespace. Raises OSError."""
    bodies = _dump(netlink, rtnetlink.GET_ADDRESS, rtnetlink.NEW_ADDRESS)
    return [found for body in bodies if (found := rtnetlink.read_address(body))]


def routes(netlink: socket.socket) -> list[Route]:
    """Every IPv4 route of the main table, the preferred of several for one target first. Raises OSError."""
    bodies = _dump(netlink, rtnetlink.GET_ROUTE, rtnetlink.NEW_ROUTE)
    found = (rtnetlink.read_route(body) for body in bodies)
    return [route for route in found if route is not None and route.table == rtnetlink.MAIN_TABLE]


def _dump(netlink: socket.socket, kind: int, wanted: int) -> list[bytes]:
    """The bodies of a dump; asked for again when what it lists changed meanwhile."""
    for _ in range(_LOOKS):
        flags = rtnetlink.REQUEST | rtnetlink.DUMP
        netlink.send(rtnetlink.message(kind, flags, 1, rtnetlink.everything(kind)))
        found: list[bytes] = []
        whole, done = True, False
        while not done:
            for answer, flags, _, body in rtnetlink.messages(netlink.recv(_BUFFER)):
                whole = whole and not flags & rtnetlink.INTERRUPTED
                if answer == wanted:
                    found.append(body)
                elif answer in (rtnetlink.DONE, rtnetlink.ERROR):
                    if number := rtnetlink.code(body):
                        raise OSError(number, os.strerror(number))
                    done = True
        if whole:
            return found
    raise OSError(errno.EAGAIN, "the host's network changes all the time")


# --- sockets


def open_netlink() -> socket.socket:
    """A socket in the namespace of the calling thread."""
    netlink = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE)
    try:
        netlink.bind((0, 0))
        netlink.settimeout(_TIMEOUT)
    except OSError:
        netlink.close()
        raise
    return netlink


def open_netlink_in(namespace: int) -> socket.socket:
    """A socket in the network namespace behind a descriptor; it stays in the namespace it was made in. Raises
    OSError."""
    return call_in(namespace, Kind.NETWORK, open_netlink, _TIMEOUT)
