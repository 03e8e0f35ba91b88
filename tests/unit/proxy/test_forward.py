"""Requests sent on over a connection, between two real servers on loopback."""

from __future__ import annotations

import asyncio
import gzip
import socket
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web
from multidict import CIMultiDict

from controlplane.apiserver.proxy.backend import Backend
from controlplane.apiserver.proxy.forward import forward
from controlplane.apiserver.proxy.rewriting import forwarded_headers


@asynccontextmanager
async def serving(handler):
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


@asynccontextmanager
async def proxied(backend_handler, *, reads_first=False, edit=lambda headers: None):
    """A client of a server that sends everything on; ``reads_first`` has it read the body before, as an audit does."""
    async with serving(backend_handler) as port:

        async def front(request: web.Request) -> web.StreamResponse:
            if reads_first:
                await request.read()
            connection = socket.socket()
            connection.setblocking(False)
            await asyncio.get_running_loop().sock_connect(connection, ("127.0.0.1", port))
            backend = Backend(connection)
            try:
                headers = forwarded_headers(request.headers, "127.0.0.1")
                return await forward(request, backend, request.raw_path, headers, edit)
            finally:
                backend.close()

        async with serving(front) as front_port, aiohttp.ClientSession(f"http://127.0.0.1:{front_port}") as client:
            yield client


async def echo(request: web.Request) -> web.Response:
    length = request.headers.get("Content-Length", "in pieces")
    return web.Response(body=await request.read(), headers={"X-Length": length, "X-Path": request.raw_path})


@pytest.mark.parametrize("reads_first", [False, True], ids=["as it comes", "read before"])
@pytest.mark.parametrize("body", [b"", b"small", b"large" * 100_000], ids=["empty", "small", "large"])
async def test_a_body_arrives_with_its_length(body, reads_first):
    async with proxied(echo, reads_first=reads_first) as client, client.put("/a?b=c", data=body) as answer:
        assert await answer.read() == body
        assert answer.headers["X-Length"] == str(len(body))
        assert answer.headers["X-Path"] == "/a?b=c"


async def test_a_compressed_body_arrives_whole():
    async with proxied(echo) as client:
        headers = {"Content-Encoding": "gzip"}
        async with client.post("/", data=gzip.compress(b"packed" * 1000), headers=headers) as answer:
            assert await answer.read() == b"packed" * 1000


async def test_a_body_without_a_length_arrives():
    async def pieces():
        for _ in range(3):
            yield b"piece"

    async with proxied(echo) as client, client.post("/", data=pieces()) as answer:
        assert (await answer.read(), answer.headers["X-Length"]) == (b"piece" * 3, "in pieces")


@pytest.mark.parametrize("status", [204, 304, 200], ids=str)
async def test_an_answer_without_a_body(status):
    async def nothing(request: web.Request) -> web.Response:
        return web.Response(status=status, headers={"X-Mine": "1"})

    async with proxied(nothing) as client, client.get("/") as answer:
        assert (answer.status, await answer.read(), answer.headers["X-Mine"]) == (status, b"", "1")


async def test_what_stays_compressed_is_passed_as_it_is():
    async def packed(request: web.Request) -> web.Response:
        return web.Response(body=gzip.compress(b"text"), headers={"Content-Encoding": "gzip"})

    async with proxied(packed) as client, client.get("/") as answer:
        assert await answer.text() == "text"


async def test_the_answers_headers_may_be_changed():
    async def moved(request: web.Request) -> web.Response:
        return web.Response(status=302, headers={"Location": "/x"})

    def edit(headers: CIMultiDict[str]) -> None:
        headers["Location"] = "/proxy" + headers["Location"]

    async with proxied(moved, edit=edit) as client, client.get("/", allow_redirects=False) as answer:
        assert (answer.status, answer.headers["Location"]) == (302, "/proxy/x")


async def test_no_connection_is_left_behind():
    """Each was closed by whom it belongs to: file descriptors do not get mixed up when many come and go at once."""
    async with proxied(echo) as client:

        async def ask(number: int) -> bytes:
            async with client.post("/", data=b"%d" % number) as answer:
                return await answer.read()

        for _ in range(5):
            answers = await asyncio.gather(*(ask(number) for number in range(50)))
            assert answers == [b"%d" % number for number in range(50)]
