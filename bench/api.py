"""Load on the API of a running server, a figure a line: writes, reads, watch fan-out, and pods created and bound.

    python bench/api.py [--kubeconfig FILE] [--nodes 100] [--pods 3000] [--configmaps 3000] [--phase config,pods]

The same work in the same order for any server of the Kubernetes API; client and server share this machine's cores.
The nodes are made up and send no heartbeats, so they are scheduled to for some 40 seconds. Everything it makes is
removed at the end, unless ``--keep``. Bounded: no wait is longer than ``--limit`` seconds.

Beside each figure stands what Kubernetes 1.20 would give here: its figure from a machine where etcd took 10,000 puts
a second, times etcd's rate here, the mean of just before and just after. (Kubernetes was loaded with a heavier client,
on the same cores as it.) A virtual machine's speed may double and halve within minutes: so there may be several rounds.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from statistics import mean
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench import etcd
from bench.wire import JSON, Driver, LoadError, Sample
from shared import codec
from shared.client import kubeconfig

MERGE = "application/merge-patch+json"
TABLE = f"{JSON};as=Table;v=v1;g=meta.k8s.io,{JSON}"
"""What kubectl get accepts."""

PHASES = ("config", "pods")


@dataclass(frozen=True, slots=True)
class Peer:
    """What Kubernetes 1.20 gave where etcd took ``etcd.REFERENCE`` puts a second, and what we want to be.

    ``times`` is the multiple of Kubernetes' rate that is our goal, ``least`` a rate of our own,
    to be scaled as theirs is.
    """

    per_second: float
    times: float = 0.0
    least: float = 0.0


PEER: Mapping[str, Peer] = {
    "configmap create": Peer(814, times=2),
    "watch fan-out": Peer(16_203, times=3),
    "configmap get": Peer(2911, times=1.5),
    "configmap put": Peer(1977, times=1.5),
    "configmap merge-patch": Peer(1305, times=1.5),
    "pod create": Peer(364, times=2),
    "pod create and bind": Peer(324, least=1000),
}


BELOW_MS: Mapping[str, float] = {"list of 5000 pods as a table": 150}
"""Goals of work whose time counts, p50 on any machine."""


@dataclass(frozen=True, slots=True)
class Row:
    """``per_second`` of ``work``, with latencies in ms; ``answers`` by status code.

    ``server_cpu`` and ``client_cpu`` are milliseconds of CPU for each piece of work (seconds for a thousand), -1 where
    the server's process is not known; ``scale`` is etcd's rate by the reference, 0 where it was not measured.
    """

    work: str
    per_second: float
    p50_ms: float = 0.0
    p99_ms: float = 0.0
    answers: dict[int, int] = field(default_factory=dict)
    note: str = ""
    server_cpu: float = -1.0
    client_cpu: float = -1.0
    scale: float = 0.0

    @property
    def kubernetes(self) -> float:
        """Kubernetes' rate, scaled to this machine; 0 where there is none."""
        peer = PEER.get(self.work)
        return peer.per_second * self.scale if peer else 0.0

    @property
    def goal(self) -> str:
        peer = PEER.get(self.work)
        if peer is None:
            return f"{BELOW_MS[self.work]:g} ms" if self.work in BELOW_MS else ""
        return f"{peer.times:g} x" if peer.times else f"{peer.least * (self.scale or 1):,.0f}/s"

    def cells(self) -> list[str]:
        """What is measured, ours, latencies, Kubernetes scaled, ratio, goal, CPU of the server and of the load."""
        latency = f"p50 {self.p50_ms:.1f} ms, p99 {self.p99_ms:.1f} ms" if self.p50_ms else self.note
        theirs = self.kubernetes
        cpu = f"{self.server_cpu:.2f} + {self.client_cpu:.2f}" if self.server_cpu >= 0 else ""
        return [
            self.work, f"{self.per_second:,.0f}/s", latency, f"{theirs:,.0f}/s" if theirs else "",
            f"{self.per_second / theirs:.1f} x" if theirs else "", self.goal, cpu,
        ]  # fmt: skip

    def __str__(self) -> str:
        work, ours, latency, theirs, ratio, goal, cpu = self.cells()
        codes = " ".join(f"{code}:{count}" for code, count in self.answers.items())
        return f"{work:26} {ours:>9} {theirs:>9} {ratio:>6} {goal:>7} {cpu:>13}  {latency}  {codes}".rstrip()


