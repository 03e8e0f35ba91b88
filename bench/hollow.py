"""Hollow agents: N real agents in one process, over an engine and a network that only pretend.

    longboat token create --data-dir DIR > token
    python bench/hollow.py --server https://127.0.0.1:6443 --token-file token --nodes 100 [--seconds 60]

The server needs a cluster range with a /24 for each node (``--cluster-cidr 10.64.0.0/12`` for 1,000) and this process
some files (``ulimit -n``, three for each node and some). It prints how long joining took, and then, every few
seconds, how many pods run. A line ``stop N`` on its standard input ends the last N agents that still run, silently,
as hosts that lose their power; Ctrl-C ends all. Identities are kept in ``--data-dir``, so a second run need not join.
One event loop; joins are bounded. ``python bench/scale.py`` runs it against a server of its own and takes times.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from agent.hollow import HollowAgent, HollowSettings
from shared import footprint
from shared.work.supervisor import Supervisor

PARALLEL_JOINS = 16
"""Agents that join at a time: a join is a signed certificate and some fsyncs at the server."""
REPORT = 5.0


class Fleet:
    """The agents of this process. Those that start are services of ``supervisor``."""

    def __init__(self, agents: list[HollowAgent], supervisor: Supervisor) -> None:
        self.agents = agents
        self._supervisor = supervisor
        self._alive = list(agents)

    async def bring_up(self) -> None:
        """Join and start all, ``PARALLEL_JOINS`` at a time."""
        gate = asyncio.Semaphore(PARALLEL_JOINS)

        async def one(agent: HollowAgent) -> None:
            async with gate:
                await agent.join()
                in_service = asyncio.Event()
                self._supervisor.service(agent.name, agent.run(in_service.set))
                await in_service.wait()

        await asyncio.gather(*(one(agent) for agent in self.agents))

    def stop(self, count: int) -> list[str]:
        """End the last ``count`` that run; their names."""
        ended = [self._alive.pop() for _ in range(min(count, len(self._alive)))]
        for agent in ended:
            agent.stop()
        return [agent.name for agent in ended]

    def running(self) -> int:
        return sum(agent.running() for agent in self.agents)


async def run(settings: HollowSettings, count: int, seconds: float, first: int = 0) -> None:
    """Start ``count`` agents, numbered from ``first``, and keep them for ``seconds`` (0: until SIGINT or SIGTERM)."""
    _allow_files(5 * count + 1000)
    footprint.small_connections()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with Supervisor() as supervisor:
        fleet = Fleet([HollowAgent(number, settings) for number in range(first, first + count)], supervisor)
        supervisor.service("commands", _obey(fleet))
        began = time.perf_counter()
        await fleet.bring_up()
        took = time.perf_counter() - began
        print(f"{count} hollow agents joined and in service in {took:.1f} s ({count / took:.0f}/s)", flush=True)
        deadline = loop.time() + seconds if seconds else None
        while not stop.is_set() and (deadline is None or loop.time() < deadline):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(REPORT, deadline - loop.time()) if deadline else REPORT):
                    await stop.wait()
            used = resource.getrusage(resource.RUSAGE_SELF)
            print(
                f"{fleet.running()} containers run; {used.ru_maxrss / 1024:.0f} MB at most, "
                f"{used.ru_utime + used.ru_stime:.0f} s of CPU",
                flush=True,
            )
        fleet.stop(count)
        supervisor.stop()


async def _obey(fleet: Fleet) -> None:
    """Do what the lines on standard input say, until it ends."""
    async for line in _lines():
        match line.split():
            case ["stop", number] if number.isdecimal():
                print(f"stopped {' '.join(fleet.stop(int(number)))}", flush=True)
            case _:
                print(f"not understood: {line.strip()!r}; say: stop N", flush=True)


async def _lines() -> AsyncIterator[str]:
    reader = asyncio.StreamReader()
    with contextlib.suppress(OSError, ValueError):  # a standard input that is closed or no stream says nothing
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        async for line in reader:
            yield line.decode(errors="replace")


def _allow_files(count: int) -> None:
    """Raise the soft limit of open files as far as is allowed."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count if hard == resource.RLIM_INFINITY else min(count, hard)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--server", required=True)
    parser.add_argument("--token-file", type=Path, required=True, help="holds a join token")
    parser.add_argument("--nodes", type=int, default=10)
    parser.add_argument("--first", type=int, default=0, help="number of the first, for several processes")
    parser.add_argument("--data-dir", type=Path, help="kept; by default a temporary one, removed at the end")
    parser.add_argument("--seconds", type=float, default=0.0, help="end by itself after so long in service")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.ERROR, format="%(levelname)s %(name)s: %(message)s")
    data_dir = arguments.data_dir or Path(tempfile.mkdtemp(prefix="longboat-hollow-"))
    settings = HollowSettings(arguments.server, arguments.token_file.read_text().strip(), data_dir)
    try:
        asyncio.run(run(settings, arguments.nodes, arguments.seconds, arguments.first))
    finally:
        if arguments.data_dir is None:
            shutil.rmtree(data_dir, ignore_errors=True)


if __name__ == "__main__":
    main()
