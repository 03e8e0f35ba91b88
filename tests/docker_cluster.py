"""A server and a real agent on this machine, for tests of what needs containers that run and kubectl that talks to
them. Everything is in the network namespace of the caller's thread."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.cluster import ROOT, Cluster, eventually, free_port, is_ready

NODE = "host-1"
IMAGE = "longboat-test/busybox:1"


@dataclass
class DockerCluster:
    """``cluster`` with one node, whose containers are those of the daemon at ``docker_host``."""

    cluster: Cluster
    docker_host: str
    address: str
    metrics_port: int
    """Of the agent, on loopback."""

    agent: subprocess.Popen[bytes] | None = None

    @property
    def token(self) -> Path:
        return self.cluster.directory / "token"

    def start_agent(self) -> None:
        """Start the node's agent."""
        directory = self.cluster.directory
        with (directory / "agent.log").open("ab") as log:
            self.agent = subprocess.Popen(
                [sys.executable, "-m", "deploy.cli", "agent", "--server", f"https://{self.cluster.address}",
                 "--token-file", str(self.token), "--data-dir", str(directory / "agent"), "--node-name", NODE,
                 "--node-ip", self.address, "--metrics-port", str(self.metrics_port),
                 "--docker-host", self.docker_host, "--log-level", "debug", "--usage-interval", "1"],
                cwd=ROOT, stdout=log, stderr=log, stdin=subprocess.DEVNULL,
            )  # fmt: skip

    def stop_agent(self, kill: bool = False) -> None:
        """End the agent; its containers stay."""
        if self.agent is not None:
            self.agent.send_signal(signal.SIGKILL if kill else signal.SIGTERM)
            self.agent.wait(30)
            self.agent = None

    def run_pod(self, name: str, *containers: dict[str, Any], **spec: Any) -> None:
        """Apply a pod and wait until it is Ready. A container without an image has the tests' busybox."""
        filled = [{"name": "c", "image": IMAGE, "command": ["sleep", "1000000"]} | each for each in containers or ({},)]
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name},
            "spec": {"terminationGracePeriodSeconds": 0, "containers": filled, **spec},
        }
        self.cluster.apply(pod)
        eventually(lambda: is_ready(self.cluster.get("pod", name)), f"pod {name} ready", timeout=60, interval=0.05)

    def kubectl(self, *arguments: str, program: str = "kubectl") -> list[str]:
        """A command line for subprocess: these tests are about its streams."""
        cache = f"--cache-dir={self.cluster.directory / 'cache'}"
        return [program, f"--kubeconfig={self.cluster.kubeconfig}", cache, *arguments]

    def run(
        self, *arguments: str, program: str = "kubectl", data: bytes | None = None, timeout: float = 60
    ) -> subprocess.CompletedProcess[bytes]:
        """Run kubectl with ``data`` as its stdin."""
        given = {"stdin": subprocess.DEVNULL} if data is None else {"input": data}
        return subprocess.run(
            self.kubectl(*arguments, program=program), capture_output=True, timeout=timeout, env=self.environ, **given
        )

    @property
    def environ(self) -> dict[str, str]:
        return os.environ | {"HOME": str(self.cluster.directory)}

    def open_streams(self) -> tuple[float, float]:
        """Streams that the server and the agent say are open."""
        server = self.cluster.kubectl("get", "--raw", "/metrics").stdout
        with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_port}/metrics", timeout=10) as answer:
            agent = answer.read().decode()
        return _value(server, "longboat_streams"), _value(agent, "longboat_agent_streams_open")

    def expect_no_streams(self, seconds: float) -> None:
        """Wait until both ends have let go of every stream."""

        def check() -> bool:
            assert self.open_streams() == (0, 0), f"server and agent have {self.open_streams()}"
            return True

        eventually(check, "the streams closed", timeout=seconds)

    def docker(self, *arguments: str) -> str:
        """The daemon itself is asked."""
        command = ["docker", "-H", self.docker_host, *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout

    def container(self, pod: str, name: str = "c") -> str:
        """The id of a running container of a pod."""
        labels = [f"label=dev.longboat.pod.name={pod}", f"label=dev.longboat.container={name}"]
        return self.docker(
            "ps", "-q", "--no-trunc", *(word for label in labels for word in ("--filter", label))
        ).strip()

    def commands(self, pod: str) -> list[str]:
        """The command lines of the processes in a pod's container, but for its own."""
        container = self.container(pod)
        own = self.docker("inspect", "-f", "{{.State.Pid}}", container).strip()
        lines = self.docker("top", container, "-o", "pid,args").splitlines()[1:]
        return [args.strip() for pid, args in (line.split(maxsplit=1) for line in lines) if pid != own]


def _value(metrics: str, name: str) -> float:
    return next(float(line.split()[1]) for line in metrics.splitlines() if line.startswith(f"{name} "))


@contextmanager
def running_cluster(directory: Path, docker_host: str, address: str) -> Iterator[DockerCluster]:
    """The cluster with its node Ready. ``address`` is the node's."""
    host = DockerCluster(Cluster(directory), docker_host, address, free_port())
    host.cluster.start()
    try:
        host.token.write_text(host.cluster.longboat("token", "create").stdout)
        host.start_agent()
        eventually(lambda: host.cluster.node_ready(NODE), f"{NODE} Ready (see {directory}/agent.log)")
        yield host
    finally:
        try:
            host.stop_agent()
        finally:
            host.cluster.stop()
            _unmount(directory)


def _unmount(directory: Path) -> None:
    """What an agent keeps in memory outlives it, for its containers."""
    mounts = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
    for mount in sorted((mount for mount in mounts if mount.startswith(f"{directory}/")), reverse=True):
        subprocess.run(["umount", "-l", mount], check=True, timeout=10)
