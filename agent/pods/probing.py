"""One probe, made once: exec, HTTP(S) or TCP. Never raises but on cancellation; every wait is bounded.

The rules are those of pkg/probe: an HTTP answer of 200 to 399 is healthy; a redirect is followed on the same host only,
and one that leads elsewhere counts as healthy; certificates are not verified; each probe uses a fresh connection.
"""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import urljoin, urlsplit

import aiohttp
from yarl import URL

from agent.runtime.base import Runtime, RuntimeFailure
from shared.api.pod import Container, HTTPGetAction, Probe

USER_AGENT = "kube-probe/1.36"
MAX_REDIRECTS = 10
OUTPUT_LIMIT = 10 * 1024
"""Bytes of output or answer that are looked at."""


@dataclass(frozen=True, slots=True)
class ProbeTarget:
    """What to probe: the container by its id, and the pod's address."""

    container_id: str
    address: str
    container: Container


@dataclass(frozen=True, slots=True)
class ProbeResult:
    healthy: bool
    output: str = ""


class Prober(Protocol):
    """Makes one probe."""

    async def probe(self, probe: Probe, target: ProbeTarget) -> ProbeResult: ...


class NetworkProber:
    """Probes over the pod network and through the engine. One HTTP session for all; ``close`` at the end."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._session: aiohttp.ClientSession | None = None

    async def probe(self, probe: Probe, target: ProbeTarget) -> ProbeResult:
        """The result; a wait longer than ``timeoutSeconds`` is a failure."""
        limit = float(max(1, probe.timeout_seconds))
        if probe.exec_ is not None:
            return await self._exec(probe.exec_.command, target, limit)
        if probe.http_get is not None:
            return await self._http(probe.http_get, target, limit)
        if probe.tcp_socket is not None:
            port = find_port(target.container, probe.tcp_socket.port)
            if port is None:
                return ProbeResult(False, f"couldn't find port: {probe.tcp_socket.port}")
            return await self._tcp(probe.tcp_socket.host or target.address, port, limit)
        return ProbeResult(False, "missing probe handler")

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def _exec(self, command: tuple[str, ...], target: ProbeTarget, limit: float) -> ProbeResult:
        try:
            result = await self._runtime.exec(target.container_id, command, limit)
        except TimeoutError:
            return ProbeResult(False, f'command timed out: "{" ".join(command)}" timed out after {limit:g}s')
        except RuntimeFailure as failure:
            return ProbeResult(False, failure.message)
        return ProbeResult(result.exit_code == 0, result.output.decode(errors="replace"))

    async def _tcp(self, host: str, port: int, limit: float) -> ProbeResult:
        try:
            async with asyncio.timeout(limit):
                _, writer = await asyncio.open_connection(host, port)
        except TimeoutError:
            return ProbeResult(False, f"dial tcp {host}:{port}: i/o timeout")
        except OSError as error:
            return ProbeResult(False, f"dial tcp {host}:{port}: connect: {_reason(error)}")
        writer.close()
        return ProbeResult(True)

    async def _http(self, action: HTTPGetAction, target: ProbeTarget, limit: float) -> ProbeResult:
        port = find_port(target.container, action.port)
        if port is None:
            return ProbeResult(False, f"couldn't find port: {action.port}")
        host, scheme = action.host or target.address, (action.scheme or "HTTP").lower()
        path = action.path if action.path.startswith("/") else f"/{action.path}"
        url = f"{scheme}://{_bracketed(host)}:{port}{path}"
        headers = {"User-Agent": USER_AGENT, "Accept": "*/*", "Connection": "close"}
        for header in action.http_headers:
            headers[header.name] = header.value
        try:
            async with asyncio.timeout(limit):
                return await self._get(url, headers)
        except TimeoutError:
            return ProbeResult(False, f'Get "{url}": context deadline exceeded')
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return ProbeResult(False, f'Get "{url}": {_reason(error)}')

    async def _get(self, url: str, headers: dict[str, str]) -> ProbeResult:
        if self._session is None:
            self._session = _session()
        host = urlsplit(url).hostname
        for _ in range(MAX_REDIRECTS + 1):
            async with self._session.get(URL(url, encoded=True), headers=headers, allow_redirects=False) as answer:
                await answer.content.read(OUTPUT_LIMIT)
                code, location = answer.status, answer.headers.get("Location", "")
            if code in (301, 302, 303, 307, 308) and location:
                url = urljoin(url, location)
                if urlsplit(url).hostname != host:
                    return ProbeResult(True, "Probe terminated redirects")
                continue
            if 200 <= code < 400:
                return ProbeResult(True)
            return ProbeResult(False, f"HTTP probe failed with statuscode: {code}")
        return ProbeResult(False, f'Get "{url}": stopped after {MAX_REDIRECTS} redirects')


def find_port(container: Container, port: int | str) -> int | None:
    """A port by number, or by its name in the container's ports; None when there is none."""
    if isinstance(port, int):
        return port if 0 < port < 65536 else None
    if port.isdigit():
        return find_port(container, int(port))
    return next((known.container_port for known in container.ports if known.name == port), None)


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


def _reason(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return str(error) or type(error).__name__
