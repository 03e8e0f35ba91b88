"""Joining a cluster: from a server's address and a token to this node's own certificate.

First start: look at the server's certificates without trusting them, find the CA with the token's digest among
them, and from then on trust that CA only; ask for a client certificate with the token; keep all of it in the data
directory. Later starts need no token. The token never leaves this process but over the verified connection.
"""

from __future__ import annotations

import asyncio
import logging
import re
import socket
import ssl
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from agent import identity, keys
from agent.csr import CertificateRefused, request_certificate
from agent.identity import Identity, IdentityError
from agent.keys import MakeKey
from shared import tls
from shared.api.errors import Forbidden, StatusError, Unauthorized
from shared.client.http import HttpClient
from shared.join import JoinToken, TokenError, parse_token
from shared.unreachable import why
from shared.work.backoff import Backoff
from shared.work.clock import Clock, SystemClock

logger = logging.getLogger(__name__)

DEFAULT_PORT = 6443
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_RETRY = Backoff(0.2, 3.0)
_HANDSHAKE = 5.0

Progress = Callable[[str], None]
"""Told in words what happens, for people."""


class JoinError(Exception):
    """The agent cannot join; the message says why and what to do."""


class JoinMisuse(JoinError):
    """A flag's value can never be right."""


async def ensure_identity(
    data_dir: Path,
    server_url: str,
    token: str,
    node_name: str,
    *,
    timeout: float = 60.0,
    clock: Clock = SystemClock(),
    progress: Progress = lambda line: None,
    make_key: MakeKey = keys.in_child,
) -> Identity:
    """The agent's identity: the one in ``data_dir``, or a new one by joining with ``token``.

    ``server_url`` may be empty where the data directory has it; a different one is kept from now on (the server has
    moved; its CA is the same). ``node_name`` empty: the host's name. Raises JoinError, after ``timeout`` seconds at
    the latest.
    """
    try:
        known = await asyncio.to_thread(identity.load, data_dir)
        if known is not None:
            if node_name and node_name != known.node_name:
                raise JoinError(
                    f"{data_dir} belongs to node {known.node_name}, not {node_name}: use another --data-dir, or remove"
                    f" the node with 'longboat node remove' first"
                )
            foreign = bool(token) and _token(token).ca_digest != tls.ca_digest(known.ca_pem)
            if not foreign and (clock.now() < known.expires() or not token):
                identity.check_not_expired(known, clock.now())
                return await asyncio.to_thread(_moved, known, server_url)
            progress(
                "the token is another cluster's; joining that one"
                if foreign
                else "the node's certificate has expired; joining again"
            )
    except IdentityError as error:
        if not token:
            raise JoinError(str(error)) from error
        known = None
    if not token:
        raise JoinError(
            f"{data_dir} holds no joined node: give --token with a token from 'longboat token create' on the server"
        )
    if not server_url:
        raise JoinError("--server is needed to join: https://HOST:PORT of the server")
    return await join(
        data_dir, normal_url(server_url), _token(token), check_name(node_name or (known.node_name if known else "")),
        timeout=timeout, progress=progress, make_key=make_key,
    )  # fmt: skip


