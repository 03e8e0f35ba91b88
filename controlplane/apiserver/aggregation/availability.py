"""Whether the servers behind APIServices can be asked: the ``Available`` condition, and what they say they serve.

Owns that condition of APIServices with a service. Each is looked at again when it, its service or its endpoints change
and every ``RESYNC`` seconds; those that fail sooner, with back-off. One look at a time for each. Reasons and texts are
those of k8s.io/kube-aggregator/pkg/controllers/status/remote.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, replace
from typing import Any

import aiohttp

from controlplane.apiserver.aggregation import discovered
from controlplane.apiserver.aggregation.asking import ask
from controlplane.apiserver.aggregation.certificates import FrontProxy
from controlplane.apiserver.aggregation.routes import Route, Routes
from controlplane.apiserver.identity import User
from controlplane.apiserver.kinds.apiservice import AVAILABLE, available
from controlplane.apiserver.reach.endpoints import EXTERNAL_NAME, Endpoints, port_name
from shared import codec
from shared.api.errors import StatusError
from shared.api.kinds import API_SERVICES
from shared.api.meta import JSON, timestamp
from shared.client.base import Client
from shared.work.clock import Clock

logger = logging.getLogger(__name__)

RESYNC = 30.0
"""Seconds between looks at a server that works (the aggregator's)."""

AGAIN = 2.0
"""Seconds until one that does not is looked at again."""

PATIENCE = 5.0
"""Seconds that a server has to answer."""

_ATTEMPTS = 2
_AGGREGATOR = User("system:kube-aggregator", ("system:masters",))


@dataclass(frozen=True, slots=True)
class Verdict:
    """A condition without its time."""

    status: str
    reason: str
    message: str


_PASSED = Verdict("True", "Passed", "all checks passed")


class CheckFailed(Exception):
    """The server did not answer as it must; the message says how."""


class Availability:
    """``look`` is called by ``registration``."""

    def __init__(
        self, routes: Routes, endpoints: Endpoints, front_proxy: FrontProxy, client: Client, clock: Clock
    ) -> None:
        self._routes, self._endpoints, self._front_proxy = routes, endpoints, front_proxy
        self._client, self._clock = client, clock

    def state(self, route: Route) -> object:
        """Changes when another look is due."""
        return replace(route, available=False), self._endpoints.state(route.namespace, route.service)

    async def look(self, route: Route) -> float:
        """Bring the condition up to date; seconds until the next look. Raises StatusError when it cannot be written."""
        verdict = self._of_service(route)
        if verdict is None:
            try:
                self._routes.learned(route, *await self._ask(route))
                verdict = _PASSED
            except CheckFailed as error:
                verdict = Verdict("False", "FailedDiscoveryCheck", str(error))
        await self._write(route, verdict)
        return RESYNC if verdict is _PASSED else AGAIN

    def _of_service(self, route: Route) -> Verdict | None:
        """What is wrong before anybody is asked."""
        where = f'service/{route.service} in "{route.namespace}"'
        service = self._endpoints.service(route.namespace, route.service)
        if service is None:
            return Verdict("False", "ServiceNotFound", f"{where} is not present")
        if service.spec.type == EXTERNAL_NAME:
            return None
        named = port_name(service, route.port)
        if named is None:
            return Verdict("False", "ServicePortError", f"{where} is not listening on port {route.port}")
        slices = self._endpoints.slices(route.namespace, route.service)
        if not slices:
            return Verdict("False", "EndpointsNotFound", f"cannot find endpointslices for {where}")
        for slice_ in slices:
            ready = any(endpoint.conditions.ready is not False for endpoint in slice_.endpoints)
            if ready and any(port.name == named and port.port for port in slice_.ports):
                return None
        message = f'endpointslices for {where} have no addresses with port name "{named}"'
        return Verdict("False", "MissingEndpoints", message)

    async def _ask(self, route: Route) -> tuple[list[JSON], str]:
        """The resources that it serves, and the query of its OpenAPI document. Raises CheckFailed."""
        failure = CheckFailed("")
        for _ in range(_ATTEMPTS):  # each at an endpoint of its own choice
            try:
                found = await self._get(route, route.path)
                break
            except CheckFailed as error:
                failure = error
        else:
            raise failure
        try:
            documents = await self._get(route, "/openapi/v3")
        except CheckFailed:
            documents = {}  # it need not have any
        return discovered.resources(found, route.group, route.version), discovered.document(documents, route.path)

    async def _get(self, route: Route, path: str) -> Any:
        where = f"https://{route.service}.{route.namespace}.svc:{route.port}{path}"
        try:
            async with asyncio.timeout(PATIENCE):
                way = self._endpoints.choose(route.namespace, route.service, route.port)
                where = f"https://{way.authority}{path}"
                # the answer tells nothing but whether it is there, so whose it is does not matter here
                tls = self._front_proxy.context("", insecure=True)
                status, data = await ask(self._endpoints, way, tls, _AGGREGATOR, path)
                if not 200 <= status < 300:
                    raise CheckFailed(f"bad status from {where}: {status}")
                return _decoded(data)
        except TimeoutError as error:
            raise CheckFailed(f"failing or missing response from {where}: no answer within {PATIENCE:g} s") from error
        except (aiohttp.ClientError, OSError) as error:
            raise CheckFailed(f"failing or missing response from {where}: {error}") from error
        except StatusError as error:
            raise CheckFailed(f"failing or missing response from {where}: {error.message}") from error

    async def _write(self, route: Route, verdict: Verdict) -> None:
        tree = self._routes.tree(route.name)
        if tree is None:
            return
        before = available(tree)
        condition: JSON = {
            "type": AVAILABLE, "status": verdict.status, "reason": verdict.reason, "message": verdict.message,
            "lastTransitionTime": timestamp(self._clock.now()),
        }  # fmt: skip
        if before is not None and before.get("status") == verdict.status:
            condition["lastTransitionTime"] = before.get("lastTransitionTime")
        if condition == before:
            return
        logger.info("an APIService changes", extra={"api_service": route.name, "reason": verdict.reason})
        others = [each for each in (tree.get("status") or {}).get("conditions") or () if each.get("type") != AVAILABLE]
        change = {"status": {"conditions": [*others, condition]}}
        await self._client.patch(API_SERVICES, route.name, change, subresource="status")


def _decoded(data: bytes) -> Any:
    try:
        return codec.decode(data)
    except codec.CodecError as error:
        raise CheckFailed(f"the answer is no JSON: {error}") from error
