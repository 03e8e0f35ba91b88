"""The agent of one host: joins, registers its node, and keeps the node's pods as the server wants them. Wiring only.

Every service lives in one task group: if an essential one fails, the process ends and its supervisor (systemd) starts
it again, which finds everything as it was. Stopping the agent stops no container.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import random
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

from agent import host
from agent.certificate import CertificateRenewer
from agent.eviction.evictor import Evictor
from agent.eviction.local_storage import LocalStorage
from agent.eviction.usage import PodUses
from agent.heartbeat import Heartbeat
from agent.identity import Identity
from agent.image_collector import ImageCollector, Limits
from agent.join import JoinError, ensure_identity
from agent.network.base import NetworkFailure
from agent.network.bridge import BridgeNetwork
from agent.node import NodeRegistration
from agent.node_status import allocatable_cpu, allocatable_memory
from agent.pods.admission import Abilities
from agent.pods.dispatcher import OFFLINE_AFTER, Dispatcher
from agent.pods.finding import PodPlaces
from agent.pods.hooks import Hooks
from agent.pods.http_get import HttpGetter
from agent.pods.logs import PodLogs
from agent.pods.probing import NetworkProber
from agent.pods.status import NodeFacts
from agent.pressure import Pressure
from agent.runtime.base import EngineInfo, Image, RuntimeFailure
from agent.runtime.docker import DockerRuntime
from agent.runtime.docker_options import DockerOptions
from agent.settings import AgentSettings
from agent.shutdown import GracefulShutdown, is_host_stopping
from agent.static_pods.source import StaticPods
from agent.streams.dial import Dialler
from agent.streams.metrics import metrics
from agent.streams.remote_command import RemoteCommands
from agent.tunnel import Tunnel
from agent.usage.sampler import UsageSampler
from shared import footprint
from shared.api.errors import StatusError
from shared.api.kinds import PODS
from shared.client.cache import Cache
from shared.client.http import HttpClient
from shared.client.reflector import Reflector
from shared.dial import DIAL
from shared.remote_command import ATTACH, EXEC
from shared.streams import METRICS
from shared.version import VERSION
from shared.work.backoff import Backoff
from shared.work.clock import Clock, SystemClock
from shared.work.supervisor import Supervisor

logger = logging.getLogger(__name__)

T = TypeVar("T")

SERVER_PATIENCE = 5.0
"""Seconds that a starting agent waits for the server before it goes by what it kept from the last time."""
CIDR_TIMEOUT = 120.0
RECURSIVE_READ_ONLY = (1, 44)
"""The Engine API's first version with ReadOnlyForceRecursive."""
HOUSEKEEPING = 60.0
"""Seconds between looks for what a killed agent or a repaired firewall left behind."""
_PATIENCE = Backoff(0.5, 10.0)
_WATCH_AGAIN = Backoff(0.2, 2.0)
"""Short: after an outage the pods that moved away must go from this host at once."""


class AgentError(Exception):
    """The agent cannot run; the message says why and what to do."""


async def run_agent(settings: AgentSettings) -> None:
    """Run until SIGTERM or SIGINT. Raises JoinError or AgentError for what people can mend."""
    footprint.small_connections()
    clock = SystemClock()
    lock = _lock(settings.data_dir)
    try:
        identity = await ensure_identity(
            settings.data_dir, settings.server, _token(settings), settings.node_name, clock=clock, progress=logger.info
        )
        async with Supervisor() as supervisor:
            agent = _Agent(settings, identity, supervisor, clock)
            loop = asyncio.get_running_loop()
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(number, agent.leave)
            supervisor.service("agent", agent.run())
    finally:
        os.close(lock)


