"""The store's contract: watches."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import pytest

from controlplane.store.base import CompactedError, Delete, Put, StoreUnavailable, WatchLagged


async def put(store, key, value=b"v"):
    return (await store.txn([], [Put(key, value)])).revision


async def read(watch, count):
    """The next ``count`` changes, and the batches that they came in."""
    changes, batches = [], []
    async with asyncio.timeout(10):
        while len(changes) < count:
            batches.append(await anext(watch))
            changes += batches[-1]
    assert len(changes) == count
    return changes


async def test_changes_come_in_order_with_what_was_before(store):
    async with aclosing(store.watch("/")) as watch:
        await put(store, "/a", b"1")
        await put(store, "/a", b"2")
        await store.txn([], [Delete("/a")])
        await put(store, "/a", b"3")
        changes = await read(watch, 4)
    assert [(c.revision, c.value, c.previous, c.previous_revision) for c in changes] == [
        (2, b"1", None, 0),
        (3, b"2", b"1", 2),
        (4, None, b"2", 3),
        (5, b"3", None, 0),
    ]
    assert [c.create_revision for c in changes if c.value is not None] == [2, 2, 5]


async def test_the_subscription_exists_before_the_first_read(store):
    watch = store.watch("/")
    await put(store, "/a")
    assert (await anext(watch))[0].key == "/a"
    await watch.aclose()


async def test_a_write_has_reached_the_watches_when_it_returns(store):
    async with aclosing(store.watch("/")) as watch:
        await put(store, "/a")
        assert [c.key for c in await asyncio.wait_for(anext(watch), 0.001)] == ["/a"]


async def test_only_the_prefix_is_told(store):
    async with aclosing(store.watch("/pods/")) as watch:
        for key in ["/pod", "/pods/a", "/podsx", "/pods/b"]:
            await put(store, key)
        assert [c.key for c in await read(watch, 2)] == ["/pods/a", "/pods/b"]


async def test_a_watch_from_an_old_revision_gives_history_and_then_goes_on(store):
    for n in range(5):
        await put(store, "/a", b"%d" % n)
    async with aclosing(store.watch("/", 3)) as watch:
        await put(store, "/a", b"live")
        changes = await read(watch, 5)
        assert [(c.revision, c.value, c.previous) for c in changes] == [
            (3, b"1", b"0"), (4, b"2", b"1"), (5, b"3", b"2"), (6, b"4", b"3"), (7, b"live", b"4"),
        ]  # fmt: skip


async def test_a_watch_from_the_next_revision_gives_only_what_comes(store):
    await put(store, "/a")
    async with aclosing(store.watch("/", 3)) as watch:
        await put(store, "/b")
        assert [c.key for c in await read(watch, 1)] == ["/b"]


async def test_a_watch_from_a_future_revision_waits_for_it(store):
    async with aclosing(store.watch("/", 4)) as watch:
        for key in ["/2", "/3", "/4"]:
            await put(store, key)
        assert [c.key for c in await read(watch, 1)] == ["/4"]


async def test_a_batch_never_splits_a_revision(store):
    for n in range(4):
        await store.txn([], [Put(f"/{k:04}", b"%d" % n) for k in range(700)])
    async with aclosing(store.watch("/", 2)) as watch:
        seen = 0
        while seen < 4 * 700:
            batch = await asyncio.wait_for(anext(watch), 10)
            assert len(batch) % 700 == 0
            seen += len(batch)


async def test_no_change_is_missed_or_told_twice_between_history_and_live(store):
    async def write() -> None:
        for _ in range(60):
            await put(store, "/k")

    async def follow(from_revision: int) -> list[int]:
        async with aclosing(store.watch("/", from_revision)) as watch:
            changes = await read(watch, 302 - from_revision)
            return [change.revision for change in changes]

    writers = [asyncio.ensure_future(write()) for _ in range(5)]
    followers = []
    while not all(writer.done() for writer in writers):
        followers.append(asyncio.ensure_future(follow(max(2, await store.revision() - 20))))
        await asyncio.sleep(0.002)
    for revisions in await asyncio.gather(*followers):
        assert revisions == list(range(revisions[0], 302))
    await asyncio.gather(*writers)


async def test_a_compacted_revision_cannot_be_watched_but_the_oldest_kept_can(store):
    for n in range(6):
        await put(store, "/a", b"%d" % n)
    await store.compact(5)
    async with aclosing(store.watch("/", 5)) as watch:
        assert [c.revision for c in await read(watch, 3)] == [5, 6, 7]
    with pytest.raises(CompactedError) as error:
        await anext(store.watch("/", 4))
    assert error.value.compacted == 5


async def test_a_slow_reader_is_cut_off_and_the_others_are_not(backend):
    store = await backend.open(watch_queue_changes=50)
    slow, quick = store.watch("/"), store.watch("/")
    seen = 0
    for n in range(120):
        await put(store, f"/{n}")
        seen += len(await anext(quick))
    assert seen == 120
    with pytest.raises(WatchLagged):
        await anext(slow)
    await slow.aclose()
    await quick.aclose()


async def test_closing_the_watch_ends_a_reader_that_waits(store):
    watch = store.watch("/")
    reader = asyncio.ensure_future(anext(watch))
    await asyncio.sleep(0)
    await watch.aclose()
    with pytest.raises(StopAsyncIteration):
        await reader
    await watch.aclose()


async def test_a_reader_that_was_cancelled_can_read_on(store):
    async with aclosing(store.watch("/")) as watch:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(watch), 0.01)
        await put(store, "/a")
        assert [c.key for c in await read(watch, 1)] == ["/a"]


async def test_closing_the_store_ends_its_watches(store):
    watch = store.watch("/")
    reader = asyncio.ensure_future(anext(watch))
    await asyncio.sleep(0)
    await store.close()
    with pytest.raises(StoreUnavailable):
        await reader


async def test_history_survives_opening_again(backend):
    store = await backend.open()
    await put(store, "/a", b"1")
    await put(store, "/a", b"2")
    await store.close()
    store = await backend.open()
    async with aclosing(store.watch("/", 2)) as watch:
        assert [(c.revision, c.previous) for c in await read(watch, 2)] == [(2, None), (3, b"1")]
