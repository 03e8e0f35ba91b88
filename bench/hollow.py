"""Hollow agents: N real agents in one process, over an engine and a network that only pretend.

    longboat token create --data-dir DIR > token
    python bench/hollow.py --server https://127.0.0.1:6443 --token-file token --nodes 100 [--seconds 60]

Everything but the engine and the pod network is the agent's own code: joining with a token, registration, heartbeats,
the watch of the node's pods, the work on pods and their status. The server needs a cluster range with a /24 for each
node (``--cluster-cidr 10.64.0.0/12`` for 1,000) and this process some files (``ulimit -n``, two for each node and
some). It prints how long joining and becoming Ready took, and then, every few seconds, how many pods run; Ctrl-C ends
it. Identities are kept in ``--data-dir``, so a second run need not join. One event loop; joins are bounded.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from agent.heartbeat import Heartbeat
from agent.join import ensure_identity
from agent.node import NodeRegistration
from agent.pods.dispatcher import Dispatcher
from agent.pods.probing import ProbeResult, ProbeTarget
from agent.pods.status import NodeFacts
from agent.runtime.base import State
from agent.runtime.hollow import HollowCapacity, HollowLatency, HollowNetwork, HollowRuntime
from agent.settings import AgentSettings
from shared.api.core import Probe
from shared.api.errors import StatusError
from shared.api.kinds import PODS
from shared.client.cache import Cache
from shared.client.http import HttpClient
from shared.client.reflector import Reflector
from shared.work.backoff import Backoff
from shared.work.clock import SystemClock
from shared.work.supervisor import Supervisor

PARALLEL_JOINS = 16
"""Agents that join at a time: a join is a signed certificate and some fsyncs at the server."""
CIDR_TIMEOUT = 120.0
REPORT = 5.0
_PATIENCE = Backoff(0.5, 10.0)


class HealthyProber:
    """Every probe succeeds: there is nothing to probe."""

    async def probe(self, probe: Probe, target: ProbeTarget) -> ProbeResult:
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
    """One agent. ``start`` returns when it is ready for pods; its services live in ``supervisor``."""

    def __init__(self, number: int, settings: HollowSettings, supervisor: Supervisor) -> None:
        self.name = f"hollow-{number}"
        self._settings, self._supervisor = settings, supervisor
        self._data_dir = settings.data_dir / self.name
        self._node_ip = f"10.{250 + number // 65025}.{number // 255 % 255}.{number % 255}"
        self._rng = random.Random(number)
        self._clock = SystemClock()
        self._runtime = HollowRuntime(self.name, self._clock, latency=settings.latency, capacity=settings.capacity)
        self._network = HollowNetwork()
        self._client: HttpClient | None = None

    async def join(self) -> None:
        """Get a certificate, unless the data directory has one. Raises JoinError."""
        settings = self._settings
        identity = await ensure_identity(self._data_dir, settings.server, settings.token, self.name)
        self._client = HttpClient(identity.server_url, identity.ssl_context(), user_agent="longboat-hollow")

    async def start(self) -> None:
        """Register and start all services, as ``agent.agent`` does. Raises NodeError, StatusError."""
        assert self._client is not None, "join comes first"
        registration = NodeRegistration(
            self._client,
            self.name,
            self._runtime,
            server_url=self._settings.server,
            data_dir=self._data_dir,
            node_ip=self._node_ip,
            labels={"longboat.dev/hollow": "true"},
            max_pods=self._settings.max_pods,
            version="hollow",
        )
        await self._patiently(registration)
        heartbeat = Heartbeat(
            self._client,
            self.name,
            on_missing=registration.register,
            on_ready=registration.server_says,
            rng=self._rng,
        )
        service = self._supervisor.service
        service(f"{self.name} heartbeat", heartbeat.run())
        service(f"{self.name} node", registration.run())
        await self._network.setup(await registration.wait_for_pod_cidr(CIDR_TIMEOUT))
        capacity = self._settings.capacity
        dispatcher = Dispatcher(
            node=NodeFacts(self.name, self._node_ip, 1000 * capacity.cpus, capacity.memory_bytes),
            runtime=self._runtime,
            network=self._network,
            client=self._client,
            prober=HealthyProber(),
            supervisor=self._supervisor,
            clock=self._clock,
            settings=AgentSettings(warm_pool=0, warm_pool_minimum=0),
            data_dir=self._data_dir,
            rng=self._rng,
            memory=False,
        )
        await dispatcher.adopt()
        cache = Cache(PODS)
        dispatcher.start(cache)
        selector = f"spec.nodeName={self.name}"
        watch = Reflector(self._client, PODS, cache, field_selector=selector, rng=self._rng)
        service(f"{self.name} pods", watch.run())
        registration.network_is("")

    def running(self) -> int:
        """Containers that pretend to run."""
        return sum(info.state is State.RUNNING for info in self._runtime.containers.values())

    async def close(self) -> None:
        if self._client is not None:
            await self._client.close()
        await self._runtime.close()

    async def _patiently(self, registration: NodeRegistration) -> None:
        """Register; a server that is busy with the others is asked again."""
        for attempt in range(20):
            try:
                await registration.register()
            except StatusError:
                await asyncio.sleep(_PATIENCE.delay(attempt, self._rng))
            else:
                return
        await registration.register()


async def run(settings: HollowSettings, count: int, seconds: float, first: int = 0) -> None:
    """Start ``count`` agents, numbered from ``first``, and keep them for ``seconds`` (0: until SIGINT or SIGTERM)."""
    _allow_files(4 * count + 1000)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    gate = asyncio.Semaphore(PARALLEL_JOINS)
    async with Supervisor() as supervisor:
        agents = [HollowAgent(number, settings, supervisor) for number in range(first, first + count)]

        async def bring_up(agent: HollowAgent) -> None:
            async with gate:
                await agent.join()
                await agent.start()

        began = time.perf_counter()
        await asyncio.gather(*(bring_up(agent) for agent in agents))
        took = time.perf_counter() - began
        print(f"{count} hollow agents joined and in service in {took:.1f} s ({count / took:.0f}/s)", flush=True)
        deadline = loop.time() + seconds if seconds else None
        while not stop.is_set() and (deadline is None or loop.time() < deadline):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(REPORT, deadline - loop.time()) if deadline else REPORT):
                    await stop.wait()
            used = resource.getrusage(resource.RUSAGE_SELF)
            running = sum(agent.running() for agent in agents)
            print(
                f"{running} containers run; {used.ru_maxrss / 1024:.0f} MB at most, "
                f"{used.ru_utime + used.ru_stime:.0f} s of CPU",
                flush=True,
            )
        supervisor.stop()
    for agent in agents:
        await agent.close()


def _allow_files(count: int) -> None:
    """Raise the soft limit of open files as far as is allowed."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count if hard == resource.RLIM_INFINITY else min(count, hard)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--server", required=True)
    parser.add_argument("--token-file", type=Path, required=True, help="holds a join token")
    parser.add_argument("--nodes", type=int, default=10)
    parser.add_argument("--first", type=int, default=0, help="number of the first, for several processes")
    parser.add_argument("--data-dir", type=Path, help="kept; by default a temporary one, removed at the end")
    parser.add_argument("--seconds", type=float, default=0.0, help="end by itself after so long in service")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.ERROR, format="%(levelname)s %(name)s: %(message)s")
    data_dir = arguments.data_dir or Path(tempfile.mkdtemp(prefix="longboat-hollow-"))
    settings = HollowSettings(arguments.server, arguments.token_file.read_text().strip(), data_dir)
    try:
        asyncio.run(run(settings, arguments.nodes, arguments.seconds, arguments.first))
    finally:
        if arguments.data_dir is None:
            shutil.rmtree(data_dir, ignore_errors=True)


if __name__ == "__main__":
    main()
