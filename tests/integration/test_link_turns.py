"""A client's requests take turns for few connections; heartbeats do not wait, and an outage holds nobody up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import WSMsgType, web

from shared import pki
from shared.api.errors import ServiceUnavailable
from shared.api.kinds import NODES
from shared.client.http import HttpClient
from shared.client.pool import AT_ONCE

CA = pki.create_ca()
PROTOCOL = "v1.test"


class Server:
    """Holds requests for nodes until ``release`` is set; remembers how many it had at once."""

    def __init__(self) -> None:
        self.release = asyncio.Event()
        self.now = self.most = 0
        self.arrived = asyncio.Event()
        self.sockets: asyncio.Queue[web.WebSocketResponse] = asyncio.Queue()
        self.app = web.Application()
        self.app.router.add_get("/api/v1/nodes/{name}", self.node)
        self.app.router.add_get("/quick", self.quick)
        self.app.router.add_get("/socket", self.socket)

    async def node(self, request: web.Request) -> web.Response:
        self.now += 1
        self.most = max(self.most, self.now)
        if self.now == AT_ONCE:
            self.arrived.set()
        try:
            await self.release.wait()
        finally:
            self.now -= 1
        return web.json_response({"kind": "Node", "metadata": {"name": request.match_info["name"]}})

    async def quick(self, request: web.Request) -> web.Response:
        return web.json_response({})

    async def socket(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(protocols=(PROTOCOL,))
        await socket.prepare(request)
        self.sockets.put_nowait(socket)
        await socket.receive()
        return socket


@asynccontextmanager
async def linked(directory: Path) -> AsyncIterator[tuple[Server, HttpClient]]:
    server = Server()
    pair = pki.server_certificate(CA, ["127.0.0.1"])
    pki.write_private(directory / "crt", pair.certificate)
    pki.write_private(directory / "key", pair.key)
    context = pki.server_context(directory / "crt", directory / "key", CA.pem)
    runner = web.AppRunner(server.app, shutdown_timeout=1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
    await site.start()
    try:
        host, port = runner.addresses[0][:2]
        async with HttpClient(f"https://{host}:{port}", pki.client_context(CA.pem)) as client:
            yield server, client
    finally:
        server.release.set()
        await runner.cleanup()


async def test_few_requests_are_under_way_at_a_time_and_all_are_answered(tmp_path: Path) -> None:
    async with linked(tmp_path) as (server, client), asyncio.timeout(30):
        asked = [asyncio.ensure_future(client.get(NODES, f"n{number}")) for number in range(10)]
        await server.arrived.wait()
        server.release.set()
        assert [node.metadata.name for node in await asyncio.gather(*asked)] == [f"n{n}" for n in range(10)]
        assert server.most == AT_ONCE


async def test_a_raw_request_does_not_wait_for_a_turn(tmp_path: Path) -> None:
    async with linked(tmp_path) as (server, client), asyncio.timeout(30):
        asked = [asyncio.ensure_future(client.get(NODES, f"n{number}")) for number in range(10)]
        await server.arrived.wait()
        assert await client.request("GET", "/quick") == b"{}"
        server.release.set()
        await asyncio.gather(*asked)


async def test_after_a_reconnect_nobody_waits_behind_requests_that_hang(tmp_path: Path) -> None:
    async with linked(tmp_path) as (server, client), asyncio.timeout(30):
        hanging = [asyncio.ensure_future(client.get(NODES, f"n{number}")) for number in range(AT_ONCE)]
        await server.arrived.wait()
        waiting = [asyncio.ensure_future(client.get(NODES, f"w{number}")) for number in range(AT_ONCE)]
        await client.request("GET", "/quick")  # by now those that wait do so
        server.arrived.clear()
        server.now = 0
        await client.reconnect()
        await server.arrived.wait()  # the waiting ones got through on new connections
        server.release.set()
        await asyncio.gather(*hanging, *waiting)


async def test_a_ping_on_a_connection_that_is_lost_ends_the_websocket_as_an_outage(tmp_path: Path) -> None:
    async def lose(server: Server, client: HttpClient) -> None:
        async with client.websocket("/socket", protocol=PROTOCOL) as socket:
            await (await server.sockets.get()).ping()
            while not socket._reader._buffer:  # the ping is here before anybody reads
                await client.request("GET", "/quick")
            socket._conn.transport.abort()
            while (await socket.receive()).type is not WSMsgType.CLOSED:
                pass

    async with linked(tmp_path) as (server, client), asyncio.timeout(30):
        with pytest.raises(ServiceUnavailable, match="broke"):
            await lose(server, client)
