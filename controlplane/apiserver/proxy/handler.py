"""The routes of pods/proxy, services/proxy and nodes/proxy: who is meant, then the request goes on to it.

Whoever may ask is decided before, by the verb of the method on the subresource. Pods are reached through their agents;
of a node only what this server knows itself is answered.
"""

from __future__ import annotations

import ssl
from contextlib import AsyncExitStack

from aiohttp import web
from multidict import CIMultiDict

from controlplane.apiserver import connecting
from controlplane.apiserver.api import ApiServer
from controlplane.apiserver.guard import CALL, Call
from controlplane.apiserver.lookups import Lookups
from controlplane.apiserver.proxy.backend import over_stream
from controlplane.apiserver.proxy.forward import forward
from controlplane.apiserver.proxy.location import Location, Name, of_pod, of_service, parse_name
from controlplane.apiserver.proxy.node import NodeAnswers
from controlplane.apiserver.proxy.rewriting import clean_path, forwarded_headers, rewritten_location, without_cors
from controlplane.apiserver.streams.dialled import dial
from controlplane.apiserver.streams.hub import TunnelHub
from controlplane.apiserver.unserved import not_allowed, nothing
from shared.api.errors import NotFound, ServiceUnavailable, StatusError, TooManyRequests

_NAMESPACED = "/api/v1/namespaces/{namespace}/"
_VERBS = frozenset(("get", "create", "update", "patch", "delete", "head", "options"))


class ProxyHandler:
    """Serves the three."""

    def __init__(self, api: ApiServer, lookups: Lookups, hub: TunnelHub) -> None:
        self._api, self._lookups, self._hub = api, lookups, hub
        self._nodes = NodeAnswers(api, hub)
        self._unverified = _unverified()

    def add_routes(self, app: web.Application) -> None:
        """Serve every method below ``.../proxy``."""
        for path in (f"{_NAMESPACED}pods", f"{_NAMESPACED}services", "/api/v1/nodes"):
            app.router.add_route("*", path + "/{name}/proxy", self.handle)
            app.router.add_route("*", path + "/{name}/proxy/{rest:.*}", self.handle)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Raises StatusErrors before the answer's head."""
        call = CALL.get()
        raw, mark, query = request.raw_path.partition("?")
        prefix, rest = _split(raw, call)
        if call.verb not in _VERBS:
            raise not_allowed()
        if not rest and request.method in ("GET", "HEAD"):
            # so that relative links of a page lead to what is below the proxy (upgradeaware.go)
            return web.Response(status=301, headers={"Location": f"{prefix}/{mark}{query}"})
        path, target = clean_path(rest), call.target
        await connecting.admitted(self._api, request, (), path)
        asked = parse_name(target.name, target.resource.removesuffix("s"))
        if target.resource == "nodes":
            return await self._nodes.serve(request, asked, path, call.user)
        location = self._location(target.resource, target.namespace, asked)
        headers = forwarded_headers(request.headers, request.remote or "", uri=f"{prefix}{path}")

        def edit(answered: CIMultiDict[str]) -> None:
            without_cors(answered)
            if leads_to := answered.get("Location"):
                answered["Location"] = rewritten_location(
                    leads_to, prefix=prefix, host=location.host, request_host=request.host
                )

        async with AsyncExitStack() as stack:
            try:
                stream = await stack.enter_async_context(dial(self._hub, location.node, location.target))
            except TooManyRequests:
                raise
            except StatusError as error:
                raise ServiceUnavailable(f"error trying to reach service: {error.message}") from error
            tls = self._unverified if location.tls else None
            backend = await stack.enter_async_context(over_stream(stream, tls))
            return await forward(request, backend, f"{path}{mark}{query}", headers, edit)

    def _location(self, resource: str, namespace: str, asked: Name) -> Location:
        if resource == "pods":
            pod = self._lookups.pod(namespace, asked.name)
            if pod is None:
                raise NotFound(f'pods "{asked.name}" not found', kind="pods", name=asked.name)
            return of_pod(asked, pod)
        service = self._lookups.service(namespace, asked.name)
        if service is None:
            raise NotFound(f'services "{asked.name}" not found', kind="services", name=asked.name)
        endpoints = self._lookups.endpoints(namespace, asked.name)
        return of_service(asked, service, endpoints, self._lookups.pod, self._api.rng)


def _split(raw: str, call: Call) -> tuple[str, str]:
    """The raw path up to ``proxy`` and after it. What was authorized was read from the decoded path: where the two
    differ in what they name, nothing is served."""
    count = 8 if call.target.resource != "nodes" else 6
    parts = raw.split("/", count)
    if call.target.subresource != "proxy" or len(parts) < count or parts[count - 1] != "proxy":
        raise nothing()
    return "/".join(parts[:count]), f"/{parts[count]}" if len(parts) > count else ""


def _unverified() -> ssl.SSLContext:
    """For pods that speak TLS: nobody signs their certificates (InsecureSkipVerify of kube-apiserver's proxy)."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
