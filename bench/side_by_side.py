"""Longboat beside Docker Swarm on the same lab hosts, in the same run: deploy, scale, rolling update, failover.

Each row is the time from the command to the goal as seen from outside: kubectl's apply until every pod is Ready,
Swarm's service create until every task runs. The image is on every host beforehand. Beside them stands what the
engines need for the bare containers: it tells machines, and hours of one machine, apart. Needs root; makes and removes
its own lab. ``python -m bench cluster`` prints the table.
"""

from __future__ import annotations

import json
import math
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http.client import HTTPSConnection
from pathlib import Path
from typing import Any

from deploy.samples import image
from shared.client import kubeconfig
from tests.cluster import Cluster, Timeout, deployment, eventually, is_ready
from tests.lab.host import Host
from tests.lab.lab import Lab

HOSTS = 3
LIMIT = 100.0
"""Seconds after which a row counts as not reached."""


@dataclass(frozen=True)
class Row:
    """One figure: seconds of Longboat and of Swarm for the same work."""

    work: str
    longboat: float
    swarm: float

    @property
    def ratio(self) -> float:
        return self.longboat / self.swarm


def timed(action: Callable[[], object], goal: Callable[[], object]) -> float:
    """Seconds from the start of ``action`` until ``goal`` is true, looked at every 0.2 s; infinite past LIMIT."""
    began = time.perf_counter()
    action()
    try:
        eventually(goal, "the goal", timeout=LIMIT, interval=0.2)
    except Timeout:
        return math.inf
    seconds = time.perf_counter() - began
    print(f"  {seconds:.1f} s", file=sys.stderr, flush=True)
    return seconds


class Api:
    """Looks at the cluster over one connection: a kubectl for every look would take a core from what it measures."""

    def __init__(self, cluster: Cluster) -> None:
        access = kubeconfig.load(cluster.kubeconfig)
        host, port = cluster.address.split(":")
        self._connection = HTTPSConnection(host, int(port), context=access.ssl_context(), timeout=30)

    def get(self, path: str) -> Any:
        self._connection.request("GET", path)
        return json.loads(self._connection.getresponse().read())


def longboat_rows(lab: Lab, directory: Path) -> dict[str, float]:
    cluster = Cluster(directory, f"{lab.switch.gateway}:16443")
    cluster.start()
    try:
        hosts = [f"root@{host.address}" for host in lab.hosts()]
        cluster.longboat("node", "add", *hosts, "-i", str(lab.key), "--accept-new")
        return _longboat(cluster, lab)
    finally:
        cluster.stop()


def _longboat(cluster: Cluster, lab: Lab) -> dict[str, float]:
    api = Api(cluster)

    def ready(count: int) -> bool:
        found = api.get("/apis/apps/v1/namespaces/default/deployments/web")
        status = found.get("status", {})
        return (
            status.get("observedGeneration", 0) >= found["metadata"]["generation"]
            and status.get("readyReplicas", 0) == count
            and status.get("updatedReplicas", 0) == count
            and status.get("replicas", 0) == count
        )

    web = deployment("web", 30)
    # Swarm knows no readiness: without a probe a pod is Ready when it runs, which is what Swarm counts.
    del web["spec"]["template"]["spec"]["containers"][0]["readinessProbe"]
    web["spec"]["strategy"] = {"rollingUpdate": {"maxSurge": 10, "maxUnavailable": 0}}
    rows = {}
    rows["deploy 30, hosts fresh"] = timed(lambda: cluster.apply(web), lambda: ready(30))
    cluster.kubectl("delete", "deployment", "web", "--wait=true")
    eventually(lambda: not cluster.get("pods")["items"], "no pods", timeout=LIMIT)
    eventually(lambda: warm(lab), "warm sandboxes, as many as the demand asked for", timeout=60)
    rows["deploy 30 again"] = timed(lambda: cluster.apply(web), lambda: ready(30))
    rows["scale 30 to 60 at once after it"] = timed(
        lambda: cluster.kubectl("scale", "deployment/web", "--replicas=60"), lambda: ready(60)
    )
    cluster.kubectl("scale", "deployment/web", "--replicas=30")
    eventually(lambda: len(cluster.get("pods")["items"]) == 30, "30 pods", timeout=LIMIT)
    eventually(lambda: warm(lab), "warm sandboxes", timeout=60)
    rows["scale 30 to 60 again"] = timed(
        lambda: cluster.kubectl("scale", "deployment/web", "--replicas=60"), lambda: ready(60)
    )
    rows["rolling update of 60, surge 10"] = timed(
        lambda: cluster.kubectl("set", "env", "deployment/web", "VERSION=2"), lambda: ready(60)
    )
    cluster.kubectl("scale", "deployment/web", "--replicas=60")
    lost = "host2"
    moved = sum(pod["spec"]["nodeName"] == lost for pod in cluster.pods("app=web"))
    rows[f"host cut off, {moved} replicas run elsewhere"] = timed(
        lambda: lab.switch.cut(2), lambda: elsewhere(api, lost, 60)
    )
    lab.switch.heal(2)
    cluster.kubectl("delete", "deployment", "web", "--wait=true")
    eventually(lambda: not cluster.get("pods")["items"], "no pods", timeout=LIMIT)
    return rows


