"""The gRPC health protocol (grpc.health.v1.Health/Check), asked once over one connection without TLS.

As pkg/probe/grpc asks it. The frames are the library's (h2), loaded by the first such probe; the two messages are a
text and a number each, which are written and read here.
"""

from __future__ import annotations

import asyncio
import struct
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

if TYPE_CHECKING:
    from h2.connection import H2Connection

USER_AGENT = "kube-probe/1.36"
PATH = "/grpc.health.v1.Health/Check"
READ = 16 << 10
LIMIT = 64 << 10
"""Bytes of an answer: a health check's is seven."""

STATUSES = ("UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN")
SERVING = "SERVING"
_CODES = (
    "OK", "Canceled", "Unknown", "InvalidArgument", "DeadlineExceeded", "NotFound", "AlreadyExists",
    "PermissionDenied", "ResourceExhausted", "FailedPrecondition", "Aborted", "OutOfRange", "Unimplemented",
    "Internal", "Unavailable", "DataLoss", "Unauthenticated",
)  # fmt: skip


class RpcFailed(Exception):
    """The call ended with another status than OK. ``code`` is its name, as Go has it."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"rpc error: code = {code} desc = {message}")
        self.code, self.message = code, message


async def check(host: str, port: int, service: str) -> str:
    """The status of a service, the empty one for the server. Raises RpcFailed, and OSError where nobody listens. The
    caller bounds it."""
    reader, writer = await asyncio.open_connection(host, port)
    try:
        return await _Call(f"{host}:{port}", service).made(reader, writer)
    finally:
        writer.close()


class _Call:
    def __init__(self, authority: str, service: str) -> None:
        self._authority, self._service = authority, service
        self._headers: dict[str, str] = {}
        self._data = b""

    async def made(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> str:
        from h2.config import H2Configuration
        from h2.connection import H2Connection
        from h2.exceptions import ProtocolError

        connection = H2Connection(H2Configuration(client_side=True, header_encoding="utf-8"))
        try:
            self._ask(connection)
            while True:
                writer.write(connection.data_to_send())
                await writer.drain()
                received = await reader.read(READ)
                if not received:
                    raise RpcFailed("Unavailable", "connection closed before the answer was received")
                if self._ended(connection, received):
                    return self._answer()
        except (ProtocolError, UnicodeDecodeError) as error:
            raise RpcFailed("Unavailable", f"the server does not speak HTTP/2: {type(error).__name__}") from error

    def _ask(self, connection: H2Connection) -> None:
        connection.initiate_connection()
        stream = connection.get_next_available_stream_id()
        head = (
            (":method", "POST"), (":scheme", "http"), (":path", PATH), (":authority", self._authority),
            ("content-type", "application/grpc"), ("te", "trailers"), ("user-agent", USER_AGENT),
        )  # fmt: skip
        connection.send_headers(stream, head)
        connection.send_data(stream, _framed(_request(self._service)), end_stream=True)

    def _ended(self, connection: H2Connection, received: bytes) -> bool:
        """Take in what came; whether the answer is whole."""
        from h2 import events

        for event in connection.receive_data(received):
            if isinstance(event, events.ResponseReceived | events.TrailersReceived):
                self._headers |= _pairs(event)
            elif isinstance(event, events.DataReceived):
                self._data += event.data
                if len(self._data) > LIMIT:
                    raise RpcFailed("ResourceExhausted", f"the answer is longer than {LIMIT} bytes")
                connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            elif isinstance(event, events.StreamEnded):
                return True
            elif isinstance(event, events.StreamReset | events.ConnectionTerminated):
                raise RpcFailed("Unavailable", f"the server ended the call with HTTP/2's error {event.error_code!s}")
        return False

    def _answer(self) -> str:
        if (http := self._headers.get(":status", "")) != "200":
            raise RpcFailed("Unknown", f"unexpected HTTP status code received from server: {http}")
        code = self._headers.get("grpc-status", "")
        if code != "0":
            number = int(code) if code.isdigit() and int(code) < len(_CODES) else 2
            raise RpcFailed(_CODES[number], unquote(self._headers.get("grpc-message", "")))
        if len(self._data) < 5 or self._data[0]:
            raise RpcFailed("Internal", "the answer holds no message that was not compressed")
        return _status(self._data[5:])


def _pairs(event: Any) -> dict[str, str]:
    return {str(name): str(value) for name, value in event.headers}


def _framed(message: bytes) -> bytes:
    """A message as gRPC sends it, not compressed."""
    return struct.pack(">BI", 0, len(message)) + message


def _request(service: str) -> bytes:
    """HealthCheckRequest: field 1 is the service."""
    name = service.encode()
    return b"\x0a" + _varint(len(name)) + name if name else b""


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _status(message: bytes) -> str:
    """HealthCheckResponse: field 1 is the status, UNKNOWN where it is not there."""
    number = message[1] if len(message) >= 2 and message[0] == 0x08 else 0
    return STATUSES[number] if number < len(STATUSES) else str(number)
