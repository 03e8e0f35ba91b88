"""The host's links, addresses and routes, as far as the pod network needs them.

Blocking; every method but ``detach`` runs in one and the same worker thread, which is what orders them. pyroute2
is imported at the first use, since it costs 10 MB and a third of a second. Raises NetworkFailure with a message
for operators.
"""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

from agent.namespaces import same_namespace
from agent.network import plan
from agent.network.base import NetworkFailure
from agent.network.messages import Batch, open_netlink, open_netlink_in

logger = logging.getLogger(__name__)
_LOOPBACK, _PEER = 1, 100
"""Interface numbers inside a pod: lo is 1 in a new namespace, 100 is clear of the tunnels that some kernels put
into every namespace."""
_MAIN_TABLE = 254
_USUAL_MTU = 1500
_LEAST_MTU = 576


class Netlink:
    """Bridge and pairs of one agent."""

    def __init__(self, bridge: str) -> None:
        self._bridge = bridge
        self._bridge_index = 0

    def prepare(self, gateway: IPv4Address, pods: IPv4Network, mtu: int) -> int:
        """The bridge with the gateway's address, and forwarding on; the MTU for pods. Idempotent."""
        with _iproute(f"bridge {self._bridge} cannot be set up") as ip:
            self._refuse_overlap(ip, pods)
            chosen = mtu or _default_mtu(ip)
            self._bridge_index = self._make_bridge(ip, gateway, chosen)
            self._set_address(ip, gateway, pods.prefixlen)
        _write_sysctl("net/ipv4/ip_forward", "1")
        _write_sysctl(f"net/ipv4/conf/{self._bridge}/route_localnet", "1")
        return chosen

    def attach(
        self, sandbox_id: str, process_id: int, address: IPv4Address, pods: IPv4Network, gateway: IPv4Address, mtu: int
    ) -> None:
        """A pair between the bridge and the sandbox's namespace, with address and default route."""
        try:
            theirs = os.open(f"/proc/{process_id}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise NetworkFailure(f"sandbox {sandbox_id[:12]} has ended: {error.strerror}") from error
        try:
            ours = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
            try:
                self._attach(sandbox_id, ours, theirs, address, pods, gateway, mtu)
            finally:
                os.close(ours)
        except OSError as error:
            raise NetworkFailure(f"the network of sandbox {sandbox_id[:12]} cannot be set up: {error}") from error
        finally:
            os.close(theirs)

    def _attach(
        self,
        sandbox_id: str,
        ours: int,
        theirs: int,
        address: IPv4Address,
        pods: IPv4Network,
        gateway: IPv4Address,
        mtu: int,
    ) -> None:
        if same_namespace(ours, theirs):
            raise NetworkFailure(f"sandbox {sandbox_id[:12]} is in the host's own network")
        name = plan.veth_name(sandbox_id)
        inner = Batch()
        inner.add_pair(_PEER, plan.mac_of(address), name, namespace=ours, mtu=mtu)
        inner.set_up(_LOOPBACK)
        inner.add_address(_PEER, str(address), pods.prefixlen)
        inner.set_up(_PEER)
        inner.add_default_route(str(gateway))
        outer = Batch()
        outer.set_port(name, plan.alias(address, sandbox_id), self._bridge_index)
        with closing(open_netlink()) as outside, closing(open_netlink_in(theirs)) as inside:
            results = inner.send(inside)
            if results[0] == errno.EEXIST:  # half made before, by an agent that was killed or a call given up
                self._delete(outside, name)
                results = inner.send(inside)
            try:
                _check([*results, *outer.send(outside)], f"the network of sandbox {sandbox_id[:12]}")
            except NetworkFailure:
                self._delete(outside, name)
                raise

    def detach(self, name: str) -> None:
        """Remove a pair by its host end; no error if it is gone."""
        try:
            with closing(open_netlink()) as outside:
                self._delete(outside, name)
        except OSError as error:
            raise NetworkFailure(f"link {name} cannot be removed: {error}") from error

    def links(self) -> list[plan.HostLink]:
        """Every link of the host that could be ours."""
        with _iproute("the host's links cannot be listed") as ip:
            found = list(ip.get_links())
        names = {link["index"]: link.get_attr("IFLA_IFNAME") for link in found}
        return [
            plan.HostLink(
                names[link["index"]],
                link.get_attr("IFLA_IFALIAS") or "",
                names.get(link.get_attr("IFLA_MASTER"), ""),
            )
            for link in found
        ]

    def join_bridge(self, name: str, alias: str) -> None:
        """Put a host end back into the bridge."""
        batch = Batch()
        batch.set_port(name, alias, self._bridge_index)
        try:
            with closing(open_netlink()) as outside:
                _check(batch.send(outside), f"link {name}")
        except OSError as error:
            raise NetworkFailure(f"link {name} cannot be put into {self._bridge}: {error}") from error

    def remove_all(self) -> None:
        """Remove every pair of ours and the bridge."""
        found = self.links()
        for link in found:
            if plan.is_ours(link, self._bridge):
                self.detach(link.name)
        self.detach(self._bridge)
        self._bridge_index = 0

    @staticmethod
    def _delete(outside: Any, name: str) -> None:
        batch = Batch()
        batch.delete_link(name)
        [result] = batch.send(outside)
        if result not in (0, errno.ENODEV):
            raise NetworkFailure(f"link {name} cannot be removed: {_words(result)}")

    def _make_bridge(self, ip: Any, gateway: IPv4Address, mtu: int) -> int:
        """Its number. It gets a MAC of its own: else it would change with every pod, and pods would lose their
        gateway until their neighbour cache noticed."""
        found = ip.link_lookup(ifname=self._bridge)
        if not found:
            ip.link(
                "add",
                ifname=self._bridge,
                kind="bridge",
                address=plan.mac_of(gateway),
                br_forward_delay=0,
                br_stp_state=0,
                br_mcast_snooping=0,
            )
            found = ip.link_lookup(ifname=self._bridge)
        ip.link("set", index=found[0], mtu=mtu, state="up")
        return int(found[0])

    def _set_address(self, ip: Any, gateway: IPv4Address, prefix: int) -> None:
        """The gateway's address and no other IPv4 one."""
        present = False
        for found in ip.get_addr(index=self._bridge_index, family=2):
            address = found.get_attr("IFA_LOCAL")
            if address == str(gateway) and found["prefixlen"] == prefix:
                present = True
            else:
                ip.addr("del", index=self._bridge_index, address=address, prefixlen=found["prefixlen"])
        if not present:
            ip.addr("add", index=self._bridge_index, address=str(gateway), prefixlen=prefix)

    def _refuse_overlap(self, ip: Any, pods: IPv4Network) -> None:
        """A range that the host's own network is part of would cut the host off."""
        for route in ip.get_routes(family=2, table=_MAIN_TABLE):
            target = route.get_attr("RTA_DST")
            if target is None:
                continue
            network = IPv4Network(f"{target}/{route['dst_len']}", strict=False)
            device = _link_name(ip, route.get_attr("RTA_OIF"))
            if device != self._bridge and network.subnet_of(pods):
                raise NetworkFailure(
                    f"pod CIDR {pods} contains {network}, which this host reaches through {device or 'another link'}; "
                    "choose another --cluster-cidr for the server, or remove that network"
                )


@contextmanager
def _iproute(trouble: str) -> Iterator[Any]:
    """pyroute2's client for what is rare; its failures as NetworkFailure."""
    from pyroute2 import IPRoute
    from pyroute2.netlink.exceptions import NetlinkError

    try:
        with IPRoute() as ip:
            yield ip
    except NetlinkError as error:
        raise NetworkFailure(f"{trouble}: {_words(error.code)}") from error
    except OSError as error:
        raise NetworkFailure(f"{trouble}: {error}") from error


def _link_name(ip: Any, index: int | None) -> str:
    links = ip.get_links(index) if index else ()
    return next((link.get_attr("IFLA_IFNAME") for link in links), "")


def _default_mtu(ip: Any) -> int:
    """That of the interface that the default route leaves by."""
    for route in ip.get_default_routes(family=2, table=_MAIN_TABLE):
        for link in ip.get_links(route.get_attr("RTA_OIF")) if route.get_attr("RTA_OIF") else ():
            return max(_LEAST_MTU, min(int(link.get_attr("IFLA_MTU")), 9000))
    return _USUAL_MTU


def _write_sysctl(path: str, value: str) -> None:
    file = Path("/proc/sys") / path
    with suppress(OSError):
        if file.read_text().strip() == value:
            return
    try:
        file.write_text(value)
    except OSError as error:
        raise NetworkFailure(f"{file} cannot be set to {value}: {error.strerror}; set it on the host") from error


def _check(results: list[int], what: str) -> None:
    for result in results:
        if result:
            raise NetworkFailure(f"{what} cannot be set up: {_words(result)}")


def _words(code: int) -> str:
    if code in (errno.EPERM, errno.EACCES):
        return "not permitted; the agent needs root and CAP_NET_ADMIN"
    return os.strerror(code)
