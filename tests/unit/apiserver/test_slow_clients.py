"""Who takes his time: heads and bodies that do not come, and connections that ask for nothing, are ended."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from aiohttp import web

from controlplane.apiserver.api import ApiServer
from controlplane.apiserver.app import build_app
from controlplane.apiserver.connections import read_body, runner
from controlplane.apiserver.identity import Attributes, User

IDLE, BODY = 0.3, 0.2

Talk = Callable[..., Awaitable[bytes]]


class Anybody:
    def authenticate(self, request: web.BaseRequest) -> User:
        return User("jane", ("system:authenticated",))

    def authorize(self, user: User, attributes: Attributes) -> None:
        return None


@pytest.fixture
async def talk(api: ApiServer) -> AsyncIterator[Talk]:
    """Sends bytes over a new connection and waits for its end, or for certain words: what came back."""

    async def slowly(request: web.Request) -> web.Response:
        return web.Response(body=await read_body(request, BODY))

    def routes(app: web.Application) -> None:
        app.router.add_post("/slow", slowly)

    anybody = Anybody()
    serving = runner(build_app(api, anybody, anybody, [routes]), 1.0, IDLE)
    await serving.setup()
    site = web.TCPSite(serving, "127.0.0.1", 0)
    await site.start()
    assert site._server is not None
    port = site._server.sockets[0].getsockname()[1]  # type: ignore[attr-defined]

    async def talking(sent: bytes, until: bytes = b"") -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(sent)
        try:
            async with asyncio.timeout(20):
                return await (reader.readuntil(until) if until else reader.read())
        finally:
            writer.close()

    yield talking
    await serving.cleanup()


@pytest.mark.parametrize(
    "sent",
    [b"", b"GET /version HTTP/1.1\r\nHost: x\r\n", b"GET /ver", b"GET /version HTTP/1.1\r\nHost: x\r\nX-A: " + b"a"],
    ids=["nothing", "a head without an end", "half a line", "half a header"],
)
async def test_who_does_not_ask_is_hung_up_on(talk: Talk, sent: bytes) -> None:
    assert b" 200 " not in await talk(sent)


async def test_a_connection_is_kept_for_a_while_after_an_answer(talk: Talk) -> None:
    answer = await talk(b"GET /version HTTP/1.1\r\nHost: x\r\n\r\n" * 2)
    assert answer.count(b"HTTP/1.1 200 OK") == 2


async def test_a_body_that_does_not_come_is_given_up(talk: Talk) -> None:
    head = b"POST /slow HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n"
    answer = await talk(head + b"half", b'"reason":"Timeout"')
    assert answer.startswith(b"HTTP/1.1 504")
    assert (await talk(head + b"0123456789", b"0123456789")).startswith(b"HTTP/1.1 200")
