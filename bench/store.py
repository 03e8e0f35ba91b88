"""How fast the store writes, reads and tells its watches. Prints a table; takes less than 20 seconds.

    python bench/store.py [--seconds 2] [--dir DIR]

Each row runs on a fresh store on a real disk (``--dir``, by default the current directory's file system).
``busy loop`` rows have the event loop doing other Python work meanwhile, as the API server's does.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from controlplane.store.base import Compare, Put, WatchLagged
from controlplane.store.sqlite import SqliteStore

VALUE = b"x" * 1024


async def load(store: SqliteStore, writers: int, seconds: float, *, fresh: bool, cas: bool = False) -> dict[str, float]:
    """Puts a second of ``writers`` tasks, and their latencies in ms."""
    end = time.perf_counter() + seconds
    latencies: list[float] = []

    async def writer(number: int) -> None:
        revision = 0
        count = 0
        while (started := time.perf_counter()) < end:
            count += 1
            key = f"/registry/core/configmaps/default/{number}-{count if fresh else 0}"
            compare = [Compare(key, 0 if fresh else revision)] if cas else []
            result = await store.txn(compare, [Put(key, VALUE)])
            assert result.succeeded
            revision = result.revision
            latencies.append((time.perf_counter() - started) * 1000)

    started = time.perf_counter()
    await asyncio.gather(*(writer(n) for n in range(writers)))
    took = time.perf_counter() - started
    latencies.sort()
    return {
        "per_second": len(latencies) / took,
        "p50_ms": statistics.median(latencies),
        "p99_ms": latencies[int(len(latencies) * 0.99)],
    }


async def with_watchers(store: SqliteStore, seconds: float) -> dict[str, float]:
    """As ``load``, with 20 watches; events is the number handed to readers a second."""
    seen = 0

    async def reader() -> None:
        nonlocal seen
        watch = store.watch("/registry/")
        try:
            async for batch in watch:
                seen += len(batch)
        except WatchLagged:
            pass

    readers = [asyncio.create_task(reader()) for _ in range(20)]
    await asyncio.sleep(0)
    started = time.perf_counter()
    figures = await load(store, 64, seconds, fresh=True)
    took = time.perf_counter() - started
    for task in readers:
        task.cancel()
    await asyncio.gather(*readers, return_exceptions=True)
    return {**figures, "events_per_second": seen / took}


async def busy(store: SqliteStore, seconds: float, *, fresh: bool) -> dict[str, float]:
    """As ``load`` with 32 writers while the loop is kept busy in slices of 0.3 ms."""

    async def spin() -> None:
        while True:
            until = time.perf_counter() + 0.0003
            while time.perf_counter() < until:
                pass
            await asyncio.sleep(0)

    task = asyncio.create_task(spin())
    figures = await load(store, 32, seconds, fresh=fresh)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return figures


async def reads(store: SqliteStore, seconds: float) -> dict[str, float]:
    for start in range(0, 5000, 500):
        await store.txn([], [Put(f"/registry/core/pods/default/{n:05}", VALUE * 4) for n in range(start, start + 500)])
    end = time.perf_counter() + seconds
    count = 0
    started = time.perf_counter()
    while time.perf_counter() < end:
        await store.get(f"/registry/core/pods/default/{count % 5000:05}")
        count += 1
    gets = count / (time.perf_counter() - started)
    started = time.perf_counter()
    result = await store.range("/registry/core/pods/")
    assert result.count == 5000
    return {"per_second": gets, "list_5000_ms": (time.perf_counter() - started) * 1000}


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=2.0, help="seconds for each row")
    parser.add_argument("--dir", default=".", help="where the store is put")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    arguments = parser.parse_args()
    seconds = arguments.seconds
    rows: dict[str, Callable[[SqliteStore], Awaitable[dict[str, float]]]] = {
        "put 1 KB, 1 writer": lambda s: load(s, 1, seconds, fresh=False),
        "put 1 KB, 64 writers, new keys": lambda s: load(s, 64, seconds, fresh=True),
        "put 1 KB, 64 writers, same keys": lambda s: load(s, 64, seconds, fresh=False),
        "compare-and-set 1 KB, 64 writers": lambda s: load(s, 64, seconds, fresh=False, cas=True),
        "put 1 KB, 64 writers, 20 watches": lambda s: with_watchers(s, seconds),
        "busy loop: 32 writers, new keys": lambda s: busy(s, seconds, fresh=True),
        "busy loop: 32 writers, same keys": lambda s: busy(s, seconds, fresh=False),
        "get, one at a time": lambda s: reads(s, seconds / 2),
    }
    figures = {}
    for name, row in rows.items():
        with tempfile.TemporaryDirectory(dir=arguments.dir, prefix=".bench-store-") as directory:
            store = await SqliteStore.open(Path(directory))
            try:
                figures[name] = await row(store)
            finally:
                await store.close()
        if not arguments.json:
            extra = "  ".join(f"{key} {value:,.2f}" for key, value in figures[name].items() if key != "per_second")
            print(f"{name:36} {figures[name]['per_second']:>10,.0f}/s  {extra}", flush=True)
    if arguments.json:
        print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    asyncio.run(main())
