"""``python -m bench cluster``: Longboat beside Docker Swarm on the lab. ``process``: one server, and one agent, alone.
``scale``: a thousand nodes without hosts.

Prints a table; ``--write`` puts it into docs/benchmarks.md in place of the section of the same name.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.cluster import ROOT, Cluster

ROUNDS = 3
PAGE = ROOT / "docs/benchmarks.md"


def cluster() -> list[str]:
    from bench import side_by_side

    rows, floors = side_by_side.run()
    table = ["| work | Longboat | Swarm | ratio |", "|---|---|---|---|"]
    table += [f"| {row.work} | {row.longboat:.1f} s | {row.swarm:.1f} s | {row.ratio:.2f} |" for row in rows]
    ours, swarm = floors
    table += [
        "",
        f"30 bare containers on these engines, six at a time, just before: {ours:.1f} s before Longboat's rows,"
        f" {swarm:.1f} s before Swarm's (the machine that the aims were set on took 3.35 s).",
    ]
    return table


def process() -> list[str]:
    """Start, memory, and the API's rates beside etcd's, with the load from a process of its own on the same cores."""
    from bench import memory, scheduler

    figures = []
    with tempfile.TemporaryDirectory() as scratch:
        server = Cluster(Path(scratch))
        began = time.perf_counter()
        server.start()
        figures.append(f"| first start until ready, seen by kubectl | {time.perf_counter() - began:.2f} s |")
        try:
            figures.append(f"| server's memory, idle | {resident(server):.0f} MB |")
            api(server, "--etcd-seconds", "0")
            figures.append(f"| server's memory after 3,000 ConfigMaps and 3,000 pods | {resident(server):.0f} MB |")
            load = api(server, "--rounds", str(ROUNDS))
            wide = api(server, "--phase", "pods", "--nodes", "1000", "--pods", "5000", "--etcd-seconds", "0")
        finally:
            server.stop()
    figures += [f"| {row.what} | {row.megabytes:.0f} MB |" for row in memory.agent_memory()]
    rate = scheduler.mixed(nodes=5000, count=5000)
    figures.append(f"| scheduler alone, 5,000 nodes, 20 replicas an owner | {rate:,.0f} pods/s decided |")
    puts = ", ".join(f"{each:,.0f}" for each in load["etcd"])
    bound, thousand = (next(row for row in run["rows"] if row[0] == "pod create and bind") for run in (load, wide))
    goal = load["headings"].index("goal")
    thousand[goal] = bound[goal]  # no etcd beside that run: as it was scaled just before
    return [
        "| what | figure |", "|---|---|", *figures, "",
        f"The API, each row the median of {ROUNDS} rounds; etcd alone took {puts} puts/s of 1 KiB around them:", "",
        f"| {' | '.join(load['headings'])} |", "|---" * len(load["headings"]) + "|",
        *(f"| {' | '.join(row)} |" for row in load["rows"]),
        f"| pod create and bind, 5,000 on 1,000 nodes | {' | '.join(thousand[1:])} |",
        *(f"| {' | '.join(row)} |" for row in wide["rows"] if row[0].startswith("list of")),
    ]  # fmt: skip


def api(server: Cluster, *options: str) -> Any:
    """What bench/api.py found."""
    assert server.process is not None
    command = [
        sys.executable, "bench/api.py", "--json", "--kubeconfig", str(server.kubeconfig),
        "--server-pid", str(server.process.pid), *options,
    ]  # fmt: skip
    environ = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env=environ, stdout=subprocess.PIPE, timeout=600, check=True)
    return json.loads(done.stdout)


def scale() -> list[str]:
    """A thousand hollow agents on one server."""
    from bench.scale import Load, measure

    table = ["| work | time | server: CPU, memory | all agents: CPU, memory | |", "|---|---|---|---|---|"]
    table += [
        f"| {row.work} | {row.seconds:.1f} s | {row.server_cpu:.1f} s, {row.server_mb:.0f} MB"
        f" | {row.agents_cpu:.1f} s, {row.agents_mb:.0f} MB | {row.note} |"
        for row in measure(Load())
    ]
    return table


def resident(server: Cluster) -> float:
    assert server.process is not None
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    matched = re.search(r"VmRSS:\s+(\d+) kB", status)
    return int(matched.group(1)) / 1024 if matched else 0.0


def machine() -> str:
    return (
        f"{os.cpu_count()} cores, {platform.system()} {platform.release()}, Python {platform.python_version()},"
        f" load {os.getloadavg()[0]:.1f} at the start"
    )


def write(name: str, lines: list[str]) -> None:
    """Replace the section between the markers of ``name``."""
    begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    text = PAGE.read_text()
    head, _, rest = text.partition(begin)
    _, _, tail = rest.partition(end)
    PAGE.write_text(f"{head}{begin}\n" + "\n".join(lines) + f"\n{end}{tail}")


PARTS: dict[str, Callable[[], list[str]]] = {"cluster": cluster, "process": process, "scale": scale}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("part", choices=list(PARTS))
    parser.add_argument("--write", action="store_true", help="into docs/benchmarks.md")
    arguments = parser.parse_args()
    lines = [f"Measured {time.strftime('%Y-%m-%d')} on {machine()}.", ""]
    lines += PARTS[arguments.part]()
    print("\n".join(lines))
    if arguments.write:
        write(arguments.part, lines)


if __name__ == "__main__":
    main()
