"""Memory of an agent beside a Docker daemon and a server of its own: ``python -m bench.memory [--pods 60]``.

``agent_memory()`` gives the rows. Everything runs in a network namespace made for it, so the bridge and the firewall
rules of the agent touch nothing of this machine, and is gone at the end. Needs root, dockerd, ip and busybox-static.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from deploy.samples import image
from tests.cluster import ROOT, Cluster, deployment, eventually

CLONE_NEWNET = 0x40000000
NODE, ADDRESS = "host1", "192.0.2.1"
IDLE = 10.0
"""Seconds that pass before a look, in which an agent comes to rest."""


@dataclass(frozen=True)
class Row:
    """``megabytes`` of resident memory (VmRSS), of which ``own`` are no file's and so shared with nobody."""

    what: str
    megabytes: float
    own: float


def agent_memory(pods: int = 60) -> list[Row]:
    """An agent's memory when it idles after its start, and after ``pods`` pods were run and deleted (0: not that).

    Runs in a process of its own, as a process cannot leave the network namespace that it entered.
    """
    command = [sys.executable, "-m", "bench.memory", "--json", "--pods", str(pods)]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, timeout=600, check=True)
    return [Row(**row) for row in json.loads(done.stdout)]


def measure(pods: int) -> Iterator[Row]:
    """The rows as they come; the calling process ends in another network namespace."""
    with ExitStack() as stack:
        place = Path(tempfile.mkdtemp(prefix="lbm", dir="/tmp"))
        stack.callback(shutil.rmtree, place, ignore_errors=True)
        enter_network()
        engine = stack.enter_context(docker(place))
        cluster = Cluster(place / "cluster", "127.0.0.1:6443")
        stack.callback(cluster.stop)
        cluster.start()
        agent = stack.enter_context(running_agent(cluster, place, engine))
        eventually(lambda: cluster.node_ready(NODE), f"node Ready (see {place}/agent.log)")
        time.sleep(IDLE)
        yield look("agent idle after its start", agent)
        if not pods:
            return
        cluster.apply(deployment("web", pods, terminationGracePeriodSeconds=0))
        eventually(lambda: len(cluster.ready_pods("app=web")) == pods, f"{pods} pods ready", timeout=180, interval=1)
        yield look(f"agent with {pods} pods", agent)
        cluster.kubectl("delete", "deployment", "web")
        eventually(lambda: not cluster.get("pods")["items"], "no pods", timeout=180, interval=1)
        time.sleep(IDLE)
        yield look(f"agent idle after {pods} pods", agent)


def look(what: str, process: subprocess.Popen[bytes]) -> Row:
    status = Path(f"/proc/{process.pid}/status").read_text()
    values = {key: int(value) / 1024 for key, value in re.findall(r"(VmRSS|RssAnon):\s+(\d+) kB", status)}
    return Row(what, round(values["VmRSS"], 1), round(values["RssAnon"], 1))


def enter_network() -> None:
    """A network namespace with loopback and one more link, for this process and all that it starts."""
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "no network namespace could be made; root is needed")
    for command in (
        "link set lo up",
        "link add up0 type veth peer name up1",
        f"addr add {ADDRESS}/24 dev up0",
        "link set up0 up",
        "link set up1 up",
    ):
        subprocess.run(["ip", *command.split()], check=True)


@contextmanager
def docker(place: Path) -> Iterator[str]:
    """A Docker daemon below ``place`` with the test image; its address."""
    host = f"unix://{place}/s"
    command = ["dockerd", "--data-root", f"{place}/d", "--exec-root", f"{place}/x", "-p", f"{place}/pid", "-H", host]
    command += ["--bridge=none", "--iptables=false", "--ip-masq=false"]
    with (place / "docker.log").open("ab") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
    try:
        eventually(lambda: _docker(host, "version").returncode == 0, f"dockerd (see {place}/docker.log)")
        archive = image.archive("longboat/test:1", files={"www/index.html": b"hello\n"})
        subprocess.run(["docker", "-H", host, "load", "-q"], input=archive, check=True, stdout=subprocess.DEVNULL)
        yield host
    finally:
        if found := _docker(host, "ps", "-aq").stdout.split():
            _docker(host, "rm", "-fv", *found)
        _end(process)
        mounts = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
        for mount in sorted((mount for mount in mounts if mount.startswith(f"{place}/")), reverse=True):
            subprocess.run(["umount", "-l", mount], check=False)


@contextmanager
def running_agent(cluster: Cluster, place: Path, engine: str) -> Iterator[subprocess.Popen[bytes]]:
    token = cluster.longboat("token", "create").stdout.strip()
    command = [sys.executable, "-m", "deploy.cli", "agent", "--server", f"https://{cluster.address}", "--token", token]
    command += ["--data-dir", str(place / "agent"), "--node-name", NODE, "--node-ip", ADDRESS, "--docker-host", engine]
    environ = {key: value for key, value in os.environ.items() if not key.startswith("MALLOC_")}
    with (place / "agent.log").open("ab") as log:
        process = subprocess.Popen(command, cwd=ROOT, env=environ, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        yield process
    finally:
        _end(process)


def _docker(host: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["docker", "-H", host, *arguments], capture_output=True, text=True, timeout=120)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(10)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.memory", description=__doc__)
    parser.add_argument("--pods", type=int, default=60, help="to run before the last look; 0 for the idle one only")
    parser.add_argument("--json", action="store_true", help="rows as one JSON array")
    arguments = parser.parse_args()
    rows = []
    for row in measure(arguments.pods):
        rows.append(asdict(row))
        if not arguments.json:
            print(f"| {row.what} (RSS) | {row.megabytes:.0f} MB, {row.own:.0f} MB of it its own |", flush=True)
    if arguments.json:
        print(json.dumps(rows))


if __name__ == "__main__":
    main()
