"""What is served beside resources: discovery, OpenAPI, version, health, metrics.

Everything but health and metrics is made once for the kinds that are served, and again when those change. Nothing
here waits but for the making of OpenAPI documents.
"""

from __future__ import annotations

from collections.abc import Mapping

from aiohttp import web

from controlplane.apiserver.aggregation.handler import Aggregator
from controlplane.apiserver.api import ApiServer
from controlplane.apiserver.discovery import VERSION, Discovery
from controlplane.apiserver.negotiation import JSON_TYPE, accepts_discovery
from controlplane.apiserver.openapi.serving import OpenApi
from controlplane.apiserver.unserved import not_allowed, nothing
from shared import codec
from shared.observe import metrics

_AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
_HEALTH = ("healthz", "livez", "readyz")


class Pages:
    """Answers GETs that name no resource."""

    def __init__(self, api: ApiServer, aggregator: Aggregator | None = None) -> None:
        self._api, self._aggregator = api, aggregator
        self._made_of = -1, -1
        self._discovery = Discovery(())
        self._version = codec.encode(VERSION)
        self._openapi = OpenApi(api.kinds, api.clock, aggregator)

    async def serve(self, request: web.Request, path: str, query: Mapping[str, str]) -> web.Response:
        """Raises NotFound, MethodNotAllowed, NotAcceptable."""
        if request.method not in ("GET", "HEAD"):
            raise not_allowed()
        path = path.rstrip("/") or "/"
        if self._made_of != self._versions():
            self._renew()
        aggregated = path in ("/api", "/apis") and accepts_discovery(request.headers.get("Accept", ""))
        found = self._discovery.answer(path, aggregated=aggregated)
        if found is not None:
            return _json(found, _AGGREGATED if aggregated else JSON_TYPE, {"Vary": "Accept"})
        if path == "/version":
            return _json(self._version)
        first, _, rest = path[1:].partition("/")
        if first in _HEALTH:
            return self._health(first, rest, request, query)
        if path == "/metrics":
            return web.Response(body=metrics.exposition(), headers={"Content-Type": metrics.CONTENT_TYPE})
        if path == "/openapi/v3" or path.startswith("/openapi/v3/"):
            return await self._openapi.v3(request, path.removeprefix("/openapi/v3").lstrip("/"), query)
        if path == "/openapi/v2":
            return await self._openapi.v2(request)
        if path == "/":
            more = ["/healthz", "/livez", "/metrics", "/openapi/v2", "/openapi/v3", "/readyz", "/version"]
            return _json(codec.encode({"paths": sorted([*self._discovery.paths, *more])}))
        raise nothing()

    def _versions(self) -> tuple[int, int]:
        return self._api.kinds.version, 0 if self._aggregator is None else self._aggregator.version

    def _renew(self) -> None:
        kinds, aggregator = self._api.kinds, self._aggregator
        self._made_of = self._versions()
        remote = () if aggregator is None else aggregator.served()
        custom = {kind.resource.group for kind in kinds.custom}
        self._discovery = Discovery(kinds, custom_groups=custom, remote=remote)

    def _health(self, endpoint: str, rest: str, request: web.Request, query: Mapping[str, str]) -> web.Response:
        if rest:
            code, text = self._api.health.one(rest)
        else:
            exclude = frozenset(request.query.getall("exclude", ()))
            code, text = self._api.health.report(endpoint, verbose="verbose" in query, exclude=exclude)
        headers = {"Content-Type": "text/plain; charset=utf-8", "X-Content-Type-Options": "nosniff"}
        return web.Response(status=code, body=text.encode(), headers=headers)


def _json(body: bytes, content_type: str = JSON_TYPE, headers: Mapping[str, str] | None = None) -> web.Response:
    response = web.Response(body=body, headers={"Content-Type": content_type, **(headers or {})})
    if len(body) > 32_768:
        response.enable_compression()
    return response
