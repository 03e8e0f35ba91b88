"""What a group of requests does to the store, worked out on plain values before anything is written.

Owns the semantics of compare-and-set, revisions, versions and leases. Never touches a database or a clock: it
is given the rows that the group mentions and gives back the rows to write. One Group is used by one thread.

All requests of a group become one SQLite transaction, yet each is judged in order on what those before it did,
and each that writes gets a revision of its own.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass, field

from controlplane.store.base import Change, Compare, Delete, KeyValue, LeaseNotFound, Put, StoreFull, TxnResult

POSITION_BITS = 20
"""A row's id is its revision and, in this many low bits, its position within the transaction."""

MAX_OPS = 1 << POSITION_BITS


@dataclass(frozen=True, slots=True)
class Row:
    """A key that exists: where its newest value stands in history, and the value."""

    id: int
    create_revision: int
    version: int
    lease: int
    value: bytes

    @property
    def mod_revision(self) -> int:
        return self.id >> POSITION_BITS


HistoryRow = tuple[int, str, int, int, int, bytes | None]
"""id, key, create_revision, version (0: deleted), previous id, value: the columns of table history."""


@dataclass(slots=True)
class Group:
    """The view before the group (``revision``, ``rows``, ``attached``, ``leases``), changed as requests are judged."""

    revision: int
    rows: dict[str, Row | None]
    """Every key that a request of the group names, as it is before the group; None: no such key."""
    leases: Container[int]
    next_lease: int
    attached: dict[int, list[str]] = field(default_factory=dict)
    """Keys of each lease that the group revokes; each of them must be in ``rows``."""
    room: int | None = None
    """Bytes that puts may still add; None for no cap."""

    history: list[HistoryRow] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    touched: set[str] = field(default_factory=set)
    granted: dict[int, float] = field(default_factory=dict)
    revoked: set[int] = field(default_factory=set)
    freed_only: bool = True
    """Whether the group has put nothing: only such a group may use the space reserved for recovery."""

    def txn(self, compare: Sequence[Compare], ops: Sequence[Put | Delete]) -> TxnResult:
        """Judge one transaction. Raises LeaseNotFound, StoreFull; nothing is changed then."""
        failed = tuple((c.key, self._key_value(c.key)) for c in compare if self._mod_revision(c.key) != c.mod_revision)
        if failed:
            return TxnResult(False, self.revision, failed)
        size = 0
        for op in ops:
            if isinstance(op, Put):
                size += len(op.value) + 2 * len(op.key) + 64
                if op.lease and not self._lease_lives(op.lease):
                    raise LeaseNotFound(f"lease {op.lease} has ended")
        if size and self.room is not None:
            if size > self.room:
                raise StoreFull("the store has reached its size limit; delete objects, or raise the limit or the disk")
            self.room -= size
        written = self._write(ops)
        return TxnResult(True, written)

    def grant(self, ttl: float) -> int:
        """A new lease's id."""
        lease = self.next_lease
        self.next_lease += 1
        self.granted[lease] = ttl
        return lease

    def revoke(self, lease: int) -> None:
        """End a lease and delete its keys as one transaction. Raises LeaseNotFound."""
        if not self._lease_lives(lease):
            raise LeaseNotFound(f"lease {lease} has ended")
        earlier = (key for key in self.touched if (row := self.rows[key]) is not None and row.lease == lease)
        keys = sorted({*self.attached.get(lease, ()), *earlier})
        self._write([Delete(key) for key in keys if (row := self.rows[key]) is not None and row.lease == lease])
        self.revoked.add(lease)

    def _write(self, ops: Iterable[Put | Delete]) -> int:
        revision = self.revision + 1
        position = revision << POSITION_BITS
        first = position
        for op in ops:
            key, old = op.key, self.rows[op.key]
            if isinstance(op, Put):
                self.freed_only = False
                create = old.create_revision if old is not None else revision
                version = old.version + 1 if old is not None else 1
                value: bytes | None = op.value
                self.rows[key] = Row(position, create, version, op.lease, op.value)
            elif old is not None:
                create, version, value = old.create_revision, 0, None
                self.rows[key] = None
            else:
                continue
            self.touched.add(key)
            if old is None:
                self.history.append((position, key, create, version, 0, value))
                self.changes.append(Change(revision, key, value, create, None, 0))
            else:
                self.history.append((position, key, create, version, old.id, value))
                self.changes.append(Change(revision, key, value, create, old.value, old.mod_revision))
            position += 1
        if position != first:
            self.revision = revision
        return self.revision

    def _lease_lives(self, lease: int) -> bool:
        return (lease in self.leases or lease in self.granted) and lease not in self.revoked

    def _mod_revision(self, key: str) -> int:
        row = self.rows[key]
        return row.mod_revision if row is not None else 0

    def _key_value(self, key: str) -> KeyValue | None:
        row = self.rows[key]
        if row is None:
            return None
        return KeyValue(key, row.value, row.create_revision, row.mod_revision, row.version)
