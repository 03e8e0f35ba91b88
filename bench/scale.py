"""A thousand nodes without hosts: one server, one process of hollow agents, and what happens when.

    python bench/scale.py [--nodes 1000] [--replicas 3000] [--lost 50] [--quiet 30] [--kubeconfig FILE]

All nodes join; nothing happens for a while, in which no node may flap; a Deployment with a Service is created, bound,
run and Ready; then some nodes lose their power and their pods must run elsewhere. Each step prints its time and what
it cost: seconds of CPU of the server and of the agents, and what they hold in memory. Everything shares this
machine's cores; the watcher that takes the times is one process more. No step waits longer than ``--limit`` seconds.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from shared.api.core import Node
from shared.api.kinds import DEPLOYMENTS, ENDPOINT_SLICES, NODES, PODS, SERVICES
from shared.api.meta import JSON
from shared.api.pod import Pod
from shared.client import kubeconfig
from shared.client.cache import Cache
from shared.client.http import HttpClient
from shared.client.reflector import Reflector
from shared.work.supervisor import Supervisor
from tests.cluster import ROOT, Cluster

TICKS = os.sysconf("SC_CLK_TCK")
RANGE = "10.64.0.0/12"
"""A /24 for each of 4,096 nodes."""
APP = "wide"
LOOK = 0.02


@dataclass(frozen=True, slots=True)
class Load:
    """How much of everything, and for how long."""

    nodes: int = 1000
    replicas: int = 3000
    lost: int = 50
    quiet: float = 30.0
    limit: float = 180.0


@dataclass(frozen=True, slots=True)
class Row:
    """``work`` in ``seconds``; CPU seconds that it cost, and memory at its end."""

    work: str
    seconds: float
    server_cpu: float
    agents_cpu: float
    server_mb: float
    agents_mb: float
    note: str = ""

    def __str__(self) -> str:
        return (
            f"{self.work:34} {self.seconds:7.1f} s   server {self.server_cpu:5.1f} s CPU {self.server_mb:4.0f} MB"
            f"   agents {self.agents_cpu:5.1f} s CPU {self.agents_mb:4.0f} MB   {self.note}"
        ).rstrip()


class Bench:
    """The steps, in order. ``server`` and ``agents`` are process ids."""

    def __init__(self, client: HttpClient, load: Load, server: int, agents: subprocess.Popen[str]) -> None:
        self._client, self._load, self._server, self._agents = client, load, server, agents
        self._nodes, self._pods = Cache(NODES), Cache(PODS)
        self._slices = Cache(ENDPOINT_SLICES)
        self.rows: list[Row] = []
        self._flaps: Counter[str] = Counter()
        self._nodes.add_handler(self._node_changed)
        self._changed = asyncio.Event()
        for cache in (self._nodes, self._pods, self._slices):
            cache.add_handler(lambda old, new: self._changed.set())

    async def run(self, began: float) -> None:
        """All steps; ``began`` is when the agents were started (time.perf_counter)."""
        async with Supervisor() as supervisor:
            for cache in (self._nodes, self._pods, self._slices):
                supervisor.service(cache.resource.plural, Reflector(self._client, cache.resource, cache).run())
            await self._join(began)
            await self._quiet()
            await self._deploy()
            await self._lose()
            supervisor.stop()

    # --- steps

    async def _join(self, began: float) -> None:
        measured = self._begin(began)
        took = await self._until("all nodes Ready", lambda: self._ready_nodes() >= self._load.nodes)
        self._end(f"{self._load.nodes} nodes join and are Ready", measured, took)

    async def _quiet(self) -> None:
        self._flaps.clear()
        measured, before = self._begin(), await self._metric("longboat_heartbeats_total")
        await asyncio.sleep(self._load.quiet)
        beats = await self._metric("longboat_heartbeats_total") - before
        interval = await self._metric("longboat_heartbeat_interval_seconds")
        note = f"{beats / self._load.quiet:.0f} heartbeats/s, interval {interval:.1f} s, {self._flaps.total()} flaps"
        self._end("nothing to do", measured, note=note)

    async def _deploy(self) -> None:
        load = self._load
        measured = self._begin()
        await self._client.create(SERVICES, _service(), "default")
        await self._client.create(DEPLOYMENTS, _deployment(load.replicas), "default")
        bound = await self._until("all bound", lambda: self._count(lambda pod: bool(pod.spec.node_name)))
        running = await self._until("all Running", lambda: self._count(lambda pod: pod.status.phase == "Running"))
        await self._until("all Ready", lambda: self._count(_ready))
        self._end(f"{load.replicas} pods of a Deployment Ready", measured, note=f"bound {bound:.1f}, ran {running:.1f}")
        await self._until("endpoints", lambda: self._addresses() >= load.replicas)
        available = await self._deployment_says(load.replicas)
        slices = sum(1 for _ in self._ours())
        note = f"{slices} slices, the Deployment said so after {available:.1f}"
        self._end("  and all of them in EndpointSlices", measured, note=note)
        print(f"  {await self._writes()}", file=sys.stderr, flush=True)

    async def _lose(self) -> None:
        if not self._load.lost:
            return
        assert self._agents.stdin is not None
        nodes = {node.metadata.name for node in self._nodes}
        measured = self._begin()
        self._agents.stdin.write(f"stop {self._load.lost}\n")
        self._agents.stdin.flush()
        lost = {f"hollow-{number}" for number in range(self._load.nodes - self._load.lost, self._load.nodes)}
        assert lost <= nodes
        moved = sum(pod.spec.node_name in lost for pod in self._pods)
        noticed = await self._until(
            "all noticed", lambda: not any(_is_ready(n) for n in self._nodes if _name(n) in lost)
        )
        elsewhere = await self._until(
            "all elsewhere", lambda: self._count(lambda pod: _ready(pod) and pod.spec.node_name not in lost)
        )
        note = (
            f"{moved} pods; the last node was noticed after {noticed:.1f}, all pods ran {elsewhere - noticed:.1f} later"
        )
        self._end(f"{self._load.lost} nodes lost, their pods elsewhere", measured, note=note)

    # --- looking

    def _node_changed(self, old: Node | None, new: Node | None) -> None:
        if old is not None and _is_ready(old) and (new is None or not _is_ready(new)):
            self._flaps[old.metadata.name] += 1

    def _ready_nodes(self) -> int:
        return sum(_is_ready(node) for node in self._nodes)

    def _count(self, true: Callable[[Pod], bool]) -> bool:
        """Whether as many pods as there shall be are so."""
        alive = (pod for pod in self._pods if pod.metadata.deletion_timestamp is None)
        return sum(true(pod) for pod in alive) >= self._load.replicas

    def _ours(self) -> list[object]:
        return [s for s in self._slices if s.metadata.labels.get("kubernetes.io/service-name") == APP]

    def _addresses(self) -> int:
        return sum(
            bool(endpoint.conditions.ready)
            for s in self._slices
            if s.metadata.labels.get("kubernetes.io/service-name") == APP
            for endpoint in s.endpoints
        )

    async def _deployment_says(self, replicas: int) -> float:
        began = time.perf_counter()
        async with asyncio.timeout(self._load.limit):
            while (await self._client.get(DEPLOYMENTS, APP, "default")).status.available_replicas < replicas:
                await asyncio.sleep(0.1)
        return time.perf_counter() - began

    async def _until(self, what: str, true: Callable[[], bool]) -> float:
        """Seconds since the step began."""
        try:
            async with asyncio.timeout(self._load.limit):
                while not true():
                    self._changed.clear()
                    await self._changed.wait()
                    await asyncio.sleep(LOOK)
        except TimeoutError:
            raise SystemExit(f"not within {self._load.limit:g} s: {what}") from None
        return time.perf_counter() - self._began

    async def _metric(self, name: str) -> float:
        text = (await self._client.request("GET", "/metrics")).decode()
        found = re.findall(rf"^{name}(?:{{[^}}]*}})? (\S+)$", text, re.M)
        return sum(map(float, found))

    async def _writes(self) -> str:
        """How often what was written, from the server's metrics."""
        text = (await self._client.request("GET", "/metrics")).decode()
        found = re.findall(r"^apiserver_request_total{(.*)} (\S+)$", text, re.M)
        rows = sorted(((float(n), labels) for labels, n in found), reverse=True)[:12]
        return "\n  ".join(f"{int(n):7d} {labels}" for n, labels in rows)

    # --- measuring

    def _begin(self, began: float | None = None) -> tuple[float, float, float]:
        self._began = began if began is not None else time.perf_counter()
        if began is not None:
            return self._began, 0.0, 0.0
        return self._began, cpu(self._server), cpu(self._agents.pid)

    def _end(self, work: str, measured: tuple[float, float, float], took: float | None = None, note: str = "") -> None:
        began, server, agents = measured
        row = Row(
            work,
            time.perf_counter() - began if took is None else took,
            cpu(self._server) - server,
            cpu(self._agents.pid) - agents,
            resident(self._server),
            resident(self._agents.pid),
            note,
        )
        self.rows.append(row)
        print(row, flush=True)


