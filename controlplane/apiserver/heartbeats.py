"""Heartbeats of agents: POST /apis/longboat.dev/v1/nodes/{name}/heartbeat.

Each node's Lease object (coordination.k8s.io, in kube-node-lease) is attached to a store lease, which a heartbeat
keeps alive: when heartbeats stop, the Lease object is deleted, and the node lifecycle controller sees that as a
watch event at once. This is the one write to the store beside the verbs, since leases are the store's own; it
writes nothing but these Lease objects. A heartbeat after the first is no durable write.

Concurrency: one event loop, one heartbeat at a time for each node.
"""

from __future__ import annotations

import asyncio
import logging
import math
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from aiohttp import web
from prometheus_client import Counter, Gauge

from controlplane.apiserver.connections import read_body
from controlplane.store.base import Compare, LeaseNotFound, Put, Store, StoreError
from shared import codec
from shared.api.core import Node
from shared.api.errors import BadRequest, NotFound, ServiceUnavailable
from shared.api.kinds import LEASES, NODE_LEASE_NAMESPACE
from shared.api.meta import JSON, timestamp
from shared.work.clock import Clock, SystemClock

logger = logging.getLogger(__name__)

HEARTBEATS = Counter("longboat_heartbeats_total", "Heartbeats answered.")
LATE = Counter("longboat_heartbeats_late_total", "Heartbeats that came more than two intervals after the one before.")
LOST = Counter("longboat_heartbeat_leases_lost_total", "Heartbeats that found their node's lease expired.")
INTERVAL = Gauge("longboat_heartbeat_interval_seconds", "The interval that agents are told.")

PATH = "/apis/longboat.dev/v1/nodes/{name}/heartbeat"
_STEP = 1.25
_TRIES = 3


class NodeDirectory(Protocol):
    """Nodes as the watch cache has them."""

    def node(self, name: str) -> Node | JSON | None: ...

    def node_count(self) -> int: ...

    def lease_is_gone(self, name: str, revision: int) -> bool:
        """Whether the node's Lease object, written at ``revision``, was deleted since."""
        ...


@dataclass(frozen=True, slots=True)
class HeartbeatSettings:
    """``interval``: seconds between heartbeats of a node while the server can take them; ``factor``: the lease's
    TTL in intervals; ``rate``: heartbeats a second that the server takes before it stretches the interval."""

    interval: float = 1.0
    factor: float = 4.0
    rate: float = 100.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What an agent is told: seconds, and the Ready condition that the server has of it."""

    interval_seconds: float
    ttl_seconds: float
    ready: str


@dataclass(slots=True)
class _Held:
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    lease: int = 0
    revision: int = 0
    ttl: float = 0.0
    last: float | None = None


class NodeHeartbeats:
    """The store leases of all nodes that have reported to this server.

    After a restart nothing is remembered: the first heartbeat of a node takes a new lease and writes the Lease
    object again, which detaches it from the lease before, whose end then deletes nothing.
    """

    def __init__(
        self, store: Store, nodes: NodeDirectory, settings: HeartbeatSettings, clock: Clock = SystemClock()
    ) -> None:
        self._store, self._nodes, self._settings, self.clock = store, nodes, settings, clock
        self._held: dict[str, _Held] = {}

    async def beat(self, name: str) -> Answer:
        """Keep the node's lease for another TTL. Raises NotFound (the node must register), ServiceUnavailable."""
        node = self._nodes.node(name)
        if node is None:
            self._held.pop(name, None)
            raise NotFound(f'nodes "{name}" not found', kind="nodes", name=name)
        held = self._held.setdefault(name, _Held())
        try:
            # Bounded: a store that hangs must not pile up heartbeats.
            async with asyncio.timeout(held.ttl or self._settings.interval * self._settings.factor), held.lock:
                await self._renew(name, held)
        except TimeoutError as error:
            raise ServiceUnavailable("the store does not answer in time", retry_after_seconds=1) from error
        except StoreError as error:
            raise ServiceUnavailable(f"the heartbeat cannot be kept: {error}", retry_after_seconds=1) from error
        HEARTBEATS.inc()
        return Answer(held.ttl / self._settings.factor, held.ttl, _ready(node))

    async def _renew(self, name: str, held: _Held) -> None:
        interval = stretched(self._settings, self._nodes.node_count())
        INTERVAL.set(interval)
        ttl = interval * self._settings.factor
        now = self.clock.monotonic()
        if held.last is not None and now - held.last > 2 * held.ttl / self._settings.factor:
            LATE.inc()
        held.last = now
        # A lease keeps its TTL for life. A longer one is needed at once; a shorter one may wait for a clear
        # difference, so that a cluster at the edge of a step does not rewrite its leases again and again.
        if held.lease and held.ttl >= ttl >= held.ttl / (_STEP * _STEP):
            try:
                await self._store.lease_keepalive(held.lease)
                if not self._nodes.lease_is_gone(name, held.revision):
                    return
                logger.info("somebody deleted a node's Lease, which is written again", extra={"node": name})
            except LeaseNotFound:
                LOST.inc()
                logger.info("a node's lease had expired and is taken again", extra={"node": name})
        held.lease = 0
        lease = await self._store.lease_grant(ttl)
        held.revision = await self._write(name, lease, ttl)
        held.lease, held.ttl = lease, ttl

    async def _write(self, name: str, lease: int, ttl: float) -> int:
        """Write the Lease object; at which revision."""
        key = lease_key(name)
        for _ in range(_TRIES):
            existing = await self._store.get(key)
            previous = codec.decode(existing.value) if existing is not None else None
            value = codec.encode(lease_object(name, ttl, self.clock, previous))
            revision = existing.mod_revision if existing is not None else 0
            done = await self._store.txn([Compare(key, revision)], [Put(key, value, lease)])
            if done.succeeded:
                return done.revision
        raise ServiceUnavailable(f"the Lease of node {name} changes all the time", retry_after_seconds=1)