def engine_floor(lab: Lab) -> float:
    """Seconds for 30 bare containers on the default bridge of three engines, six at a time: the machine's own pace."""

    def start(host: Host) -> None:
        run = "docker run -d --name floor-$0 longboat/test:1 /bin/httpd -f -p 8080 -h /www"
        host.ssh(f"seq 10 | xargs -P 2 -n 1 sh -c '{run}'")

    with ThreadPoolExecutor(HOSTS) as pool:
        seconds = timed(lambda: list(pool.map(start, lab.hosts())), lambda: True)
        list(pool.map(lambda host: host.ssh("docker rm -f $(docker ps -aq --filter name=floor)"), lab.hosts()))
    return seconds


def warm(lab: Lab) -> bool:
    """Whether the warm pools have been filled again after the demand before."""
    counts = [len((host.ssh("docker ps -q --filter name=longboat.warm") or "").split()) for host in lab.hosts()]
    return min(counts) >= 8


def elsewhere(api: Api, lost: str, count: int) -> bool:
    found = api.get("/api/v1/namespaces/default/pods?labelSelector=app%3Dweb")["items"]
    pods = [pod for pod in found if "deletionTimestamp" not in pod["metadata"] and is_ready(pod)]
    return len(pods) == count and all(pod["spec"]["nodeName"] != lost for pod in pods)


def swarm_rows(lab: Lab) -> dict[str, float]:
    hosts = lab.hosts()
    leader = hosts[0]
    leader.ssh(f"docker swarm init --advertise-addr {leader.address}")
    token = (leader.ssh("docker swarm join-token -q worker") or "").strip()
    for host in hosts[1:]:
        host.ssh(f"docker swarm join --token {token} {leader.address}:2377")
    try:
        return _swarm(lab, leader)
    finally:
        for host in hosts:
            host.ssh("docker swarm leave --force", check=False)


def _swarm(lab: Lab, leader: Host) -> dict[str, float]:
    def running(count: int, *, without: str = "") -> bool:
        lines = leader.ssh("docker service ps web --filter desired-state=running --format '{{json .}}' --no-trunc")
        tasks = [json.loads(line) for line in (lines or "").splitlines()]
        good = [t for t in tasks if t["CurrentState"].startswith("Running") and t["Node"] != without]
        return len(good) == count and len(tasks) == count

    def containers() -> int:
        return sum(len((host.ssh("docker ps -aq") or "").split()) for host in lab.hosts())

    # By its id: for a name each task would first ask a registry, which there is none of.
    image_id = (leader.ssh("docker image inspect -f '{{.Id}}' longboat/test:1") or "").strip()
    create = (
        "docker service create -d --name web --replicas 30 --no-resolve-image --update-parallelism 10"
        " --stop-grace-period 1s -e VERSION=1"
        f" {image_id} /bin/httpd -f -p 8080 -h /www"
    )
    rows = {}
    rows["deploy 30, hosts fresh"] = timed(lambda: leader.ssh(create), lambda: running(30))
    leader.ssh("docker service rm web")
    eventually(lambda: containers() == 0, "no tasks", timeout=LIMIT)
    rows["deploy 30 again"] = timed(lambda: leader.ssh(create), lambda: running(30))
    rows["scale 30 to 60 at once after it"] = timed(
        lambda: leader.ssh("docker service scale -d web=60"), lambda: running(60)
    )
    leader.ssh("docker service scale -d web=30")
    eventually(lambda: containers() == 30, "30 containers", timeout=LIMIT)
    rows["scale 30 to 60 again"] = timed(lambda: leader.ssh("docker service scale -d web=60"), lambda: running(60))

    def updated() -> bool:
        state = leader.ssh("docker service inspect web --format '{{.UpdateStatus.State}}'") or ""
        return state.strip() == "completed" and running(60)

    rows["rolling update of 60, surge 10"] = timed(
        lambda: leader.ssh("docker service update -d --no-resolve-image --env-add VERSION=2 web"), updated
    )
    rows["host cut off, 20 replicas run elsewhere"] = timed(
        lambda: lab.switch.cut(2), lambda: running(60, without="host2")
    )
    lab.switch.heal(2)
    leader.ssh("docker service rm web")
    return rows


def run() -> tuple[list[Row], list[float]]:
    """Both, one after the other, on one lab; and the engines' own pace before each (``engine_floor``)."""
    lab = Lab(Path("/var/tmp/longboat-lab"))
    with tempfile.TemporaryDirectory() as scratch:
        archive = Path(scratch) / "test.tar"
        archive.write_bytes(image.archive("longboat/test:1", files={"www/index.html": b"hello\n"}))
        lab.down()
        try:
            lab.up(HOSTS)
            lab.load_image(archive, lab.hosts())
            floors = [engine_floor(lab)]
            ours = longboat_rows(lab, Path(scratch) / "cluster")
            for host in lab.hosts():  # Swarm starts on engines as fresh as ours were
                host.poweroff()
                host.erase()
            lab.up(HOSTS)
            lab.load_image(archive, lab.hosts())
            floors.append(engine_floor(lab))
            theirs = swarm_rows(lab)
        finally:
            lab.down()
    rows = [Row(work, seconds, other) for (work, seconds), other in zip(ours.items(), theirs.values(), strict=True)]
    return rows, floors
