"""``python -m bench cluster``: Longboat beside Docker Swarm on the lab. ``python -m bench process``: one server alone.

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
from pathlib import Path

from tests.cluster import ROOT, Cluster

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
    """Start, memory, and the API's rates, with the load from a process of its own on the same cores."""
    table = ["| what | figure |", "|---|---|"]
    with tempfile.TemporaryDirectory() as scratch:
        server = Cluster(Path(scratch))
        began = time.perf_counter()
        server.start()
        table.append(f"| first start until ready, seen by kubectl | {time.perf_counter() - began:.2f} s |")
        try:
            table.append(f"| memory idle (RSS) | {resident(server):.0f} MB |")
            command = [sys.executable, "bench/api.py", "--json", "--kubeconfig", str(server.kubeconfig)]
            environ = os.environ | {"PYTHONPATH": str(ROOT)}
            done = subprocess.run(command, cwd=ROOT, env=environ, stdout=subprocess.PIPE, timeout=600, check=True)
            table += [
                f"| {row['work'].strip()} | {row['per_second']:,.0f}/s"
                + (f", p50 {row['p50_ms']:.1f} ms, p99 {row['p99_ms']:.1f} ms" if row["p50_ms"] else "")
                + f" {row['note']} |"
                for row in json.loads(done.stdout)
            ]
            table.append(f"| memory after that load (RSS) | {resident(server):.0f} MB |")
        finally:
            server.stop()
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


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("part", choices=["cluster", "process"])
    parser.add_argument("--write", action="store_true", help="into docs/benchmarks.md")
    arguments = parser.parse_args()
    lines = [f"Measured {time.strftime('%Y-%m-%d')} on {machine()}.", ""]
    lines += cluster() if arguments.part == "cluster" else process()
    print("\n".join(lines))
    if arguments.write:
        write(arguments.part, lines)


if __name__ == "__main__":
    main()
