"""A server process on this machine for tests and benches, and the real ``kubectl`` and ``longboat`` that talk to it."""

from __future__ import annotations

import compileall
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]


class Timeout(AssertionError):
    """Something did not happen within its liveness bound."""


def eventually(check: Callable[[], Any], what: str, timeout: float = 60.0, interval: float = 0.2) -> Any:
    """Poll ``check`` until it gives something true; an AssertionError in it counts as not yet."""
    deadline = time.monotonic() + timeout
    while True:
        try:
            last = check()
            if last:
                return last
        except (AssertionError, subprocess.CalledProcessError) as error:
            last = error
        if time.monotonic() > deadline:
            raise Timeout(f"not within {timeout:.0f} s: {what}; last seen: {last!r}")
        time.sleep(interval)


@dataclass
class Cluster:
    """The server process and what talks to it. ``directory`` holds its data and log."""

    directory: Path
    address: str = ""
    """HOST:PORT to serve at; a free port of loopback when empty."""

    options: tuple[str, ...] = ()
    """Further flags of ``longboat server``."""

    process: subprocess.Popen[bytes] | None = field(default=None)

    def __post_init__(self) -> None:
        compiled()

    @property
    def kubeconfig(self) -> Path:
        return self.directory / "data/admin.kubeconfig"

    def longboat(self, *arguments: str, check: bool = True, timeout: float = 240) -> subprocess.CompletedProcess[str]:
        """The ``longboat`` command with the cluster's kubeconfig."""
        environ = os.environ | {"KUBECONFIG": str(self.kubeconfig), "HOME": str(self.directory)}
        command = [sys.executable, "-m", "deploy.cli", *arguments]
        done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=timeout)
        if check and done.returncode:
            raise AssertionError(f"{' '.join(arguments)}: {done.returncode}\n{done.stdout}\n{done.stderr}")
        return done

    def start(self) -> None:
        """Start the server and wait until it is ready."""
        self.directory.mkdir(parents=True, exist_ok=True)
        self.address = self.address or f"127.0.0.1:{free_port()}"
        with (self.directory / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "deploy.cli", "server", "--data-dir", str(self.directory / "data"),
                 "--listen", self.address, "--advertise", self.address, *self.options],
                cwd=ROOT, stdout=log, stderr=log, stdin=subprocess.DEVNULL,
            )  # fmt: skip
        eventually(self.ready, f"server ready (see {self.directory}/server.log)", timeout=30, interval=0.01)

    def ready(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, f"the server ended: {(self.directory / 'server.log').read_text()[-2000:]}"
        # A kubectl for every look would take a core from the server that it waits for.
        return listening(self.address) and self.kubectl("get", "--raw", "/readyz", check=False).returncode == 0

    def stop(self, kill: bool = False) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL if kill else signal.SIGTERM)
            self.process.wait(30)

    def kubectl(
        self,
        *arguments: str,
        check: bool = True,
        text: str | None = None,
        timeout: float = 120,
        environ: dict[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        cache = f"--cache-dir={self.directory / 'cache'}"
        command = ["kubectl", f"--kubeconfig={self.kubeconfig}", cache, *arguments]
        done = subprocess.run(
            command, input=text, capture_output=True, text=True, timeout=timeout, env=os.environ | (environ or {})
        )
        if check and done.returncode:
            raise AssertionError(f"kubectl {' '.join(arguments)}: {done.returncode}\n{done.stdout}\n{done.stderr}")
        return done

    def get(self, *arguments: str) -> Any:
        return json.loads(self.kubectl("get", *arguments, "-o", "json").stdout)

    def apply(self, *objects: dict[str, Any]) -> None:
        self.kubectl("apply", "-f", "-", text=json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}))

    def pods(self, selector: str) -> list[dict[str, Any]]:
        """The pods of a selector that are not on their way out."""
        items = self.get("pods", "-l", selector)["items"]
        return [pod for pod in items if "deletionTimestamp" not in pod["metadata"]]

    def ready_pods(self, selector: str) -> list[dict[str, Any]]:
        return [pod for pod in self.pods(selector) if is_ready(pod)]

    def node_ready(self, name: str) -> bool:
        node = self.get("node", name)
        return any(c["type"] == "Ready" and c["status"] == "True" for c in node["status"].get("conditions", []))

    def endpoints(self, service: str, count: int) -> set[str] | None:
        """The ready addresses of a service if there are ``count`` of them; never is one counted twice."""
        slices = self.get("endpointslices", "-l", f"kubernetes.io/service-name={service}")["items"]
        found = [
            address
            for item in slices
            for endpoint in item.get("endpoints") or []
            if endpoint["conditions"].get("ready")
            for address in endpoint["addresses"]
        ]
        assert len(found) == len(set(found)), f"an address is counted twice: {sorted(found)}"
        return set(found) if len(found) == count else None


@cache
def compiled() -> None:
    """Bytecode of our packages, which an installation has, also where the environment keeps Python from writing it."""
    for package in ("agent", "controlplane", "deploy", "shared"):
        compileall.compile_dir(ROOT / package, quiet=1)


def listening(address: str) -> bool:
    """Whether somebody listens at HOST:PORT."""
    host, _, port = address.rpartition(":")
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((host, int(port))) == 0


def free_port() -> int:
    """A port of loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def is_ready(pod: dict[str, Any]) -> bool:
    return any(c["type"] == "Ready" and c["status"] == "True" for c in pod["status"].get("conditions", []))


def deployment(name: str, replicas: int, *, version: str = "1", **pod: Any) -> dict[str, Any]:
    """A Deployment of a busybox web server; ``version`` shows in its environment."""
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {
                    "terminationGracePeriodSeconds": 1,
                    "containers": [
                        {
                            "name": "web",
                            "image": "longboat/test:1",
                            "command": ["/bin/httpd", "-f", "-p", "8080", "-h", "/www"],
                            "env": [{"name": "VERSION", "value": version}],
                            "ports": [{"containerPort": 8080, "name": "http"}],
                            "readinessProbe": {"httpGet": {"path": "/", "port": "http"}, "periodSeconds": 1},
                        }
                    ],
                    **pod,
                },
            },
        },
    }


def service(name: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"selector": {"app": name}, "ports": [{"name": "http", "port": 80, "targetPort": "http"}]},
    }
