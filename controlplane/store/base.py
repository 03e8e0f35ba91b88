"""The contract of the store: a revisioned map of keys to bytes, after etcd v3, with two backends.

- Every successful transaction with at least one write takes the next revision; all of its writes carry it.
- A transaction that has returned is durable (fsync, or an etcd quorum) and is visible to every later call and,
  before the call returns, has been handed to every watch.
- A watch gives every change after its revision, in revision order, each once. It ends with WatchLagged when its
  reader falls further behind than the watch's queue (a slow reader is dropped, never waited for), and cannot
  start at a revision that compaction has taken away (CompactedError).
- A lease lives in server memory plus a durable row: keeping it alive is no durable write. When it expires, its
  keys are deleted in one transaction. After a restart, or after the process itself was stopped for a while,
  every lease gets one full TTL before it may expire.

Backends promise: safe for concurrent use from one event loop; no call blocks the loop. Values are opaque.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


class StoreError(Exception):
    """Base of the store's errors; the message is for an operator."""


class CompactedError(StoreError):
    """The revision asked for is older than the kept history."""

    def __init__(self, message: str, compacted: int) -> None:
        super().__init__(message)
        self.compacted = compacted


class FutureRevisionError(StoreError):
    """The revision asked for is newer than the store's."""


class WatchLagged(StoreError):
    """The reader of a watch was too slow and was cut off; start again from a list."""


class LeaseNotFound(StoreError):
    """The lease has expired, was revoked or never was."""


class StoreFull(StoreError):
    """The size cap or the disk is reached; nothing was written. Reads and deletes go on."""


class StoreUnavailable(StoreError):
    """The store cannot be reached or is closed; whether the write happened is not known."""


class DataDirError(StoreError):
    """The data directory cannot be used: not writable, held by another server, or made by a newer version."""


@dataclass(frozen=True, slots=True)
class KeyValue:
    """A key's value. ``version`` counts its writes since creation, from 1."""

    key: str
    value: bytes
    create_revision: int
    mod_revision: int
    version: int


@dataclass(frozen=True, slots=True)
class Change:
    """One write. ``value`` is None for a deletion; ``previous`` is what was there before, None if nothing."""

    revision: int
    key: str
    value: bytes | None
    create_revision: int
    previous: bytes | None
    previous_revision: int
    """mod_revision of ``previous``; 0 if there was nothing."""


@dataclass(frozen=True, slots=True)
class Compare:
    """Holds when the key's mod_revision is ``mod_revision``; 0 means that the key does not exist."""

    key: str
    mod_revision: int


@dataclass(frozen=True, slots=True)
class Put:
    key: str
    value: bytes
    lease: int = 0
    """The lease that the key ends with; 0 for none. A put without it detaches the key from its lease."""


@dataclass(frozen=True, slots=True)
class Delete:
    key: str


@dataclass(frozen=True, slots=True)
class TxnResult:
    """``revision`` is the one written (or the current one when nothing was); ``failed`` lists compares that did
    not hold, with what is there now (None: no such key). Nothing is written unless ``failed`` is empty."""

    succeeded: bool
    revision: int
    failed: tuple[tuple[str, KeyValue | None], ...] = ()


@dataclass(frozen=True, slots=True)
class RangeResult:
    """Keys in order. ``revision`` is the one read at; ``more`` that a limit cut the answer short."""

    items: tuple[KeyValue, ...]
    revision: int
    more: bool
    count: int
    """How many keys the whole range has at that revision."""


class Store(Protocol):
    """What a backend does. Revisions begin at 1 for an empty store."""

    async def get(self, key: str, revision: int = 0) -> KeyValue | None:
        """The value now, or as of ``revision``. Raises CompactedError, FutureRevisionError."""
        ...

    async def range(self, prefix: str, *, revision: int = 0, limit: int = 0, start_after: str = "") -> RangeResult:
        """Keys with ``prefix``, after ``start_after``, at most ``limit`` (0: all), now or as of ``revision``."""
        ...

    async def txn(self, compare: Sequence[Compare], ops: Sequence[Put | Delete]) -> TxnResult:
        """All of ``ops`` or none, if every compare holds. Deleting a key that is not there is no write.

        Raises StoreFull, StoreUnavailable, LeaseNotFound (a Put names a lease that is gone), ValueError (two of
        ``ops`` name one key).
        """
        ...

    def watch(self, prefix: str, from_revision: int = 0) -> AsyncIterator[Sequence[Change]]:
        """Batches of changes with revision >= ``from_revision`` (0: from the next one on), without end.

        The subscription exists when this returns, before the first item is asked for. A batch never splits a
        revision. The iterator raises CompactedError, WatchLagged or (the store was closed) StoreUnavailable;
        ``aclose`` ends the subscription. Changes of the revision that was compacted to can still be watched.
        """
        ...

    async def lease_grant(self, ttl: float) -> int:
        """A new lease of ``ttl`` seconds; its id is never 0 and never used again."""
        ...

    async def lease_keepalive(self, lease: int) -> float:
        """Give the lease its full TTL again and return that. Raises LeaseNotFound."""
        ...

    async def lease_revoke(self, lease: int) -> None:
        """End the lease now and delete its keys. Raises LeaseNotFound."""
        ...

    async def compact(self, revision: int) -> None:
        """Forget history before ``revision``; the newest value of every key stays. Online.

        Returns when it is done; less than is compacted already is a no-op. Raises FutureRevisionError.
        """
        ...

    async def revision(self) -> int:
        """The newest revision."""
        ...

    async def snapshot(self, target: Path) -> int:
        """Write a consistent copy to ``target`` while running; the revision it holds."""
        ...

    async def close(self) -> None:
        """Finish what was accepted, end all watches, let go of the data directory. Idempotent."""
        ...
