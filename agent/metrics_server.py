"""Prometheus metrics of the agent, on loopback only: whoever may log in to this host may read them."""

from __future__ import annotations

import asyncio
import logging

from aiohttp import web

from shared.observe.metrics import CONTENT_TYPE, exposition

logger = logging.getLogger(__name__)

HOST = "127.0.0.1"


async def serve_metrics(port: int) -> None:
    """Serve ``/metrics`` until cancelled. A port in use is logged: pods matter more than figures."""
    app = web.Application()
    app.router.add_get("/metrics", _metrics)
    runner = web.AppRunner(app, access_log=None, handle_signals=False)
    await runner.setup()
    try:
        await web.TCPSite(runner, HOST, port).start()
    except OSError as error:
        logger.error("metrics are not served", extra={"port": port, "error": str(error)})
        await runner.cleanup()
        return
    try:
        await asyncio.get_running_loop().create_future()
    finally:
        await runner.cleanup()


async def _metrics(request: web.Request) -> web.Response:
    text = await asyncio.to_thread(exposition)
    return web.Response(body=text, headers={"Content-Type": CONTENT_TYPE})
