"""kill -9 in a write storm: what was acknowledged is there, and every event is told exactly once.

A child process runs a store with many writers and prints each acknowledged write; it is killed at a random
moment, and the data directory is opened again.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
import textwrap
import time
from contextlib import aclosing
from pathlib import Path

from controlplane.store.sqlite import SqliteStore

ROOT = Path(__file__).resolve().parents[2]
KILLS = 10

STORM = textwrap.dedent(
    """
    import asyncio, os, sys
    from pathlib import Path
    from controlplane.store.base import Delete, Put
    from controlplane.store.sqlite import SqliteStore

    async def writer(store, round_, number):
        count = 0
        while True:
            count += 1
            key = f"/{number:02}/{(count - (count % 7 == 0)) % 20:02}"  # a deletion takes what was just put
            value = f"{round_}-{number}-{count}"
            if count % 7 == 0:
                result = await store.txn([], [Delete(key)])
                value = "-"
            else:
                result = await store.txn([], [Put(key, value.encode() * 40)])
            os.write(1, f"{result.revision} {key} {value}\\n".encode())

    async def main(directory, round_):
        store = await SqliteStore.open(Path(directory), history_revisions=0)
        os.write(1, b"ready\\n")
        await asyncio.gather(*(writer(store, round_, n) for n in range(32)))

    asyncio.run(main(sys.argv[1], sys.argv[2]))
    """
)


async def storm(directory: Path, round_: int, seconds: float) -> list[tuple[int, str, str]]:
    """The writes that a killed child had acknowledged: (revision, key, value; - for a deletion)."""
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", STORM, str(directory), str(round_),
        stdout=asyncio.subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert child.stdout is not None
    lines: list[bytes] = []

    async def collect() -> None:
        async for line in child.stdout:
            lines.append(line)

    async with asyncio.timeout(30):
        assert await child.stdout.readline() == b"ready\n"
        collector = asyncio.ensure_future(collect())
        await asyncio.wait([collector], timeout=seconds)
        child.send_signal(signal.SIGKILL)
        await child.wait()
        await collector
    # The last line may have been cut off by the kill.
    words = [line.decode().split() for line in lines if line.endswith(b"\n")]
    return [(int(revision), key, value) for revision, key, value in words]


async def test_no_acknowledged_write_is_lost_and_no_event_missed_or_repeated(tmp_path):
    rng = random.Random(7)
    acknowledged: dict[int, tuple[str, str]] = {}
    opened_after = []
    for round_ in range(KILLS):
        for revision, key, value in await storm(tmp_path, round_, rng.uniform(0.05, 0.5)):
            assert revision not in acknowledged, "a revision was given twice"
            acknowledged[revision] = (key, value)
        started = time.monotonic()
        store = await SqliteStore.open(tmp_path, history_revisions=0)
        opened_after.append(time.monotonic() - started)
        newest = await store.revision()
        assert newest >= max(acknowledged, default=1)
        seen: dict[int, tuple[str, str]] = {}
        state: dict[str, bytes] = {}
        async with asyncio.timeout(30), aclosing(store.watch("/", 2)) as watch:
            while len(seen) < newest - 1:
                for change in await anext(watch):
                    assert change.revision == len(seen) + 2, "an event was missed or repeated"
                    assert change.previous == state.get(change.key)
                    value = change.value[: len(change.value) // 40].decode() if change.value else "-"
                    seen[change.revision] = (change.key, value)
                    if change.value is None:
                        del state[change.key]
                    else:
                        state[change.key] = change.value
        wrong = {revision: seen[revision] for revision, write in acknowledged.items() if seen.get(revision) != write}
        assert not wrong
        assert {kv.key: kv.value for kv in (await store.range("/")).items} == state
        await store.close()
    assert len(acknowledged) > 100
    assert max(opened_after) < 1.5
