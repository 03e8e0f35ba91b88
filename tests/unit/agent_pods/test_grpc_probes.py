"""gRPC probes of a real gRPC server, and of what is none."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc
import grpc.aio
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.pods import grpc_health
from agent.pods.http_get import HttpGetter, Target
from agent.pods.probing import NetworkProber, ProbeResult
from agent.runtime.hollow import HollowRuntime
from shared.api.pod import Container, Probe
from shared.work.clock import SystemClock

STATUSES = {b"": 1, b"\x0a\x03web": 2, b"\x0a\x05other": 3, b"\x0a\x04none": 0}


class Health(grpc.GenericRpcHandler):
    """Answers with ``STATUSES`` by the request's bytes, as the generated code would."""

    def service(self, details):
        if details.method != grpc_health.PATH:
            return None
        return grpc.unary_unary_rpc_method_handler(self.check)

    async def check(self, request, context):
        metadata = dict(context.invocation_metadata())
        assert metadata["user-agent"].startswith("kube-probe/")
        if request == b"\x0a\x04hang":
            await asyncio.sleep(30)
        if request not in STATUSES:
            await context.abort(grpc.StatusCode.NOT_FOUND, "unknown service: ä")
        status = STATUSES[request]
        return bytes((0x08, status)) if status else b""


class Nothing(grpc.GenericRpcHandler):
    def service(self, details):
        return None


@asynccontextmanager
async def served(handler: grpc.GenericRpcHandler) -> AsyncIterator[int]:
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((handler,))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield port
    finally:
        await server.stop(None)


async def probed(port: int, service: str | None = None) -> ProbeResult:
    tree = {"grpc": {"port": port, "service": service}, "timeoutSeconds": 1}
    target = Target("id", "127.0.0.1", Container(name="c"))
    return await NetworkProber(HollowRuntime("n", SystemClock()), HttpGetter()).probe(
        msgspec.convert(tree, Probe), target
    )


async def test_what_the_server_says() -> None:
    async with served(Health()) as port:
        assert await probed(port) == ProbeResult(True, "service healthy")
        assert await probed(port, "") == ProbeResult(True, "service healthy")
        for service, status in (("web", "NOT_SERVING"), ("other", "SERVICE_UNKNOWN"), ("none", "UNKNOWN")):
            assert await probed(port, service) == ProbeResult(False, f'service unhealthy (responded with "{status}")')
        refused = await probed(port, "another")
        assert refused.output == "error: health rpc probe failed: rpc error: code = NotFound desc = unknown service: ä"
        late = await probed(port, "hang")
        assert (late.healthy, late.output) == (
            False,
            f'timeout: failed to connect service "127.0.0.1:{port}" within 1s',
        )


async def test_a_server_without_health() -> None:
    async with served(Nothing()) as port:
        result = await probed(port)
    assert not result.healthy
    assert result.output.startswith("error: this server does not implement the grpc health protocol: ")


async def test_nobody_listens(unused_tcp_port: int) -> None:
    result = await probed(unused_tcp_port)
    assert not result.healthy
    assert result.output.startswith(f'error: failed to connect service at "127.0.0.1:{unused_tcp_port}": ')


@pytest.mark.parametrize("answer", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"", b"\x00" * 100, b"\xff" * 5000])
async def test_what_is_no_grpc(answer: bytes) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(answer)
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    async with server:
        result = await probed(server.sockets[0].getsockname()[1])
    assert not result.healthy
    assert result.output.startswith("error: ")


@given(st.text(min_size=1, max_size=300))
def test_a_request_is_a_field_with_the_name(service: str) -> None:
    made = grpc_health._request(service)
    assert made.endswith(service.encode())
    assert made[0] == 0x0A
