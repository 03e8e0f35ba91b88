"""A hollow agent: the agent's own code over an engine and a pod network that only pretend. Wiring only.

For load without hosts: joining with a token, registration, heartbeats, the tunnel, the watch of the node's pods, the
work on pods and their status are what a real host runs (``agent.agent`` wires the same parts); containers and
addresses are imagined. Never touches the host beyond its data directory. Any number live on one event loop, each
under a supervisor of its own, so that one can end as a host does that loses its power.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from agent import keys
from agent.heartbeat import Heartbeat
from agent.join import ensure_identity
from agent.node import NodeRegistration
from agent.pods.dispatcher import Dispatcher
from agent.pods.hooks import Hooks
from agent.pods.http_get import HttpGetter, Target
from agent.pods.logs import PodLogs
from agent.pods.probing import ProbeResult
from agent.pods.status import NodeFacts
from agent.runtime.base import State
from agent.runtime.hollow import HollowCapacity, HollowLatency, HollowNetwork, HollowRuntime
from agent.settings import AgentSettings
from agent.tunnel import Tunnel
from shared.api.errors import StatusError
from shared.api.kinds import PODS
from shared.api.pod import Probe
from shared.client.cache import Cache
from shared.client.http import HttpClient
from shared.client.reflector import Reflector
from shared.work.backoff import Backoff
from shared.work.clock import SystemClock
from shared.work.supervisor import Supervisor

CIDR_TIMEOUT = 120.0
"""Seconds that a node waits for its pod CIDR: the server assigns a thousand of them one after another."""
_PATIENCE = Backoff(0.5, 10.0)
_TRIES = 20


class HealthyProber:
    """Every probe succeeds: there is nothing to probe."""

    async def probe(self, probe: Probe, target: Target) -> ProbeResult:
        return ProbeResult(True)


@dataclass(frozen=True, slots=True)
class HollowSettings:
    """What all hollow agents share. ``max_pods`` and capacity are what each node says that it has."""

    server: str
    token: str
    data_dir: Path
    latency: HollowLatency = HollowLatency(sandbox=0.1, create=0.05, start=0.05, remove=0.05)
    capacity: HollowCapacity = HollowCapacity(cpus=32, memory_bytes=64 << 30)
    max_pods: int = 250


class HollowAgent:
    """One agent: ``join``, then ``run``, which ``stop`` ends. ``number`` gives it its name, address and dice."""

    def __init__(self, number: int, settings: HollowSettings) -> None:
        self.name = f"hollow-{number}"
        self._settings = settings
        self._data_dir = settings.data_dir / self.name
        self._node_ip = f"10.{250 + number // 65025}.{number // 255 % 255}.{number % 255}"
        self._rng = random.Random(number)  # noqa: S311 - spreads retries, makes no secrets
        self._clock = SystemClock()
        self._runtime = HollowRuntime(self.name, self._clock, latency=settings.latency, capacity=settings.capacity)
        self._network = HollowNetwork()
        self._client: HttpClient | None = None
        self._supervisor: Supervisor | None = None
        self._stopped = False

    async def join(self) -> None:
        """Get a certificate, unless the data directory has one. Raises JoinError."""
        settings = self._settings
        identity = await ensure_identity(
            self._data_dir, settings.server, settings.token, self.name, make_key=keys.in_process
        )
        self._client = HttpClient(identity.server_url, identity.ssl_context(), user_agent="longboat-hollow")

    async def run(self, in_service: Callable[[], None] = lambda: None) -> None:
        """Register, start all services, tell ``in_service`` that pods may come, and serve until ``stop``.

        Raises NodeError, StatusError while it starts; an ExceptionGroup when a service fails.
        """
        try:
            async with Supervisor() as supervisor:
                self._supervisor = supervisor
                supervisor.service(f"{self.name} start", self._start(supervisor, in_service))
                if self._stopped:
                    supervisor.stop()
        finally:
            if self._client is not None:
                await self._client.close()
            await self._runtime.close()

    def stop(self) -> None:
        """End at once and tell nobody, as a host does that loses its power."""
        self._stopped = True
        if self._supervisor is not None:
            self._supervisor.stop()

    def running(self) -> int:
        """Containers that pretend to run; none on a host that is off."""
        if self._stopped:
            return 0
        return sum(info.state is State.RUNNING for info in self._runtime.containers.values())

    # --- inside

    async def _start(self, supervisor: Supervisor, in_service: Callable[[], None]) -> None:
        assert self._client is not None, "join comes first"
        settings, client, service = self._settings, self._client, supervisor.service
        registration = NodeRegistration(
            client,
            self.name,
            self._runtime,
            server_url=settings.server,
            data_dir=self._data_dir,
            node_ip=self._node_ip,
            labels={"longboat.dev/hollow": "true"},
            max_pods=settings.max_pods,
            version="hollow",
        )
        await self._patiently(registration)
        heartbeat = Heartbeat(
            client, self.name, on_missing=registration.register, on_ready=registration.server_says, rng=self._rng
        )
        service(f"{self.name} heartbeat", heartbeat.run())
        service(f"{self.name} node", registration.run())
        await self._network.setup(await registration.wait_for_pod_cidr(CIDR_TIMEOUT))
        dispatcher = Dispatcher(
            node=NodeFacts(self.name, self._node_ip, 1000 * settings.capacity.cpus, settings.capacity.memory_bytes),
            runtime=self._runtime,
            network=self._network,
            client=client,
            prober=HealthyProber(),
            hooks=Hooks(self._runtime, HttpGetter()),
            supervisor=supervisor,
            clock=self._clock,
            settings=AgentSettings(warm_pool=0, warm_pool_minimum=0),
            data_dir=self._data_dir,
            rng=self._rng,
            memory=False,
        )
        await dispatcher.adopt()
        cache = Cache(PODS)
        dispatcher.start(cache)
        watch = Reflector(client, PODS, cache, field_selector=f"spec.nodeName={self.name}", rng=self._rng)
        service(f"{self.name} pods", watch.run())
        logs = PodLogs(self._runtime, lambda: dispatcher.states)
        service(f"{self.name} tunnel", Tunnel(client, self.name, logs, rng=self._rng).run())
        registration.network_is("")
        in_service()

    async def _patiently(self, registration: NodeRegistration) -> None:
        """Register; a server that is busy with the others is asked again."""
        for attempt in range(_TRIES):
            try:
                await registration.register()
            except StatusError:
                await asyncio.sleep(_PATIENCE.delay(attempt, self._rng))
            else:
                return
        await registration.register()
