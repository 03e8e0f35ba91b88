"""Requests for group versions that another API server serves: sent on with the identity of who asks.

What is asked was authorized before, by the same path that is sent on. Source:
k8s.io/kube-aggregator/pkg/apiserver/handler_proxy.go.
"""

from __future__ import annotations

import string
from collections.abc import Awaitable
from urllib.parse import quote

from aiohttp import web
from multidict import CIMultiDict

from controlplane.apiserver.aggregation.certificates import FrontProxy
from controlplane.apiserver.aggregation.routes import Route, Routes
from controlplane.apiserver.discovery import Remote
from controlplane.apiserver.guard import Call
from controlplane.apiserver.identity import User
from controlplane.apiserver.proxy.forward import forward
from controlplane.apiserver.proxy.rewriting import forwarded_headers, without_cors
from controlplane.apiserver.reach.endpoints import Endpoints
from controlplane.apiserver.unserved import nothing
from shared.api.errors import ServiceUnavailable, StatusError, TooManyRequests

_TOKEN = frozenset(f"!#$&'*+-.^_`|~{string.digits}{string.ascii_letters}")
"""What may stand in a header's name; percent is what the rest is encoded with."""

_DOCUMENTS = "/openapi/v3/"


class Aggregator:
    """``delegate`` is asked before what is served here."""

    def __init__(self, routes: Routes, endpoints: Endpoints, front_proxy: FrontProxy) -> None:
        self._routes, self._endpoints, self._front_proxy = routes, endpoints, front_proxy

    @property
    def version(self) -> int:
        """Counts changes of ``served``."""
        return self._routes.version

    def served(self) -> list[Remote]:
        """For discovery: the group versions of others."""
        return [
            Remote(
                route.group, route.version, route.group_priority, route.version_priority, route.available,
                self._routes.resources(route), self._routes.document(route),
            )
            for route in self._routes
        ]  # fmt: skip

    def delegate(self, request: web.Request, call: Call) -> Awaitable[web.StreamResponse] | None:
        """The answer of the server that serves the path; None for what is served here."""
        if not self._routes:
            return None
        path = call.target.path
        below = path.removeprefix(_DOCUMENTS) if path.startswith(_DOCUMENTS) else path[1:]
        parts = below.split("/", 3)
        if len(parts) < 3 or parts[0] != "apis":
            return None
        route = self._routes.find(parts[1], parts[2])
        return None if route is None else self._serve(request, call, route)

    async def _serve(self, request: web.Request, call: Call, route: Route) -> web.StreamResponse:
        """Raises StatusErrors before the answer's head."""
        if not route.available:
            raise ServiceUnavailable("service unavailable")
        path = call.target.path
        if any(part in (".", "..") for part in path.split("/")):
            raise nothing()  # what was authorized is not what they lead to
        way = self._endpoints.choose(route.namespace, route.service, route.port)
        tls = self._front_proxy.context(route.ca_bundle, insecure=route.insecure)
        headers = forwarded_headers(request.headers, request.remote or "", uri=path)
        headers["Host"] = way.authority
        identify(headers, call.user)
        _, mark, query = request.raw_path.partition("?")
        try:
            connection = self._endpoints.open(way, tls)
            async with connection as backend:
                return await forward(request, backend, f"{_encoded(path)}{mark}{query}", headers, without_cors)
        except TooManyRequests:
            raise
        except StatusError as error:
            raise ServiceUnavailable(error.message) from error


def identify(headers: CIMultiDict[str], user: User) -> None:
    """Say who asks, in the headers that the published configuration names."""
    headers["X-Remote-User"] = user.name
    if user.uid:
        headers["X-Remote-Uid"] = user.uid
    for group in user.groups:
        headers.add("X-Remote-Group", group)
    for key, values in user.extra:
        for value in values:
            headers.add(f"X-Remote-Extra-{_header_key(key)}", value)


def _header_key(key: str) -> str:
    """A key of extra as a part of a header's name: what may not stand there is percent-encoded (k8s.io/client-go/
    transport, headerKeyEscape)."""
    return "".join(char if char in _TOKEN else quote(char, safe="") for char in key)


def _encoded(path: str) -> str:
    return quote(path, safe="$&+,/:;=@", errors="surrogateescape")
