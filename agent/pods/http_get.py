"""GET to a container, for probes and hooks: the rules of pkg/probe/http.

A redirect is followed on the same host only; certificates are not verified; each request has a fresh connection. One
session for all, made when it is first needed; ``close`` at the end.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from urllib.parse import urljoin, urlsplit

import aiohttp
from yarl import URL

from shared.api.pod import Container, HTTPGetAction

MAX_REDIRECTS = 10
OUTPUT_LIMIT = 10 * 1024
"""Bytes of output or answer that are looked at."""

REDIRECTS = (301, 302, 303, 307, 308)


@dataclass(frozen=True, slots=True)
class Target:
    """What is probed or told: the container by its id, and the pod's address."""

    container_id: str
    address: str
    container: Container


class HttpGetFailed(Exception):
    """There was no answer; the message says why, as Go's client does."""


class HttpGetter:
    """Makes the requests. Its callers bound them: nothing here does."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    def url(self, action: HTTPGetAction, target: Target) -> str:
        """Raises HttpGetFailed for a port that the container does not name."""
        port = find_port(target.container, action.port)
        if port is None:
            raise HttpGetFailed(f"couldn't find port: {action.port}")
        host, scheme = action.host or target.address, (action.scheme or "HTTP").lower()
        path = action.path if action.path.startswith("/") else f"/{action.path}"
        return f"{scheme}://{_bracketed(host)}:{port}{path}"

    async def get(self, url: str, action: HTTPGetAction, user_agent: str) -> int | None:
        """The status of the answer; None where it led to another host. Raises HttpGetFailed."""
        headers = {"User-Agent": user_agent, "Accept": "*/*", "Connection": "close"}
        for header in action.http_headers:
            headers[header.name] = header.value
        try:
            return await self._get(url, headers)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise HttpGetFailed(f'Get "{url}": {reason(error)}') from error

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def _get(self, url: str, headers: dict[str, str]) -> int | None:
        if self._session is None:
            self._session = _session()
        host, at = urlsplit(url).hostname, url
        for _ in range(MAX_REDIRECTS + 1):
            async with self._session.get(URL(at, encoded=True), headers=headers, allow_redirects=False) as answer:
                await answer.content.read(OUTPUT_LIMIT)
                code, location = answer.status, answer.headers.get("Location", "")
            if code not in REDIRECTS or not location:
                return code
            at = urljoin(at, location)
            if urlsplit(at).hostname != host:
                return None
        raise HttpGetFailed(f'Get "{at}": stopped after {MAX_REDIRECTS} redirects')


def find_port(container: Container, port: int | str) -> int | None:
    """A port by number, or by its name in the container's ports; None when there is none."""
    if isinstance(port, int):
        return port if 0 < port < 65536 else None
    if port.isdigit():
        return find_port(container, int(port))
    return next((known.container_port for known in container.ports if known.name == port), None)


def reason(error: BaseException) -> str:
    """Why a connection failed, in few words."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return str(error) or type(error).__name__


def _session() -> aiohttp.ClientSession:
    unverified = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    unverified.check_hostname = False
    unverified.verify_mode = ssl.CERT_NONE
    connector = aiohttp.TCPConnector(ssl=unverified, force_close=True, limit=0)
    return aiohttp.ClientSession(
        connector=connector, cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False, trust_env=False
    )


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
