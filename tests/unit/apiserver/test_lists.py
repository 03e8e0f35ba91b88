"""Lists: order, pages pinned to a revision, resourceVersion semantics, and when a page's revision is gone."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from controlplane.apiserver.api import ApiServer
from controlplane.apiserver.identity import CONTROL_PLANE
from controlplane.apiserver.local_client import LocalClient
from controlplane.apiserver.request import ListOptions, Request
from controlplane.apiserver.verbs.read import ContinueExpired, Page, get, list_
from shared.api.errors import BadRequest, Expired, Invalid, Timeout
from shared.api.kinds import CONFIG_MAPS, PODS, Resource


async def _list(api: ApiServer, client: LocalClient, namespace: str = "g", **options: Any) -> Page:
    return await list_(api, Request(CONTROL_PLANE, client.kind_of(CONFIG_MAPS), namespace), ListOptions(**options))


async def _make(client: LocalClient, *names: str, namespace: str = "g", **labels: str) -> None:
    for name in names:
        await client.create(CONFIG_MAPS, {"metadata": {"name": name, "labels": labels}}, namespace)


def _names(page: Page) -> list[str]:
    return [entry.name for entry in page.entries]


async def test_objects_come_in_key_order_whatever_the_namespace(api: ApiServer, client: LocalClient) -> None:
    await _make(client, "b", "a")
    await _make(client, "c", "a-b", namespace="other")
    page = await _list(api, client, "")
    assert [(entry.namespace, entry.name) for entry in page.entries] == [
        ("g", "a"), ("g", "b"), ("other", "a-b"), ("other", "c"),
    ]  # fmt: skip
    assert _names(await _list(api, client, "other")) == ["a-b", "c"]
    assert _names(await _list(api, client, "nowhere")) == []


async def test_pages_are_all_of_the_first_ones_revision(api: ApiServer, client: LocalClient) -> None:
    await _make(client, "a", "b", "c", "d", "e")
    first = await _list(api, client, limit=2)
    assert (_names(first), first.remaining) == (["a", "b"], 3)
    await client.delete(CONFIG_MAPS, "c", "g")
    await client.delete(CONFIG_MAPS, "a", "g")
    await _make(client, "cc", "z")
    await client.patch(CONFIG_MAPS, "d", {"data": {"k": "v"}}, "g")
    second = await _list(api, client, limit=2, continue_=first.continue_)
    assert (_names(second), second.revision, second.remaining) == (["c", "d"], first.revision, 1)
    assert "data" not in second.entries[1].tree()
    third = await _list(api, client, limit=2, continue_=second.continue_)
    assert (_names(third), third.continue_) == (["e"], "")


async def test_pages_with_a_selector_say_nothing_of_what_remains(api: ApiServer, client: LocalClient) -> None:
    await _make(client, "a", "b", "c", app="x")
    await _make(client, "aa", "bb")
    first = await _list(api, client, limit=2, label_selector="app=x")
    assert (_names(first), first.remaining) == (["a", "b"], None)
    last = await _list(api, client, limit=2, label_selector="app=x", continue_=first.continue_)
    assert (_names(last), last.continue_) == (["c"], "")


@pytest.mark.parametrize("history", [2], ids=["short history"])
async def test_a_page_beyond_the_ring_is_read_from_the_store(api: ApiServer, client: LocalClient) -> None:
    await _make(client, "a", "b", "c")
    first = await _list(api, client, limit=1)
    await client.delete(CONFIG_MAPS, "b", "g")
    await _make(client, "d", "e", "f")
    assert _names(await _list(api, client, limit=9, continue_=first.continue_)) == ["b", "c"]


@pytest.mark.parametrize("history", [2], ids=["short history"])
async def test_a_compacted_page_offers_to_go_on_inconsistently(api: ApiServer, client: LocalClient) -> None:
    await _make(client, "a", "b", "c")
    first = await _list(api, client, limit=1)
    await client.delete(CONFIG_MAPS, "b", "g")
    await _make(client, "d", "e", "f")
    await api.store.compact(api.cache.revision)
    with pytest.raises(ContinueExpired) as refused:
        await _list(api, client, limit=9, continue_=first.continue_)
    status = refused.value.to_status()
    assert (status["code"], status["reason"]) == (410, "Expired")
    rest = await _list(api, client, limit=9, continue_=status["metadata"]["continue"])
    assert _names(rest) == ["c", "d", "e", "f"]


def _token(**fields: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(fields).encode()).decode()


@pytest.mark.parametrize(
    "token",
    [
        "zzz", "%%%", _token(), _token(v="meta.k8s.io/v1", rv=0, start="g/a\0"), _token(v="v9", rv=1, start="g/a\0"),
        _token(v="meta.k8s.io/v1", rv="1", start="g/a\0"), _token(v="meta.k8s.io/v1", rv=1, start="other/a\0"),
        _token(v="meta.k8s.io/v1", rv=1, start="g/../other/a\0"), _token(v="meta.k8s.io/v1", rv=1, start=7),
        base64.urlsafe_b64encode(b"[]").decode(),
    ],
)  # fmt: skip
async def test_bad_continue_tokens(api: ApiServer, client: LocalClient, token: str) -> None:
    with pytest.raises(BadRequest, match="continue key is not valid"):
        await _list(api, client, limit=1, continue_=token)


async def test_exact_reads_the_past(api: ApiServer, client: LocalClient) -> None:
    await _make(client, "a")
    then = str(api.cache.revision)
    await _make(client, "b")
    assert _names(await _list(api, client, resource_version=then, resource_version_match="Exact")) == ["a"]
    assert _names(await _list(api, client, resource_version=then, limit=9)) == ["a"]
    assert _names(await _list(api, client, resource_version=then)) == ["a", "b"]
    assert _names(await _list(api, client, resource_version="0", limit=9)) == ["a", "b"]


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"resource_version_match": "Exact"}, Invalid),
        ({"resource_version": "1", "resource_version_match": "Maybe"}, Invalid),
        ({"resource_version": "0", "resource_version_match": "Exact"}, Invalid),
        ({"send_initial_events": True}, Invalid),
        ({"resource_version": "abc"}, BadRequest),
        ({"resource_version": "-1"}, BadRequest),
        ({"label_selector": "a=="}, None),
        ({"label_selector": "a===b"}, BadRequest),
        ({"field_selector": "data.x=1"}, BadRequest),
        ({"field_selector": "metadata.name=a,metadata.namespace!=x"}, None),
        ({"resource_version": "99999999"}, Timeout),
        ({"resource_version": "1", "resource_version_match": "Exact"}, None),
    ],
)
async def test_options(
    api: ApiServer, client: LocalClient, monkeypatch: pytest.MonkeyPatch, options: Any, error: type[Exception] | None
) -> None:
    monkeypatch.setattr("controlplane.apiserver.api.FRESH_WAIT", 0.01)
    if error is None:
        await _list(api, client, **options)
        return
    with pytest.raises(error):
        await _list(api, client, **options)


async def test_an_exact_revision_that_is_compacted_has_expired(api: ApiServer, client: LocalClient) -> None:
    await _make(client, *(f"a{index}" for index in range(250)))
    await api.store.compact(api.cache.revision)
    with pytest.raises(Expired):
        await _list(api, client, resource_version="2", resource_version_match="Exact")


async def test_a_get_waits_for_its_revision(
    api: ApiServer, client: LocalClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    await _make(client, "a")
    request = Request(CONTROL_PLANE, client.kind_of(CONFIG_MAPS), "g", "a")
    assert (await get(api, request, str(api.cache.revision))).name == "a"
    monkeypatch.setattr("controlplane.apiserver.api.FRESH_WAIT", 0.01)
    with pytest.raises(Timeout):
        await get(api, request, "99999999")


@given(steps=st.lists(st.tuples(st.booleans(), st.integers(0, 5)), max_size=20), start=st.sampled_from(["", "g/c2"]))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_the_past_from_the_ring_is_the_past_of_the_store(
    api: ApiServer, client: LocalClient, steps: list[tuple[bool, int]], start: str
) -> None:
    cache = api.of(client.kind_of(CONFIG_MAPS))
    revisions = []
    for create, number in steps:
        name = f"c{number}"
        if create and cache.get("g", name) is None:
            await _make(client, name)
        elif cache.get("g", name) is not None:
            await client.delete(CONFIG_MAPS, name, "g")
        revisions.append(api.cache.revision)
    for revision in revisions:
        stored = await api.store.range(
            f"{cache.prefix}g/", revision=revision, start_after=cache.prefix + start if start else ""
        )
        expected = [(pair.key.removeprefix(cache.prefix), pair.mod_revision) for pair in stored.items]
        assert [(e.key, e.revision) for e in cache.entries_at(revision, "g", start)] == expected
    for entry in cache.entries("g"):
        await client.delete(CONFIG_MAPS, entry.name, "g")


@pytest.mark.parametrize(
    ("resource", "said"),
    [
        pytest.param(PODS, "^field label not supported: foo$", id="a kind with fields of its own"),
        pytest.param(CONFIG_MAPS, '^"foo" is not a known field selector: only "metadata.name", "metadata.namespace"$',
                     id="a kind without"),
    ],
)  # fmt: skip
async def test_an_unknown_field_is_refused_and_the_client_says_where(
    client: LocalClient, resource: Resource[Any], said: str
) -> None:
    with pytest.raises(BadRequest, match=said):
        await client.list(resource, "g", field_selector="foo=bar")
