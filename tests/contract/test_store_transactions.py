"""The store's contract: reads, transactions, revisions, ranges, compaction, snapshots, closing."""

from __future__ import annotations

import asyncio

import pytest

from controlplane.store.base import (
    CompactedError,
    Compare,
    Delete,
    FutureRevisionError,
    Put,
    StoreUnavailable,
)


async def put(store, key, value=b"v", lease=0):
    return (await store.txn([], [Put(key, value, lease)])).revision


async def test_an_empty_store_is_at_revision_1(store):
    assert await store.revision() == 1
    assert await store.get("/a") is None
    assert (await store.range("")).items == ()


async def test_a_key_carries_its_revisions_and_version(store):
    first = await put(store, "/a", b"1")
    second = await put(store, "/a", b"2")
    assert (first, second) == (2, 3)
    found = await store.get("/a")
    assert (found.value, found.create_revision, found.mod_revision, found.version) == (b"2", 2, 3, 2)
    assert await store.revision() == 3


@pytest.mark.parametrize(
    "value",
    [b"", b"\0", bytes(range(256)), b"\xff\xfe," * 7, b"x" * 3_000_000],
    ids=["empty", "nul", "all", "commas", "3MB"],
)
async def test_any_bytes_come_back_as_they_are(store, value):
    await put(store, "/a", value)
    await put(store, "/b", b"other")
    failed = await store.txn([Compare("/a", 99), Compare("/b", 99)], [])
    assert dict(failed.failed)["/a"].value == value
    assert (await store.get("/a")).value == value
    watch = store.watch("/a", 2)
    assert (await anext(watch))[0].value == value
    await watch.aclose()
    await store.txn([], [Delete("/a")])
    assert (await store.get("/a", revision=3)).value == value


async def test_a_transaction_gives_all_its_writes_one_revision(store):
    result = await store.txn([], [Put("/a", b"a"), Put("/b", b"b")])
    assert result.succeeded
    assert {kv.mod_revision for kv in (await store.range("/")).items} == {result.revision}


async def test_a_compare_that_fails_writes_nothing_and_tells_what_is_there(store):
    await put(store, "/a", b"old")
    result = await store.txn([Compare("/a", 7), Compare("/new", 0), Compare("/gone", 3)], [Put("/b", b"b")])
    assert not result.succeeded
    assert [(key, kv.value if kv else None) for key, kv in result.failed] == [("/a", b"old"), ("/gone", None)]
    assert result.revision == await store.revision() == 2
    assert await store.get("/b") is None


async def test_compare_zero_means_that_the_key_does_not_exist(store):
    create = [Put("/a", b"1")]
    assert (await store.txn([Compare("/a", 0)], create)).succeeded
    assert not (await store.txn([Compare("/a", 0)], create)).succeeded
    await store.txn([], [Delete("/a")])
    result = await store.txn([Compare("/a", 0)], create)
    assert result.succeeded
    found = await store.get("/a")
    assert (found.create_revision, found.version) == (result.revision, 1)


async def test_deleting_what_is_not_there_is_no_write(store):
    result = await store.txn([], [Delete("/a")])
    assert result.succeeded
    assert result.revision == await store.revision() == 1


async def test_a_transaction_without_writes_takes_no_revision(store):
    await put(store, "/a")
    result = await store.txn([Compare("/a", 2)], [])
    assert (result.succeeded, result.revision) == (True, 2)


async def test_a_key_twice_in_one_transaction_is_refused(store):
    with pytest.raises(ValueError):
        await store.txn([], [Put("/a", b"1"), Delete("/a")])


async def test_of_concurrent_compare_and_sets_exactly_one_wins(store):
    results = await asyncio.gather(*(store.txn([Compare("/a", 0)], [Put("/a", b"%d" % n)]) for n in range(50)))
    assert sum(result.succeeded for result in results) == 1
    losers = [result for result in results if not result.succeeded]
    assert {result.failed[0][1].mod_revision for result in losers} == {2}


async def test_concurrent_counters_lose_no_increment(store):
    async def increment() -> None:
        while True:
            now = await store.get("/n")
            count = int(now.value) if now else 0
            compare = Compare("/n", now.mod_revision if now else 0)
            if (await store.txn([compare], [Put("/n", b"%d" % (count + 1))])).succeeded:
                return

    await asyncio.gather(*(increment() for _ in range(12)))
    assert (await store.get("/n")).value == b"12"


async def test_concurrent_writes_have_revisions_of_their_own(store):
    revisions = await asyncio.gather(*(put(store, f"/{n}") for n in range(300)))
    assert sorted(revisions) == list(range(2, 302))


async def test_old_revisions_can_be_read(store):
    await put(store, "/a", b"1")  # 2
    await put(store, "/b", b"1")  # 3
    await put(store, "/a", b"2")  # 4
    await store.txn([], [Delete("/a")])  # 5
    await put(store, "/a", b"3")  # 6
    by_revision = {
        revision: {kv.key: kv.value for kv in (await store.range("/", revision=revision)).items}
        for revision in range(1, 7)
    }
    assert by_revision == {
        1: {},
        2: {"/a": b"1"},
        3: {"/a": b"1", "/b": b"1"},
        4: {"/a": b"2", "/b": b"1"},
        5: {"/b": b"1"},
        6: {"/a": b"3", "/b": b"1"},
    }
    assert [kv and kv.value for kv in [await store.get("/a", revision=r) for r in range(1, 7)]] == [
        None, b"1", b"1", b"2", None, b"3",
    ]  # fmt: skip
    assert (await store.get("/a")).version == 1


