"""The host's links, addresses and routes, as far as the pod network needs them.

Blocking; every method but ``detach`` runs in one and the same worker thread, which is what orders them. Raises
NetworkFailure with a message for operators.
"""

from __future__ import annotations

import errno
import logging
import os
import socket
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from agent.namespaces import same_namespace
from agent.network import messages, plan
from agent.network.base import NetworkFailure
from agent.network.messages import Batch, open_netlink, open_netlink_in
from agent.network.rtnetlink import Link, Route

logger = logging.getLogger(__name__)
_LOOPBACK, _PEER = 1, 100
"""Interface numbers inside a pod: lo is 1 in a new namespace, 100 is clear of the tunnels that some kernels put
into every namespace."""
_USUAL_MTU = 1500
_LEAST_MTU = 576


class Netlink:
    """Bridge and pairs of one agent."""

    def __init__(self, bridge: str) -> None:
        self._bridge = bridge
        self._bridge_index = 0

    def prepare(self, gateway: IPv4Address, pods: IPv4Network, mtu: int) -> int:
        """The bridge with the gateway's address, and forwarding on; the MTU for pods. Idempotent."""
        with _netlink(f"bridge {self._bridge} cannot be set up") as outside:
            links = {link.index: link for link in messages.links(outside)}
            routes = messages.routes(outside)
            self._refuse_overlap(links, routes, pods)
            chosen = mtu or _default_mtu(links, routes)
            self._bridge_index = self._make_bridge(outside, links, gateway, chosen)
            self._set_address(outside, gateway, pods.prefixlen)
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
        inner.add_address(_PEER, address, pods.prefixlen)
        inner.set_up(_PEER)
        inner.add_default_route(gateway)
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
        with _netlink("the host's links cannot be listed") as outside:
            found = messages.links(outside)
        names = {link.index: link.name for link in found}
        return [plan.HostLink(link.name, link.alias, names.get(link.master, "")) for link in found]

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
    def _delete(outside: socket.socket, name: str) -> None:
        batch = Batch()
        batch.delete_link(name)
        [result] = batch.send(outside)
        if result not in (0, errno.ENODEV):
            raise NetworkFailure(f"link {name} cannot be removed: {_words(result)}")

    def _make_bridge(self, outside: socket.socket, links: Mapping[int, Link], gateway: IPv4Address, mtu: int) -> int:
        """Its number. It gets a MAC of its own: else it would change with every pod, and pods would lose their
        gateway until their neighbour cache noticed."""
        index = self._find_bridge(links.values())
        if not index:
            making = Batch()
            making.add_bridge(self._bridge, plan.mac_of(gateway))
            _check(making.send(outside), f"bridge {self._bridge}")
            index = self._find_bridge(messages.links(outside))
        setting = Batch()
        setting.set_up(index, mtu)
        _check(setting.send(outside), f"bridge {self._bridge}")
        return index

    def _find_bridge(self, links: Iterable[Link]) -> int:
        return next((link.index for link in links if link.name == self._bridge), 0)

    def _set_address(self, outside: socket.socket, gateway: IPv4Address, prefix: int) -> None:
        """The gateway's address and no other IPv4 one."""
        present, batch = False, Batch()
        for found in messages.addresses(outside):
            if found.link != self._bridge_index:
                continue
            if found.address == gateway and found.prefix == prefix:
                present = True
            else:
                batch.delete_address(self._bridge_index, found.address, found.prefix)
        if not present:
            batch.add_address(self._bridge_index, gateway, prefix)
        _check(batch.send(outside), f"the address of bridge {self._bridge}")

    def _refuse_overlap(self, links: Mapping[int, Link], routes: Sequence[Route], pods: IPv4Network) -> None:
        """A range that the host's own network is part of would cut the host off."""
        for route in routes:
            device = links[route.link].name if route.link in links else ""
            if route.target.prefixlen and device != self._bridge and route.target.subnet_of(pods):
                raise NetworkFailure(
                    f"pod CIDR {pods} contains {route.target}, which this host reaches through"
                    f" {device or 'another link'}; choose another --cluster-cidr for the server, or remove that network"
                )


@contextmanager
def _netlink(trouble: str) -> Iterator[socket.socket]:
    """A socket for an exchange; its failures as NetworkFailure."""
    try:
        with closing(open_netlink()) as outside:
            yield outside
    except OSError as error:
        raise NetworkFailure(f"{trouble}: {_words(error.errno) if error.errno else error}") from error


def _default_mtu(links: Mapping[int, Link], routes: Sequence[Route]) -> int:
    """That of the interface that the default route leaves by."""
    for route in routes:
        if not route.target.prefixlen and route.link in links:
            return max(_LEAST_MTU, min(links[route.link].mtu, 9000))
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