class _Agent:
    """The parts of a joined agent, made and started in order."""

    def __init__(self, settings: AgentSettings, identity: Identity, supervisor: Supervisor, clock: Clock) -> None:
        self._settings, self._identity, self._supervisor, self._clock = settings, identity, supervisor, clock
        self._node_name = identity.node_name
        self._rng = random.Random()  # noqa: S311 - spreads retries, makes no secrets
        self._client = HttpClient(identity.server_url, identity.ssl_context(), user_agent="longboat-agent")
        self._runtime = DockerRuntime(
            DockerOptions(host=settings.docker_host, pids=settings.pod_pids_limit), self._node_name, clock=clock
        )
        self._network = BridgeNetwork()
        self._http = HttpGetter()
        self._offline = False
        """The server could not be reached when the agent started."""
        self._shutdown: GracefulShutdown | None = None
        self._leaving = False
        self._pressure = Pressure(settings.reserves, clock, settings.eviction_pressure_transition_period)
        self._registration = NodeRegistration(
            self._client,
            self._node_name,
            self._runtime,
            server_url=identity.server_url,
            data_dir=settings.data_dir,
            node_ip=settings.node_ip,
            labels=settings.labels,
            max_pods=settings.max_pods,
            pressure=self._pressure,
            version=VERSION,
            clock=clock,
        )

    async def run(self) -> None:
        """Start everything, then wait for the end; close what is open on the way out."""
        try:
            await self._start()
            await asyncio.get_running_loop().create_future()
        finally:
            await self._http.close()
            await self._client.close()
            await self._network.close()
            await self._runtime.close()

    def leave(self) -> None:
        """End: after the pods where the host shuts down, at once when asked again."""
        if self._leaving or self._shutdown is None:
            self._supervisor.stop()
        else:
            self._leaving = True
            self._supervisor.spawn("leave", self._leave(self._shutdown))

    async def _leave(self, shutdown: GracefulShutdown) -> None:
        try:
            if await is_host_stopping():
                await shutdown.run()
        finally:
            self._supervisor.stop()

    async def _start(self) -> None:
        settings, service = self._settings, self._supervisor.service
        if settings.metrics_port:
            from agent.metrics_server import serve_metrics

            service("metrics", serve_metrics(settings.metrics_port))
        service("certificate", CertificateRenewer(self._identity, self._client, clock=self._clock, rng=self._rng).run())
        await self._register()
        heartbeat = Heartbeat(
            self._client,
            self._node_name,
            on_missing=self._registration.register,
            on_ready=self._registration.server_says,
            clock=self._clock,
            rng=self._rng,
        )
        service("heartbeat", heartbeat.run())
        service("node", self._registration.run())
        await self._patiently("the pod network cannot be set up", self._set_up_network)
        info = await self._patiently("the container engine does not answer", self._runtime.info)
        collector = ImageCollector(
            self._runtime,
            settings.data_dir,
            lambda: dispatcher.images_in_use(),
            lambda: host.file_system(info.data_root if os.path.isdir(info.data_root) else str(settings.data_dir)),
            self._clock,
            Limits(settings.image_gc_high_threshold, settings.image_gc_low_threshold, settings.minimum_image_ttl),
        )
        dispatcher = self._dispatcher(info, collector)
        await self._patiently("what runs here cannot be looked at", dispatcher.adopt)
        self._shutdown = GracefulShutdown(
            dispatcher, self._registration, self._clock,
            grace=settings.shutdown_grace_period, critical=settings.shutdown_grace_period_critical_pods,
        )  # fmt: skip
        cache = Cache(PODS)
        dispatcher.start(cache, 0.0 if self._offline else OFFLINE_AFTER)
        if settings.pod_manifest_path is not None:
            statics = StaticPods(settings.pod_manifest_path, self._node_name, dispatcher, self._client, cache)
            await statics.look()
            service("static pods", statics.run())
        selector = f"spec.nodeName={self._node_name}"
        reflector = Reflector(self._client, PODS, cache, field_selector=selector, backoff=_WATCH_AGAIN, rng=self._rng)
        service("pod watch", reflector.run())
        logs = PodLogs(self._runtime, lambda: dispatcher.states)
        commands = RemoteCommands(self._runtime, logs.find)
        places = PodPlaces(lambda: dispatcher.states, self._registration.internal_ip)
        kinds = {EXEC: commands.exec, ATTACH: commands.attach, DIAL: Dialler(places.find).dial, METRICS: metrics}
        tunnel = Tunnel(self._client, self._node_name, logs, kinds=kinds, clock=self._clock, rng=self._rng)
        service("tunnel", tunnel.run())
        sampler = UsageSampler(
            self._runtime, lambda: dispatcher.states, tunnel.tell, self._clock, interval=settings.usage_interval
        )
        service("usage", sampler.run())
        uses = PodUses(lambda: dispatcher.states, sampler, self._runtime, settings.data_dir)
        evictor = Evictor(
            dispatcher,
            self._pressure,
            lambda: asyncio.to_thread(host.readings, info.data_root, settings.data_dir),
            uses.of,
            lambda: collector.collect(everything=True),
            self._registration.engine_may_have_changed,
            self._clock,
        )
        dispatcher.refuses = evictor.refuses
        service("eviction", evictor.run())
        service("limits of local storage", LocalStorage(dispatcher, uses, self._clock).run())
        service("housekeeping", self._keep_house())
        service("image collection", collector.run())
        self._registration.network_is("")
        footprint.freeze()  # what is loaded by now lives as long as the process
        logger.info("ready for pods", extra={"node": self._node_name, "address": self._registration.internal_ip})

    async def _register(self) -> None:
        """Register; where the server is away and this node was in service before, go on without."""
        try:
            async with asyncio.timeout(SERVER_PATIENCE if _kept_cidr(self._settings.data_dir) else None):
                await self._patiently("the node cannot be registered", self._registration.register)
        except TimeoutError:
            self._offline = True
            logger.warning("the server is away; going on with what is known", extra={"node": self._node_name})

    async def _set_up_network(self) -> None:
        """The pod CIDR is the server's to say; one that was given once is kept for times when it is away."""
        path = self._settings.data_dir / "pod-cidr"
        kept = _kept_cidr(self._settings.data_dir)
        pod_cidr = kept
        if not (kept and self._offline):
            pod_cidr = await self._registration.wait_for_pod_cidr(CIDR_TIMEOUT)
        if pod_cidr != kept:
            await asyncio.to_thread(path.write_text, pod_cidr + "\n")
        await self._network.setup(pod_cidr)

    def _dispatcher(self, info: EngineInfo, collector: ImageCollector) -> Dispatcher:
        async def note_pull(name: str, image: Image) -> None:
            await collector.pulled(name, image)
            self._registration.images_may_have_changed()

        recursive_read_only = tuple(map(int, info.api_version.split("."))) >= RECURSIVE_READ_ONLY
        node = NodeFacts(
            self._node_name,
            self._registration.internal_ip,
            cpu_milli=allocatable_cpu(info, self._settings.reserves),
            memory_bytes=allocatable_memory(info, self._settings.reserves),
            recursive_read_only=recursive_read_only,
        )
        return Dispatcher(
            node=node,
            runtime=self._runtime,
            network=self._network,
            client=self._client,
            prober=NetworkProber(self._runtime, self._http),
            hooks=Hooks(self._runtime, self._http),
            supervisor=self._supervisor,
            clock=self._clock,
            settings=self._settings,
            data_dir=self._settings.data_dir,
            rng=self._rng,
            note_pull=note_pull,
            abilities=Abilities(
                app_armor="apparmor" in info.security_options,
                recursive_read_only=recursive_read_only,
                unsafe_sysctls=self._settings.unsafe_sysctls,
            ),
        )

    async def _keep_house(self) -> None:
        """Mend the pod network and remove what a killed agent left behind, slowly, for ever."""
        while True:
            await asyncio.sleep(HOUSEKEEPING * self._rng.uniform(0.9, 1.1))
            try:
                await self._network.reconcile()
                self._registration.network_is("")
            except NetworkFailure as error:
                logger.warning("the pod network cannot be mended", extra={"error": str(error)})
                self._registration.network_is(str(error))
            try:
                await self._runtime.remove_orphans()
            except RuntimeFailure as error:
                logger.warning("cannot look for orphans", extra={"error": error.message})

    async def _patiently(self, trouble: str, work: Callable[[], Awaitable[T]]) -> T:
        """Do ``work`` until it succeeds: a host that boots has its engine, its link and its server in any order."""
        attempt = 0
        while True:
            try:
                return await work()
            except (StatusError, RuntimeFailure, NetworkFailure, OSError) as error:
                if attempt in (0, 5) or attempt % 30 == 0:
                    logger.warning(trouble, extra={"error": str(error), "attempt": attempt + 1})
                if isinstance(error, NetworkFailure):
                    self._registration.network_is(str(error))
                await asyncio.sleep(_PATIENCE.delay(attempt, self._rng))
                attempt += 1


def _token(settings: AgentSettings) -> str:
    """The join token, from the file where one is given. Raises JoinError.

    A file that has gone is no matter once the agent has joined: the token was for that.
    """
    if settings.token or settings.token_file is None:
        return settings.token
    if not settings.token_file.exists() and (settings.data_dir / "agent.json").exists():
        return ""
    try:
        return settings.token_file.read_text().strip()
    except OSError as error:
        raise JoinError(f"--token-file: {settings.token_file} cannot be read: {error.strerror}") from error


def _kept_cidr(data_dir: Path) -> str:
    path = data_dir / "pod-cidr"
    return path.read_text().strip() if path.exists() else ""


def _lock(data_dir: Path) -> int:
    """Hold the data directory for this process. Raises AgentError when another agent has it, or it cannot be used."""
    try:
        data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(data_dir / "agent.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise AgentError(f"--data-dir: {data_dir} cannot be used: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise AgentError(
            f"{data_dir} is in use by another agent; stop that one, or choose another --data-dir"
        ) from error
    return descriptor