def cpu(process: int) -> float:
    """Seconds of CPU that a process has used."""
    fields = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def resident(process: int) -> float:
    """MB that a process holds in memory."""
    matched = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{process}/status").read_text())
    return int(matched.group(1)) / 1024 if matched else 0.0


def _name(node: Node) -> str:
    return node.metadata.name


def _is_ready(node: Node) -> bool:
    return any(c.type == "Ready" and c.status == "True" for c in node.status.conditions)


def _ready(pod: Pod) -> bool:
    return any(c.type == "Ready" and c.status == "True" for c in pod.status.conditions)


def _deployment(replicas: int) -> JSON:
    container = {
        "name": "web",
        "image": "hollow/web:1",
        "ports": [{"containerPort": 8080, "name": "http"}],
        "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}},
        "readinessProbe": {"httpGet": {"path": "/", "port": "http"}, "periodSeconds": 10},
    }
    template = {"metadata": {"labels": {"app": APP}}, "spec": {"containers": [container]}}
    spec = {"replicas": replicas, "selector": {"matchLabels": {"app": APP}}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": APP}, "spec": spec}


def _service() -> JSON:
    spec = {"selector": {"app": APP}, "ports": [{"name": "http", "port": 80, "targetPort": "http"}]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": APP}, "spec": spec}


def measure(load: Load) -> list[Row]:
    """All steps against a server of its own."""
    with tempfile.TemporaryDirectory(prefix="longboat-scale-") as scratch:
        server = Cluster(Path(scratch), options=("--cluster-cidr", RANGE))
        server.start()
        try:
            return asyncio.run(_measure(load, server, Path(scratch)))
        finally:
            server.stop()


async def _measure(load: Load, server: Cluster, scratch: Path) -> list[Row]:
    assert server.process is not None
    token = scratch / "token"
    token.write_text(server.longboat("token", "create").stdout)
    access = kubeconfig.load(server.kubeconfig)
    command = [
        sys.executable, "bench/hollow.py", "--server", access.server, "--token-file", str(token),
        "--nodes", str(load.nodes), "--data-dir", str(scratch / "agents"),
    ]  # fmt: skip
    began = time.perf_counter()
    agents = subprocess.Popen(
        command, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        async with HttpClient(access.server, access.ssl_context()) as client:
            bench = Bench(client, load, server.process.pid, agents)
            await bench.run(began)
            return bench.rows
    finally:
        agents.terminate()
        agents.wait(60)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--json", action="store_true", help="print the rows as JSON, at the end")
    defaults = Load()
    for name, value in asdict(defaults).items():
        parser.add_argument(f"--{name}", type=type(value), default=value)
    arguments = vars(parser.parse_args())
    rows = measure(Load(**{name: arguments[name] for name in asdict(defaults)}))
    if arguments["json"]:
        print(json.dumps([asdict(row) for row in rows], indent=1))


if __name__ == "__main__":
    main()
