"""Why a connection failed, in the system's own words. Pure."""

from __future__ import annotations

import os
import socket
import ssl


def why(error: BaseException) -> str:
    """``Connection refused`` instead of asyncio's "[Errno 111] Connect call failed ('10.0.0.1', 22)"."""
    if isinstance(error, OSError) and not isinstance(error, ssl.SSLError | socket.gaierror) and error.errno:
        return os.strerror(error.errno)
    return getattr(error, "strerror", None) or str(error) or "no answer in time"
