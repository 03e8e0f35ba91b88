"""A disk that is really full: a small file system of its own, filled to the last block."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from controlplane.store.base import DataDirError, Delete, Put, StoreFull
from controlplane.store.sqlite import SqliteStore


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root")
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "longboat-test", str(disk)], check=True)
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


def fill(disk: Path) -> Path:
    """Take every block that is left."""
    rest = disk / "rest"
    with rest.open("wb", buffering=0) as file:
        for size in (1 << 20, 4096):
            try:
                while file.write(b"\0" * size) == size:
                    pass
            except OSError:
                continue
    return rest


async def test_a_full_disk_refuses_puts_lets_deletes_through_and_heals(small_disk):
    store = await SqliteStore.open(small_disk / "data", reserve_bytes=4 << 20)
    for n in range(60):
        await store.txn([], [Put(f"/{n:02}", b"x" * 50_000)])
    rest = fill(small_disk)
    revision = await store.revision()
    accepted = []
    # What is left of the write-ahead log's own file may still take a few.
    for n in range(500):
        try:
            accepted.append((await store.txn([], [Put(f"/more/{n}", b"x" * 50_000)])).revision)
        except StoreFull:
            break
    else:
        raise AssertionError("the disk never became full")
    assert accepted == list(range(revision + 1, revision + 1 + len(accepted)))
    revision += len(accepted)
    with pytest.raises(StoreFull):
        await store.txn([], [Put("/a", b"x" * 50_000)])
    assert (await store.get("/07")).value == b"x" * 50_000
    for n in range(60):
        assert (await store.txn([], [Delete(f"/{n:02}")])).succeeded
    assert await store.revision() == revision + 60
    rest.unlink()
    await store.compact(await store.revision())
    assert (await store.txn([], [Put("/a", b"y" * 50_000)])).succeeded
    await store.close()
    again = await SqliteStore.open(small_disk / "data", reserve_bytes=4 << 20)
    assert await again.revision() == revision + 61
    assert (await again.get("/a")).value == b"y" * 50_000
    await again.close()


async def test_opening_on_a_full_disk_says_why(small_disk):
    fill(small_disk)
    with pytest.raises(DataDirError):
        await SqliteStore.open(small_disk / "data")
