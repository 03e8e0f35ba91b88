"""All controllers but those of workloads, on the real API and store, with nodes and pods that a test writes."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from controlplane.apiserver.api import ApiServer
from controlplane.apiserver.heartbeats import lease_key, lease_object
from controlplane.apiserver.kinds.table import KINDS
from controlplane.apiserver.local_client import LocalClient
from controlplane.controllers import system_namespaces
from controlplane.controllers.base import Context
from controlplane.controllers.csr import CsrController, CsrSettings
from controlplane.controllers.custom_resources import CustomResourceFinalizer, CustomResourceNames
from controlplane.controllers.disruption import DisruptionController
from controlplane.controllers.endpoint_slices import EndpointSliceController
from controlplane.controllers.endpoints import EndpointsController
from controlplane.controllers.garbage import GarbageCollector
from controlplane.controllers.informers import SharedInformers
from controlplane.controllers.namespace import NamespaceController
from controlplane.controllers.node_ipam import NodeIpamController
from controlplane.controllers.node_lifecycle import NodeLifecycleController, NodeLifecycleSettings
from controlplane.controllers.pod_gc import PodGcController, PodGcSettings
from controlplane.controllers.resource_quota import ResourceQuotaController
from controlplane.controllers.runner import run_controllers
from controlplane.controllers.service_account import ServiceAccountController
from controlplane.controllers.system_namespaces import SystemNamespacesController
from controlplane.controllers.taint_eviction import TaintEvictionController
from controlplane.controllers.token_cleaner import TokenCleaner
from controlplane.controllers.volume_protection import ClaimProtection, VolumeProtection
from controlplane.controllers.zones import DisruptionSettings
from controlplane.store.base import Put
from controlplane.store.sqlite import SqliteStore
from shared import codec, pki
from shared.api.core import Node
from shared.api.kinds import (
    CERTIFICATE_SIGNING_REQUESTS,
    CONFIG_MAPS,
    ENDPOINT_SLICES,
    ENDPOINTS,
    NAMESPACES,
    NODES,
    POD_DISRUPTION_BUDGETS,
    PODS,
    REPLICA_SETS,
    SECRETS,
    SERVICE_ACCOUNTS,
    Resource,
)
from shared.api.meta import timestamp
from shared.api.pod import Pod
from shared.client.base import Binding, Client
from shared.work.clock import SystemClock
from shared.work.supervisor import Supervisor

CA = pki.create_ca()
NEVER = 3600.0
UNREACHABLE = "node.kubernetes.io/unreachable"


def factories() -> dict[str, Callable[[Context], Any]]:
    lifecycle = NodeLifecycleSettings(grace=1.0, not_ready=1.0, disruption=DisruptionSettings(recovery=0.2))
    return {
        "node-controller": lambda c: NodeLifecycleController(c, lifecycle),
        "taint-eviction-controller": TaintEvictionController,
        "node-ipam-controller": lambda c: NodeIpamController(c, "10.42.0.0/16"),
        "pod-garbage-collector": lambda c: PodGcController(c, PodGcSettings(quarantine=0.1, finished=5)),
        "crd-naming": CustomResourceNames,
        "crd-finalizer": CustomResourceFinalizer,
        "garbage-collector-controller": GarbageCollector,
        "namespace-controller": NamespaceController,
        "system-namespaces": SystemNamespacesController,
        "serviceaccount-controller": lambda c: ServiceAccountController(c, CA.pem.decode()),
        "endpoint-controller": EndpointsController,
        "endpoint-slice-controller": EndpointSliceController,
        "disruption-controller": DisruptionController,
        "token-cleaner": TokenCleaner,
        "resourcequota-controller": ResourceQuotaController,
        "persistentvolumeclaim-protection-controller": ClaimProtection,
        "persistentvolume-protection-controller": VolumeProtection,
        "csr-controller": lambda c: CsrController(c, CA, CsrSettings(takeover=0.5)),
    }


@dataclass
class Cluster:
    api: ApiServer
    client: Client
    informers: SharedInformers
    leases: dict[str, int] = field(default_factory=dict)

    async def until(self, condition: Callable[[], Any], *resources: Resource[Any], seconds: float = 10.0) -> None:
        """Wait for the caches to satisfy ``condition``; looks again after each change of ``resources``."""
        changed = asyncio.Event()
        for resource in resources:
            self.informers.cache(resource).add_handler(lambda old, new: changed.set())
        try:
            async with asyncio.timeout(seconds):
                while not condition():
                    changed.clear()
                    await changed.wait()
        except TimeoutError:
            state = [obj for resource in resources for obj in self.informers.cache(resource)]
            raise AssertionError("\n".join(map(str, state))) from None

    def get(self, resource: Resource[Any], name: str, namespace: str = "") -> Any:
        return self.informers.cache(resource).get(name, namespace)

    # --- nodes and pods, as agents report them

    async def node(self, name: str, *, heartbeat: bool = True, **labels: str) -> None:
        await self.client.create(NODES, {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}})
        if heartbeat:
            await self.beat(name)
        await self.report(name, "True")

    async def beat(self, name: str) -> None:
        lease = self.leases[name] = await self.api.store.lease_grant(NEVER)
        value = codec.encode(lease_object(name, NEVER, SystemClock(), None))
        await self.api.store.txn([], [Put(lease_key(name), value, lease)])

    async def lose(self, *names: str) -> None:
        """Heartbeats stop: the store's leases end."""
        for name in names:
            await self.api.store.lease_revoke(self.leases.pop(name))

    async def report(self, name: str, ready: str) -> None:
        condition = {"type": "Ready", "status": ready, "lastTransitionTime": timestamp(datetime.now(UTC))}
        conditions = [condition | {"lastHeartbeatTime": condition["lastTransitionTime"]}]
        await self.client.patch(NODES, name, {"status": {"conditions": conditions}}, subresource="status")

    async def pod(self, name: str, node: str = "", *, namespace: str = "default", ip: str = "", **spec: Any) -> None:
        obj = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "namespace": namespace, "labels": {"app": "web"}, **spec.pop("metadata", {})},
            "spec": {"containers": [{"name": "c", "image": "i", "ports": [{"containerPort": 80}]}], **spec},
        }
        made = await self.client.create(PODS, obj, namespace)
        if node:
            outcomes = await self.client.bind([Binding(namespace, name, made["metadata"]["uid"], node)])
            assert outcomes == [None]
        if ip:
            ready = {"type": "Ready", "status": "True", "lastTransitionTime": timestamp(datetime.now(UTC))}
            status = {"phase": "Running", "podIP": ip, "podIPs": [{"ip": ip}], "conditions": [ready]}
            await self.client.patch(PODS, name, {"status": status}, namespace, subresource="status")

    def taints(self, name: str) -> set[tuple[str, str]]:
        node: Node | None = self.get(NODES, name)
        return {(taint.key, taint.effect) for taint in node.spec.taints} if node else set()

    def ready(self, name: str) -> str:
        node: Node | None = self.get(NODES, name)
        return next((c.status for c in node.status.conditions if c.type == "Ready"), "") if node else ""

    def going(self) -> set[str]:
        pods: list[Pod] = list(self.informers.cache(PODS))
        return {pod.metadata.name for pod in pods if pod.metadata.deletion_timestamp is not None}

    def listed(self, service: str = "web") -> list[str]:
        """The addresses that are ready in the service's slices."""
        slices = self.informers.cache(ENDPOINT_SLICES)
        return sorted(
            address
            for s in slices
            if s.metadata.labels.get("kubernetes.io/service-name") == service
            for e in s.endpoints
            if e.conditions.ready
            for address in e.addresses
        )


