"""HttpClient against a real TLS server: what it sends, what it makes of the answers, and what it never lets out."""

from __future__ import annotations

import asyncio
import json
import re
import ssl
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from shared import pki
from shared.api.errors import (
    CLASSES,
    Conflict,
    Expired,
    InternalError,
    NotFound,
    ServiceUnavailable,
    StatusError,
    Timeout,
    TooManyRequests,
)
from shared.api.kinds import CONFIG_MAPS, NODES, PODS
from shared.client.base import Binding, EventType, PatchType
from shared.client.http import HttpClient

CA = pki.create_ca()


@asynccontextmanager
async def serve(tmp_path, app):
    """``app`` over TLS on loopback; its URL."""
    pair = pki.server_certificate(CA, ["127.0.0.1", "localhost"])
    pki.write_private(tmp_path / "crt", pair.certificate)
    pki.write_private(tmp_path / "key", pair.key)
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    site = web.TCPSite(
        runner, "127.0.0.1", 0, ssl_context=pki.server_context(tmp_path / "crt", tmp_path / "key", CA.pem)
    )
    await site.start()
    try:
        yield f"https://127.0.0.1:{site._server.sockets[0].getsockname()[1]}"
    finally:
        await runner.cleanup()


def client_for(url, user="longboat:admin", **options):
    pair = pki.client_certificate(CA, user, ["system:masters"]) if user else None
    return HttpClient(url, pki.client_context(CA.pem, pair), **options)


class Server:
    """Answers every request with what ``answer`` returns, and remembers what came."""

    def __init__(self):
        self.seen = []
        self.answer = lambda request: {}
        self.app = web.Application()
        self.app.router.add_route("*", "/{path:.*}", self.handle)

    async def handle(self, request):
        body = await request.read()
        self.seen.append((request.method, request.path_qs, json.loads(body) if body else None, request))
        found = self.answer(request)
        if asyncio.iscoroutine(found):
            found = await found
        if isinstance(found, StatusError):
            return web.json_response(found.to_status(), status=found.code)
        return found if isinstance(found, web.StreamResponse) else web.json_response(found)


@pytest.fixture
async def link(tmp_path):
    server = Server()
    async with serve(tmp_path, server.app) as url, client_for(url) as client:
        yield server, client


