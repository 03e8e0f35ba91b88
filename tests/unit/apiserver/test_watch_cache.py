"""The watch cache as such: splicing, following a store across restarts, starting over, and what it forgets."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.apiserver import encoding
from controlplane.apiserver.api import ApiServer
from controlplane.apiserver.kinds.table import KINDS
from controlplane.apiserver.local_client import LocalClient
from controlplane.store.base import Change, Compare, Put, Store, WatchLagged
from controlplane.store.sqlite import SqliteStore
from shared import codec
from shared.api.errors import Expired
from shared.api.kinds import CONFIG_MAPS, NAMESPACES, NODES
from shared.work.supervisor import Supervisor

TEXT = st.text(max_size=8)


@given(
    labels=st.dictionaries(TEXT, TEXT, max_size=3),
    data=st.dictionaries(TEXT, TEXT, max_size=3),
    revisions=st.tuples(st.integers(1, 2**60), st.integers(1, 2**60)),
)
def test_the_revision_is_spliced_into_any_object(
    labels: dict[str, str], data: dict[str, str], revisions: tuple[int, int]
) -> None:
    tree = {"data": data, "metadata": {"labels": labels, "name": "a", "resourceVersion": "77"}}
    stored = encoding.stored(CONFIG_MAPS, tree)  # type: ignore[arg-type]
    assert stored.startswith(b'{"kind":"ConfigMap","apiVersion":"v1","metadata":{')
    assert "resourceVersion" not in codec.decode(stored)["metadata"]
    served = encoding.with_revision(stored, revisions[0])
    expected: dict[str, Any] = {"kind": "ConfigMap", "apiVersion": "v1", "data": data}
    expected["metadata"] = {"labels": labels, "name": "a", "resourceVersion": str(revisions[0])}
    assert codec.decode(served) == expected
    expected["metadata"]["resourceVersion"] = str(revisions[1])
    assert codec.decode(encoding.at_revision(served, revisions[1])) == expected


@asynccontextmanager
async def _server(store: Store, **options: Any) -> AsyncIterator[LocalClient]:
    async with Supervisor() as supervisor:
        api = ApiServer(store, KINDS, rng=random.Random(1), **options)
        supervisor.service("watch cache", api.run())
        async with asyncio.timeout(10):
            await api.ready()
        yield LocalClient(api)
        api.close()
        supervisor.stop()


async def test_a_watch_resumes_across_a_restart(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path)
    async with _server(store) as client:
        await client.create(NAMESPACES, {"metadata": {"name": "g"}})
        first = await client.create(CONFIG_MAPS, {"metadata": {"name": "a"}}, "g")
        await client.create(CONFIG_MAPS, {"metadata": {"name": "b"}}, "g")
        await client.delete(CONFIG_MAPS, "a", "g")
    await store.close()
    store = await SqliteStore.open(tmp_path)
    async with _server(store) as client:
        told = []
        stream = client.watch(CONFIG_MAPS, "g", resource_version=first["metadata"]["resourceVersion"])
        async for event in stream:
            told.append((event.type.value, event.object.metadata.name))
            if len(told) == 2:
                break
        await stream.aclose()  # type: ignore[attr-defined]
        assert told == [("ADDED", "b"), ("DELETED", "a")]
        assert [o.metadata.name for o in (await client.list(CONFIG_MAPS)).items] == ["b"]
    await store.close()


async def test_history_that_was_compacted_does_not_keep_a_server_from_starting(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path)
    async with _server(store) as client:
        await client.create(NAMESPACES, {"metadata": {"name": "g"}})
        for index in range(20):
            await client.create(CONFIG_MAPS, {"metadata": {"name": f"a{index}"}}, "g")
    await store.compact(await store.revision())
    async with _server(store) as client:
        assert len((await client.list(CONFIG_MAPS)).items) == 20
        with pytest.raises(Expired):
            await anext(client.watch(CONFIG_MAPS, resource_version="2"))
    await store.close()


async def test_a_write_past_the_verbs_and_other_keys_are_followed_too(store: SqliteStore) -> None:
    """As the heartbeats do with Lease objects, and other parts with keys that are no objects."""
    async with _server(store) as client:
        key = encoding.storage_key(NODES, "", "n")  # type: ignore[arg-type]
        value = encoding.stored(NODES, {"metadata": {"name": "n"}})  # type: ignore[arg-type]
        await store.txn([Compare(key, 0)], [Put(key, value)])
        assert (await client.get(NODES, "n")).metadata.name == "n"
        result = await store.txn([], [Put("/elsewhere", b"x"), Put("/registry/unknown/things/a", b"{}")])
        await client._api.cache.wait(result.revision)
        assert client._api.cache.revision == result.revision


class Lagging:
    """A store whose watch is cut off when told to."""

    def __init__(self, store: SqliteStore) -> None:
        self._store, self.lag = store, asyncio.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def watch(self, prefix: str, from_revision: int = 0) -> AsyncIterator[Sequence[Change]]:
        real = self._store.watch(prefix, from_revision)
        lag = self.lag = asyncio.Event()
        reading, lagging = asyncio.ensure_future(real.__anext__()), asyncio.ensure_future(lag.wait())
        try:
            while True:
                await asyncio.wait((reading, lagging), return_when=asyncio.FIRST_COMPLETED)
                if lagging.done():
                    raise WatchLagged("too slow")
                yield reading.result()
                reading = asyncio.ensure_future(real.__anext__())
        finally:
            for task in (reading, lagging):
                task.cancel()
            await asyncio.gather(reading, lagging, return_exceptions=True)
            await real.aclose()


async def test_a_cache_that_fell_behind_ends_its_watches_and_starts_over(store: SqliteStore) -> None:
    lagging = Lagging(store)
    async with _server(lagging) as client:  # type: ignore[arg-type]
        await client.create(NAMESPACES, {"metadata": {"name": "g"}})
        cut = lagging.lag
        listed = await client.list(CONFIG_MAPS, "g")
        stream = client.watch(CONFIG_MAPS, "g", resource_version=listed.resource_version)
        waiting = asyncio.ensure_future(anext(stream))
        await asyncio.sleep(0)
        cut.set()
        async with asyncio.timeout(10):
            with pytest.raises(StopAsyncIteration):
                await waiting
            await client._api.ready()
            await client.create(CONFIG_MAPS, {"metadata": {"name": "a"}}, "g")
        assert (await client.get(CONFIG_MAPS, "a", "g")).metadata.name == "a"


async def test_the_past_holds_no_structs(store: SqliteStore) -> None:
    """Structs are several times larger than bytes: only the newest state may keep one."""
    async with _server(store) as client:
        await client.create(NAMESPACES, {"metadata": {"name": "g"}})
        await client.create(CONFIG_MAPS, {"metadata": {"name": "a"}}, "g")
        cache = client._api.of(client.kind_of(CONFIG_MAPS))
        old = cache.get("g", "a")
        assert old is not None
        assert old.object is old.object
        await client.patch(CONFIG_MAPS, "a", {"data": {"k": "v"}}, "g")
        assert old._object is None
        assert cache.since(old.revision)[0].previous is old


async def test_an_object_that_no_struct_takes_blinds_nobody(
    store: SqliteStore, caplog: pytest.LogCaptureFixture
) -> None:
    async with _server(store) as client:
        await client.create(NAMESPACES, {"metadata": {"name": "g"}})
        await client.create(CONFIG_MAPS, {"metadata": {"name": "good"}}, "g")
        key = encoding.storage_key(CONFIG_MAPS, "g", "bad")  # type: ignore[arg-type]
        value = encoding.stored(CONFIG_MAPS, {"metadata": {"name": "bad"}, "data": 7})  # type: ignore[arg-type]
        await store.txn([], [Put(key, value)])
        assert [o.metadata.name for o in (await client.list(CONFIG_MAPS)).items] == ["good"]
        assert "cannot be read" in caplog.text