class LateWatches:
    """A client whose watches tell everything ``late`` seconds later: what controllers read is always stale."""

    def __init__(self, client: Client, late: float) -> None:
        self._client, self._late = client, late

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    async def watch(self, resource: Any, namespace: str = "", **options: Any) -> AsyncIterator[Any]:
        async for event in self._client.watch(resource, namespace, **options):
            await asyncio.sleep(self._late)
            yield event


@asynccontextmanager
async def running(directory: Path, late: float = 0.0) -> AsyncIterator[Cluster]:
    """Store, API and controllers in ``directory``; the controllers see what happens ``late`` seconds late."""
    store = await SqliteStore.open(directory / "data")
    api = ApiServer(store, KINDS)
    async with Supervisor() as supervisor:
        supervisor.service("api", api.run())
        await api.ready()
        client = LocalClient(api)
        await system_namespaces.ensure(client)
        informers = SharedInformers(client)
        for resource in (NODES, PODS, NAMESPACES, ENDPOINT_SLICES, ENDPOINTS, CONFIG_MAPS, SECRETS, REPLICA_SETS,
                         SERVICE_ACCOUNTS, CERTIFICATE_SIGNING_REQUESTS, POD_DISRUPTION_BUDGETS):  # fmt: skip
            informers.cache(resource)
        informers.start(supervisor)
        await informers.synced()
        for_controllers = cast("Client", LateWatches(client, late)) if late else client
        supervisor.service("controllers", run_controllers(for_controllers, SystemClock(), factories()))
        yield Cluster(api, client, informers)
        api.close()
        supervisor.stop()
    await store.close()
