"""The SQLite backend: the contract of ``base`` put together from its parts.

Owns the lifetime of the parts: ``database`` (directory, lock, file), ``writer`` (the one thread that writes),
``reader`` (threads that read), ``broadcast`` (watches) and ``leases``. Holds no state of its own. Every method
is called on the event loop that ``open`` ran on; none blocks it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from controlplane.store import metrics
from controlplane.store.base import (
    Change,
    Compare,
    Delete,
    FutureRevisionError,
    KeyValue,
    LeaseNotFound,
    Put,
    RangeResult,
    StoreError,
    StoreUnavailable,
    TxnResult,
)
from controlplane.store.broadcast import Broadcast, Watch
from controlplane.store.database import DataDir
from controlplane.store.group import MAX_OPS
from controlplane.store.leases import Leases
from controlplane.store.reader import Readers
from controlplane.store.writer import Answer, Compact, Grant, Revoke, Stop, Txn, Writer
from shared.work.clock import Clock, SystemClock


class SqliteStore:
    """See ``controlplane.store.base.Store``. Made by ``open``, never directly."""

    def __init__(self, data_dir: DataDir, readers: Readers, queue_changes: int, queue_requests: int) -> None:
        self._data_dir, self._readers = data_dir, readers
        self._slots = asyncio.Semaphore(queue_requests)
        self._queue_changes = queue_changes
        self._closing = asyncio.Lock()
        self._closed = False
        self._writer: Writer
        self._broadcast: Broadcast
        self._leases: Leases

    @classmethod
    async def open(
        cls,
        data_dir: Path,
        *,
        clock: Clock | None = None,
        history_revisions: int = 10_000,
        size_limit_bytes: int = 4 << 30,
        watch_queue_changes: int = 10_000,
        queue_requests: int = 4096,
        reserve_bytes: int = 8 << 20,
    ) -> SqliteStore:
        """Open or create the store below ``data_dir``. Raises DataDirError.

        ``history_revisions``: how many revisions watches and old reads can go back at least (0: for ever, until
        ``compact``). ``size_limit_bytes``: beyond it puts raise StoreFull. ``watch_queue_changes``: how far a
        watch's reader may fall behind. ``queue_requests``: writes that wait at once, further callers wait before
        them. ``reserve_bytes``: disk space kept back for deletions on a full disk.
        """
        loop = asyncio.get_running_loop()
        directory = DataDir(data_dir)
        try:
            await asyncio.to_thread(directory.prepare)
            store = cls(directory, Readers(directory.path), watch_queue_changes, queue_requests)
            writer = await asyncio.to_thread(
                partial(
                    Writer, directory, store._deliver, loop=loop, history_revisions=history_revisions,
                    size_limit_bytes=size_limit_bytes, reserve_bytes=reserve_bytes,
                )
            )  # fmt: skip
        except BaseException:
            directory.release()
            raise
        store._writer = writer
        store._broadcast = Broadcast(writer.revision, store._history, queue_changes=watch_queue_changes)
        store._leases = Leases(clock or SystemClock(), store._expire)
        store._leases.restore(writer.leases)
        metrics.REVISION.set(writer.revision)
        writer.start()
        return store

    @property
    def failure(self) -> str:
        """Why the store accepts no more writes until the process is restarted; empty while all is well."""
        return self._writer.failure

    # --- reading

    async def get(self, key: str, revision: int = 0) -> KeyValue | None:
        return await self._readers.run(partial(self._readers.get, key, revision))

    async def range(self, prefix: str, *, revision: int = 0, limit: int = 0, start_after: str = "") -> RangeResult:
        return await self._readers.run(partial(self._readers.range, prefix, revision, limit, start_after))

    async def revision(self) -> int:
        return self._broadcast.revision

    def watch(self, prefix: str, from_revision: int = 0) -> Watch:
        return self._broadcast.watch(prefix, from_revision)

    async def snapshot(self, target: Path) -> int:
        return await self._readers.run(partial(self._readers.snapshot, target))

    # --- writing

    async def txn(self, compare: Sequence[Compare], ops: Sequence[Put | Delete]) -> TxnResult:
        """See the contract. Raises ValueError when two of ``ops`` name the same key, or for a million of them."""
        if len(ops) > 1 and (len({op.key for op in ops}) != len(ops) or len(ops) >= MAX_OPS):
            raise ValueError("a transaction writes a key at most once, and fewer than a million of them")
        async with self._slots:
            self._check_open()
            result: TxnResult = await self._writer.submit(Txn(compare, ops))
            return result

    async def compact(self, revision: int) -> None:
        """See the contract. Returns when the space is free to be used again. Raises FutureRevisionError."""
        if revision > self._broadcast.revision:
            raise FutureRevisionError(f"revision {revision} is newer than the store's, {self._broadcast.revision}")
        async with self._slots:
            self._check_open()
            await self._writer.submit(Compact(revision))

    async def lease_grant(self, ttl: float) -> int:
        async with self._slots:
            self._check_open()
            granted = self._writer.submit(Grant(ttl))
            # A caller that gives up must not leave a lease behind that nobody would ever end.
            granted.add_done_callback(partial(self._granted, ttl))
            lease: int = await asyncio.shield(granted)
            return lease

    async def lease_keepalive(self, lease: int) -> float:
        return self._leases.keepalive(lease)

    async def lease_revoke(self, lease: int) -> None:
        async with self._slots:
            self._check_open()
            revoked = self._writer.submit(Revoke(lease))
            revoked.add_done_callback(partial(self._revoked, lease))
            await asyncio.shield(revoked)

    async def close(self) -> None:
        async with self._closing:
            if self._closed:
                return
            self._closed = True
            self._leases.close()
            await self._writer.submit(Stop())
            self._broadcast.close()
            await asyncio.to_thread(self._writer.join)
            await asyncio.to_thread(self._readers.close)
            self._data_dir.release()

    # --- between the parts

    def _check_open(self) -> None:
        if self._closed:
            raise StoreUnavailable("the store is closed")

    def _deliver(self, changes: Sequence[Change], answers: Sequence[Answer]) -> None:
        """A group is on disk: the watches are told before any caller is."""
        if changes:
            self._broadcast.publish(changes)
            metrics.REVISION.set(self._broadcast.revision)
        for future, result, error in answers:
            if future.done():
                continue  # its caller gave up; the outcome stands all the same
            if error is None:
                future.set_result(result)
            else:
                future.set_exception(error)

    async def _history(self, prefix: str, first: int, last: int, limit: int) -> tuple[Sequence[Change], int]:
        return await self._readers.run(partial(self._readers.changes, prefix, first, last, limit))

    def _granted(self, ttl: float, granted: asyncio.Future[int]) -> None:
        if granted.exception() is None:
            self._leases.granted(granted.result(), ttl)

    def _revoked(self, lease: int, revoked: asyncio.Future[None]) -> None:
        error = revoked.exception()
        if error is None or isinstance(error, LeaseNotFound):
            self._leases.ended(lease)

    def _expire(self, lease: int) -> None:
        metrics.EXPIRED.inc()
        self._writer.submit(Revoke(lease)).add_done_callback(partial(self._expired, lease))

    def _expired(self, lease: int, revoked: asyncio.Future[None]) -> None:
        error = revoked.exception()
        if error is None or isinstance(error, LeaseNotFound):
            self._leases.ended(lease)
        elif isinstance(error, StoreError):
            self._leases.retry(lease)
