"""A server process with hollow agents beside it, for tests of what needs nodes and running pods but no containers."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.cluster import ROOT, Cluster, eventually


@contextmanager
def hollow_cluster(directory: Path, nodes: int = 2) -> Iterator[Cluster]:
    """The cluster with its nodes Ready: ``hollow-0`` and so on, whose pods run as soon as they are bound."""
    cluster = Cluster(directory)
    cluster.start()
    token = directory / "token"
    token.write_text(cluster.longboat("token", "create").stdout)
    with (directory / "agents.log").open("ab") as log:
        agents = subprocess.Popen(
            [sys.executable, "bench/hollow.py", "--server", f"https://{cluster.address}", "--token-file", str(token),
             "--nodes", str(nodes), "--data-dir", str(directory / "agents")],
            cwd=ROOT, stdout=log, stderr=log, stdin=subprocess.DEVNULL,
        )  # fmt: skip
    try:
        for number in range(nodes):
            eventually(lambda name=f"hollow-{number}": cluster.node_ready(name), f"hollow-{number} Ready")  # type: ignore[misc]
        yield cluster
    finally:
        agents.send_signal(signal.SIGTERM)
        try:
            agents.wait(30)
        finally:
            cluster.stop()
