"""Large bodies over a real connection."""

import asyncio
import socket
from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from controlplane.apiserver.sending import PIECE, BodyResponse

SIZES = (0, 1, PIECE, PIECE + 1, 7 * PIECE - 1)


def body(size: int) -> bytes:
    return bytes(range(251)) * (size // 251) + bytes(size % 251)


class Hasty(BodyResponse):
    patience = 0.2


async def answer(request: web.Request) -> web.Response:
    kind = Hasty if "hasty" in request.query else BodyResponse
    return kind(body=body(int(request.query["size"])), headers={"Content-Type": "text/plain"})


@pytest.fixture
async def server() -> AsyncIterator[TestServer]:
    app = web.Application()
    app.router.add_get("/", answer)
    async with TestServer(app) as server:
        yield server


@pytest.mark.parametrize("size", SIZES)
async def test_bodies_arrive_whole(server: TestServer, size: int) -> None:
    async with aiohttp.ClientSession() as session:
        for _ in range(2):  # the connection is good for another answer
            async with session.get(server.make_url(f"/?size={size}")) as response:
                assert response.headers["Content-Length"] == str(size)
                assert await response.read() == body(size)


async def test_who_does_not_read_is_cut_off(server: TestServer) -> None:
    size = 64 << 20  # more than both ends' buffers hold
    loop = asyncio.get_running_loop()
    with socket.create_connection(("127.0.0.1", server.port or 0)) as client:
        client.setblocking(False)
        await loop.sock_sendall(client, b"GET /?hasty&size=%d HTTP/1.1\r\nHost: x\r\n\r\n" % size)
        while server.handler is not None and not server.handler.connections:
            await asyncio.sleep(0)
        assert server.handler is not None
        async with asyncio.timeout(20):
            while server.handler.connections:  # the server ends it by itself
                await asyncio.sleep(0.01)
