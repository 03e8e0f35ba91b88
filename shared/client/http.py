"""The Client protocol over HTTPS, with aiohttp.

Owns connections, time limits, and the translation of every failure into ``shared.api.errors``: nothing of aiohttp,
ssl or the operating system leaks out. It never retries: callers have queues and back-off for that. Lives on one
event loop; safe for concurrent calls.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

import aiohttp
from yarl import URL

from shared import codec
from shared.api.errors import Expired, ServiceUnavailable, StatusError, Timeout, from_status
from shared.api.kinds import PODS, Resource
from shared.api.meta import JSON, Object
from shared.client import wire
from shared.client.base import Binding, ObjectList, PatchType, WatchEvent
from shared.client.pool import ConnectionPool
from shared.unreachable import why_expired

T = TypeVar("T", bound=Object)

PAGE = 500
"""Objects in one page of a list; the rest is followed with ``continue``."""

_BINDS_AT_ONCE = 16


class HttpClient:
    """The API over the wire. Times in seconds.

    ``watch_idle``: a watch on which nothing comes for so long (not even a bookmark) is taken for dead and ends.
    """

    def __init__(
        self,
        server_url: str,
        ssl_context: ssl.SSLContext,
        token: str = "",
        *,
        tls_server_name: str = "",
        user_agent: str = "longboat",
        connect_timeout: float = 5.0,
        total_timeout: float = 30.0,
        watch_idle: float = 120.0,
    ) -> None:
        self.server_url = server_url.rstrip("/")
        self._ssl = ssl_context
        self._server_name = tls_server_name or None
        self._headers = {"User-Agent": user_agent} | ({"Authorization": f"Bearer {token}"} if token else {})
        self._connect, self._total, self._watch_idle = connect_timeout, total_timeout, watch_idle
        self._pool: ConnectionPool | None = None
        self._closed = False

    # --- life

    async def __aenter__(self) -> HttpClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """End every request and watch. Idempotent."""
        self._closed = True
        if self._pool is not None:
            await self._pool.session.close()

    async def use(self, ssl_context: ssl.SSLContext) -> None:
        """Show another certificate from now on; requests under way finish with the old one, watches end."""
        self._ssl = ssl_context
        await self.reconnect()

    async def reconnect(self) -> None:
        """Give up every connection: watches and WebSockets end at once (their readers come back over a new one),
        requests under way finish. For use after an outage, when old connections may hang for minutes."""
        pool, self._pool = self._pool, None
        if pool is not None:
            await pool.retire()

    # --- Client: reading

    async def get(self, resource: Resource[T], name: str, namespace: str = "") -> T:
        return wire.decode_object(await self._verb("GET", _path(resource, namespace, name)), resource)

    async def list(
        self,
        resource: Resource[T],
        namespace: str = "",
        *,
        label_selector: str = "",
        field_selector: str = "",
        resource_version: str = "",
    ) -> ObjectList[T]:
        selectors = _params(labelSelector=label_selector, fieldSelector=field_selector)
        for attempt in range(3):
            items: list[T] = []
            params = _params(limit=str(PAGE), resourceVersion=resource_version) | selectors
            try:
                while True:
                    data = await self._verb("GET", _path(resource, namespace), params=params)
                    page = wire.decode_list(data, resource)
                    items.extend(page.items)
                    if not page.continue_:
                        return ObjectList(items, page.resource_version)
                    params = _params(limit=str(PAGE)) | selectors | {"continue": page.continue_}
            except Expired:
                # The token outlived the server's history between two pages: the list begins anew.
                if not items or attempt == 2:
                    raise
        raise AssertionError("unreachable")

    async def watch(
        self,
        resource: Resource[T],
        namespace: str = "",
        *,
        resource_version: str,
        label_selector: str = "",
        field_selector: str = "",
    ) -> AsyncIterator[WatchEvent[T]]:
        params = _params(labelSelector=label_selector, fieldSelector=field_selector) | {
            "watch": "true", "allowWatchBookmarks": "true", "resourceVersion": resource_version,
        }  # fmt: skip
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=self._connect, sock_read=self._watch_idle)
        async with self._open("GET", _path(resource, namespace), params, timeout=timeout, lasting=True) as response:
            _keep_alive(response)
            lines = wire.lines(response.content.iter_any())
            try:
                async for line in lines:
                    event = wire.decode_event(line, resource)
                    if isinstance(event, StatusError):
                        raise event
                    yield event
            except (TimeoutError, aiohttp.ClientError, OSError):
                # Cut off, idle for too long or given up by reconnect(): for the reader it has ended, and what it
                # missed it gets from where it stood.
                return

    # --- Client: writing

    async def create(
        self, resource: Resource[T], obj: JSON, namespace: str = "", *, name: str = "", subresource: str = ""
    ) -> JSON:
        path = _path(resource, namespace or _namespace(obj), name, subresource)
        return wire.decode_tree(await self._verb("POST", path, body=codec.encode(obj)))

    async def replace(self, resource: Resource[T], obj: JSON, *, subresource: str = "") -> JSON:
        path = _path(resource, _namespace(obj), str(obj.get("metadata", {}).get("name", "")), subresource)
        return wire.decode_tree(await self._verb("PUT", path, body=codec.encode(obj)))

    async def patch(
        self,
        resource: Resource[T],
        name: str,
        patch: Any,
        namespace: str = "",
        *,
        type: PatchType = PatchType.MERGE,
        subresource: str = "",
    ) -> JSON:
        path = _path(resource, namespace, name, subresource)
        data = await self._verb("PATCH", path, body=codec.encode(patch), content_type=type.value)
        return wire.decode_tree(data)

    async def delete(
        self,
        resource: Resource[T],
        name: str,
        namespace: str = "",
        *,
        grace_period_seconds: int | None = None,
        propagation_policy: str | None = None,
        uid: str = "",
        resource_version: str = "",
    ) -> None:
        options: JSON = {"kind": "DeleteOptions", "apiVersion": "v1"}
        if grace_period_seconds is not None:
            options["gracePeriodSeconds"] = grace_period_seconds
        if propagation_policy is not None:
            options["propagationPolicy"] = propagation_policy
        if preconditions := _params(uid=uid, resourceVersion=resource_version):
            options["preconditions"] = preconditions
        await self._verb("DELETE", _path(resource, namespace, name), body=codec.encode(options))

    async def bind(self, bindings: Sequence[Binding]) -> Sequence[StatusError | None]:
        """One request each, some at a time: Kubernetes' wire knows no transaction over several pods."""
        at_once = asyncio.Semaphore(_BINDS_AT_ONCE)

        async def one(binding: Binding) -> StatusError | None:
            body: JSON = {
                "kind": "Binding",
                "apiVersion": "v1",
                "metadata": {"name": binding.name, "namespace": binding.namespace, "uid": binding.uid},
                "target": {"kind": "Node", "apiVersion": "v1", "name": binding.node},
            }
            async with at_once:
                try:
                    await self.create(PODS, body, binding.namespace, name=binding.name, subresource="binding")
                except StatusError as error:
                    return error
            return None

        return await asyncio.gather(*(one(binding) for binding in bindings))

    # --- raw

    async def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: bytes | None = None,
        content_type: str = "application/json",
        accept: str = "application/json",
        timeout: float | None = None,
    ) -> bytes:
        """One request, at once, and at most ``timeout`` seconds in all (default: the client's); the body of a 2xx.

        Raises the StatusError that the server answered; ServiceUnavailable when it cannot be reached or trusted,
        Timeout when it does not answer in time (whether a write happened is then unknown).
        """
        total = self._total if timeout is None else timeout
        limits = aiohttp.ClientTimeout(total=total, sock_connect=min(self._connect, total))
        headers = {"Accept": accept} | ({"Content-Type": content_type} if body is not None else {})
        async with self._open(method, path, params, body=body, headers=headers, timeout=limits) as response:
            try:
                return await response.read()
            except (TimeoutError, aiohttp.ClientError, OSError) as error:
                raise self._failure(error, method, path) from error

    @asynccontextmanager
    async def stream(
        self, path: str, *, params: Mapping[str, str] | None = None, idle: float | None = None
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """GET an answer of any length piece by piece (a followed log); ``idle`` seconds without a byte end it."""
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=self._connect, sock_read=idle)
        async with self._open(
            "GET", path, params, headers={"Accept": "*/*"}, timeout=timeout, lasting=True
        ) as response:

            async def pieces() -> AsyncIterator[bytes]:
                try:
                    async for piece in response.content.iter_any():
                        yield piece
                except (TimeoutError, aiohttp.ClientError, OSError) as error:
                    raise self._failure(error, "GET", path) from error

            yield pieces()

    @asynccontextmanager
    async def websocket(
        self, path: str, *, protocol: str, heartbeat: float | None = 10.0, max_message: int = 1 << 20
    ) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
        """An open WebSocket of sub-protocol ``protocol``, pinged every ``heartbeat`` seconds; ended by reconnect().
        With None it has the kernel's probes: a stream that is held back has nobody who reads, and answers, pings.

        Raises as ``request`` does, at the end too: when the connection is lost just as a ping is answered. Otherwise
        a lost connection is a CLOSED message to its reader.
        """
        pool = self._acquire()
        try:
            try:
                async with asyncio.timeout(self._connect + 5):
                    socket = await pool.session.ws_connect(
                        self._url(path, None),
                        protocols=(protocol,),
                        heartbeat=heartbeat,
                        max_msg_size=max_message,
                        headers=self._headers,
                        ssl=self._ssl,
                        server_hostname=self._server_name,
                        timeout=aiohttp.ClientWSTimeout(ws_close=5.0),
                    )
            except aiohttp.WSServerHandshakeError as error:
                raise from_status({"message": f"GET {path}: {error.message}"}, error.status) from error
            except (TimeoutError, aiohttp.ClientError, OSError) as error:
                raise self._failure(error, "GET", path) from error
            if heartbeat is None:
                wire.probe_connection(socket.get_extra_info("socket"))
            pool.lasting.add(socket)
            try:
                yield socket
            except aiohttp.ClientConnectionResetError as error:
                # aiohttp answers pings while it reads, and lets that failure out of receive().
                raise self._failure(error, "GET", path) from error
            finally:
                pool.lasting.discard(socket)
                await socket.close()
        finally:
            await pool.release()

    # --- inside

    async def _verb(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: bytes | None = None,
        content_type: str = "application/json",
    ) -> bytes:
        """``request``, with its turn waited for: at most ``pool.AT_ONCE`` verbs are under way at a time."""
        try:
            async with asyncio.timeout(self._total):
                while True:
                    pool = self._acquire()
                    try:
                        async with pool.turn() as good:
                            if good:
                                return await self.request(
                                    method, path, params=params, body=body, content_type=content_type
                                )
                    finally:
                        await pool.release()
        except TimeoutError as error:
            raise self._failure(error, method, path) from error

    @asynccontextmanager
    async def _open(
        self,
        method: str,
        path: str,
        params: Mapping[str, str] | None,
        *,
        timeout: aiohttp.ClientTimeout,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        lasting: bool = False,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """The response to one request, already known to be a 2xx; closed in the end."""
        pool = self._acquire()
        try:
            try:
                # A watch's answer may begin late, but never later than any other.
                async with asyncio.timeout(None if timeout.total else self._total):
                    response = await pool.session.request(
                        method,
                        self._url(path, params),
                        data=body,
                        headers={**self._headers, **(headers or {})},
                        timeout=timeout,
                        ssl=self._ssl,
                        server_hostname=self._server_name,
                        allow_redirects=False,
                    )
                    if response.status >= 300:
                        data = await response.read()
                        raise wire.status_error(response.status, data, response.headers.get("Retry-After"))
            except (TimeoutError, aiohttp.ClientError, OSError) as error:
                raise self._failure(error, method, path) from error
            if lasting:
                pool.lasting.add(response)
            try:
                yield response
            finally:
                pool.lasting.discard(response)
                if lasting:
                    response.close()  # the rest of a watch is not read: the connection cannot be used again
                else:
                    response.release()
        finally:
            await pool.release()

    def _acquire(self) -> ConnectionPool:
        if self._closed:
            raise ServiceUnavailable("the client is closed")
        if self._pool is None:
            self._pool = ConnectionPool()
        self._pool.users += 1
        return self._pool

    def _url(self, path: str, params: Mapping[str, str] | None) -> URL:
        query = f"?{urlencode(params)}" if params else ""
        return URL(f"{self.server_url}{path}{query}", encoded=True)

    def _failure(self, error: BaseException, method: str, path: str) -> StatusError:
        what = f"{method} {path}"
        if isinstance(error, asyncio.TimeoutError):
            return Timeout(f"{what}: no answer from {self.server_url} in time")
        if (expired := why_expired(error)) is not None:
            return ServiceUnavailable(f"{self.server_url}: {expired}")
        if isinstance(error, aiohttp.ClientConnectorCertificateError):
            reason = getattr(error.certificate_error, "verify_message", "") or str(error.certificate_error)
            return ServiceUnavailable(f"{self.server_url} is not trusted: {reason}")
        if isinstance(error, aiohttp.ClientConnectorDNSError):
            return ServiceUnavailable(f"{self.server_url}: its name cannot be resolved: {error.os_error.strerror}")
        if isinstance(error, aiohttp.ClientConnectorError):
            return ServiceUnavailable(f"{self.server_url} cannot be reached: {error.os_error.strerror or error}")
        return ServiceUnavailable(f"{what}: the connection to {self.server_url} broke: {error or type(error).__name__}")


def _path(resource: Resource[Any], namespace: str = "", name: str = "", subresource: str = "") -> str:
    return resource.path(quote(namespace, safe=""), quote(name, safe=""), subresource)


def _params(**values: str) -> dict[str, str]:
    return {key: value for key, value in values.items() if value}


def _namespace(obj: JSON) -> str:
    return str((obj.get("metadata") or {}).get("namespace") or "")


def _keep_alive(response: aiohttp.ClientResponse) -> None:
    """Have the kernel probe a quiet watch, so that a vanished server is noticed in about 20 s, not in hours."""
    connection = response.connection
    transport = connection.transport if connection is not None else None
    wire.probe_connection(transport.get_extra_info("socket") if transport is not None else None)
