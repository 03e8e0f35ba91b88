"""Load on the API of a running server, a figure a line: writes, reads, watch fan-out, and pods created and bound.

    python bench/api.py [--kubeconfig FILE] [--nodes 100] [--pods 3000] [--configmaps 3000] [--phase config,pods]

The same work in the same order for any server of the Kubernetes API; client and server share this machine's cores.
The nodes are made up and send no heartbeats, so they are scheduled to for some 40 seconds. Everything it makes is
removed at the end, unless ``--keep``. Bounded: no phase waits longer than ``--limit`` seconds.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import aiohttp

from shared import codec
from shared.client import kubeconfig
from shared.work.supervisor import Supervisor

MERGE = "application/merge-patch+json"
BUFFER = 4 << 20
"""Bytes that a watch may be behind."""


@dataclass(frozen=True, slots=True)
class Row:
    """``per_second`` of ``work``, with latencies in ms; ``answers`` by status code."""

    work: str
    per_second: float
    p50_ms: float = 0.0
    p99_ms: float = 0.0
    answers: dict[int, int] = field(default_factory=dict)
    note: str = ""

    def __str__(self) -> str:
        latency = f"  p50 {self.p50_ms:6.1f} ms  p99 {self.p99_ms:6.1f} ms" if self.p50_ms else ""
        codes = "  " + " ".join(f"{code}:{count}" for code, count in self.answers.items()) if self.answers else ""
        return f"{self.work:34} {self.per_second:9.0f}/s{latency}{codes}  {self.note}".rstrip()


@dataclass(frozen=True, slots=True)
class Load:
    """How much of everything."""

    nodes: int = 100
    pods: int = 3000
    configmaps: int = 3000
    watchers: int = 20
    parallel: int = 32
    limit: float = 120.0
    namespace: str = "load"


class Bench:
    """The phases; each prints its rows as they come and keeps them."""

    def __init__(self, session: aiohttp.ClientSession, server: str, load: Load, show: Callable[[Row], None]) -> None:
        self._session, self._server, self._load, self._show = session, server, load, show
        self._base = f"/api/v1/namespaces/{load.namespace}"
        self.rows: list[Row] = []

    async def setup(self) -> None:
        """The namespace, in which a pod may be made once its service account is there."""
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self._load.namespace}}
        code = await self._call("POST", "/api/v1/namespaces", namespace)
        if code not in (201, 409):
            raise SystemExit(f"the namespace cannot be made: the server answered {code}")
        async with asyncio.timeout(self._load.limit):
            while await self._call("GET", f"{self._base}/serviceaccounts/default") != 200:
                await asyncio.sleep(0.05)

    async def config(self) -> None:
        """ConfigMaps of 1 KB, which no controller looks at: create with watchers, get, put, patch, list."""
        load, path = self._load, f"{self._base}/configmaps"
        seen = [0] * load.watchers
        async with Supervisor() as supervisor:
            started = asyncio.Barrier(load.watchers + 1)
            for number in range(load.watchers):
                supervisor.service(f"watcher {number}", self._watch(path, started, partial(_count, seen, number)))
            async with asyncio.timeout(load.limit):
                await started.wait()
            before = list(seen)
            began = time.perf_counter()
            await self._many("configmap create", load.configmaps, lambda n: self._call("POST", path, _config_map(n)))

            def delivered() -> int:
                return min(now - then for now, then in zip(seen, before, strict=True))

            with suppress(TimeoutError):
                async with asyncio.timeout(load.limit):
                    while delivered() < load.configmaps:
                        await asyncio.sleep(0.005)
            took = time.perf_counter() - began
            note = f"all delivered {took:.2f} s after the first write, least {delivered()}"
            self._add(Row(f"watch fan-out x{load.watchers}", (sum(seen) - sum(before)) / took, note=note))
            supervisor.stop()
        await self._many("configmap get", load.configmaps, lambda n: self._call("GET", f"{path}/c{n}"))
        await self._many("configmap put", load.configmaps, lambda n: self._call("PUT", f"{path}/c{n}", _config_map(n)))

        def patch(number: int) -> Awaitable[int]:
            return self._call("PATCH", f"{path}/c{number}", {"data": {"p": str(number)}}, MERGE)

        await self._many("configmap merge-patch", load.configmaps, patch)
        await self._many(
            f"list of {load.configmaps} configmaps", 20, lambda n: self._call("GET", f"{path}?resourceVersion=0"), 2
        )

    async def pods(self) -> None:
        """Made-up nodes, then pods, until the scheduler that runs beside the server has bound them all."""
        load = self._load
        await self._many("node create", load.nodes, lambda n: self._call("POST", "/api/v1/nodes", _node(n)))
        status = _node_status(time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()))

        def node(number: int) -> str:
            return f"/api/v1/nodes/fake-{number}"

        await self._many(
            "node status patch", load.nodes, lambda n: self._call("PATCH", node(n) + "/status", status, MERGE)
        )
        untaint = {"spec": {"taints": None}}
        await self._many("node patch", load.nodes, lambda n: self._call("PATCH", node(n), untaint, MERGE))
        bound: set[str] = set()
        done = asyncio.Event()

        def look(line: bytes) -> None:
            event = codec.decode(line)
            if event["type"] in ("ADDED", "MODIFIED") and event["object"]["spec"].get("nodeName"):
                bound.add(event["object"]["metadata"]["name"])
                if len(bound) >= load.pods:
                    done.set()

        path = f"{self._base}/pods"
        async with Supervisor() as supervisor:
            started = asyncio.Barrier(2)
            supervisor.service("pod watch", self._watch(path, started, look))
            async with asyncio.timeout(load.limit):
                await started.wait()
            began = time.perf_counter()
            await self._many("pod create", load.pods, lambda n: self._call("POST", path, _pod(n, load.namespace)))
            with suppress(TimeoutError):
                async with asyncio.timeout(load.limit):
                    await done.wait()
            took = time.perf_counter() - began
            note = f"{len(bound)} of {load.pods} pods bound to {load.nodes} nodes in {took:.2f} s"
            self._add(Row("pod create and bind", len(bound) / took, note=note))
            supervisor.stop()
        await self._many(f"list of {load.pods} pods", 5, lambda n: self._call("GET", f"{path}?resourceVersion=0"), 1)

    async def cleanup(self) -> None:
        """Remove the nodes and everything in the namespace."""
        load = self._load
        now = {"kind": "DeleteOptions", "apiVersion": "v1", "gracePeriodSeconds": 0}

        def pod(number: int) -> Awaitable[int]:
            return self._call("DELETE", f"{self._base}/pods/p{number}", now)

        await self._many("pod delete", load.pods, pod, keep=False)
        await self._many(
            "node delete", load.nodes, lambda n: self._call("DELETE", f"/api/v1/nodes/fake-{n}"), keep=False
        )
        await self._call("DELETE", f"{self._base}/configmaps")
        await self._call("DELETE", f"/api/v1/namespaces/{load.namespace}")

    # --- inside

    async def _many(
        self, work: str, count: int, call: Callable[[int], Awaitable[int]], parallel: int = 0, *, keep: bool = True
    ) -> None:
        """``call`` for each number, ``parallel`` at a time; a row of it."""
        numbers, latencies, answers = iter(range(count)), [], Counter[int]()

        async def worker() -> None:
            for number in numbers:
                began = time.perf_counter()
                answers[await call(number)] += 1
                latencies.append(time.perf_counter() - began)

        began = time.perf_counter()
        await asyncio.gather(*(worker() for _ in range(parallel or self._load.parallel)))
        took = time.perf_counter() - began
        latencies.sort()
        if keep and latencies:
            p50, p99 = (1000 * latencies[min(len(latencies) - 1, int(len(latencies) * q))] for q in (0.5, 0.99))
            self._add(Row(work, count / took, p50, p99, dict(sorted(answers.items()))))

    def _add(self, row: Row) -> None:
        self.rows.append(row)
        self._show(row)

    async def _call(self, method: str, path: str, body: Any = None, content_type: str = "application/json") -> int:
        data = codec.encode(body) if body is not None else None
        headers = {"Content-Type": content_type} if body is not None else None
        async with self._session.request(method, self._server + path, data=data, headers=headers) as response:
            await response.read()
            return response.status

    async def _watch(self, path: str, started: asyncio.Barrier, tell: Callable[[bytes], None]) -> None:
        """Tell every event of a watch, from now on, until cancelled."""
        timeout = aiohttp.ClientTimeout(total=None)
        async with self._session.get(f"{self._server}{path}?limit=1") as response:
            revision = codec.decode(await response.read())["metadata"]["resourceVersion"]
        url = f"{self._server}{path}?watch=1&resourceVersion={revision}"
        async with self._session.get(url, timeout=timeout, read_bufsize=BUFFER) as response:
            response.raise_for_status()
            await started.wait()
            async for line in response.content:
                if line.strip():
                    tell(line)


def _count(seen: list[int], number: int, line: bytes) -> None:
    seen[number] += 1


def _config_map(number: int) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": f"c{number}"}, "data": {"k": "x" * 1000}}


def _node(number: int) -> dict[str, Any]:
    name = f"fake-{number}"
    labels = {"kubernetes.io/hostname": name, "topology.kubernetes.io/zone": f"z{number % 3}"}
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}}


def _node_status(now: str) -> dict[str, Any]:
    room = {"cpu": "32", "memory": "64Gi", "pods": "500"}
    ready = {
        "type": "Ready", "status": "True", "reason": "KubeletReady", "message": "ok",
        "lastHeartbeatTime": now, "lastTransitionTime": now,
    }  # fmt: skip
    return {"status": {"capacity": room, "allocatable": room, "conditions": [ready]}}


def _pod(number: int, namespace: str) -> dict[str, Any]:
    """A pod of about 1.5 KB."""
    container = {
        "name": "c",
        "image": "busybox:1",
        "command": ["/bin/httpd", "-f", "-p", "80", "-h", "/www"],
        "env": [{"name": f"E{n}", "value": "v" * 20} for n in range(8)],
        "ports": [{"containerPort": 80}],
        "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}},
    }
    metadata = {
        "name": f"p{number}",
        "namespace": namespace,
        "labels": {"app": f"a{number % 50}", "tier": "web", "track": "stable"},
        "annotations": {"note": "x" * 400},
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": [container]}}


async def measure(
    access: kubeconfig.ClusterAccess,
    load: Load,
    phases: tuple[str, ...] = ("config", "pods"),
    *,
    keep: bool = False,
    show: Callable[[Row], None] = print,
) -> list[Row]:
    """Run ``phases`` against the cluster; their rows."""
    connector = aiohttp.TCPConnector(limit=0, ssl=access.ssl_context())
    headers = {"Accept": "application/json"} | ({"Authorization": f"Bearer {access.token}"} if access.token else {})
    timeout = aiohttp.ClientTimeout(total=load.limit)
    async with aiohttp.ClientSession(connector=connector, headers=headers, timeout=timeout) as session:
        bench = Bench(session, access.server.rstrip("/"), load, show)
        await bench.setup()
        try:
            for phase in phases:
                await {"config": bench.config, "pods": bench.pods}[phase]()
        finally:
            if not keep:
                await bench.cleanup()
        return bench.rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--kubeconfig", type=Path)
    parser.add_argument("--phase", default="config,pods", help="some of config,pods")
    parser.add_argument("--keep", action="store_true", help="remove nothing at the end")
    parser.add_argument("--json", action="store_true", help="print the rows as JSON, at the end")
    defaults = Load()
    for name, value in asdict(defaults).items():
        parser.add_argument(f"--{name}", type=type(value), default=value)
    arguments = vars(parser.parse_args())
    phases = tuple(arguments["phase"].split(","))
    if unknown := set(phases) - {"config", "pods"}:
        parser.error(f"no such phase: {', '.join(sorted(unknown))}")
    paths = arguments["kubeconfig"] or kubeconfig.default_paths(os.environ)
    try:
        access = kubeconfig.load(paths)
    except kubeconfig.KubeconfigError as error:
        raise SystemExit(str(error)) from error
    load = Load(**{name: arguments[name] for name in asdict(defaults)})
    show: Callable[[Row], None] = (lambda row: None) if arguments["json"] else (lambda row: print(row, flush=True))
    rows = asyncio.run(measure(access, load, phases, keep=arguments["keep"], show=show))
    if arguments["json"]:
        print(json.dumps([asdict(row) for row in rows], indent=1))


if __name__ == "__main__":
    main()
