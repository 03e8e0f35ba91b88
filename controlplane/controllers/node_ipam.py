"""Node address management: gives every node its pod range, spec.podCIDR, out of the cluster's.

Writes spec.podCIDR and spec.podCIDRs of nodes that have none, once: it never changes a range, which pods may be
using. What is free follows from what nodes have, so nothing needs to be remembered over a restart, and the range
of a node that is gone is free again. One sync at a time for all nodes (there is one key).
"""

from __future__ import annotations

import ipaddress
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from controlplane.controllers.base import Context, Key, Watch
from controlplane.controllers.writes import Patch, apply
from shared.api.core import Node
from shared.api.kinds import NODES

logger = logging.getLogger(__name__)

ALL: Key = ("", "podcidrs")
DEFAULT_CLUSTER_CIDR = "10.42.0.0/16"


@dataclass(frozen=True, slots=True)
class View:
    """Every node, and the ranges given to nodes (by uid) that the cache does not show yet."""

    nodes: tuple[Node, ...]
    reserved: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Plan:
    """``assign``: a range for each of these nodes. ``unserved``: nodes that found none free."""

    assign: tuple[tuple[Node, str], ...] = ()
    unserved: tuple[Node, ...] = ()


def decide(view: View, cluster: ipaddress.IPv4Network, node_prefix: int) -> Plan:
    """Ranges for the nodes without one, oldest node first, lowest free range first."""
    uids = {node.metadata.uid for node in view.nodes}
    taken = [range_ for node in view.nodes for range_ in ranges(node)]
    taken += [range_ for uid, range_ in view.reserved.items() if uid in uids]
    used = _indexes(taken, cluster, node_prefix)
    wanting = [n for n in view.nodes if not ranges(n) and n.metadata.uid not in view.reserved]
    wanting = [n for n in wanting if n.metadata.deletion_timestamp is None]
    wanting.sort(key=lambda n: (str(n.metadata.creation_timestamp or ""), n.metadata.name))
    size = 2 ** (node_prefix - cluster.prefixlen)
    free = (index for index in range(size) if index not in used)
    assign: list[tuple[Node, str]] = []
    unserved: list[Node] = []
    for node in wanting:
        index = next(free, None)
        if index is None:
            unserved.append(node)
        else:
            address = cluster.network_address + index * 2 ** (32 - node_prefix)
            assign.append((node, f"{address}/{node_prefix}"))
    return Plan(tuple(assign), tuple(unserved))


def ranges(node: Node) -> tuple[str, ...]:
    """The node's pod ranges; empty when it has none."""
    return node.spec.pod_cidrs or ((node.spec.pod_cidr,) if node.spec.pod_cidr else ())


def _indexes(taken: Iterable[str], cluster: ipaddress.IPv4Network, node_prefix: int) -> set[int]:
    """Numbers of the node ranges that any of ``taken`` overlaps, whatever their size; foreign ones count not."""
    step = 2 ** (32 - node_prefix)
    first_of_cluster, last_of_cluster = int(cluster.network_address), int(cluster.broadcast_address)
    used: set[int] = set()
    for text in taken:
        try:
            network = ipaddress.ip_network(text, strict=False)
        except ValueError:
            continue
        if network.version != 4 or not network.overlaps(cluster):
            continue
        first = max(int(network.network_address), first_of_cluster)
        last = min(int(network.broadcast_address), last_of_cluster)
        used.update(range((first - first_of_cluster) // step, (last - first_of_cluster) // step + 1))
    return used


class NodeIpamController:
    """See the module. ``cluster_cidr`` is cut into one /``node_prefix`` for each node."""

    name = "node-ipam"

    def __init__(self, context: Context, cluster_cidr: str = DEFAULT_CLUSTER_CIDR, node_prefix: int = 24) -> None:
        """Raises ValueError when the range is none, or has no room for one node's."""
        self._client, self._events = context.client, context.events
        self._nodes = context.informers.cache(NODES)
        self._cluster = ipaddress.IPv4Network(cluster_cidr)
        if not self._cluster.prefixlen <= node_prefix <= 30:
            raise ValueError(f"{cluster_cidr} has no room for one node's /{node_prefix}")
        self._prefix = node_prefix
        self._reserved: dict[str, str] = {}
        self._told: set[str] = set()
        """Uids of nodes that were told that no range is left for them."""

    def watches(self) -> Sequence[Watch]:
        return (Watch(NODES, self._keys_of_node),)

    def _keys_of_node(self, old: Node | None, new: Node | None) -> Iterable[Key]:
        """A node without a range; or one is gone, whose range a waiting node may take."""
        if new is None:
            assert old is not None
            self._reserved.pop(old.metadata.uid, None)
            self._told.discard(old.metadata.uid)
            return (ALL,)
        if ranges(new):
            self._reserved.pop(new.metadata.uid, None)
            return ()
        return (ALL,) if new.metadata.uid not in self._reserved else ()

    async def sync(self, key: Key) -> float | None:
        """See ``Controller.sync``."""
        plan = decide(View(tuple(self._nodes), dict(self._reserved)), self._cluster, self._prefix)
        self._reserved |= {node.metadata.uid: range_ for node, range_ in plan.assign}
        for node in plan.unserved:
            if node.metadata.uid not in self._told:
                self._told.add(node.metadata.uid)
                message = f"Node {node.metadata.name} status is now: CIDRNotAvailable"
                self._events.event(node, "Warning", "CIDRNotAvailable", message)
                logger.warning(
                    "no pod range is left for a node",
                    extra={"node": node.metadata.name, "cluster_cidr": str(self._cluster)},
                )
        try:
            await apply(self._client, [_patch(node, range_) for node, range_ in plan.assign])
        except BaseException:
            # Those that were written show in the cache soon, and until then their second write is refused.
            for node, _ in plan.assign:
                self._reserved.pop(node.metadata.uid, None)
            raise
        return None


def _patch(node: Node, range_: str) -> Patch:
    patch = {"metadata": {"uid": node.metadata.uid}, "spec": {"podCIDR": range_, "podCIDRs": [range_]}}
    return Patch(NODES, node.metadata.name, patch)
