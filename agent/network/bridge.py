"""The pod network on a Linux bridge: ``PodNetwork`` for a real host.

One bridge of ours has the pod CIDR; each sandbox is on it through a veth pair that carries its own description
(``plan.py``), so nothing is kept in files. nftables does masquerading and host ports, in one table of ours.

Lives on one event loop. What talks to the kernel's netlink runs in one worker thread, in order, but removals in
another: the kernel takes 20 ms for each, and new pods shall not wait for that. nft and iptables run as processes,
one at a time. Changes of host ports that come together share one run of nft.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from ipaddress import IPv4Address
from typing import TypeVar

from agent.network import commands, metrics, plan, rules
from agent.network.addresses import AddressPool
from agent.network.base import NetworkFailure, PortMapping
from agent.network.netlink import Netlink
from agent.network.options import NetworkOptions
from agent.network.rules import HostPort, Target
from agent.runtime.base import PodIdentity

logger = logging.getLogger(__name__)
T = TypeVar("T")
_NETLINK_LIMIT = 60.0


class BridgeNetwork:
    """Addresses, pairs and host ports of this host's pods. ``setup`` comes first."""

    def __init__(self, options: NetworkOptions | None = None) -> None:
        self._options = options or NetworkOptions()
        self._netlink = Netlink(self._options.bridge)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="netlink")
        self._removals = ThreadPoolExecutor(1, thread_name_prefix="netlink-remove")
        self._pool: AddressPool | None = None
        self._mtu = 0
        self._processes: dict[str, int] = {}
        """Process id of every attached sandbox."""
        self._firewall = asyncio.Lock()
        self._desired: dict[HostPort, Target] = {}
        self._actual: dict[HostPort, Target] = {}

    async def setup(self, pod_cidr: str) -> None:
        pool = self._pool
        if pool is None or str(pool.network) != pod_cidr:
            pool = AddressPool(pod_cidr)
        await self._measured("setup", self._set_up(pool))

    async def attach(self, pod: PodIdentity | None, sandbox_id: str, process_id: int) -> str:
        """Raises NetworkFailure, with the reason: no address left, the sandbox has ended, no rights."""
        pool = self._ready()
        known = pool.get(sandbox_id)
        if known is not None and self._processes.get(sandbox_id) == process_id:
            return str(known)
        return await self._measured("attach", self._attach(pool, sandbox_id, process_id))

    async def publish(self, pod: PodIdentity, address: str, ports: Sequence[PortMapping]) -> None:
        wanted = dict(_host_port(port, address) for port in ports)
        before = {port: target for port, target in self._desired.items() if target.address == address}
        if before == wanted:
            return
        for port in before:
            del self._desired[port]
        for port, target in wanted.items():
            if (other := self._desired.get(port)) is not None:
                logger.warning(
                    "a host port changes hands",
                    extra={"port": port.port, "protocol": port.protocol, "was": other.address, "pod": pod.name},
                )
            self._desired[port] = target
        await self._measured("publish", self._apply_ports())

    async def detach(self, pod: PodIdentity | None, sandbox_id: str) -> None:
        if (pool := self._pool) is None:
            return
        address = pool.get(sandbox_id)
        if address is not None and self._forget_ports({str(address)}):
            await self._measured("publish", self._apply_ports())
        await self._measured("detach", self._remove_link(plan.veth_name(sandbox_id)))
        pool.release(sandbox_id)  # only now: as long as the link is there the address is in use
        self._processes.pop(sandbox_id, None)
        metrics.ADDRESSES.set(len(pool))

    async def adopt(self, sandboxes: Sequence[tuple[PodIdentity | None, str, int]]) -> dict[str, str]:
        pool = self._ready()
        links = await self._in_thread(self._netlink.links)
        found = plan.adopt(links, self._options.bridge, [sandbox_id for _, sandbox_id, _ in sandboxes])
        processes = {sandbox_id: process_id for _, sandbox_id, process_id in sandboxes}
        adopted: dict[str, str] = {}
        remove = list(found.remove)
        for sandbox_id, address in found.addresses.items():
            if pool.keep(sandbox_id, address):
                adopted[sandbox_id] = str(address)
                self._processes[sandbox_id] = processes[sandbox_id]
            else:  # of an earlier pod CIDR, or two claim one address
                remove.append(plan.veth_name(sandbox_id))
        for name in remove:
            logger.info("removing a link that belongs to no pod", extra={"link": name})
            await self._remove_link(name)
        self._desired = {port: target for port, target in self._desired.items() if target.address in adopted.values()}
        await self._apply_ports()
        metrics.ADDRESSES.set(len(pool))
        return adopted

    async def reconcile(self) -> None:
        """Look whether the host still is as it was set up, and mend what is not; for a slow cadence. Mends the
        bridge, pairs that left it or vanished, our rules (also those that Docker's restart displaced)."""
        pool = self._ready()
        await self._set_up(pool, repair=True)
        links = {link.name: link for link in await self._in_thread(self._netlink.links)}
        for sandbox_id, process_id in list(self._processes.items()):
            address = pool.get(sandbox_id)
            if address is None:
                continue
            link = links.get(plan.veth_name(sandbox_id))
            if link is not None and link.bridge == self._options.bridge:
                continue
            with suppress(NetworkFailure):  # the sandbox has just ended: its own events bring that to light
                await self._mend_link(pool, sandbox_id, process_id, address, link)

    async def teardown(self) -> None:
        """Remove everything of ours from the host's network: for the end of the agent's life there."""
        await self._in_thread(self._netlink.remove_all)
        async with self._firewall:
            await commands.nft(rules.remove_table(self._options.table), self._options.command_timeout)
            await commands.withdraw_forwarding(self._options.bridge, self._options.command_timeout)
            self._desired, self._actual = {}, {}
        self._pool = None
        self._processes.clear()
        metrics.ADDRESSES.set(0)

    async def close(self) -> None:
        """Ends our threads; the network stays as it is."""
        self._thread.shutdown(wait=False, cancel_futures=True)
        self._removals.shutdown(wait=False, cancel_futures=True)

    # --- parts -----------------------------------------------------------------------------------------------

    def _ready(self) -> AddressPool:
        if self._pool is None:
            raise NetworkFailure("the pod network is not set up yet; the node has no pod CIDR so far")
        return self._pool

    async def _set_up(self, pool: AddressPool, repair: bool = False) -> None:
        limit = self._options.command_timeout
        self._mtu = await self._in_thread(lambda: self._netlink.prepare(pool.gateway, pool.network, self._options.mtu))
        async with self._firewall:
            actual = await commands.list_ports(self._options.table, limit)
            batch = rules.base_rules(self._options.table, self._options.bridge, pool.network)
            if not repair and self._pool is None:
                self._desired = dict(actual or {})  # of the agent before us, until ``adopt`` says which still hold
            batch += rules.change_ports(self._options.table, actual or {}, self._desired)
            if repair and actual != self._actual:
                logger.warning("our nftables rules had been changed; mending", extra={"table": self._options.table})
                metrics.REPAIRS.inc()
            await commands.nft(batch, limit)
            self._actual = dict(self._desired)
            if await commands.accept_forwarding(self._options.bridge, limit) and repair:
                logger.warning("forwarding was no longer accepted; mending", extra={"bridge": self._options.bridge})
                metrics.REPAIRS.inc()
        self._pool = pool

    async def _attach(self, pool: AddressPool, sandbox_id: str, process_id: int) -> str:
        address = pool.take(sandbox_id)
        try:
            await self._plug(pool, sandbox_id, process_id, address)
        except NetworkFailure:
            pool.release(sandbox_id)
            raise
        self._processes[sandbox_id] = process_id
        metrics.ADDRESSES.set(len(pool))
        return str(address)

    async def _plug(self, pool: AddressPool, sandbox_id: str, process_id: int, address: IPv4Address) -> None:
        await self._in_thread(
            lambda: self._netlink.attach(sandbox_id, process_id, address, pool.network, pool.gateway, self._mtu)
        )

    async def _mend_link(
        self, pool: AddressPool, sandbox_id: str, process_id: int, address: IPv4Address, link: plan.HostLink | None
    ) -> None:
        logger.warning("a pod's link is not as it was; mending", extra={"sandbox": sandbox_id[:12]})
        metrics.REPAIRS.inc()
        if link is None:
            await self._plug(pool, sandbox_id, process_id, address)
            return
        alias = plan.alias(address, sandbox_id)
        await self._in_thread(lambda: self._netlink.join_bridge(link.name, alias))

    def _forget_ports(self, addresses: set[str]) -> bool:
        gone = [port for port, target in self._desired.items() if target.address in addresses]
        for port in gone:
            del self._desired[port]
        return bool(gone)

    async def _apply_ports(self) -> None:
        """Bring the host's maps to what is desired now; callers that waited find it done."""
        table, limit = self._options.table, self._options.command_timeout
        async with self._firewall:
            desired = dict(self._desired)
            batch = rules.change_ports(table, self._actual, desired)
            if not batch:
                return
            try:
                await commands.nft(batch, limit)
            except NetworkFailure as failure:
                logger.warning("host ports are not as they were; looking again", extra={"reason": str(failure)})
                metrics.REPAIRS.inc()
                actual = await commands.list_ports(table, limit) or {}
                batch = rules.base_rules(table, self._options.bridge, self._ready().network)
                await commands.nft(batch + rules.change_ports(table, actual, desired), limit)
            self._actual = desired

    async def _remove_link(self, name: str) -> None:
        await self._in_thread(lambda: self._netlink.detach(name), self._removals)

    async def _in_thread(self, work: Callable[[], T], thread: ThreadPoolExecutor | None = None) -> T:
        try:
            async with asyncio.timeout(_NETLINK_LIMIT):
                return await asyncio.get_running_loop().run_in_executor(thread or self._thread, work)
        except TimeoutError as error:
            raise NetworkFailure(f"the kernel did not answer a netlink request in {_NETLINK_LIMIT:g} s") from error

    @staticmethod
    async def _measured(operation: str, work: Awaitable[T]) -> T:
        started = time.perf_counter()
        outcome = "error"
        try:
            result = await work
            outcome = "ok"
        finally:
            metrics.OPERATION_SECONDS.labels(operation, outcome).observe(time.perf_counter() - started)
        return result


def _host_port(mapping: PortMapping, address: str) -> tuple[HostPort, Target]:
    """Raises NetworkFailure for what cannot be published."""
    protocol = mapping.protocol.lower()
    if protocol not in rules.PROTOCOLS:
        raise NetworkFailure(f"host port {mapping.host_port}: protocol {mapping.protocol} is not supported")
    try:
        host_ip = rules.chosen_address(mapping.host_ip)
    except ValueError as error:
        raise NetworkFailure(f"host port {mapping.host_port}: hostIP {mapping.host_ip} is no IPv4 address") from error
    return HostPort(host_ip, protocol, mapping.host_port), Target(address, mapping.container_port)
