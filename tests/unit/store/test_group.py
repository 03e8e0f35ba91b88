"""Judging a group of requests: pure, so every case is a value in and a value out."""

from __future__ import annotations

import pytest

from controlplane.store.base import Compare, Delete, LeaseNotFound, Put, StoreFull
from controlplane.store.group import POSITION_BITS, Group, Row
from controlplane.store.reader import prefix_end


def row(revision: int, *, create: int = 0, version: int = 1, lease: int = 0, value: bytes = b"old") -> Row:
    return Row(revision << POSITION_BITS, create or revision, version, lease, value)


def group(revision: int = 10, room: int | None = None, leases=frozenset(), attached=None, **rows) -> Group:
    return Group(
        revision=revision,
        rows={key: rows.get(key) for key in "abc"},
        leases=leases,
        next_lease=5,
        attached=attached or {},
        room=room,
    )


def test_each_request_is_judged_on_what_those_before_it_did():
    judged = group()
    assert judged.txn([Compare("a", 0)], [Put("a", b"1")]).revision == 11
    assert not judged.txn([Compare("a", 0)], [Put("a", b"2")]).succeeded
    assert judged.txn([Compare("a", 11)], [Put("a", b"3")]).revision == 12
    assert [(c.revision, c.value, c.previous) for c in judged.changes] == [(11, b"1", None), (12, b"3", b"1")]
    assert [r[0] for r in judged.history] == [11 << POSITION_BITS, 12 << POSITION_BITS]


def test_rows_of_one_revision_are_numbered_without_gaps():
    judged = group(a=row(3))
    judged.txn([], [Delete("b"), Put("a", b"x"), Put("c", b"y")])
    assert [r[0] - (11 << POSITION_BITS) for r in judged.history] == [0, 1]


def test_a_refused_transaction_leaves_no_trace():
    judged = group(room=100, a=row(3))
    with pytest.raises(StoreFull):
        judged.txn([], [Delete("a"), Put("b", b"x" * 200)])
    with pytest.raises(LeaseNotFound):
        judged.txn([], [Delete("a"), Put("b", b"x", lease=99)])
    assert (judged.revision, judged.history, judged.changes, judged.touched) == (10, [], [], set())


def test_without_room_deletions_go_on():
    judged = group(room=0, a=row(3))
    assert judged.txn([], [Delete("a")]).revision == 11
    assert judged.freed_only


def test_room_is_used_up_within_the_group():
    judged = group(room=300)
    judged.txn([], [Put("a", b"x" * 150)])
    with pytest.raises(StoreFull):
        judged.txn([], [Put("b", b"x" * 150)])


def test_revoking_takes_keys_attached_before_and_within_the_group():
    judged = group(leases={4}, attached={4: ["a", "b"]}, a=row(3, lease=4), b=row(4, lease=4))
    judged.txn([], [Put("b", b"detached"), Put("c", b"new", lease=4)])
    judged.revoke(4)
    assert [(c.key, c.value) for c in judged.changes if c.revision == 12] == [("a", None), ("c", None)]
    with pytest.raises(LeaseNotFound):
        judged.revoke(4)
    with pytest.raises(LeaseNotFound):
        judged.txn([], [Put("a", b"x", lease=4)])


def test_a_lease_can_be_used_in_the_group_that_grants_it():
    judged = group()
    lease = judged.grant(4.0)
    assert lease == 5
    assert judged.txn([], [Put("a", b"x", lease=lease)]).succeeded
    assert judged.grant(4.0) == 6


@pytest.mark.parametrize(
    ("prefix", "inside", "outside"),
    [
        ("/a", ["/a", "/a\U0010ffff\U0010ffff", "/azzz"], ["/b", "/"]),
        ("/\ud7ff", ["/\ud7ff\U0010ffff"], ["/\ue000"]),
        ("/\U0010ffff", ["/\U0010ffff\U0010ffff"], ["0"]),
        ("", ["", "a", "\U0010ffff" * 3], []),
    ],
    ids=["plain", "before the surrogates", "at the last code point", "everything"],
)
def test_the_end_of_a_prefix_is_just_above_it(prefix, inside, outside):
    end = prefix_end(prefix)
    assert all(prefix <= key < end for key in inside)
    assert not any(prefix <= key < end for key in outside)
