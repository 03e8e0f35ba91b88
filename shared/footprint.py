"""What a long-running process does to start quickly and to stay small: about imports, the collector, connections.

Owns no state. ``importing`` is for a process that has one thread yet; the rest is safe on any thread.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager

TLS_BUFFER = 16 * 1024
"""Bytes of one read of a TLS connection: what one record holds. asyncio would keep 256 KiB for each connection, all of
it touched when it is made: a thousand agents with three connections each cost a server 770 MB."""

COLLECT_AFTER = 10_000
"""Containers made and not freed before the collector looks. A burst of requests has thousands in use at a time (what is
decoded, and the tasks), none of them garbage: at 700 the search for some took a sixth of the processor time of a
create. At 50,000 it takes longer again, as they no longer fit the processor's cache."""

_CA_VARIABLES = ("SSL_CERT_FILE", "SSL_CERT_DIR")


@contextmanager
def importing() -> Iterator[None]:
    """Import a program's own modules inside: they take a third less time, and aiohttp 2 MB less memory.

    The collector finds next to nothing in modules that are being loaded, and looks again and again; it runs as it
    did before afterwards. aiohttp makes a TLS context of the system's CAs on import (60 ms), which none of our
    connections uses, since each names the CA that it trusts: here it finds none. What comes without a context
    of its own through that one is refused, never trusted.
    """
    enabled = gc.isenabled()
    gc.disable()
    before = {name: os.environ.get(name) for name in _CA_VARIABLES}
    os.environ.update(dict.fromkeys(_CA_VARIABLES, os.devnull))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
        if enabled:
            gc.enable()


def freeze() -> None:
    """Tell the collector that what there is now lives as long as the process: it need not look at it again."""
    gc.unfreeze()
    gc.collect()
    gc.freeze()


def collect_rarely() -> None:
    """Have the collector run for every ``COLLECT_AFTER`` containers that are made, in place of 700."""
    gc.set_threshold(COLLECT_AFTER, *gc.get_threshold()[1:])


def small_connections() -> None:
    """Have the TLS connections that are made from now on, to or from this process, keep small buffers."""
    from asyncio import sslproto  # not above: every command imports this module

    sslproto.SSLProtocol.max_size = TLS_BUFFER
