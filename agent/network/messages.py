"""Requests to the kernel's rtnetlink as bytes, and their exchange in one go.

The encoding is pyroute2's. Its ``IPRoute`` is used where an operation is rare; it takes 0.7 ms of processor time
a request, since each goes through an event loop of its own, and setting up a pod needs seven. Here the requests
of one pod are encoded (1.4 ms for all) and sent together, and the kernel's answers (one a request) read together.

Blocking, for one worker thread.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Mapping, Sequence
from typing import Any

from agent.namespaces import Kind, call_in

_HEADER = struct.Struct("=IHHII")
_NLMSG_ERROR = 2
_REQUEST, _ACK, _EXCLUSIVE, _CREATE = 0x1, 0x4, 0x200, 0x400
_NEWLINK, _DELLINK, _NEWADDR, _NEWROUTE = 16, 17, 20, 24
_UP = 0x1
_BUFFER = 64 * 1024
_TIMEOUT = 10.0


class Batch:
    """Requests in order; each gets the number of its place."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def add_pair(self, index: int, mac: str, host_end: str, *, namespace: int, mtu: int) -> None:
        """A veth pair, asked for inside a pod: ``eth0`` there, with the number ``index``, and the other end in the
        namespace behind a descriptor. (The other way round the kernel does not heed the number.)"""
        peer = {"attrs": [("IFLA_IFNAME", host_end), ("IFLA_NET_NS_FD", namespace), ("IFLA_MTU", mtu)]}
        info = {"attrs": [("IFLA_INFO_KIND", "veth"), ("IFLA_INFO_DATA", {"attrs": [("VETH_INFO_PEER", peer)]})]}
        attributes = [("IFLA_IFNAME", "eth0"), ("IFLA_MTU", mtu), ("IFLA_ADDRESS", mac), ("IFLA_LINKINFO", info)]
        self._link(_NEWLINK, _CREATE | _EXCLUSIVE, {"index": index}, attributes)

    def set_port(self, host_end: str, alias: str, bridge: int) -> None:
        """The alias and the bridge of a host end; it may send back where a frame came from, which a pod needs that
        asks for a host port of its own."""
        info = {
            "attrs": [
                ("IFLA_INFO_SLAVE_KIND", "bridge"),
                ("IFLA_INFO_SLAVE_DATA", {"attrs": [("IFLA_BRPORT_MODE", 1)]}),
            ]
        }
        attributes = [("IFLA_IFNAME", host_end), ("IFLA_IFALIAS", alias), ("IFLA_MASTER", bridge)]
        self._link(_NEWLINK, 0, {"flags": _UP, "change": _UP}, attributes)
        # a request of its own: the kernel takes settings of a port only when it is in the bridge already
        self._link(_NEWLINK, 0, {}, [("IFLA_IFNAME", host_end), ("IFLA_LINKINFO", info)])

    def set_up(self, index: int) -> None:
        self._link(_NEWLINK, 0, {"index": index, "flags": _UP, "change": _UP}, [])

    def delete_link(self, name: str) -> None:
        self._link(_DELLINK, 0, {}, [("IFLA_IFNAME", name)])

    def add_address(self, index: int, address: str, prefix: int) -> None:
        from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg

        fields = {"family": socket.AF_INET, "prefixlen": prefix, "index": index}
        attributes = [("IFA_LOCAL", address), ("IFA_ADDRESS", address)]
        self._add(ifaddrmsg, _NEWADDR, _CREATE | _EXCLUSIVE, fields, attributes)

    def add_default_route(self, gateway: str) -> None:
        from pyroute2.netlink.rtnl.rtmsg import rtmsg

        main_table, boot_protocol, unicast = 254, 3, 1
        fields = {"family": socket.AF_INET, "table": main_table, "proto": boot_protocol, "type": unicast}
        self._add(rtmsg, _NEWROUTE, _CREATE | _EXCLUSIVE, fields, [("RTA_GATEWAY", gateway)])

    def send(self, netlink: socket.socket) -> list[int]:
        """Send all and read every answer: error numbers in the order of the requests, 0 for done."""
        if not self._parts:
            return []
        netlink.send(b"".join(self._parts))
        results: dict[int, int] = {}
        while len(results) < len(self._parts):
            answer = netlink.recv(_BUFFER)
            position = 0
            while position + _HEADER.size <= len(answer):
                length, kind, _, sequence, _ = _HEADER.unpack_from(answer, position)
                if kind == _NLMSG_ERROR:
                    results[sequence] = -struct.unpack_from("=i", answer, position + _HEADER.size)[0]
                position += (length + 3) & ~3
        return [results.get(number, 0) for number in range(1, len(self._parts) + 1)]

    def _link(self, kind: int, flags: int, fields: Mapping[str, Any], attributes: Sequence[tuple[str, Any]]) -> None:
        from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg

        self._add(ifinfmsg, kind, flags, fields, attributes)

    def _add(
        self, message: Any, kind: int, flags: int, fields: Mapping[str, Any], attributes: Sequence[tuple[str, Any]]
    ) -> None:
        request = message()
        header = {"type": kind, "flags": _REQUEST | _ACK | flags, "sequence_number": len(self._parts) + 1, "pid": 0}
        for key, value in header.items():
            request["header"][key] = value
        for key, value in fields.items():
            request[key] = value
        request["attrs"] = list(attributes)
        request.encode()
        self._parts.append(bytes(request.data).ljust((len(request.data) + 3) & ~3, b"\0"))


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
