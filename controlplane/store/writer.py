"""The one thread that writes: requests in, group commits out.

Owns the writing connection, the queue of requests, and what happens when a write fails. Everything waiting at
the moment it looks shares one SQLite transaction and one fsync; what comes together is gathered in ``intake``, the
judging is in ``group``, the statements in ``statements``. After a commit it hands the whole group to the event loop
with one ``call_soon_threadsafe``: changes first, then the answers, so that no caller hears of a write before the
watches do.

An error that is not a full disk (a failed fsync, a corrupt page) leaves it unknown what is on disk, and trying
again would not tell: from then on every write is refused as StoreUnavailable until the process is restarted.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import sqlite3
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from controlplane.store import metrics, statements
from controlplane.store.base import Change, Compare, Delete, Put, StoreError, StoreFull, StoreUnavailable
from controlplane.store.compaction import Sweep
from controlplane.store.database import PAGE_SIZE, DataDir, connect
from controlplane.store.group import Group
from controlplane.store.intake import Intake
from controlplane.store.reserve import Reserve

logger = logging.getLogger(__name__)

MAX_GROUP = 512
"""So many requests in one transaction are enough: the first of them must not wait for thousands."""

SWITCH_INTERVAL = 0.0001
"""Seconds, see ``Writer.start``."""


@dataclass(frozen=True, slots=True, eq=False)
class Txn:
    compare: Sequence[Compare]
    ops: Sequence[Put | Delete]


@dataclass(frozen=True, slots=True, eq=False)
class Grant:
    ttl: float


@dataclass(frozen=True, slots=True, eq=False)
class Revoke:
    lease: int


@dataclass(frozen=True, slots=True, eq=False)
class Compact:
    revision: int


@dataclass(frozen=True, slots=True, eq=False)
class Stop:
    pass


Request = Txn | Grant | Revoke | Compact | Stop
Asked = tuple[Request, "asyncio.Future[Any]"]
Answer = tuple["asyncio.Future[Any]", Any, StoreError | None]
"""A caller's future with its result or its error."""

Deliver = Callable[[Sequence[Change], Sequence[Answer]], None]
"""Called on the event loop after every commit: tell the watches, then settle the futures."""

_FULL = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_SHMSIZE}