def config_map(name, **more):
    return {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": name, "namespace": "n", **more}}


async def test_get_is_typed(link):
    server, client = link
    server.answer = lambda request: config_map("a", resourceVersion="7") | {"data": {"k": "v"}}
    found = await client.get(CONFIG_MAPS, "a", "n")
    assert (found.metadata.resource_version, found.data) == ("7", {"k": "v"})
    assert server.seen[0][:2] == ("GET", "/api/v1/namespaces/n/configmaps/a")


async def test_names_are_escaped(link):
    server, client = link
    server.answer = lambda request: NotFound("no")
    with pytest.raises(NotFound):
        await client.get(CONFIG_MAPS, "a/../b?x", "n")
    assert server.seen[0][3].raw_path == "/api/v1/namespaces/n/configmaps/a%2F..%2Fb%3Fx"


async def test_nulls_of_other_clients_do_no_harm(link):
    server, client = link
    server.answer = lambda request: {"metadata": {}, "items": [config_map("a", labels=None) | {"data": None}]}
    assert [each.metadata.name for each in (await client.list(CONFIG_MAPS)).items] == ["a"]


async def test_a_list_follows_its_pages(link):
    server, client = link

    def answer(request):
        page = int(request.query.get("continue", "0"))
        items = [config_map(f"c{page * 500 + i}") for i in range(500 if page < 2 else 3)]
        meta = {"resourceVersion": "9"} | ({"continue": str(page + 1)} if page < 2 else {})
        return {"metadata": meta, "items": items}

    server.answer = answer
    found = await client.list(CONFIG_MAPS, "n", label_selector="a in (b,c)", field_selector="metadata.name!=x")
    assert len(found.items) == 1003
    assert found.resource_version == "9"
    queries = [request.query for *_, request in server.seen]
    assert [q.get("continue") for q in queries] == [None, "1", "2"]
    assert {q["labelSelector"] for q in queries} == {"a in (b,c)"}
    assert {q["limit"] for q in queries} == {"500"}


async def test_a_list_whose_token_expires_begins_anew(link):
    server, client = link
    expired = [True]

    def answer(request):
        if "continue" in request.query:
            return Expired("too old") if expired and expired.pop() else {"metadata": {}, "items": [config_map("b")]}
        return {"metadata": {"continue": "x"}, "items": [config_map("a")]}

    server.answer = answer
    assert [each.metadata.name for each in (await client.list(CONFIG_MAPS)).items] == ["a", "b"]


async def test_writes(link):
    server, client = link
    server.answer = lambda request: {"ok": True}
    await client.create(CONFIG_MAPS, config_map("a"))
    await client.create(PODS, {"target": {}}, "n", name="p", subresource="eviction")
    await client.replace(NODES, {"metadata": {"name": "x"}}, subresource="status")
    await client.patch(NODES, "x", {"a": 1}, type=PatchType.STRATEGIC, subresource="status")
    await client.delete(PODS, "p", "n", grace_period_seconds=0, uid="u", propagation_policy="Orphan")
    seen = [(method, path, request.headers.get("Content-Type")) for method, path, _, request in server.seen]
    assert seen == [
        ("POST", "/api/v1/namespaces/n/configmaps", "application/json"),
        ("POST", "/api/v1/namespaces/n/pods/p/eviction", "application/json"),
        ("PUT", "/api/v1/nodes/x/status", "application/json"),
        ("PATCH", "/api/v1/nodes/x/status", "application/strategic-merge-patch+json"),
        ("DELETE", "/api/v1/namespaces/n/pods/p", "application/json"),
    ]
    assert server.seen[-1][2] == {
        "kind": "DeleteOptions", "apiVersion": "v1", "gracePeriodSeconds": 0, "propagationPolicy": "Orphan",
        "preconditions": {"uid": "u"},
    }  # fmt: skip


async def test_bindings_have_an_outcome_each(link):
    server, client = link
    server.answer = lambda request: Conflict("bound") if "/p1/" in request.path else {}
    outcomes = await client.bind([Binding("n", f"p{i}", f"u{i}", "node") for i in range(3)])
    assert [type(each) for each in outcomes] == [type(None), Conflict, type(None)]
    assert server.seen[0][2]["metadata"]["uid"].startswith("u")


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
async def test_every_status_is_raised_as_its_own_class(link, cls):
    server, client = link
    server.answer = lambda request: cls("words", name="x", retry_after_seconds=3)
    with pytest.raises(StatusError) as caught:
        await client.get(PODS, "x", "n")
    assert type(caught.value) is cls
    assert (caught.value.message, caught.value.name, caught.value.retry_after_seconds) == ("words", "x", 3)


@pytest.mark.parametrize(
    ("response", "cls"),
    [
        (lambda: web.Response(status=502, text="<html>bad gateway</html>"), InternalError),
        (lambda: web.Response(status=429, headers={"Retry-After": "2"}), TooManyRequests),
        (lambda: web.Response(text="not json"), InternalError),
        (lambda: web.json_response([]), InternalError),
        (lambda: web.json_response({"metadata": {"name": 5}}), InternalError),
        (lambda: web.Response(status=302, headers={"Location": "https://elsewhere"}), StatusError),
    ],
    ids=["html", "too-many", "not-json", "list", "wrong-type", "redirect"],
)
async def test_an_odd_answer_is_a_status_error(link, response, cls):
    server, client = link
    server.answer = lambda request: response()
    with pytest.raises(cls):
        await client.get(PODS, "x", "n")


# --- connections


async def test_nobody_at_the_address_is_unavailable(unused_tcp_port):
    async with client_for(f"https://127.0.0.1:{unused_tcp_port}") as client:
        with pytest.raises(ServiceUnavailable, match=r"127\.0\.0\.1:\d+ cannot be reached"):
            await client.get(PODS, "x", "n")


async def test_a_server_of_another_ca_is_not_trusted(tmp_path):
    async with serve(tmp_path, Server().app) as url:
        other = pki.client_context(pki.create_ca().pem)
        async with HttpClient(url, other) as client:
            with pytest.raises(ServiceUnavailable, match="is not trusted"):
                await client.get(PODS, "x", "n")


async def test_the_name_that_is_verified_can_be_another(tmp_path):
    async with serve(tmp_path, Server().app) as url:
        async with client_for(url, tls_server_name="localhost") as client:
            assert await client.request("GET", "/x")
        async with client_for(url, tls_server_name="elsewhere") as client:
            with pytest.raises(ServiceUnavailable, match="is not trusted"):
                await client.request("GET", "/x")


async def test_a_silent_server_is_a_timeout(link):
    server, client = link
    server.answer = lambda request: asyncio.sleep(30)
    with pytest.raises(Timeout):
        await client.request("GET", "/slow", timeout=0.2)


async def test_a_broken_connection_is_unavailable(link):
    server, client = link

    async def cut(request):
        request.transport.abort()

    server.answer = cut
    with pytest.raises(ServiceUnavailable):
        await client.create(CONFIG_MAPS, config_map("a"))


async def test_a_closed_client_refuses(link):
    _, client = link
    await client.close()
    with pytest.raises(ServiceUnavailable, match="closed"):
        await client.get(PODS, "x", "n")


async def test_the_certificate_is_swapped_without_breaking_what_is_under_way(link):
    server, client = link
    go = asyncio.Event()

    async def who(request):
        if request.path == "/slow":
            await go.wait()
        subject = dict(pair[0] for pair in request.transport.get_extra_info("peercert")["subject"])
        return {"user": subject["commonName"]}

    server.answer = who
    async with asyncio.TaskGroup() as group:
        slow = group.create_task(client.request("GET", "/slow"))
        while not server.seen:
            await asyncio.sleep(0)
        await client.use(pki.client_context(CA.pem, pki.client_certificate(CA, "renewed", [])))
        assert json.loads(await client.request("GET", "/quick")) == {"user": "renewed"}
        go.set()
    assert json.loads(slow.result()) == {"user": "longboat:admin"}


async def test_a_token_is_sent_as_bearer(tmp_path):
    server = Server()
    async with serve(tmp_path, server.app) as url, client_for(url, user="", token="abc.def") as client:
        await client.request("GET", "/x")
    assert server.seen[0][3].headers["Authorization"] == "Bearer abc.def"


# --- watches


def streaming(*lines, then=None):
    async def answer(request):
        response = web.StreamResponse()
        await response.prepare(request)
        for line in lines:
            await response.write(line if isinstance(line, bytes) else json.dumps(line).encode() + b"\n")
        if then is not None:
            await then(request)
        return response

    return answer


def event(type, name, rv="1", **more):
    return {"type": type, "object": config_map(name, resourceVersion=rv) | more}


async def read(client, **options):
    return [(e.type, e.object) async for e in client.watch(CONFIG_MAPS, "n", resource_version="5", **options)]


async def test_a_watch_gives_events_and_bookmarks_in_order(link):
    server, client = link
    server.answer = streaming(
        event("ADDED", "a"), event("MODIFIED", "a", "2", data=None), b"\n", event("DELETED", "a", "3"),
        {"type": "BOOKMARK", "object": {"kind": "ConfigMap", "metadata": {"resourceVersion": "9"}}},
    )  # fmt: skip
    found = await read(client, field_selector="metadata.name=a")
    assert [(str(type), obj.metadata.resource_version) for type, obj in found] == [
        ("ADDED", "1"), ("MODIFIED", "2"), ("DELETED", "3"), ("BOOKMARK", "9"),
    ]  # fmt: skip
    query = server.seen[0][3].query
    assert dict(query) == {
        "watch": "true", "allowWatchBookmarks": "true", "resourceVersion": "5", "fieldSelector": "metadata.name=a",
    }  # fmt: skip


async def test_an_event_of_three_megabytes_in_small_pieces(link):
    server, client = link
    line = json.dumps(event("ADDED", "big", data={"k": "x" * (3 << 20)})).encode() + b"\n"
    pieces = [line[i : i + 50_000] for i in range(0, len(line), 50_000)]
    server.answer = streaming(*pieces, event("ADDED", "after"))
    found = await read(client)
    assert [obj.metadata.name for _, obj in found] == ["big", "after"]
    assert len(found[0][1].data["k"]) == 3 << 20


async def test_an_event_that_was_cut_off_is_not_given(link):
    server, client = link
    server.answer = streaming(event("ADDED", "a"), b'{"type":"ADDED","obj')
    assert [obj.metadata.name for _, obj in await read(client)] == ["a"]


@pytest.mark.parametrize("when", ["at-once", "in-the-stream"])
async def test_a_history_that_is_gone_is_expired(link, when):
    server, client = link
    gone = Expired("too old resource version")
    server.answer = (
        (lambda request: gone)
        if when == "at-once"
        else streaming({"type": "ERROR", "object": gone.to_status()}, event("ADDED", "never"))
    )
    with pytest.raises(Expired, match="too old"):
        await read(client)


async def test_a_watch_ends_when_the_connection_breaks(link):
    server, client = link

    async def cut(request):
        request.transport.abort()

    server.answer = streaming(event("ADDED", "a"), then=cut)
    assert len(await read(client)) == 1


async def test_a_watch_on_which_nothing_comes_ends(tmp_path):
    server, hold = Server(), asyncio.Event()
    server.answer = streaming(event("ADDED", "a"), then=lambda request: hold.wait())
    async with serve(tmp_path, server.app) as url, client_for(url, watch_idle=0.3) as client:
        async with asyncio.timeout(5):
            assert len(await read(client)) == 1
        hold.set()


async def test_reconnect_ends_a_watch_at_once(link):
    server, client = link
    hold = asyncio.Event()
    server.answer = streaming(event("ADDED", "a"), then=lambda request: hold.wait())
    seen = []
    async with asyncio.timeout(5):
        async for each in client.watch(CONFIG_MAPS, "n", resource_version="5"):
            seen.append(each.type)
            await client.reconnect()
    assert seen == [EventType.ADDED]
    hold.set()


async def test_leaving_a_watch_closes_its_connection(link):
    server, client = link
    left = asyncio.Event()

    async def until_gone(request):
        while request.transport is not None:
            await asyncio.sleep(0.01)
        left.set()

    server.answer = streaming(event("ADDED", "a"), then=until_gone)
    stream = client.watch(CONFIG_MAPS, "n", resource_version="5")
    await anext(stream)
    await stream.aclose()
    async with asyncio.timeout(5):
        await left.wait()


async def test_plain_http_and_old_tls_are_not_spoken(tmp_path):
    async with serve(tmp_path, Server().app) as url:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.set_ciphers("ALL:@SECLEVEL=0")
        with pytest.warns(DeprecationWarning, match="TLSv1"):
            context.maximum_version = ssl.TLSVersion.TLSv1_1
        host, port = re.fullmatch(r"https://(.*):(\d+)", url).groups()
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await asyncio.open_connection(host, int(port), ssl=context)
