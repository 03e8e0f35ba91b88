"""Why a connection failed, in the system's own words; for a certificate that has expired, with what mends it. Pure."""

from __future__ import annotations

import os
import socket
import ssl

OURS_EXPIRED = (
    "the client certificate has expired: an agent's is mended by 'longboat node add' for its host, an administrator's"
    " by 'longboat certs renew' on the server's host and a copy of its admin.kubeconfig"
)
SERVERS_EXPIRED = (
    "the server's certificate has expired: start the server again, or run 'longboat certs renew' on its host; where the"
    " server's is good, a clock is wrong"
)

_CERT_HAS_EXPIRED = 10
"""OpenSSL's X509_V_ERR_CERT_HAS_EXPIRED."""


def why(error: BaseException) -> str:
    """``Connection refused`` instead of asyncio's "[Errno 111] Connect call failed ('10.0.0.1', 22)"."""
    if (expired := why_expired(error)) is not None:
        return expired
    if isinstance(error, OSError) and not isinstance(error, ssl.SSLError | socket.gaierror) and error.errno:
        return os.strerror(error.errno)
    return getattr(error, "strerror", None) or str(error) or "no answer in time"


def why_expired(error: BaseException | None) -> str | None:
    """What to do about it, where ``error``, or what it came of, says that a certificate has expired; else None."""
    seen = 0
    while error is not None and seen < 8:
        inner = getattr(error, "os_error", None) or getattr(error, "certificate_error", None)
        for found in (error, inner):
            # aiohttp's own class is one of ssl's without code and reason; what it came of has them.
            if getattr(found, "verify_code", 0) == _CERT_HAS_EXPIRED:
                return SERVERS_EXPIRED
            if isinstance(found, ssl.SSLError) and "ALERT_CERTIFICATE_EXPIRED" in (getattr(found, "reason", "") or ""):
                return OURS_EXPIRED
        error, seen = error.__cause__ or error.__context__, seen + 1
    return None
