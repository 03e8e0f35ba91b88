"""What a watch is told: selections entered and left, bookmarks, resuming, and when history is gone."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import Any

import pytest
from aiohttp.test_utils import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from controlplane.apiserver.api import ApiServer
from controlplane.apiserver.identity import CONTROL_PLANE
from controlplane.apiserver.local_client import LocalClient
from controlplane.apiserver.request import ListOptions, Request
from controlplane.apiserver.verbs.read import list_
from controlplane.apiserver.verbs.watch import GATHER_MOST, GATHER_SECONDS, STORM, WatchStream, gather_for, watch
from controlplane.apiserver.watching import QUEUE_EVENTS
from shared import codec
from shared.api.errors import AlreadyExists, Conflict, Expired, Invalid, NotFound, Timeout
from shared.api.kinds import CONFIG_MAPS, PODS
from shared.client.base import Binding, EventType, PatchType

A, M, D = EventType.ADDED, EventType.MODIFIED, EventType.DELETED


def _request(client: LocalClient, resource: Any = CONFIG_MAPS, namespace: str = "g") -> Request:
    return Request(CONTROL_PLANE, client.kind_of(resource), namespace)


async def _revision(api: ApiServer, client: LocalClient) -> str:
    return str((await list_(api, _request(client), ListOptions())).revision)


async def _told(stream: WatchStream, count: int) -> list[tuple[EventType, str]]:
    """The next ``count`` events as (type, name); fails when one more comes with them."""
    told: list[tuple[EventType, str]] = []
    async with asyncio.timeout(10):
        async for batch in stream.batches():
            told += [(type_, entry.name) for type_, entry in batch.events]
            if len(told) >= count:
                break
    assert len(told) == count
    return told


async def _label(client: LocalClient, name: str, value: str | None) -> None:
    await client.patch(CONFIG_MAPS, name, {"metadata": {"labels": {"app": value}}}, "g")


async def test_a_watch_is_told_what_came_before_it_was_ended(api: ApiServer, client: LocalClient) -> None:
    """Ended as when a definition goes: within the batch of changes that the last events are part of."""
    revision = await _revision(api, client)
    await client.create(CONFIG_MAPS, {"metadata": {"name": "a"}}, "g")
    cache = api.cache.of(client.kind_of(CONFIG_MAPS))
    stream = await watch(api, _request(client), ListOptions(resource_version=revision))
    cache.watches.offer(cache.since(int(revision))[0])
    cache.watches.end()
    assert [entry.name async for batch in stream.batches() for _, entry in batch.events] == ["a", "a"]


def test_events_gather_longer_while_they_storm_and_at_once_shorter_again() -> None:
    waited = [GATHER_SECONDS]
    for events in (STORM, 5 * STORM, 9 * STORM, STORM - 1, 1):
        waited.append(gather_for(waited[-1], events))
    assert waited == [0.02, 0.04, GATHER_MOST, GATHER_MOST, 0.02, 0.02]


async def test_what_has_gathered_is_told_in_order(api: ApiServer, client: LocalClient) -> None:
    stream = await watch(api, _request(client), ListOptions(resource_version=await _revision(api, client)))
    names = [f"c{number}" for number in range(5 * STORM)]
    told: list[str] = []
    async with asyncio.timeout(10):
        writing = asyncio.create_task(_create_all(client, names))
        async for batch in stream.batches(gather=True):
            told += [entry.name for _, entry in batch.events]
            if len(told) >= len(names):
                break
        await writing
    assert told == names


async def _create_all(client: LocalClient, names: list[str]) -> None:
    for name in names:
        await client.create(CONFIG_MAPS, {"metadata": {"name": name}}, "g")


async def test_without_a_selector_everything_is_told_as_it_happens(api: ApiServer, client: LocalClient) -> None:
    stream = await watch(api, _request(client), ListOptions(resource_version=await _revision(api, client)))
    await client.create(CONFIG_MAPS, {"metadata": {"name": "a"}}, "g")
    await _label(client, "a", "x")
    await client.create(CONFIG_MAPS, {"metadata": {"name": "b"}}, "other")
    await client.delete(CONFIG_MAPS, "a", "g")
    assert await _told(stream, 3) == [(A, "a"), (M, "a"), (D, "a")]
    stream.close()


async def test_objects_enter_and_leave_a_selection(api: ApiServer, client: LocalClient) -> None:
    start = await _revision(api, client)
    live = await watch(api, _request(client), ListOptions("app=x", resource_version=start))
    await client.create(CONFIG_MAPS, {"metadata": {"name": "a"}}, "g")
    for value in ("y", "x", "x2", "x", None, "x"):
        await _label(client, "a", value)
    await client.patch(CONFIG_MAPS, "a", {"data": {"k": "v"}}, "g")
    await client.delete(CONFIG_MAPS, "a", "g")
    expected = [(A, "a"), (D, "a"), (A, "a"), (D, "a"), (A, "a"), (M, "a"), (D, "a")]
    assert await _told(live, 7) == expected
    resumed = await watch(api, _request(client), ListOptions("app=x", resource_version=start))
    assert await _told(resumed, 7) == expected
    live.close()
    resumed.close()


async def test_leaving_tells_the_state_from_before_with_the_new_revision(api: ApiServer, client: LocalClient) -> None:
    await client.create(CONFIG_MAPS, {"metadata": {"name": "a", "labels": {"app": "x"}}, "data": {"k": "old"}}, "g")
    stream = await watch(api, _request(client), ListOptions("app=x", resource_version=await _revision(api, client)))
    left = await client.patch(CONFIG_MAPS, "a", {"metadata": {"labels": None}, "data": {"k": "new"}}, "g")
    async for batch in stream.batches():
        [(type_, entry)] = batch.events
        break
    told = codec.decode(entry.data)
    assert (type_, told["data"], told["metadata"]["labels"]) == (D, {"k": "old"}, {"app": "x"})
    assert told["metadata"]["resourceVersion"] == left["metadata"]["resourceVersion"]
    stream.close()


async def test_a_deletion_has_its_own_revision(api: ApiServer, client: LocalClient) -> None:
    made = await client.create(CONFIG_MAPS, {"metadata": {"name": "a"}}, "g")
    stream = await watch(api, _request(client), ListOptions(resource_version=made["metadata"]["resourceVersion"]))
    await client.delete(CONFIG_MAPS, "a", "g")
    async for batch in stream.batches():
        [(_, entry)] = batch.events
        break
    assert entry.revision == int(made["metadata"]["resourceVersion"]) + 1 == api.cache.revision
    assert entry.object.metadata.uid == made["metadata"]["uid"]
    stream.close()


async def test_a_watch_by_node_name_sees_pods_come_and_go(api: ApiServer, client: LocalClient) -> None:
    pod = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    start = await _revision(api, client)
    options = [ListOptions(field_selector=f"spec.nodeName={n}", resource_version=start) for n in ("n1", "n2")]
    one, two = [await watch(api, _request(client, PODS, ""), o) for o in options]
    made = await client.create(PODS, pod, "g")
    assert await client.bind([Binding("g", "p", made["metadata"]["uid"], "n1")]) == [None]
    await client.patch(PODS, "p", {"status": {"phase": "Running"}}, "g", subresource="status")
    await client.delete(PODS, "p", "g", grace_period_seconds=0)
    assert await _told(one, 3) == [(A, "p"), (M, "p"), (D, "p")]
    two.close()
    assert [batch async for batch in two.batches()] == []
    one.close()


@pytest.mark.parametrize("version", ["", "0"], ids=["empty", "zero"])
async def test_without_a_revision_what_is_there_comes_first(api: ApiServer, client: LocalClient, version: str) -> None:
    for name in ("b", "a"):
        await client.create(CONFIG_MAPS, {"metadata": {"name": name}}, "g")
    stream = await watch(api, _request(client), ListOptions(resource_version=version))
    await client.create(CONFIG_MAPS, {"metadata": {"name": "c"}}, "g")
    assert await _told(stream, 3) == [(A, "a"), (A, "b"), (A, "c")]
    stream.close()


async def test_a_streaming_list_ends_with_its_bookmark(http: TestClient, client: LocalClient) -> None:  # type: ignore[type-arg]
    await client.create(CONFIG_MAPS, {"metadata": {"name": "a"}}, "g")
    query = "watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true&timeoutSeconds=1"
    async with http.get(f"/api/v1/namespaces/g/configmaps?{query}") as response:
        lines = [json.loads(line) async for line in response.content]
    assert [line["type"] for line in lines[:2]] == ["ADDED", "BOOKMARK"]
    assert lines[1]["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}


async def test_a_bookmark_comes_when_the_time_is_over(http: TestClient, api: ApiServer) -> None:  # type: ignore[type-arg]
    query = f"watch=1&allowWatchBookmarks=true&timeoutSeconds=1&resourceVersion={api.cache.revision}"
    async with http.get(f"/api/v1/namespaces/g/configmaps?{query}") as response:
        lines = [json.loads(line) async for line in response.content]
    assert [line["type"] for line in lines] == ["BOOKMARK"]
    assert lines[0]["object"]["metadata"]["resourceVersion"] == str(api.cache.revision)


@pytest.mark.parametrize("history", [3], ids=["short history"])
async def test_too_old_a_revision_is_expired(api: ApiServer, client: LocalClient, http: TestClient) -> None:  # type: ignore[type-arg]
    start = await _revision(api, client)
    for index in range(5):
        await client.create(CONFIG_MAPS, {"metadata": {"name": f"a{index}"}}, "g")
    with pytest.raises(Expired, match=f"too old resource version: {start}"):
        await watch(api, _request(client), ListOptions(resource_version=start))
    async with http.get(f"/api/v1/namespaces/g/configmaps?watch=1&resourceVersion={start}") as response:
        assert response.status == 200
        [line] = [json.loads(line) async for line in response.content]
    assert (line["type"], line["object"]["code"], line["object"]["reason"]) == ("ERROR", 410, "Expired")


async def test_a_revision_of_the_future_is_refused(
    api: ApiServer, client: LocalClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("controlplane.apiserver.api.FRESH_WAIT", 0.01)
    with pytest.raises(Timeout, match="Too large resource version: 999999"):
        await watch(api, _request(client), ListOptions(resource_version="999999"))


async def test_a_match_without_initial_events_is_refused(api: ApiServer, client: LocalClient) -> None:
    with pytest.raises(Invalid):
        await watch(api, _request(client), ListOptions(resource_version="1", resource_version_match="Exact"))


async def test_a_reader_too_slow_is_cut_off_and_misses_nothing_before(
    api: ApiServer, client: LocalClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("controlplane.apiserver.watching.QUEUE_EVENTS", 3)
    assert QUEUE_EVENTS >= 1000
    stream = await watch(api, _request(client), ListOptions(resource_version=await _revision(api, client)))
    for index in range(6):
        await client.create(CONFIG_MAPS, {"metadata": {"name": f"a{index}"}}, "g")
    told = [entry.name async for batch in stream.batches() for _, entry in batch.events]
    assert told == ["a0", "a1", "a2"]
    stream.close()


async def test_a_reader_too_slow_is_cut_off_by_bytes_too(
    api: ApiServer, client: LocalClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it began with is not held against it: the cache keeps that alive anyway."""
    for index in range(5):
        await client.create(CONFIG_MAPS, {"metadata": {"name": f"old{index}"}, "data": {"a": "x" * 1000}}, "g")
    monkeypatch.setattr("controlplane.apiserver.watching.RING_BYTES", 3000)
    monkeypatch.setattr("controlplane.apiserver.watching.QUEUE_EVENTS", 4)
    stream = await watch(api, _request(client), ListOptions())
    for index in range(6):
        await client.create(CONFIG_MAPS, {"metadata": {"name": f"new{index}"}, "data": {"a": "x" * 1000}}, "g")
    told = [entry.name async for batch in stream.batches() for _, entry in batch.events]
    assert told == ["old0", "old1", "old2", "old3", "old4", "new0", "new1", "new2"]
    stream.close()