HEADINGS = ("work", "Longboat", "latency", "Kubernetes 1.20, scaled", "ratio", "goal", "CPU s per 1,000: server + load")


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


class Cpu:
    """CPU seconds of the server's process (0: not known) and of this one, since ``mark``."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self.mark()

    def mark(self) -> None:
        self._began = self._now()

    def each(self, count: int) -> tuple[float, float]:
        """Milliseconds for one of ``count``: the server's (-1 where not known) and ours."""
        server, own = (now - then for now, then in zip(self._now(), self._began, strict=True))
        return (1000 * server / count if self._pid else -1.0), 1000 * own / count

    def _now(self) -> tuple[float, float]:
        own = time.process_time()
        if not self._pid:
            return 0.0, own
        fields = Path(f"/proc/{self._pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"), own


class Bench:
    """The phases; each adds its rows."""

    def __init__(self, driver: Driver, load: Load, server_pid: int) -> None:
        self._driver, self._load = driver, load
        self._cpu = Cpu(server_pid)
        self._base = f"/api/v1/namespaces/{load.namespace}"
        self.rows: list[Row] = []

    def setup(self) -> None:
        """The namespace, in which a pod may be made once its service account is there."""
        end = time.monotonic() + self._load.limit
        while not (self._is_active() and self._call("GET", f"{self._base}/serviceaccounts/default")[0] == 200):
            if time.monotonic() > end:
                raise SystemExit("the namespace gets no service account")
            time.sleep(0.05)

    def _is_active(self) -> bool:
        """Whether the namespace is there and stays: one of an earlier run may still be going, with all it has."""
        code, body = self._call("GET", f"/api/v1/namespaces/{self._load.namespace}")
        if code == 404:
            code, body = self._call(
                "POST", "/api/v1/namespaces", _object("v1", "Namespace", {"name": self._load.namespace})
            )
        if code not in (200, 201, 409):  # 409: it came in between
            raise SystemExit(f"the namespace cannot be made: the server answered {code}")
        return code != 409 and codec.decode(body)["status"]["phase"] == "Active"

    def config(self) -> None:
        """ConfigMaps of 1 KB, which no controller looks at: create with watchers, get, put, patch, list."""
        load, path = self._load, f"{self._base}/configmaps"
        counts = [Events() for _ in range(load.watchers)]
        for events in counts:
            self._watch(path, events.take)

        def delivered() -> bool:
            return all(events.seen >= load.configmaps for events in counts)

        self._cpu.mark()
        began = time.perf_counter()
        sample = self._run([("POST", path, _config_map(n)) for n in range(load.configmaps)])
        created = time.perf_counter()
        self._driver.until(delivered)
        took = time.perf_counter() - began
        cpu = self._cpu.each(load.configmaps)
        self._sampled("configmap create", sample, cpu)
        note = f"x{load.watchers}, the last {1000 * (began + took - created):.0f} ms after the last create"
        seen = sum(events.seen for events in counts)
        self._add(Row("watch fan-out", seen / took, note=note))
        self._driver.end_watches()
        self._many("configmap get", [("GET", f"{path}/c{n}", None) for n in range(load.configmaps)])
        self._many("configmap put", [("PUT", f"{path}/c{n}", _config_map(n)) for n in range(load.configmaps)])
        patches = [("PATCH", f"{path}/c{n}", {"data": {"p": str(n)}}) for n in range(load.configmaps)]
        self._many("configmap merge-patch", patches)
        self._many(f"list of {load.configmaps} configmaps", [("GET", f"{path}?resourceVersion=0", None)] * 20, 2)

    def pods(self) -> None:
        """Made-up nodes, then pods, until the scheduler that runs beside the server has bound them all."""
        load, path = self._load, f"{self._base}/pods"
        names = [f"/api/v1/nodes/fake-{n}" for n in range(load.nodes)]
        self._many("node create", [("POST", "/api/v1/nodes", _node(n)) for n in range(load.nodes)])
        status = _node_status(time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()))
        self._many("node status patch", [("PATCH", f"{name}/status", status) for name in names])
        self._many("node patch", [("PATCH", name, {"spec": {"taints": None}}) for name in names])
        bound: set[str] = set()

        def look(line: bytes) -> None:
            event = codec.decode(line)
            if event["type"] in ("ADDED", "MODIFIED") and event["object"]["spec"].get("nodeName"):
                bound.add(event["object"]["metadata"]["name"])

        self._watch(path, Events(look).take)
        self._cpu.mark()
        began = time.perf_counter()
        sample = self._run([("POST", path, _pod(n, load.namespace)) for n in range(load.pods)])
        self._sampled("pod create", sample, self._cpu.each(load.pods))
        self._driver.until(lambda: len(bound) >= load.pods)
        took = time.perf_counter() - began
        note = f"{len(bound)} of {load.pods} pods bound to {load.nodes} nodes in {took:.2f} s"
        self._add(Row("pod create and bind", len(bound) / took, note=note), self._cpu.each(load.pods))
        self._driver.end_watches()
        lists = [("GET", f"{path}?resourceVersion=0", None)] * 5
        self._many(f"list of {load.pods} pods", lists, 1)
        self._many(f"list of {load.pods} pods as a table", lists, 1, accept=TABLE)

    def cleanup(self) -> None:
        """Remove the nodes and everything in the namespace."""
        load, now = self._load, _object("v1", "DeleteOptions", None) | {"gracePeriodSeconds": 0}
        self._run([("DELETE", f"{self._base}/pods/p{n}", now) for n in range(load.pods)])
        self._run([("DELETE", f"/api/v1/nodes/fake-{n}", None) for n in range(load.nodes)])
        self._call("DELETE", f"{self._base}/configmaps")
        self._call("DELETE", f"/api/v1/namespaces/{load.namespace}")

    # --- inside

    def _many(self, work: str, calls: Sequence[tuple[str, str, Any]], parallel: int = 0, accept: str = JSON) -> None:
        self._cpu.mark()
        sample = self._run(calls, parallel, accept)
        self._sampled(work, sample, self._cpu.each(len(calls)))

    def _run(self, calls: Sequence[tuple[str, str, Any]], parallel: int = 0, accept: str = JSON) -> Sample:
        requests = [self._request(*call, accept) for call in calls]
        return self._driver.run(requests, parallel or self._load.parallel)

    def _request(self, method: str, path: str, body: Any, accept: str = JSON) -> bytes:
        content_type = MERGE if method == "PATCH" else JSON
        return self._driver.request(method, path, b"" if body is None else codec.encode(body), content_type, accept)

    def _call(self, method: str, path: str, body: Any = None) -> tuple[int, bytes]:
        return self._driver.call(self._request(method, path, body))

    def _sampled(self, work: str, sample: Sample, cpu: tuple[float, float]) -> None:
        lats = sample.latencies
        p50, p99 = (1000 * lats[min(len(lats) - 1, int(len(lats) * q))] for q in (0.5, 0.99))
        row = Row(work, len(lats) / sample.seconds, p50, p99, dict(sorted(sample.answers.items())))
        self._add(row, cpu)

    def _add(self, row: Row, cpu: tuple[float, float] = (-1.0, -1.0)) -> None:
        self.rows.append(replace(row, server_cpu=cpu[0], client_cpu=cpu[1]))

    def _watch(self, path: str, tell: Callable[[bytes], None]) -> None:
        """A watch of what is written from now on."""
        _, body = self._call("GET", f"{path}?limit=1")
        revision = codec.decode(body)["metadata"]["resourceVersion"]
        self._driver.watch(f"{path}?watch=1&resourceVersion={revision}&timeoutSeconds=600", tell)