class Writer:
    """Started by its constructor, ended by a ``Stop``. ``submit`` is for the event loop's thread."""

    def __init__(
        self,
        data_dir: DataDir,
        deliver: Deliver,
        *,
        loop: asyncio.AbstractEventLoop,
        history_revisions: int,
        size_limit_bytes: int,
        reserve_bytes: int,
    ) -> None:
        self._loop = loop
        self._deliver = deliver
        self._queue: queue.SimpleQueue[list[Asked]] = queue.SimpleQueue()
        self._intake = Intake(loop, self._queue.put)
        self._db = connect(data_dir.path, cache_bytes=8 << 20)
        self._sweep = Sweep(self._db)
        self._keep = history_revisions
        self._limit = size_limit_bytes
        # SQLite's own cap stands behind ours, with room for the deletions and the compaction that mend a full store.
        self._db.execute(f"PRAGMA max_page_count={(size_limit_bytes + size_limit_bytes // 8) // PAGE_SIZE + 1024}")
        self._reserve = Reserve(data_dir.directory / "reserve", reserve_bytes)
        self._reserve.take()
        self._room = 0
        self._unmeasured = 0
        self._measure()
        self.revision = statements.revision(self._db)
        self._next_lease = statements.next_lease(self._db)
        self.leases: dict[int, float] = statements.leases(self._db)
        """Seconds of TTL by lease, as of the start; afterwards the writer's own."""
        self._compactions: list[asyncio.Future[Any]] = []
        self._shrinking = False
        self._idle_blocked = False
        self.failure = ""
        """Why nothing is written any more; set once, by the thread."""
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)

    def start(self) -> None:
        """Begin to serve, and make Python's threads take turns more quickly.

        A thread that wants the interpreter lock asks for it only after waiting one switch interval (5 ms) in
        one go, and an event loop that makes a system call now and then ends and restarts that wait each time.
        Measured with 32 writers beside a busy loop: 16 writes/s at 5 ms, 5,000/s at 0.1 ms, idle loop the same.
        """
        sys.setswitchinterval(min(sys.getswitchinterval(), SWITCH_INTERVAL))
        self._thread.start()

    def submit(self, request: Request) -> asyncio.Future[Any]:
        """Queue a request; the future gives its result or raises a StoreError."""
        future: asyncio.Future[Any] = self._loop.create_future()
        self._intake.put((request, future))
        return future

    def join(self) -> None:
        """Wait for the thread's end, which follows the answer to Stop at once."""
        self._thread.join()

    # --- the thread

    def _run(self) -> None:
        stopping: asyncio.Future[Any] | None = None
        while stopping is None:
            batch = self._collect()
            stopping = next((future for request, future in batch if isinstance(request, Stop)), None)
            try:
                self._serve([item for item in batch if not isinstance(item[0], Stop)])
            except Exception as error:
                logger.exception("the store's writer failed")
                self._break(f"the store failed: {error}")
                self._refuse([item for item in batch if item[1] is not stopping])
        closed = StoreUnavailable("the store is closed")
        self._send((), [(future, None, closed) for future in self._compactions])
        self._db.close()
        self._send((), [(stopping, None, None)])

    def _collect(self) -> list[Asked]:
        """What is waiting now; if that is nothing, wait for it unless there is tidying to do meanwhile."""
        batch: list[Asked] = []
        try:
            idle_work = (self._sweep.pending or self._shrinking) and not self._idle_blocked and not self.failure
            batch += self._queue.get(block=not idle_work)
            while len(batch) < MAX_GROUP and not isinstance(batch[-1][0], Stop):
                batch += self._queue.get_nowait()
        except queue.Empty:
            pass
        return batch

    def _serve(self, batch: list[Asked]) -> None:
        if self.failure:
            self._refuse(batch)
            return
        self._idle_blocked = False
        for request, future in batch:
            if isinstance(request, Compact):
                self._sweep.aim(request.revision)
                self._compactions.append(future)
        writes = [item for item in batch if not isinstance(item[0], Compact)]
        if writes:
            self._write(writes)
        else:
            self._tidy()
        if self._compactions and (self._idle_blocked or not (self._sweep.pending or self._shrinking)):
            full = StoreFull("the disk of the store is too full to compact it") if self._idle_blocked else None
            self._send((), [(future, None, full) for future in self._compactions])
            self._compactions = []
        if self._keep and self.revision - self._sweep.compacted > self._keep + max(self._keep // 10, 16):
            self._sweep.aim(self.revision - self._keep)

    def _write(self, batch: list[Asked]) -> None:
        try:
            changes, answers = self._commit(batch)
        except sqlite3.Error as error:
            if not self._is_full(error):
                self._break(f"the store cannot write: {error}")
                self._refuse(batch)
                return
            if len(batch) > 1:
                # One request too many made the whole group fail: each gets its own transaction and outcome.
                for item in batch:
                    self._write([item])
                return
            if self._frees(batch[0][0]) and self._reserve.give_back():
                logger.warning("disk full: the reserved space is used to delete")
                self._write(batch)
                return
            full = StoreFull(
                f"the disk of the store is full ({error}); nothing was written. Free space there, or delete objects"
            )
            changes, answers = [], [(batch[0][1], None, full)]
        if any(isinstance(error, StoreFull) for _, _, error in answers):
            metrics.FULL.inc()
            # Old history is worth less than the next write; a tenth of it stays for the watches.
            self._sweep.aim(self.revision - max(self._keep // 10, 1))
        self._send(changes, answers)

    def _commit(self, batch: Sequence[Asked]) -> tuple[list[Change], list[Answer]]:
        """One transaction. Raises sqlite3.Error with nothing written and this object unchanged."""
        requests = [request for request, _ in batch]
        self._db.execute("BEGIN IMMEDIATE")
        try:
            group = self._load(requests)
            answers: list[Answer] = []
            for request, future in batch:
                try:
                    answers.append((future, _judge(group, request), None))
                except StoreError as error:
                    answers.append((future, None, error))
            written = group.revision != self.revision or bool(group.granted) or bool(group.revoked)
            if not written:
                self._db.execute("ROLLBACK")
                _count(answers, written=False)
                return [], answers
            statements.write(self._db, group)
            step = self._sweep.step(max(256, 2 * len(group.history))) if self._sweep.pending else None
            started = time.perf_counter()
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise
        metrics.COMMIT_SECONDS.observe(time.perf_counter() - started)
        metrics.COMMITS.inc()
        metrics.GROUP_SIZE.observe(len(batch))
        _count(answers, written=True)
        self.revision = group.revision
        self._next_lease = group.next_lease
        self.leases.update(group.granted)
        for lease in group.revoked:
            self.leases.pop(lease, None)
        if step is not None:
            self._sweep.advance(step)
            self._shrinking = not self._sweep.pending and statements.much_is_free(self._db)
        self._unmeasured += sum(len(row[5] or b"") + 2 * len(row[1]) + 64 for row in group.history)
        if self._unmeasured > min(1 << 20, self._room // 2) or step is not None:
            self._measure()
        return group.changes, answers

    def _load(self, requests: Sequence[Request]) -> Group:
        """The group's view of everything that its requests name."""
        keys: dict[str, None] = {}
        revoked: list[int] = []
        for request in requests:
            if isinstance(request, Txn):
                for compare in request.compare:
                    keys[compare.key] = None
                for op in request.ops:
                    keys[op.key] = None
            elif isinstance(request, Revoke):
                revoked.append(request.lease)
        attached = statements.attached(self._db, revoked) if revoked else {}
        for names in attached.values():
            keys.update(dict.fromkeys(names))
        return Group(
            revision=self.revision,
            rows=statements.rows(self._db, list(keys)),
            leases=self.leases,
            next_lease=self._next_lease,
            attached=attached,
            room=self._room_for(requests),
        )

    def _room_for(self, requests: Sequence[Request]) -> int:
        """Bytes that puts may add; none while the reserve is lent to deletions and cannot be had back."""
        if all(self._frees(request) for request in requests) or not self._reserve.take():
            return 0
        return max(0, self._room - self._unmeasured)

    def _tidy(self) -> None:
        """A step of compaction, or of making the file smaller, while nobody writes."""
        try:
            if self._sweep.pending:
                self._sweep_alone()
            elif self._shrinking:
                self._shrinking = statements.shrink(self._db)
        except sqlite3.Error as error:
            if not self._is_full(error):
                raise
            # Not even space to forget something: try again with the reserve, else when the next request comes.
            self._idle_blocked = not self._reserve.give_back()

    def _sweep_alone(self) -> None:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            step = self._sweep.step(500)
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise
        self._sweep.advance(step)
        self._shrinking = not self._sweep.pending and statements.much_is_free(self._db)
        self._measure()

    def _measure(self) -> None:
        used = statements.used_pages(self._db) * PAGE_SIZE
        self._room = max(0, self._limit - used)
        self._unmeasured = 0
        metrics.SIZE_BYTES.set(used)
        metrics.COMPACTED_REVISION.set(self._sweep.compacted)

    def _frees(self, request: Request) -> bool:
        return isinstance(request, Revoke) or (
            isinstance(request, Txn) and all(isinstance(op, Delete) for op in request.ops)
        )

    def _is_full(self, error: sqlite3.Error) -> bool:
        return getattr(error, "sqlite_errorcode", 0) in _FULL

    def _break(self, message: str) -> None:
        logger.critical("the store accepts no more writes", extra={"cause": message})
        self.failure = message

    def _refuse(self, batch: Sequence[Asked]) -> None:
        self._send((), [(future, None, StoreUnavailable(self.failure)) for _, future in batch])

    def _send(self, changes: Sequence[Change], answers: Sequence[Answer]) -> None:
        if not changes and not answers:
            return
        try:
            self._loop.call_soon_threadsafe(self._deliver, changes, answers)
        except RuntimeError:
            # The event loop is gone: nobody is left to be told. What was committed stays committed.
            logger.warning("the store was not closed before its event loop")


def _judge(group: Group, request: Request) -> Any:
    if isinstance(request, Txn):
        return group.txn(request.compare, request.ops)
    if isinstance(request, Grant):
        return group.grant(request.ttl)
    assert isinstance(request, Revoke)
    return group.revoke(request.lease)


def _count(answers: Sequence[Answer], *, written: bool) -> None:
    refused = sum(1 for _, _, error in answers if error is not None)
    if refused:
        metrics.TRANSACTIONS.labels("refused").inc(refused)
    if len(answers) > refused:
        metrics.TRANSACTIONS.labels("written" if written else "unchanged").inc(len(answers) - refused)
