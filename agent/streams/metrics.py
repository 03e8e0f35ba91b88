"""Serves ``metrics``: this process' own figures, as its port on loopback has them (``agent.metrics_server``)."""

from __future__ import annotations

import asyncio
from typing import Any

from agent.streams.duplex import Duplex, Serve
from shared.observe.metrics import exposition
from shared.streams import CHUNK


def metrics(parameters: dict[str, Any]) -> Serve:
    """The kind of streams; it has no parameters."""
    return _serve


async def _serve(duplex: Duplex) -> None:
    text = await asyncio.to_thread(exposition)
    for start in range(0, len(text), CHUNK):
        await duplex.send(text[start : start + CHUNK])