class Events:
    """Counts the events of a watch in its chunked text; gives each to ``look``, where one is given."""

    def __init__(self, look: Callable[[bytes], None] | None = None) -> None:
        self._look, self._rest = look, b""
        self.seen = 0

    def take(self, data: bytes) -> None:
        # Each event is a line that ends so; nothing within an object or a chunk's frame does.
        parts = (self._rest + data).split(b"}\n")
        self._rest = parts.pop()[-1 if self._look is None else 0 :]
        self.seen += len(parts)
        if self._look is not None:
            for part in parts:
                self._look(part[part.index(b"{") :].replace(b"\r\n", b"") + b"}")


def _object(api_version: str, kind: str, metadata: Any, **fields: Any) -> dict[str, Any]:
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata} | fields


def _config_map(number: int) -> dict[str, Any]:
    return _object("v1", "ConfigMap", {"name": f"c{number}"}, data={"k": "x" * 1000})


def _node(number: int) -> dict[str, Any]:
    name = f"fake-{number}"
    labels = {"kubernetes.io/hostname": name, "topology.kubernetes.io/zone": f"z{number % 3}"}
    return _object("v1", "Node", {"name": name, "labels": labels})


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
    return _object("v1", "Pod", metadata, spec={"containers": [container]})


def measure(
    access: kubeconfig.ClusterAccess,
    load: Load,
    phases: Sequence[str] = PHASES,
    *,
    keep: bool = False,
    server_pid: int = 0,
) -> list[Row]:
    """Run ``phases`` against the cluster; their rows."""
    driver = Driver(access.server.rstrip("/"), access.ssl_context(), access.token, limit=load.limit)
    bench = Bench(driver, load, server_pid)
    try:
        bench.setup()
        try:
            for phase in phases:
                {"config": bench.config, "pods": bench.pods}[phase]()
        finally:
            if not keep:
                bench.cleanup()
    finally:
        driver.close()
    return bench.rows


