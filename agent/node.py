"""This host's Node object: registered, described, and kept true.

Owns what the agent writes to its Node. Status is patched when something changed, when the server has another idea
of Ready than we do (it calls a node that was silent Unknown), and every five minutes. It starts nothing and stops
nothing; the node lifecycle is the server's. One task, on the event loop; what blocks runs in a thread.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from agent import host, node_status
from agent.node_status import Observed, Previous
from agent.pressure import Pressure
from agent.runtime.base import EngineInfo, Image, RuntimeFailure
from agent.thresholds import Reserves
from shared.addresses import address_towards, outward_address
from shared.api.errors import AlreadyExists, NotFound, StatusError
from shared.api.kinds import NODES
from shared.api.meta import JSON
from shared.client.base import Client, PatchType
from shared.work.backoff import Backoff
from shared.work.clock import Clock, SystemClock

logger = logging.getLogger(__name__)

LOOK = 10.0
"""Seconds between looks at the engine and the host."""

REPOST = 300.0
"""Seconds after which an unchanged status is written again, as a kubelet does (nodeStatusReportFrequency)."""

IMAGES = 60.0
"""Seconds between looks at the images."""

EXTENDED = 30.0
"""Seconds between looks at what an administrator says that the node has (extended resources)."""

_ENGINE_TIMEOUT = 10.0
_CIDR_POLL = Backoff(0.1, 2.0)
_NO_NETWORK = "the node's pod CIDR is not assigned yet"


class NodeError(Exception):
    """The node cannot be brought into service; the message says why."""


class Engine(Protocol):
    """What is needed of ``agent.runtime.base.Runtime``."""

    async def info(self) -> EngineInfo: ...
    async def list_images(self) -> Sequence[Image]: ...


class NodeRegistration:
    """``node_ip`` empty: the address that this host reaches the server from. ``labels``: the user's own."""

    def __init__(
        self,
        client: Client,
        node_name: str,
        engine: Engine,
        *,
        server_url: str,
        data_dir: Path,
        node_ip: str = "",
        labels: Mapping[str, str] | None = None,
        max_pods: int = 110,
        pressure: Pressure | None = None,
        version: str = "0",
        clock: Clock = SystemClock(),
    ) -> None:
        self._client, self._engine, self._clock = client, engine, clock
        self.node_name = node_name
        self._server_url, self._data_dir, self._node_ip = server_url, data_dir, node_ip
        self._labels, self._max_pods, self._version = dict(labels or {}), max_pods, version
        self._pressure = pressure or Pressure(Reserves(), clock)
        self._images: tuple[Image, ...] = ()
        self._images_seen = -math.inf
        self._info: EngineInfo | None = None
        self._engine_problem = ""
        self._network_problem = _NO_NETWORK
        self._host: host.HostFacts | None = None
        self._written: JSON | None = None
        self._written_at = self._read_at = 0.0
        self._previous = Previous()
        self._wake = asyncio.Event()
        self._force = self._shutting_down = False
        self._lock = asyncio.Lock()
        self.internal_ip = node_ip
        """The address in status; known after ``register``."""

    async def register(self) -> None:
        """Create the Node, or bring the labels of the one that is there up to date, and write its status.

        Raises StatusErrors: call it again with back-off.
        """
        async with self._lock:
            observed = await self._observe()
            labels = node_status.node_labels(self.node_name, observed, self._labels)
            try:
                await self._client.create(NODES, node_status.new_node(self.node_name, labels))
                self._previous = Previous()
                logger.info("node registered", extra={"node": self.node_name})
            except AlreadyExists:
                node = await self._client.get(NODES, self.node_name)
                self._previous = node_status.previous_of(node)
                if any(node.metadata.labels.get(key) != value for key, value in labels.items()):
                    await self._client.patch(NODES, self.node_name, {"metadata": {"labels": labels}})
            await self._write(observed)

    async def wait_for_pod_cidr(self, timeout: float, progress: Callable[[str], None] = lambda line: None) -> str:
        """The pod CIDR that the server assigns to the node. Raises NodeError when none comes in time.

        Polled: it comes once in a node's life, usually within a tenth of a second.
        """
        attempt = 0
        try:
            async with asyncio.timeout(timeout):
                while True:
                    try:
                        node = await self._client.get(NODES, self.node_name)
                        if node.spec.pod_cidr:
                            return node.spec.pod_cidr
                    except NotFound:
                        await self.register()
                    except StatusError as error:
                        logger.info("cannot read the node", extra={"node": self.node_name, "error": error.message})
                    attempt += 1
                    if attempt == 3:
                        progress(f"waiting for a pod CIDR for node {self.node_name}")
                    await asyncio.sleep(_CIDR_POLL.delay(attempt))
        except TimeoutError as error:
            raise NodeError(
                f"node {self.node_name} got no pod CIDR within {timeout:g} s: the server assigns one of --cluster-cidr;"
                " look whether its controllers run and the range has room"
            ) from error

    def network_is(self, problem: str) -> None:
        """Tell whether pods get a network: empty when they do, else why not. Ready follows at once."""
        if problem != self._network_problem:
            self._network_problem = problem
            self._wake.set()

    def engine_may_have_changed(self) -> None:
        """Look at the engine now instead of in up to ``LOOK`` seconds."""
        self._wake.set()

    def images_may_have_changed(self) -> None:
        """Have the images listed anew at the next look."""
        self._images_seen = -math.inf

    def server_says(self, ready: str) -> None:
        """What the server has as our Ready condition (a heartbeat's answer): if that is not ours, write ours."""
        if self._written is not None and ready != node_status.ready_status(self._written):
            self._force = True
            self._wake.set()

    async def shutting_down(self) -> None:
        """Tell that the host shuts down: Ready is False from now on. Raises StatusErrors."""
        self._shutting_down = True
        await self.sync()

    async def run(self) -> None:
        """Keep the status true until cancelled. ``register`` comes first."""
        backoff, failures = Backoff(0.2, LOOK), 0
        while True:
            wait = backoff.delay(failures - 1) if failures else LOOK
            try:
                async with asyncio.timeout(wait):
                    await self._wake.wait()
            except TimeoutError:
                pass  # nothing happened: look all the same
            self._wake.clear()
            try:
                await self.sync()
                failures = 0
            except NotFound:
                failures += 1
                logger.info("the node is gone; the heartbeat registers it again", extra={"node": self.node_name})
            except StatusError as error:
                failures += 1
                logger.warning("cannot write the node's status", extra={"node": self.node_name, "error": error.message})

    async def sync(self) -> bool:
        """Look once, and write the status if that is called for; whether it was written. Raises StatusErrors."""
        async with self._lock:
            observed = await self._observe()
            if self._force or self._written is None:
                self._previous = node_status.previous_of(await self._client.get(NODES, self.node_name))
                self._read_at = self._clock.monotonic()
            elif self._clock.monotonic() >= self._read_at + EXTENDED:
                node = await self._client.get(NODES, self.node_name)
                self._previous = replace(self._previous, extended=node_status.extended_resources(node))
                self._read_at = self._clock.monotonic()
            fresh = node_status.status(observed, self._previous, self._clock.now())
            due = self._clock.monotonic() >= self._written_at + REPOST
            same = self._written is not None and node_status.without_times(fresh) == node_status.without_times(
                self._written
            )
            if same and not due and not self._force:
                return False
            await self._write(observed)
            return True

    # --- inside

    async def _write(self, observed: Observed) -> None:
        status = node_status.status(observed, self._previous, self._clock.now())
        await self._client.patch(
            NODES, self.node_name, {"status": status}, type=PatchType.STRATEGIC, subresource="status"
        )
        self._force = False
        self._written, self._written_at = status, self._clock.monotonic()
        self._previous = Previous(
            {each["type"]: (each["status"], each["lastTransitionTime"]) for each in status["conditions"]},
            frozenset(type for type, _ in observed.addresses),
            self._previous.extended,
        )

    async def _observe(self) -> Observed:
        try:
            async with asyncio.timeout(_ENGINE_TIMEOUT):
                self._info = await self._engine.info()
            problem = ""
        except TimeoutError:
            problem = f"no answer within {_ENGINE_TIMEOUT:g} s"
        except RuntimeFailure as error:
            problem = error.message
        if not problem and self._clock.monotonic() >= self._images_seen + IMAGES:
            await self._list_images()
        if problem != self._engine_problem:
            self._engine_problem = problem
            logger.warning("the engine's state changed", extra={"problem": problem or "none"})
        if self._host is None:
            self._host = await asyncio.to_thread(host.facts)
        root = self._info.data_root if self._info is not None else ""
        if not self.internal_ip or self._clock.monotonic() >= self._written_at + REPOST:
            self.internal_ip = self._node_ip or await self._find_address() or self.internal_ip
        addresses = [("InternalIP", self.internal_ip)] if self.internal_ip else []
        readings = await asyncio.to_thread(host.readings, root, self._data_dir)
        self._pressure.look(readings)
        return Observed(
            host=self._host,
            readings=readings,
            engine=self._info,
            engine_problem=self._engine_problem,
            network_problem=self._network_problem,
            addresses=(*addresses, ("Hostname", self.node_name)),
            max_pods=self._max_pods,
            agent_version=self._version,
            reserves=self._pressure.reserves,
            pressed=self._pressure.conditions,
            images=self._images,
            shutting_down=self._shutting_down,
        )

    async def _list_images(self) -> None:
        try:
            async with asyncio.timeout(_ENGINE_TIMEOUT):
                self._images = tuple(await self._engine.list_images())
        except (TimeoutError, RuntimeFailure) as error:
            logger.info("cannot list the images", extra={"error": str(error)})
        self._images_seen = self._clock.monotonic()

    async def _find_address(self) -> str:
        """The address that this host reaches the server from; where the server is on this very host, the one that
        it reaches others from."""
        parts = urlsplit(self._server_url)
        try:
            found = await asyncio.get_running_loop().getaddrinfo(parts.hostname, parts.port or 443)
        except OSError:
            found = []
        for *_, target in found:
            address = address_towards(str(target[0]), parts.port or 443)
            if address and not address.startswith("127.") and address != "::1":
                return address
        return outward_address() or (address_towards(str(found[0][-1][0]), 9) if found else "")
