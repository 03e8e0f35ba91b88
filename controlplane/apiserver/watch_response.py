"""A watch over HTTP: JSON lines in a chunked answer that ends cleanly, or with an ERROR line.

One task for each watch. A client that does not read for ``WRITE_SECONDS`` is cut off; one that has gone is noticed
at the next event or within ``LOOK_SECONDS``.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from contextlib import aclosing

from aiohttp import ClientConnectionError, web

from controlplane.apiserver import metrics
from controlplane.apiserver.api import ApiServer
from controlplane.apiserver.negotiation import JSON_TYPE, Format
from controlplane.apiserver.request import ListOptions, Request
from controlplane.apiserver.responses import WatchEncoder, error_event
from controlplane.apiserver.verbs.watch import WatchStream, watch
from controlplane.apiserver.warnings import deprecation, warning_header
from shared.api.errors import Expired, StatusError

logger = logging.getLogger(__name__)

WRITE_SECONDS = 30.0
"""How long a client's full receive window may hold up its watch."""


async def serve_watch(
    api: ApiServer,
    request: web.Request,
    call: Request,
    options: ListOptions,
    format: Format,
    query: Mapping[str, str],
) -> web.StreamResponse:
    """Answer with the stream. Raises BadRequest, Invalid, Timeout before anything is sent."""
    format = Format(JSON_TYPE, format.shape, format.version)
    encoder = WatchEncoder(call.kind, format, query)
    response = web.StreamResponse(headers={"Content-Type": format.content_type, "Cache-Control": "no-cache, private"})
    for warning in deprecation(call.kind):
        response.headers.add("Warning", warning_header(warning))
    response.enable_chunked_encoding()
    try:
        stream = await watch(api, call, options)
    except Expired as error:
        # An expired revision is told inside the stream, with 200: clients look for it there.
        await response.prepare(request)
        await response.write(error_event(error))
        await response.write_eof()
        return response
    resource = call.kind.resource.group_resource
    metrics.WATCHES.labels(resource).inc()
    try:
        await response.prepare(request)
        try:
            await _send(api, request, response, stream, encoder, resource)
        except StatusError as error:
            await response.write(error_event(error))
        await response.write_eof()
    except (ClientConnectionError, ConnectionError):
        pass  # the client went away, which is how most watches end
    finally:
        stream.close()
        metrics.WATCHES.labels(resource).dec()
    return response


async def _send(
    api: ApiServer,
    request: web.Request,
    response: web.StreamResponse,
    stream: WatchStream,
    encoder: WatchEncoder,
    resource: str,
) -> None:
    sent = metrics.WATCH_EVENTS.labels(resource)
    loop = asyncio.get_running_loop()
    async with aclosing(stream.batches(gather=True)) as batches:
        async for batch in batches:
            if not batch.events and not batch.bookmark:
                if request.transport is None or request.transport.is_closing():
                    return
                continue
            # Cheaper than a timeout around the write, which hardly ever waits: the write ends when we cut it off.
            watchdog = loop.call_later(WRITE_SECONDS, _cut, request, resource)
            try:
                await response.write(encoder.encode(batch, api.clock.now))
            finally:
                watchdog.cancel()
            sent.inc(len(batch.events))


def _cut(request: web.Request, resource: str) -> None:
    metrics.WATCHES_CUT.labels(resource).inc()
    logger.warning("a watch's client reads too slowly and is cut off", extra={"resource": resource})
    if isinstance(request.transport, asyncio.Transport):
        request.transport.abort()
