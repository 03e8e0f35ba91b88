"""The way to a ready endpoint of a service: through the agent of its pod, or straight where it is no pod's.

Reads the caches; owns nothing. Endpoints at addresses of this host (loopback, link-local) are never dialled; a service
of type ExternalName leads where its name does. Source: k8s.io/apiserver/pkg/util/proxy (ResolveEndpoint).
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from controlplane.apiserver.api import ApiServer
from controlplane.apiserver.lookups import Lookups
from controlplane.apiserver.proxy.backend import Backend, over_stream
from controlplane.apiserver.proxy.location import may_be_dialled
from controlplane.apiserver.streams.dialled import dial
from controlplane.apiserver.streams.hub import TunnelHub
from shared.api.apps import Endpoint, EndpointSlice
from shared.api.core import Service
from shared.api.errors import ServiceUnavailable
from shared.api.kinds import ENDPOINT_SLICES, SERVICES
from shared.dial import CONNECT_SECONDS, Dial

SERVICE_NAME = "kubernetes.io/service-name"
EXTERNAL_NAME = "ExternalName"
"""The type of services that stand for a name of the DNS, which is looked up where the API server runs."""


@dataclass(frozen=True, slots=True)
class Way:
    """``dial`` is None for an address that is no pod's. ``server_name`` is what its certificate is of."""

    host: str
    port: int
    server_name: str
    node: str = ""
    dial: Dial | None = None

    @property
    def authority(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Endpoints:
    """Ways to services."""

    def __init__(self, api: ApiServer, lookups: Lookups, hub: TunnelHub) -> None:
        self._lookups, self._hub, self._rng = lookups, hub, api.rng
        self._slices, self._services = api.cache.served(ENDPOINT_SLICES), api.cache.served(SERVICES)

    def service(self, namespace: str, name: str) -> Service | None:
        return self._lookups.service(namespace, name)

    def slices(self, namespace: str, name: str) -> list[EndpointSlice]:
        """All EndpointSlices of a service."""
        entries = self._slices.entries(namespace)
        return [entry.object for entry in entries if entry.labels.get(SERVICE_NAME) == name]

    def state(self, namespace: str, name: str) -> tuple[int, ...]:
        """Changes when the service or its endpoints do."""
        entries = [each for each in self._slices.entries(namespace) if each.labels.get(SERVICE_NAME) == name]
        service = self._services.get(namespace, name)
        return (0 if service is None else service.revision, *(each.revision for each in entries))

    def choose(self, namespace: str, name: str, port: int) -> Way:
        """Raises ServiceUnavailable."""
        service = self.service(namespace, name)
        if service is None:
            raise ServiceUnavailable(f'service "{name}" not found')
        if service.spec.type == EXTERNAL_NAME:
            return Way(service.spec.external_name, port, f"{name}.{namespace}.svc")
        named = port_name(service, port)
        if named is None:
            raise ServiceUnavailable(f'no service port {port} found for service "{name}"')
        ways = list(self._ways(namespace, name, named))
        if not ways:
            raise ServiceUnavailable(f'no endpoints available for service "{name}"')
        return self._rng.choice(ways)

    def _ways(self, namespace: str, name: str, named: str) -> Iterator[Way]:
        server_name = f"{name}.{namespace}.svc"
        for slice_ in self.slices(namespace, name):
            number = next((each.port for each in slice_.ports if each.name == named and each.port), None)
            for endpoint in slice_.endpoints if number else ():
                if endpoint.conditions.ready is False or not endpoint.addresses or number is None:
                    continue
                if may_be_dialled(endpoint.addresses[0]):
                    yield self._way(endpoint, number, server_name)

    def _way(self, endpoint: Endpoint, port: int, server_name: str) -> Way:
        address, reference = endpoint.addresses[0], endpoint.target_ref or {}
        if reference.get("kind") == "Pod":
            pod = self._lookups.pod(reference.get("namespace", ""), reference.get("name", ""))
            if pod is not None and pod.status.pod_ip == address:
                meta = pod.metadata
                target = Dial(meta.namespace, meta.name, meta.uid, port)
                return Way(address, port, server_name, pod.spec.node_name, target)
        return Way(address, port, server_name)

    @asynccontextmanager
    async def open(self, way: Way, tls: ssl.SSLContext) -> AsyncIterator[Backend]:
        """A connection, for the length of the block. Raises StatusErrors."""
        server_name = way.server_name if tls.check_hostname else ""
        if way.dial is not None:
            async with dial(self._hub, way.node, way.dial) as stream, over_stream(stream, tls, server_name) as backend:
                yield backend
            return
        backend = Backend(await _connected(way), tls, server_name)
        try:
            yield backend
        finally:
            backend.close()


def port_name(service: Service, port: int) -> str | None:
    """What a port of a service is called; None when it has none of that number."""
    return next((each.name for each in service.spec.ports if each.port == port), None)


async def _connected(way: Way) -> socket.socket:
    """A connection to the first of its addresses that answers."""
    failure: OSError | None = None
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            loop = asyncio.get_running_loop()
            for family, *_, address in await loop.getaddrinfo(way.host, way.port, type=socket.SOCK_STREAM):
                made = socket.socket(family, socket.SOCK_STREAM)
                made.setblocking(False)
                try:
                    await loop.sock_connect(made, address)
                except OSError as error:
                    made.close()
                    failure = error
                except BaseException:
                    made.close()
                    raise
                else:
                    return made
    except TimeoutError as error:
        raise ServiceUnavailable(f"dial tcp {way.authority}: i/o timeout") from error
    except OSError as error:
        failure = error
    raise ServiceUnavailable(f"dial tcp {way.authority}: {failure}") from failure