async def join(
    data_dir: Path,
    server_url: str,
    token: JoinToken,
    node_name: str,
    *,
    timeout: float,
    progress: Progress,
    make_key: MakeKey = keys.in_child,
) -> Identity:
    """Join as ``node_name`` and keep what came of it in ``data_dir``. Raises JoinError."""
    deadline = asyncio.get_running_loop().time() + timeout
    try:
        await asyncio.to_thread(data_dir.mkdir, mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise JoinError(f"--data-dir: {data_dir} cannot be made: {error.strerror}") from error
    progress(f"looking at {server_url}")
    ca_pem = await _trusted_ca(server_url, token.ca_digest, timeout, progress)
    progress(f"asking for a certificate as node {node_name}")
    client = HttpClient(server_url, tls.client_context(ca_pem), token.bearer, user_agent="longboat-agent")
    try:
        left = max(1.0, deadline - asyncio.get_running_loop().time())
        pair = await request_certificate(client, node_name, left, make_key)
    except (Unauthorized, Forbidden) as error:
        raise JoinError(
            f"{server_url} does not accept the token ({error.message}): it is wrong, expired or revoked; make a new one"
            " with 'longboat token create'"
        ) from error
    except CertificateRefused as error:
        raise JoinError(f"{server_url} refuses node {node_name} a certificate: {error}") from error
    except StatusError as error:
        raise JoinError(f"cannot join {server_url}: {error.message}") from error
    except OSError as error:
        raise JoinError(f"cannot join {server_url}: {error}") from error
    finally:
        await client.close()
    joined = Identity(data_dir, server_url, node_name, ca_pem, pair)
    try:
        await asyncio.to_thread(identity.save, joined)
    except OSError as error:
        raise JoinError(f"--data-dir: {data_dir} cannot be written: {error.strerror}") from error
    logger.info("joined", extra={"node": node_name, "server": server_url})
    return joined


def normal_url(text: str) -> str:
    """``https://host:port``; scheme and port may be left out. Raises JoinMisuse."""
    parts = urlsplit(text if "://" in text else f"https://{text}")
    try:
        port = parts.port or DEFAULT_PORT
    except ValueError as error:
        raise JoinMisuse(f"--server: {text!r}: {error}") from error
    if parts.scheme != "https" or not parts.hostname or parts.path.strip("/") or parts.username:
        raise JoinMisuse(f"--server: {text!r} is not https://HOST:PORT")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"https://{host}:{port}"


def check_name(name: str) -> str:
    """A node's name, the host's when empty. Raises JoinMisuse for one that is no DNS-1123 subdomain."""
    found = name or socket.gethostname().lower()
    if not _NAME.fullmatch(found) or len(found) > 253:
        raise JoinMisuse(
            f"--node-name: {found!r} cannot be a node's name, which is made of lower-case letters, digits, '-' and '.'"
        )
    return found


async def server_chain(server_url: str, timeout: float = _HANDSHAKE) -> list[bytes]:
    """The certificates (DER) that a server shows, verified by nobody. Raises OSError, ssl.SSLError, TimeoutError."""
    parts = urlsplit(server_url)
    async with asyncio.timeout(timeout):
        _, writer = await asyncio.open_connection(
            parts.hostname, parts.port, ssl=tls.unverified_context(), server_hostname=parts.hostname
        )
    try:
        return _unverified_chain(writer.get_extra_info("ssl_object"))
    finally:
        writer.transport.abort()


async def _trusted_ca(server_url: str, digest: str, timeout: float, progress: Progress) -> bytes:
    """The server's CA (PEM) if it is the token's, trying until the server answers. Raises JoinError."""
    loop = asyncio.get_running_loop()
    deadline, attempt = loop.time() + timeout, 0
    while True:
        try:
            chain = await server_chain(server_url)
            break
        except (OSError, ssl.SSLError, TimeoutError) as error:
            wait = _RETRY.delay(attempt)
            attempt += 1
            reason = why(error)
            if attempt == 1:
                progress(f"{server_url} cannot be reached ({reason}); trying for {timeout:.0f} s")
            if loop.time() + wait >= deadline:
                raise JoinError(f"{server_url} cannot be reached: {reason}; is the server running there?") from error
            await asyncio.sleep(wait)
    for der in chain:
        pem = tls.der_to_pem(der)
        if tls.ca_digest(pem) == digest:
            return pem
    raise JoinError(
        f"the server's CA does not match the token: {server_url} belongs to another cluster than the token, or somebody"
        " stands between; check --server, and make a new token with 'longboat token create' on that server"
    )


def _unverified_chain(ssl_object: Any) -> list[bytes]:
    """Python 3.13 has ``get_unverified_chain``; before, only the object underneath has."""
    public = getattr(ssl_object, "get_unverified_chain", None)
    if public is not None:
        return list(public() or ())
    import _ssl  # the encoding constant lives there before 3.13

    return [each.public_bytes(_ssl.ENCODING_DER) for each in ssl_object._sslobj.get_unverified_chain() or ()]


def _moved(known: Identity, server_url: str) -> Identity:
    url = normal_url(server_url) if server_url else known.server_url
    if url == known.server_url:
        return known
    moved = replace(known, server_url=url)
    identity.save_settings(moved)
    return moved


def _token(text: str) -> JoinToken:
    try:
        return parse_token(text)
    except TokenError as error:
        raise JoinMisuse(f"--token: {error}") from error
