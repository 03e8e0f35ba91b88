"""The SQL of the writer: loading what a group names, writing what it decided, keeping the file small.

Every function works inside the transaction that its caller has open. A statement covers all rows of a group,
which go in and out as one JSON array beside one string of bytes: Python's sqlite3 lets go of the interpreter lock
for every statement and for every row of an answer, and in a busy process getting it back is what costs (up to
the switch interval each time: with a statement for every row the busy event loop of a server starved the writer).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any

from controlplane.store.group import POSITION_BITS, Group, Row
from shared.codec import decode, encode

# hex, since an aggregate of many blobs has no other well-defined form.
_ROWS = (
    "SELECT json_group_array(json_array(c.key, c.id, h.create_revision, h.version, c.lease)), "
    "group_concat(hex(h.value)) FROM json_each(?) j CROSS JOIN current c ON c.key = j.value "
    "CROSS JOIN history h ON h.id = c.id"
)
# COALESCE: substr of an empty blob is NULL, which would be a deletion.
_ADD_HISTORY = (
    "INSERT INTO history SELECT value->>0, value->>1, value->>2, value->>3, value->>4, "
    "CASE WHEN value->>5 IS NULL THEN NULL ELSE COALESCE(substr(?2, value->>5, value->>6), x'') END FROM json_each(?1)"
)
_SET_CURRENT = (
    "INSERT INTO current SELECT value->>0, value->>1, value->>2 FROM json_each(?) WHERE true "
    "ON CONFLICT (key) DO UPDATE SET id = excluded.id, lease = excluded.lease"
)
_DROP_CURRENT = "DELETE FROM current WHERE key IN (SELECT value FROM json_each(?))"


def revision(db: sqlite3.Connection) -> int:
    """The newest revision; 1 for an empty store. The row of the newest write is never compacted away."""
    newest = db.execute("SELECT MAX(id) FROM history").fetchone()[0]
    return int(newest) >> POSITION_BITS if newest is not None else 1


def next_lease(db: sqlite3.Connection) -> int:
    return int(db.execute("SELECT value FROM counter WHERE name = 'next_lease'").fetchone()[0])


def leases(db: sqlite3.Connection) -> dict[int, float]:
    """TTL in seconds by lease."""
    return dict(db.execute("SELECT id, ttl FROM lease"))


def rows(db: sqlite3.Connection, keys: Sequence[str]) -> dict[str, Row | None]:
    """The newest value of every one of ``keys``; None for those that do not exist."""
    found: dict[str, Row | None] = dict.fromkeys(keys)
    if keys:
        existing, values = db.execute(_ROWS, (_json(keys),)).fetchone()
        if values is not None:
            for (key, id_, create, version, lease), value in zip(decode(existing), values.split(","), strict=True):
                found[key] = Row(id_, create, version, lease, bytes.fromhex(value))
    return found


def attached(db: sqlite3.Connection, leases: Iterable[int]) -> dict[int, list[str]]:
    """The keys attached to each of ``leases``."""
    return {
        lease: [key for (key,) in db.execute("SELECT key FROM current WHERE lease = ? AND lease != 0", (lease,))]
        for lease in leases
    }


def write(db: sqlite3.Connection, group: Group) -> None:
    """Everything that the group decided."""
    if group.history:
        described: list[tuple[str | int, ...]] = []
        values: list[bytes] = []
        start = 1  # SQL counts bytes from 1
        for id_, key, create, version, previous, value in group.history:
            if value is None:
                described.append((id_, key, create, version, previous))
            else:
                described.append((id_, key, create, version, previous, start, len(value)))
                values.append(value)
                start += len(value)
        db.execute(_ADD_HISTORY, (_json(described), b"".join(values)))
    kept = [(key, row.id, row.lease) for key in group.touched if (row := group.rows[key]) is not None]
    if kept:
        db.execute(_SET_CURRENT, (_json(kept),))
    if len(kept) < len(group.touched):
        db.execute(_DROP_CURRENT, (_json([key for key in group.touched if group.rows[key] is None]),))
    if group.granted:
        db.executemany("INSERT INTO lease VALUES (?, ?)", group.granted.items())
        db.execute("UPDATE counter SET value = ? WHERE name = 'next_lease'", (group.next_lease,))
    if group.revoked:
        db.executemany("DELETE FROM lease WHERE id = ?", [(lease,) for lease in group.revoked])


def used_pages(db: sqlite3.Connection) -> int:
    """Pages that hold data."""
    pages: int = db.execute("PRAGMA page_count").fetchone()[0]
    free: int = db.execute("PRAGMA freelist_count").fetchone()[0]
    return pages - free


def much_is_free(db: sqlite3.Connection) -> bool:
    """Whether it is worth giving pages back; below that they are reused by later writes."""
    pages: int = db.execute("PRAGMA page_count").fetchone()[0]
    free: int = db.execute("PRAGMA freelist_count").fetchone()[0]
    return free > max(1024, pages // 2)


def shrink(db: sqlite3.Connection) -> bool:
    """Give some pages back to the file system; whether there are more to give. Its own transaction."""
    db.execute("PRAGMA incremental_vacuum(512)").fetchall()
    if much_is_free(db):
        return True
    db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
    return False


def _json(value: Any) -> str:
    return encode(value).decode()