async def test_closing_the_server_ends_a_watch_cleanly(http: TestClient, api: ApiServer) -> None:  # type: ignore[type-arg]
    async with http.get("/api/v1/configmaps?watch=1") as response:
        api.close()
        async with asyncio.timeout(5):
            assert await response.content.read() == b""


async def test_a_watch_as_a_table_names_its_columns_once(http: TestClient, client: LocalClient) -> None:  # type: ignore[type-arg]
    for name in ("a", "b"):
        await client.create(CONFIG_MAPS, {"metadata": {"name": name}, "data": {"k": "v"}}, "g")
    accept = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
    url = "/api/v1/namespaces/g/configmaps?watch=1&timeoutSeconds=1"
    async with http.get(url, headers={"Accept": accept}) as response:
        tables = [json.loads(line)["object"] async for line in response.content]
    assert [table["rows"][0]["cells"][:2] for table in tables] == [["a", 1], ["b", 1]]
    assert [bool(table["columnDefinitions"]) for table in tables] == [True, False]
    assert tables[0]["rows"][0]["object"]["kind"] == "PartialObjectMetadata"


STEPS = st.lists(
    st.tuples(st.sampled_from(["create", "label", "unlabel", "delete"]), st.integers(0, 4)), min_size=1, max_size=25
)


