"""What a server gives its connections: time, room, and an answer to what is no request.

Owns the limits of a connection, the reading of bodies, and what is logged of clients' mistakes on the wire: one line
at debug level that quotes nothing, since aiohttp's tracebacks quote what was sent, which may be a token. Lives on the
event loop; ``explain_failed_handshakes`` is for the start of a process.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from asyncio import sslproto

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from shared.api.errors import BadRequest, ServiceUnavailable, Timeout

logger = logging.getLogger(__name__)

IDLE_SECONDS = 75.0
"""How long a connection may be without a whole head of a request, at its start and between requests. Clients keep
idle ones for less: ours 60 s (``shared.client.pool``)."""

BODY_SECONDS = 60.0
"""How long a request's body may take to arrive (kube-apiserver's --request-timeout, which bounds the whole)."""

LINE_BYTES = 64 << 10
"""The longest request line: label selectors with hundreds of names are real. Other header lines have aiohttp's 8 KiB,
and there are 128 of them at most."""

TOO_LATE = "request did not complete within the allotted timeout"

_NO_HTTPS = (
    b"HTTP/1.0 400 Bad Request\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n"
    b"Client sent an HTTP request to an HTTPS server.\n"
)


def runner(app: web.Application, shutdown_timeout: float, idle_seconds: float = IDLE_SECONDS) -> web.AppRunner:
    """A runner whose connections have these limits, and leave their signals to the process."""
    logging.getLogger("aiohttp.server").addFilter(_without_quotes)
    return web.AppRunner(
        app,
        access_log=None,
        handle_signals=False,
        shutdown_timeout=shutdown_timeout,
        keepalive_timeout=idle_seconds,
        max_line_size=LINE_BYTES,
    )


class _Protocol(sslproto.SSLProtocol):
    _outgoing: ssl.MemoryBIO

    def _fatal_error(self, exc: BaseException, message: str = "Fatal error on transport") -> None:
        if isinstance(exc, ssl.SSLError) and isinstance(self._transport, asyncio.Transport):
            alert = self._outgoing.read()
            self._transport.write(_NO_HTTPS if exc.reason == "HTTP_REQUEST" else alert)
        super()._fatal_error(exc, message)


def explain_failed_handshakes() -> None:
    """Send TLS' alert ("certificate expired") where asyncio just hangs up, at every TLS port of this process; and who
    speaks plain HTTP there is told so, in Go's words."""
    sslproto.SSLProtocol = _Protocol  # type: ignore[misc]


async def read_body(request: web.BaseRequest, seconds: float = BODY_SECONDS) -> bytes:
    """The body. Raises Timeout when it does not come, BadRequest when it is not what the head says,
    ServiceUnavailable when the client is gone, and aiohttp's HTTPRequestEntityTooLarge."""
    try:
        if request.content.is_eof():  # nearly always: it came with the head
            return await request.read()
        async with asyncio.timeout(seconds):
            return await request.read()
    except TimeoutError as error:
        raise Timeout(TOO_LATE) from error
    except web.RequestPayloadError as error:
        raise BadRequest("the body of the request is not encoded as its headers say") from error
    except ConnectionError as error:
        raise ServiceUnavailable("the client went away") from error


def _without_quotes(record: logging.LogRecord) -> bool:
    error = record.exc_info[1] if record.exc_info else None
    if not isinstance(error, HttpProcessingError | web.RequestPayloadError):
        return True
    logger.debug("what is no HTTP was refused", extra={"error": type(error).__name__, "about": record.getMessage()})
    return False
