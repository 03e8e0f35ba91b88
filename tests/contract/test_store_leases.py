"""The store's contract: leases. Times are real, so TTLs are short and waits generous."""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing

import pytest

from controlplane.store.base import LeaseNotFound, Put


async def put(store, key, lease=0):
    return await store.txn([], [Put(key, b"v", lease)])


async def gone(store, key):
    """Wait until the key is deleted; the seconds that took."""
    started = time.monotonic()
    async with aclosing(store.watch(key)) as watch:
        if await store.get(key) is None:
            return 0.0
        async with asyncio.timeout(10):
            while (await anext(watch))[-1].value is not None:
                pass
    return time.monotonic() - started


async def test_keys_end_with_their_lease(store):
    lease = await store.lease_grant(0.2)
    assert lease != 0
    await put(store, "/with", lease)
    await put(store, "/too", lease)
    await put(store, "/without")
    took = await gone(store, "/with")
    assert took < 2
    assert [kv.key for kv in (await store.range("/")).items] == ["/without"]
    with pytest.raises(LeaseNotFound):
        await store.lease_keepalive(lease)


async def test_a_lease_deletes_its_keys_in_one_revision(store):
    lease = await store.lease_grant(0.1)
    async with aclosing(store.watch("/")) as watch:
        await store.txn([], [Put(f"/{n}", b"v", lease) for n in range(3)])
        deleted = []
        async with asyncio.timeout(10):
            while not deleted:
                deleted = [change for change in await anext(watch) if change.value is None]
    assert len({change.revision for change in deleted}) == 1
    assert len(deleted) == 3
    assert deleted[0].previous == b"v"


async def test_a_lease_kept_alive_stays(store):
    lease = await store.lease_grant(0.4)
    await put(store, "/a", lease)
    revision = await store.revision()
    for _ in range(8):
        await asyncio.sleep(0.1)
        assert await store.lease_keepalive(lease) == 0.4
    assert await store.get("/a") is not None
    assert await store.revision() == revision
    assert 0.2 < await gone(store, "/a") < 3


async def test_revoking_deletes_at_once(store):
    lease = await store.lease_grant(60)
    await put(store, "/a", lease)
    await store.lease_revoke(lease)
    assert await store.get("/a") is None
    for use in (store.lease_revoke(lease), store.lease_keepalive(lease), put(store, "/b", lease)):
        with pytest.raises(LeaseNotFound):
            await use
    assert await store.get("/b") is None


async def test_a_put_without_the_lease_detaches_the_key(store):
    first, second = await store.lease_grant(60), await store.lease_grant(60)
    for key in ("/stays", "/moves"):
        await put(store, key, first)
    await put(store, "/stays")
    await put(store, "/moves", second)
    await store.lease_revoke(first)
    assert (await store.range("/")).count == 2
    await store.lease_revoke(second)
    assert [kv.key for kv in (await store.range("/")).items] == ["/stays"]


async def test_a_lease_that_never_was_is_refused(store):
    with pytest.raises(LeaseNotFound):
        await put(store, "/a", 12345)
    with pytest.raises(LeaseNotFound):
        await store.lease_keepalive(12345)


async def test_ids_are_never_used_again(backend):
    store = await backend.open()
    first = await store.lease_grant(60)
    await store.lease_revoke(first)
    await store.close()
    store = await backend.open()
    assert await store.lease_grant(60) != first


async def test_after_opening_again_a_lease_has_one_full_ttl(backend):
    store = await backend.open()
    lease = await store.lease_grant(0.5)
    await put(store, "/a", lease)
    await store.close()
    await asyncio.sleep(0.7)
    store = await backend.open()
    assert await store.get("/a") is not None
    assert 0.3 < await gone(store, "/a") < 3


async def test_a_caller_that_gives_up_leaves_no_lease_for_ever(store):
    grant = asyncio.ensure_future(store.lease_grant(0.1))
    await asyncio.sleep(0)
    grant.cancel()
    with pytest.raises(asyncio.CancelledError):
        await grant
    following = await store.lease_grant(60)
    async with asyncio.timeout(5):
        while True:
            try:
                await store.lease_keepalive(following - 1)
            except LeaseNotFound:
                break
            await asyncio.sleep(0.15)
