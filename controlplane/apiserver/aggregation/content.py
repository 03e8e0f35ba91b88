"""What other API servers have in a namespace, for the namespace controller: listed and deleted as the control plane.

Implements ``controllers.namespace.Elsewhere``; owns nothing. What a server serves is what ``availability`` was told
last; of one that is not available, or was not asked yet, nothing is known. On the event loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

import aiohttp

from controlplane.apiserver.aggregation.asking import ask
from controlplane.apiserver.aggregation.certificates import FrontProxy
from controlplane.apiserver.aggregation.routes import Route, Routes
from controlplane.apiserver.identity import CONTROL_PLANE
from controlplane.apiserver.reach.endpoints import Endpoints
from shared import codec
from shared.api.errors import ServiceUnavailable, Timeout, from_status
from shared.api.kinds import Resource
from shared.api.meta import JSON, Object
from shared.client import wire

PATIENCE = 10.0
"""Seconds that a server has to answer."""

_PAGE = 500


class Content:
    """See the module."""

    def __init__(self, routes: Routes, endpoints: Endpoints, front_proxy: FrontProxy) -> None:
        self._routes, self._endpoints, self._front_proxy = routes, endpoints, front_proxy

    def undiscovered(self) -> Mapping[str, str]:
        """Why nothing is known of a group version, by its name."""
        return {
            f"{route.group}/{route.version}": f"stale GroupVersion discovery: {route.group}/{route.version}"
            for route in self._routes
            if not self._is_known(route)
        }

    def resources(self) -> list[Resource[Object]]:
        """The namespaced ones whose objects can be listed and deleted, each in the version that is preferred."""
        found: dict[tuple[str, str], Resource[Object]] = {}
        for route in sorted(self._routes, key=lambda route: -route.version_priority):
            for resource in self._of(route) if self._is_known(route) else ():
                found.setdefault((resource.group, resource.plural), resource)
        return list(found.values())

    async def list(self, resource: Resource[Object], namespace: str) -> list[Object]:
        """All objects of a namespace. Raises StatusErrors."""
        items: list[Object] = []
        follow = ""
        while True:
            data = await self._ask(resource, f"{resource.path(namespace)}?limit={_PAGE}{follow}")
            page = wire.decode_list(data, resource)
            items += page.items
            if not page.continue_:
                return items
            follow = f"&continue={quote(page.continue_, safe='')}"

    async def delete(self, resource: Resource[Object], obj: Object) -> None:
        """Begin the deletion of one. Raises StatusErrors."""
        meta = obj.metadata
        options: JSON = {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Background",
                         "preconditions": {"uid": meta.uid}}  # fmt: skip
        path = resource.path(meta.namespace, quote(meta.name, safe=""))
        await self._ask(resource, path, "DELETE", codec.encode(options))

    def _is_known(self, route: Route) -> bool:
        return route.available and self._routes.is_learned(route)

    def _of(self, route: Route) -> Iterator[Resource[Object]]:
        for entry in self._routes.resources(route):
            if entry["scope"] == "Namespaced" and {"list", "delete"} <= set(entry["verbs"]):
                kind = entry["responseKind"]["kind"]
                yield Resource(route.group, route.version, entry["resource"], kind, True, Object)

    async def _ask(self, resource: Resource[Any], path: str, method: str = "GET", body: bytes = b"") -> bytes:
        where = f"{resource.group}/{resource.version}"
        route = self._routes.find(resource.group, resource.version)
        if route is None:
            raise ServiceUnavailable(f"{where} is not served any more")
        try:
            async with asyncio.timeout(PATIENCE):
                way = self._endpoints.choose(route.namespace, route.service, route.port)
                tls = self._front_proxy.context(route.ca_bundle, insecure=route.insecure)
                status, data = await ask(self._endpoints, way, tls, CONTROL_PLANE, path, method, body)
        except TimeoutError as error:
            raise Timeout(f"the server of {where} did not answer within {PATIENCE:g} s") from error
        except (aiohttp.ClientError, OSError) as error:
            raise ServiceUnavailable(f"the server of {where} cannot be asked: {error}") from error
        if status >= 400:
            raise from_status(_status(data), status)
        return data


def _status(data: bytes) -> JSON:
    try:
        tree = codec.decode(data)
    except codec.CodecError:
        tree = None
    return tree if isinstance(tree, dict) else {"message": data[:256].decode(errors="replace")}