def lease_key(node: str) -> str:
    """Where the store has the Lease object of a node."""
    return f"/registry/{LEASES.group}/{LEASES.plural}/{NODE_LEASE_NAMESPACE}/{node}"


def lease_object(node: str, ttl: float, clock: Clock, previous: JSON | None) -> JSON:
    """The Lease as a kubelet writes it; its identity and acquireTime are those of ``previous``, if there is one.

    renewTime is that of the write: heartbeats after it are in the store lease only.
    """
    now = clock.now()
    micro = now.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    metadata = (previous or {}).get("metadata") or {
        "name": node, "namespace": NODE_LEASE_NAMESPACE, "uid": str(uuid.uuid4()), "creationTimestamp": timestamp(now),
    }  # fmt: skip
    return {
        "kind": LEASES.kind,
        "apiVersion": LEASES.api_version,
        "metadata": metadata,
        "spec": {
            "holderIdentity": node,
            "leaseDurationSeconds": math.ceil(ttl),
            "acquireTime": ((previous or {}).get("spec") or {}).get("acquireTime", micro),
            "renewTime": micro,
        },
    }


def stretched(settings: HeartbeatSettings, nodes: int) -> float:
    """The interval for so many nodes: long enough for the rate, in steps of a quarter.

    Steps, because a node whose TTL changes needs another lease and so a durable write: while 1,000 nodes join, each
    rewrites its Lease 11 times instead of 900.
    """
    needed = nodes / settings.rate
    if needed <= settings.interval:
        return settings.interval
    steps = math.ceil(math.log(needed / settings.interval, _STEP) - 1e-9)
    return float(settings.interval * _STEP**steps)


def add_routes(app: web.Application, heartbeats: NodeHeartbeats) -> None:
    """Serve PATH. Whoever may ask is decided before: only the node itself."""
    app.router.add_post(PATH, handler(heartbeats))


def handler(heartbeats: NodeHeartbeats) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """The request handler; it raises StatusErrors, which the application renders."""

    async def beat(request: web.Request) -> web.StreamResponse:
        try:
            body = codec.decode(await read_body(request) or b"{}")
        except codec.CodecError as error:
            raise BadRequest(str(error)) from error
        if not isinstance(body, dict):
            raise BadRequest("a heartbeat is a JSON object")
        answer = await heartbeats.beat(request.match_info["name"])
        return web.Response(body=codec.encode(_rendered(answer, heartbeats.clock)), content_type="application/json")

    return beat


def _rendered(answer: Answer, clock: Clock) -> dict[str, Any]:
    return {
        "kind": "HeartbeatAnswer",
        "apiVersion": "longboat.dev/v1",
        "intervalSeconds": answer.interval_seconds,
        "ttlSeconds": answer.ttl_seconds,
        "serverTime": clock.now().isoformat().replace("+00:00", "Z"),
        "ready": answer.ready,
    }


def _ready(node: Node | JSON) -> str:
    """The status of the node's Ready condition; empty when it has none."""
    if isinstance(node, dict):
        conditions = (node.get("status") or {}).get("conditions") or []
        return str(next((c.get("status", "") for c in conditions if c.get("type") == "Ready"), ""))
    return next((c.status for c in node.status.conditions if c.type == "Ready"), "")