@given(steps=STEPS, cuts=st.lists(st.integers(1, 4), max_size=12))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_resuming_under_concurrent_writes_neither_misses_nor_repeats(
    api: ApiServer, client: LocalClient, steps: list[tuple[str, int]], cuts: list[int]
) -> None:
    """A watch that is cut again and again and resumed from its last revision keeps a true copy of the selection."""
    start = int(await _revision(api, client))
    options = ListOptions("app=x")
    mirror = {entry.name: entry.revision for entry in (await list_(api, _request(client), options)).entries}
    writing = asyncio.ensure_future(_write(client, steps))
    seen: list[int] = []
    position, remaining = start, list(cuts)
    while True:
        done = writing.done()
        stream = await watch(api, _request(client), ListOptions("app=x", resource_version=str(position)))
        limit = remaining.pop() if remaining else 1000
        end = api.cache.revision
        while limit > 0 and (batch := await stream._watch.next(0.001, limit=1)):
            [(type_, entry)] = batch
            seen.append(entry.revision)
            position = entry.revision
            limit -= 1
            if type_ is D:
                assert mirror.pop(entry.name, None) is not None
            else:
                assert (type_ is A) == (entry.name not in mirror)
                mirror[entry.name] = entry.revision
        stream.close()
        if done and not remaining and position <= end and limit > 0:
            break
    await writing
    assert seen == sorted(set(seen))
    now = {entry.name: entry.revision for entry in (await list_(api, _request(client), options)).entries}
    assert mirror == now
    for entry in (await list_(api, _request(client), ListOptions())).entries:
        await client.delete(CONFIG_MAPS, entry.name, "g")


async def _write(client: LocalClient, steps: list[tuple[str, int]]) -> None:
    async def one(action: str, number: int) -> None:
        name = f"c{number}"
        with contextlib.suppress(AlreadyExists, NotFound, Conflict):
            if action == "create":
                await client.create(CONFIG_MAPS, {"metadata": {"name": name, "labels": {"app": "x"}}}, "g")
            elif action == "delete":
                await client.delete(CONFIG_MAPS, name, "g")
            else:
                patch = {"metadata": {"labels": {"app": "x" if action == "label" else None}}}
                await client.patch(CONFIG_MAPS, name, patch, "g", type=PatchType.MERGE)

    for index in range(0, len(steps), 3):
        await asyncio.gather(*(one(*step) for step in steps[index : index + 3]))
