"""What can be wrong with a data directory, and what a store does about its size."""

from __future__ import annotations

import asyncio
import sqlite3
import stat
from contextlib import aclosing, closing

import pytest

from controlplane.store.base import DataDirError, Delete, Put, StoreError, StoreFull, StoreUnavailable
from controlplane.store.sqlite import SqliteStore


async def fill(store: SqliteStore, size: int = 20_000) -> list[str]:
    """Put until the store is full; the keys that went in."""
    keys: list[str] = []
    for n in range(10_000):
        try:
            await store.txn([], [Put(f"/{n:05}", b"x" * size)])
        except StoreFull:
            return keys
        keys.append(f"/{n:05}")
    raise AssertionError("never full")


async def test_a_second_server_is_refused_and_a_later_one_is_not(tmp_path):
    first = await SqliteStore.open(tmp_path)
    with pytest.raises(DataDirError, match="in use by another server"):
        await SqliteStore.open(tmp_path)
    await first.close()
    second = await SqliteStore.open(tmp_path)
    await second.close()


async def test_a_newer_schema_is_refused_and_left_alone(tmp_path):
    await (await SqliteStore.open(tmp_path)).close()
    path = tmp_path / "store" / "store.db"
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version=99")
    before = path.read_bytes()
    with pytest.raises(DataDirError, match="newer version of Longboat"):
        await SqliteStore.open(tmp_path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("content", [b"no database at all" * 100, None], ids=["garbage", "another program's"])
async def test_a_foreign_file_is_refused(tmp_path, content):
    (tmp_path / "store").mkdir()
    path = tmp_path / "store" / "store.db"
    if content is None:
        with closing(sqlite3.connect(path)) as db:
            db.execute("CREATE TABLE theirs (x)")
    else:
        path.write_bytes(content)
    with pytest.raises(DataDirError):
        await SqliteStore.open(tmp_path)
    path.unlink()
    await (await SqliteStore.open(tmp_path)).close()


async def test_a_path_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataDirError, match="not writable"):
        await SqliteStore.open(tmp_path / "file" / "data")
    with pytest.raises(DataDirError):
        await SqliteStore.open(tmp_path / "file")


async def test_files_are_for_their_owner_only(tmp_path):
    store = await SqliteStore.open(tmp_path / "data")
    await store.txn([], [Put("/a", b"secret")])
    assert stat.S_IMODE((tmp_path / "data").stat().st_mode) == 0o700
    directory = tmp_path / "data" / "store"
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in directory.iterdir()}
    assert {"store.db", "store.db-wal", "lock"} <= set(modes)
    assert set(modes.values()) == {0o600}
    await store.close()


async def test_at_the_size_limit_puts_are_refused_and_deletes_mend_it(tmp_path):
    store = await SqliteStore.open(tmp_path, size_limit_bytes=2 << 20, history_revisions=100)
    keys = await fill(store)
    assert 20 < len(keys) < 105
    revision = await store.revision()
    assert (await store.range("/")).count == len(keys)
    for key in keys[: len(keys) // 2]:
        await store.txn([], [Delete(key)])
    assert await store.revision() == revision + len(keys) // 2
    await store.compact(await store.revision())
    assert (await store.txn([], [Put("/again", b"x" * 20_000)])).succeeded
    await store.close()


async def test_a_refused_put_leaves_the_others_of_its_group_alone(tmp_path):
    store = await SqliteStore.open(tmp_path, size_limit_bytes=1 << 20)
    outcomes = await asyncio.gather(
        *(store.txn([], [Put(f"/{n}", b"x" * (2 << 20 if n == 3 else 10))]) for n in range(8)), return_exceptions=True
    )
    assert [isinstance(outcome, StoreFull) for outcome in outcomes] == [n == 3 for n in range(8)]
    assert (await store.range("/")).count == 7
    await store.close()


async def test_after_a_failed_write_nothing_more_is_accepted_and_reads_go_on(tmp_path):
    store = await SqliteStore.open(tmp_path)
    await store.txn([], [Put("/a", b"1")])
    assert store.failure == ""
    with closing(sqlite3.connect(tmp_path / "store" / "store.db")) as vandal:
        vandal.execute("DROP TABLE counter")
        vandal.execute("DROP TABLE lease")
    with pytest.raises(StoreUnavailable, match="no such table"):
        await store.lease_grant(1.0)
    with pytest.raises(StoreUnavailable):
        await store.txn([], [Put("/a", b"2")])
    assert "no such table" in store.failure
    assert (await store.get("/a")).value == b"1"
    await store.close()


async def test_history_is_bounded_without_anybody_asking(tmp_path):
    store = await SqliteStore.open(tmp_path, history_revisions=50)
    for n in range(400):
        await store.txn([], [Put("/a", b"%d" % n)])
    async with aclosing(store.watch("/", await store.revision() - 49)) as watch:
        seen = 0
        while seen < 50:
            seen += len(await anext(watch))
    await store.close()
    with closing(sqlite3.connect(tmp_path / "store" / "store.db")) as db:
        assert db.execute("SELECT COUNT(*) FROM history").fetchone()[0] < 130


async def test_space_of_forgotten_history_is_given_back(tmp_path):
    store = await SqliteStore.open(tmp_path, history_revisions=0)
    for _ in range(10):
        await store.txn([], [Put(f"/{n}", b"x" * 10_000) for n in range(200)])
    path = tmp_path / "store" / "store.db"
    await store.compact(await store.revision())
    await store.close()
    assert path.stat().st_size < 15 << 20
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("SELECT COUNT(*) FROM history").fetchone()[0] < 401


async def test_a_snapshot_taken_during_writes_is_a_store_at_one_revision(tmp_path):
    store = await SqliteStore.open(tmp_path / "data")
    pairs = [Put("/left", b""), Put("/right", b"")]

    async def write() -> None:
        for n in range(300):
            await store.txn([], [Put(op.key, b"%d" % n) for op in pairs])

    writer = asyncio.ensure_future(write())
    while await store.revision() < 50:
        await asyncio.sleep(0)
    target = tmp_path / "snapshot.db"
    revision = await store.snapshot(target)
    await writer
    await store.close()
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    (tmp_path / "restored" / "store").mkdir(parents=True)
    target.rename(tmp_path / "restored" / "store" / "store.db")
    restored = await SqliteStore.open(tmp_path / "restored")
    assert await restored.revision() == revision >= 50
    left, right = await restored.get("/left"), await restored.get("/right")
    assert left.value == right.value == b"%d" % (revision - 2)
    await restored.close()


async def test_a_snapshot_that_cannot_be_written_says_so(tmp_path):
    store = await SqliteStore.open(tmp_path)
    with pytest.raises(StoreError, match="cannot be written"):
        await store.snapshot(tmp_path / "missing" / "snapshot.db")
    await store.close()
