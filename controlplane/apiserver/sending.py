"""How a body leaves the server: in pieces, to clients that read.

asyncio's TLS copies what is left of a write for every record of 16 KiB that it has encrypted, so that a list of 10 MB
in one write costs 3 GB of copying, all of it on the event loop. Between two pieces other requests have their turn,
and what a client has not read yet is waited for, not buffered.
"""

from __future__ import annotations

import asyncio
import logging

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter

logger = logging.getLogger(__name__)

PIECE = 128 << 10
"""Bytes written at once."""

PIECE_SECONDS = 30.0
"""How long a client may take to make room for a piece, before it is cut off."""


class BodyResponse(web.Response):
    """A ``web.Response`` whose body may be large."""

    patience = PIECE_SECONDS
    _transport: asyncio.Transport | None = None

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        self._transport = request.transport
        return await super().prepare(request)

    async def write_eof(self, data: bytes = b"") -> None:
        """Send the body and end. A client that does not read for ``patience`` seconds loses its connection."""
        body = self.body
        if not isinstance(body, bytes) or len(body) <= PIECE:
            await super().write_eof(data)
            return
        view = memoryview(body)
        try:
            for start in range(0, len(view), PIECE):
                async with asyncio.timeout(self.patience):
                    await self.write(view[start : start + PIECE])
        except TimeoutError as error:
            logger.info("a client that does not read was cut off", extra={"bytes_left": len(view) - start})
            if self._transport is not None:
                self._transport.abort()  # closing would wait until what is buffered is read
            raise ConnectionResetError("the client does not read") from error
        await web.StreamResponse.write_eof(self)
