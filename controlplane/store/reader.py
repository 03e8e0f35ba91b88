"""Reading: a few threads with a connection each, beside the writer and never in its way.

Every call reads within one SQLite snapshot, so that the revision it reports is the one its rows are true at.
Methods block; they are run in this object's threads by ``run``.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from controlplane.store import statements
from controlplane.store.base import (
    Change,
    CompactedError,
    FutureRevisionError,
    KeyValue,
    RangeResult,
    StoreError,
    StoreUnavailable,
)
from controlplane.store.database import connect
from controlplane.store.group import POSITION_BITS

R = TypeVar("R")

_LAST = "\U0010ffff"
_OLD_KEYS = (
    "SELECT key, id FROM (SELECT key, MAX(id) AS id, version FROM history INDEXED BY history_by_key "
    "WHERE key >= ? AND key < ? AND id < ? GROUP BY key) WHERE version > 0"
)
_NEW_KEYS = "SELECT key, id FROM current WHERE key >= ? AND key < ?"
_VALUES = (
    "SELECT k.key, h.value, h.create_revision, k.id >> ?, h.version FROM ({keys} ORDER BY key LIMIT ?) k "
    "CROSS JOIN history h ON h.id = k.id ORDER BY k.key"
)


def prefix_end(prefix: str) -> str:
    """The least string above every string with ``prefix``, in the order of code points (SQLite's order of UTF-8)."""
    stem = prefix.rstrip(_LAST)
    if not stem:
        return _LAST * 4  # above every key that there is
    following = ord(stem[-1]) + 1
    return stem[:-1] + chr(0xE000 if following == 0xD800 else following)


class Readers:
    """A pool of ``threads`` reading threads; at most ``waiting`` calls are in it at once."""

    def __init__(self, path: Path, *, threads: int = 2, waiting: int = 256) -> None:
        self._path = path
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="store-reader")
        self._slots = asyncio.Semaphore(waiting)
        self._local = threading.local()
        self._connections: list[sqlite3.Connection] = []
        self._closed = False

    async def run(self, call: Callable[[], R]) -> R:
        """Run one of the methods below in a reading thread. Raises StoreUnavailable when closed or on an I/O error."""
        async with self._slots:
            if self._closed:
                raise StoreUnavailable("the store is closed")
            try:
                return await asyncio.get_running_loop().run_in_executor(self._pool, call)
            except sqlite3.Error as error:
                raise StoreUnavailable(f"the store cannot be read: {error}") from error

    def close(self) -> None:
        """Wait for the calls in progress and close the connections. Blocks."""
        self._closed = True
        self._pool.shutdown(wait=True)
        for connection in self._connections:
            connection.close()
        self._connections.clear()

    def get(self, key: str, revision: int) -> KeyValue | None:
        with self._snapshot() as db:
            if revision:
                _check(db, revision)
                row = db.execute(
                    "SELECT id, create_revision, version, value FROM history "
                    "WHERE key = ? AND id < ? ORDER BY id DESC LIMIT 1",
                    (key, (revision + 1) << POSITION_BITS),
                ).fetchone()
            else:
                row = db.execute(
                    "SELECT h.id, h.create_revision, h.version, h.value FROM current c "
                    "CROSS JOIN history h ON h.id = c.id WHERE c.key = ?",
                    (key,),
                ).fetchone()
        if row is None or not row[2]:
            return None
        return KeyValue(key, row[3], row[1], row[0] >> POSITION_BITS, row[2])

    def range(self, prefix: str, revision: int, limit: int, start_after: str) -> RangeResult:
        end = prefix_end(prefix)
        # The least string above start_after is itself and a NUL, which no key holds.
        start = max(prefix, start_after + "\0") if start_after else prefix
        with self._snapshot() as db:
            newest = _check(db, revision)
            keys, bound = (_OLD_KEYS, [(revision + 1) << POSITION_BITS]) if revision else (_NEW_KEYS, [])
            rows = db.execute(_VALUES.format(keys=keys), [POSITION_BITS, start, end, *bound, limit or -1]).fetchall()
            if limit or start_after:
                count = db.execute(f"SELECT COUNT(*) FROM ({keys})", [prefix, end, *bound]).fetchone()[0]  # noqa: S608
                left = db.execute(f"SELECT COUNT(*) FROM ({keys})", [start, end, *bound]).fetchone()[0]  # noqa: S608
            else:
                count = left = len(rows)
        return RangeResult(tuple([KeyValue(*row) for row in rows]), revision or newest, left > len(rows), count)

    def changes(self, prefix: str, first: int, last: int, limit: int) -> tuple[list[Change], int]:
        """Changes of revisions ``first`` to ``last``, about ``limit`` of them but never part of a revision.

        With them the revision to go on from; it is above ``last`` when that was all. Raises CompactedError.
        """
        with self._snapshot() as db:
            _check(db, first, future=True)
            stop = (last + 1) << POSITION_BITS
            cut = db.execute(
                "SELECT id FROM history WHERE id >= ? AND id < ? AND key >= ? AND key < ? ORDER BY id LIMIT 1 OFFSET ?",
                (first << POSITION_BITS, stop, prefix, prefix_end(prefix), limit),
            ).fetchone()
            following = (cut[0] >> POSITION_BITS) + 1 if cut is not None else last + 1
            rows = db.execute(
                "SELECT h.id, h.key, h.value, h.create_revision, p.value, h.previous FROM history h "
                "LEFT JOIN history p ON p.id = h.previous AND h.previous != 0 "
                "WHERE h.id >= ? AND h.id < ? AND h.key >= ? AND h.key < ? ORDER BY h.id",
                (first << POSITION_BITS, following << POSITION_BITS, prefix, prefix_end(prefix)),
            ).fetchall()
        changes = [
            Change(id_ >> POSITION_BITS, key, value, create, previous, before >> POSITION_BITS)
            for id_, key, value, create, previous, before in rows
        ]
        return changes, following

    def snapshot(self, target: Path) -> int:
        """A consistent copy at ``target`` (0600, replaced atomically) by SQLite's online backup; its revision."""
        partial = target.with_name(f".{target.name}.partial")
        try:
            os.close(os.open(partial, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600))
            with contextlib.closing(sqlite3.connect(partial, isolation_level=None)) as copy:
                with self._snapshot() as db:  # held open, so that writes meanwhile do not begin the copy anew
                    revision = statements.revision(db)
                    db.backup(copy, pages=1024, sleep=0)
                # On its own a copy has no write-ahead log beside it: let it be one plain file.
                copy.execute("PRAGMA journal_mode=DELETE")
            descriptor = os.open(partial, os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            partial.replace(target)
        except OSError as error:
            partial.unlink(missing_ok=True)
            raise StoreError(f"the snapshot {target} cannot be written: {error.strerror}") from error
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
        return revision

    @contextlib.contextmanager
    def _snapshot(self) -> Iterator[sqlite3.Connection]:
        db: sqlite3.Connection | None = getattr(self._local, "db", None)
        if db is None:
            db = self._local.db = connect(self._path, read_only=True)
            self._connections.append(db)
        db.execute("BEGIN")
        try:
            yield db
        finally:
            db.execute("ROLLBACK")


def _check(db: sqlite3.Connection, revision: int, *, future: bool = False) -> int:
    """The newest revision. Raises CompactedError or FutureRevisionError if ``revision`` (0: any) is out of bounds."""
    newest = statements.revision(db)
    if revision:
        compacted = db.execute("SELECT value FROM counter WHERE name = 'compacted'").fetchone()[0]
        if revision < compacted:
            raise CompactedError(
                f"revision {revision} has been compacted; the oldest one kept is {compacted}", compacted
            )
        if revision > newest and not future:
            raise FutureRevisionError(f"revision {revision} is newer than the store's, {newest}")
    return newest