def median(rows: Sequence[Row]) -> Row:
    """The row in the middle, by its ratio to Kubernetes where there is one."""
    ordered = sorted(rows, key=lambda row: row.per_second / row.kubernetes if row.kubernetes else row.per_second)
    return ordered[len(ordered) // 2]


def yardstick(seconds: float) -> float:
    """etcd's puts a second on these cores. Raises SystemExit with what to install."""
    try:
        return etcd.measure(seconds, directory=Path("."))
    except etcd.Missing as error:
        raise SystemExit(f"{error} (or --etcd-seconds 0: without Kubernetes' figures)") from error


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--kubeconfig", type=Path)
    parser.add_argument("--phase", default=",".join(PHASES), help="some of config,pods")
    parser.add_argument("--keep", action="store_true", help="remove nothing at the end")
    parser.add_argument("--json", action="store_true", help="print the rows as JSON, at the end")
    parser.add_argument("--server-pid", type=int, default=0, help="the server's process, to count its CPU time")
    parser.add_argument("--rounds", type=int, default=1, help="measure so often, and give each row's median ratio")
    parser.add_argument("--etcd-seconds", type=float, default=5.0, help="how long to measure etcd; 0: not at all")
    defaults = Load()
    for name, value in asdict(defaults).items():
        parser.add_argument(f"--{name}", type=type(value), default=value)
    arguments = vars(parser.parse_args())
    phases = tuple(arguments["phase"].split(","))
    if unknown := set(phases) - set(PHASES):
        parser.error(f"no such phase: {', '.join(sorted(unknown))}")
    paths = arguments["kubeconfig"] or kubeconfig.default_paths(os.environ)
    try:
        access = kubeconfig.load(paths)
    except kubeconfig.KubeconfigError as error:
        raise SystemExit(str(error)) from error
    load = Load(**{name: arguments[name] for name in asdict(defaults)})
    puts: list[float] = []
    found: list[list[Row]] = []

    def look() -> None:
        if arguments["etcd_seconds"]:
            puts.append(yardstick(arguments["etcd_seconds"]))

    look()
    try:
        for _ in range(arguments["rounds"]):
            rows = measure(access, load, phases, keep=arguments["keep"], server_pid=arguments["server_pid"])
            look()
            scale = mean(puts[-2:]) / etcd.REFERENCE if puts else 0.0
            found.append([replace(row, scale=scale) for row in rows])
    except LoadError as error:
        raise SystemExit(f"the load failed: {error}") from error
    rows = [median(each) for each in zip(*found, strict=True)]
    if arguments["json"]:
        print(json.dumps({"etcd": puts, "headings": HEADINGS, "rows": [row.cells() for row in rows]}, indent=1))
        return
    print(
        " and ".join(f"{each:,.0f}" for each in puts) or "not measured:", "puts/s of 1 KiB by etcd, around each round"
    )
    for row in rows:
        print(row)


if __name__ == "__main__":
    main()