async def test_a_future_revision_cannot_be_read(store):
    with pytest.raises(FutureRevisionError):
        await store.get("/a", revision=2)
    with pytest.raises(FutureRevisionError):
        await store.range("/a", revision=2)
    with pytest.raises(FutureRevisionError):
        await store.compact(2)


async def test_a_range_holds_the_prefix_and_nothing_else_in_order(store):
    keys = ["/pods/a", "/pods/a/x", "/pods/b", "/podsx", "/pod", "/pods/", "/q", "/pods/é", "/pods/\U0001f600"]
    await store.txn([], [Put(key, b"v") for key in keys])
    result = await store.range("/pods/")
    assert [kv.key for kv in result.items] == [
        "/pods/",
        "/pods/a",
        "/pods/a/x",
        "/pods/b",
        "/pods/é",
        "/pods/\U0001f600",
    ]
    assert (result.count, result.more, result.revision) == (6, False, 2)
    assert (await store.range("")).count == len(keys)


@pytest.mark.parametrize("old", [False, True], ids=["now", "old revision"])
async def test_pages_of_a_range_at_one_revision_make_the_whole(store, old):
    await store.txn([], [Put(f"/p/{n:02}", b"v") for n in range(10)])
    revision = 0
    if old:
        revision = await store.revision()
        await store.txn([], [Delete("/p/03"), Delete("/p/04"), Put("/p/99", b"new")])
    seen, after = [], ""
    while True:
        page = await store.range("/p/", revision=revision, limit=4, start_after=after)
        assert page.count == 10
        seen += [kv.key for kv in page.items]
        if not page.more:
            break
        after = seen[-1]
    assert seen == [f"/p/{n:02}" for n in range(10)]


async def test_a_limit_that_is_just_enough_leaves_no_more(store):
    await store.txn([], [Put("/a", b""), Put("/b", b"")])
    assert not (await store.range("/", limit=2)).more
    assert (await store.range("/", limit=1)).more


async def test_compaction_forgets_history_but_no_newest_value(store):
    await put(store, "/a", b"1")  # 2
    await put(store, "/old", b"stays")  # 3
    await put(store, "/a", b"2")  # 4
    await store.txn([], [Delete("/a")])  # 5
    await put(store, "/b", b"1")  # 6
    await store.compact(5)
    assert (await store.get("/old")).value == b"stays"
    assert [kv.key for kv in (await store.range("/", revision=5)).items] == ["/old"]
    assert [kv.key for kv in (await store.range("/", revision=6)).items] == ["/b", "/old"]
    with pytest.raises(CompactedError) as error:
        await store.range("/", revision=4)
    assert error.value.compacted == 5
    with pytest.raises(CompactedError):
        await store.get("/a", revision=4)


async def test_compacting_again_or_less_changes_nothing(store):
    for n in range(10):
        await put(store, "/a", b"%d" % n)
    await store.compact(8)
    await store.compact(8)
    await store.compact(3)
    assert (await store.get("/a", revision=8)).value == b"6"
    with pytest.raises(CompactedError):
        await store.get("/a", revision=7)


async def test_writes_go_on_during_compaction(store):
    for n in range(20):
        await store.txn([], [Put(f"/{k}", b"%d" % n) for k in range(100)])
    revision = await store.revision()
    compaction = asyncio.ensure_future(store.compact(revision))
    await asyncio.gather(*(put(store, f"/{k}", b"after") for k in range(100)))
    await compaction
    assert {kv.value for kv in (await store.range("/")).items} == {b"after"}
    assert {kv.value for kv in (await store.range("/", revision=revision)).items} == {b"19"}


async def test_everything_is_there_after_opening_again(backend):
    store = await backend.open()
    await put(store, "/a", b"1")
    await put(store, "/a", b"2")
    await store.txn([], [Put("/b", b"1")])
    await store.compact(3)
    await store.close()
    store = await backend.open()
    assert await store.revision() == 4
    assert (await store.get("/a")).version == 2
    with pytest.raises(CompactedError):
        await store.get("/a", revision=2)
    assert await put(store, "/c") == 5


async def test_a_closed_store_refuses_and_close_can_be_repeated(store):
    pending = [asyncio.ensure_future(put(store, f"/{n}")) for n in range(20)]
    await asyncio.sleep(0)
    await asyncio.gather(store.close(), store.close())
    await store.close()
    outcomes = await asyncio.gather(*pending, return_exceptions=True)
    assert sorted(outcomes) == list(range(2, 22))
    with pytest.raises(StoreUnavailable):
        await put(store, "/a")
    with pytest.raises(StoreUnavailable):
        await store.get("/a")


async def test_a_caller_that_gives_up_does_not_disturb_the_others(store):
    impatient = asyncio.ensure_future(put(store, "/a"))
    others = [asyncio.ensure_future(put(store, f"/{n}")) for n in range(5)]
    await asyncio.sleep(0)
    impatient.cancel()
    await asyncio.gather(*others)
    with pytest.raises(asyncio.CancelledError):
        await impatient
    assert (await store.range("/")).count >= 5
