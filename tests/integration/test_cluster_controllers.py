"""Nodes, namespaces, garbage, endpoints and certificates from end to end: the real controllers on the API's real
verbs over a real store. Agents are played: their heartbeats are store leases, kept and ended by the tests."""

import asyncio
import base64
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest

from controlplane.apiserver.api import ApiServer
from controlplane.apiserver.heartbeats import lease_key, lease_object
from controlplane.apiserver.identity import User
from controlplane.apiserver.kinds.table import KINDS
from controlplane.apiserver.local_client import LocalClient
from controlplane.controllers import system_namespaces
from controlplane.controllers.base import Context
from controlplane.controllers.csr import SIGNER, CsrController, CsrSettings
from controlplane.controllers.endpoint_slices import EndpointSliceController
from controlplane.controllers.endpoints import EndpointsController
from controlplane.controllers.garbage import GarbageCollector
from controlplane.controllers.informers import SharedInformers
from controlplane.controllers.namespace import NamespaceController
from controlplane.controllers.node_ipam import NodeIpamController
from controlplane.controllers.node_lifecycle import NodeLifecycleController, NodeLifecycleSettings
from controlplane.controllers.pod_gc import PodGcController, PodGcSettings
from controlplane.controllers.runner import run_controllers
from controlplane.controllers.service_account import ServiceAccountController
from controlplane.controllers.system_namespaces import SystemNamespacesController
from controlplane.controllers.taint_eviction import TaintEvictionController
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
    EVENTS,
    NAMESPACES,
    NODE_LEASE_NAMESPACE,
    NODES,
    PODS,
    REPLICA_SETS,
    SECRETS,
    SERVICE_ACCOUNTS,
    SERVICES,
    Resource,
)
from shared.api.meta import JSON, timestamp
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
        "garbage-collector-controller": GarbageCollector,
        "namespace-controller": NamespaceController,
        "system-namespaces": SystemNamespacesController,
        "serviceaccount-controller": lambda c: ServiceAccountController(c, CA.pem.decode()),
        "endpoint-controller": EndpointsController,
        "endpoint-slice-controller": EndpointSliceController,
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


@pytest.fixture
async def cluster(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Cluster]:
    """Its parameter, if any, is how late the controllers see what happens, in seconds."""
    late: float = getattr(request, "param", 0.0)
    store = await SqliteStore.open(tmp_path / "data")
    api = ApiServer(store, KINDS)
    async with Supervisor() as supervisor:
        supervisor.service("api", api.run())
        await api.ready()
        client = LocalClient(api)
        await system_namespaces.ensure(client)
        informers = SharedInformers(client)
        for resource in (NODES, PODS, NAMESPACES, ENDPOINT_SLICES, ENDPOINTS, CONFIG_MAPS, SECRETS, REPLICA_SETS,
                         SERVICE_ACCOUNTS, CERTIFICATE_SIGNING_REQUESTS):  # fmt: skip
            informers.cache(resource)
        informers.start(supervisor)
        await informers.synced()
        for_controllers = cast("Client", LateWatches(client, late)) if late else client
        supervisor.service("controllers", run_controllers(for_controllers, SystemClock(), factories()))
        yield Cluster(api, client, informers)
        api.close()
        supervisor.stop()
    await store.close()


# --- nodes ---------------------------------------------------------------------------------------------------


async def test_nodes_get_ranges_of_their_own(cluster):
    for number in range(3):
        await cluster.node(f"n{number}")
    await cluster.until(lambda: all(node.spec.pod_cidr for node in cluster.informers.cache(NODES)), NODES)
    ranges = {node.spec.pod_cidr for node in cluster.informers.cache(NODES)}
    assert ranges == {"10.42.0.0/24", "10.42.1.0/24", "10.42.2.0/24"}


async def test_what_happens_to_a_node_is_told_in_events(cluster):
    await cluster.node("n0")
    await cluster.until(lambda: cluster.ready("n0") == "True", NODES)
    await cluster.client.patch(NODES, "n0", {"spec": {"unschedulable": True}})
    await cluster.lose("n0")
    await cluster.until(lambda: cluster.ready("n0") == "Unknown", NODES)
    wanted = {"RegisteredNode", "NodeNotSchedulable", "NodeNotReady"}
    async with asyncio.timeout(10):
        while not wanted <= {event.reason for event in (await cluster.client.list(EVENTS, "default")).items}:
            await asyncio.sleep(0.02)


async def test_a_lost_nodes_pods_are_evicted_within_milliseconds(cluster):
    for number in range(3):
        await cluster.node(f"n{number}")
    for number in range(100):
        await cluster.pod(f"p{number}", "n0", ip=f"10.42.0.{number + 2}")
    await cluster.pod("elsewhere", "n1", ip="10.42.1.2")
    await cluster.until(lambda: len(cluster.informers.cache(PODS)) == 101, PODS)
    began = time.perf_counter()
    await cluster.lose("n0")
    await cluster.until(lambda: len(cluster.going()) == 100, PODS)
    print(f"100 pods evicted {1000 * (time.perf_counter() - began):.0f} ms after the lease ended")
    assert "elsewhere" not in cluster.going()
    assert cluster.taints("n0") == {(UNREACHABLE, "NoSchedule"), (UNREACHABLE, "NoExecute")}
    await cluster.until(lambda: cluster.ready("n0") == "Unknown", NODES)
    await cluster.beat("n0")
    await cluster.report("n0", "True")
    await cluster.until(lambda: cluster.taints("n0") == set(), NODES)


async def test_a_pod_that_tolerates_stays_until_its_time_is_over_and_shows_as_not_ready(cluster):
    for number in range(3):
        await cluster.node(f"n{number}")
    toleration = {"key": UNREACHABLE, "operator": "Exists", "effect": "NoExecute"}
    await cluster.pod("stays", "n0", ip="10.42.0.2", tolerations=[toleration])
    await cluster.pod("later", "n0", ip="10.42.0.3", tolerations=[{**toleration, "tolerationSeconds": 1}])
    await cluster.lose("n0")
    readiness = lambda: {  # noqa: E731
        p.metadata.name: (c.status, c.reason)
        for p in cluster.informers.cache(PODS)
        for c in p.status.conditions
        if c.type == "Ready"
    }
    await cluster.until(lambda: readiness().get("stays") == ("False", "NodeNotReady"), PODS)
    assert cluster.going() == set()
    await cluster.until(lambda: cluster.going() == {"later"}, PODS)


async def test_when_every_node_is_lost_nothing_more_is_evicted_until_one_is_back_for_a_while(cluster):
    for number in range(3):
        await cluster.node(f"n{number}")
        await cluster.pod(f"p{number}", f"n{number}", ip=f"10.42.{number}.2")
    await cluster.lose("n0", "n1", "n2")
    await cluster.until(lambda: all(cluster.ready(f"n{n}") == "Unknown" for n in range(3)), NODES)
    await cluster.until(lambda: not any((UNREACHABLE, "NoExecute") in cluster.taints(f"n{n}") for n in range(3)), NODES)
    assert "p2" not in cluster.going()
    await cluster.beat("n0")
    await cluster.report("n0", "True")
    await cluster.until(lambda: (UNREACHABLE, "NoExecute") in cluster.taints("n2"), NODES)
    await cluster.until(lambda: "p2" in cluster.going(), PODS)


async def test_a_node_that_never_sends_a_heartbeat_has_a_grace(cluster):
    await cluster.node("n0")
    await cluster.node("silent", heartbeat=False)
    await cluster.pod("p", "silent", ip="10.42.0.2")
    assert cluster.ready("silent") != "Unknown"
    await cluster.until(lambda: cluster.ready("silent") == "Unknown", NODES)
    await cluster.until(lambda: cluster.going() == {"p"}, PODS)


async def test_an_agent_that_says_not_ready_has_a_grace_and_comes_back_at_once(cluster):
    await cluster.node("n0")
    await cluster.node("n1")
    await cluster.report("n1", "False")
    not_ready = "node.kubernetes.io/not-ready"
    await cluster.until(lambda: cluster.taints("n1") == {(not_ready, "NoSchedule")}, NODES)
    await cluster.until(lambda: (not_ready, "NoExecute") in cluster.taints("n1"), NODES)
    await cluster.report("n1", "True")
    await cluster.until(lambda: cluster.taints("n1") == set(), NODES)


async def test_cordon_taints(cluster):
    await cluster.node("n0")
    await cluster.client.patch(NODES, "n0", {"spec": {"unschedulable": True}})
    taint = ("node.kubernetes.io/unschedulable", "NoSchedule")
    await cluster.until(lambda: taint in cluster.taints("n0"), NODES)
    await cluster.client.patch(NODES, "n0", {"spec": {"unschedulable": None}})
    await cluster.until(lambda: taint not in cluster.taints("n0"), NODES)


async def test_pods_of_a_node_that_is_gone_are_gone(cluster):
    await cluster.node("n0")
    await cluster.node("n1")
    await cluster.pod("p0", "n0", ip="10.42.0.2")
    await cluster.client.delete(NODES, "n0")
    await cluster.until(lambda: cluster.get(PODS, "p0", "default") is None, PODS)


async def test_finished_pods_beyond_the_threshold_are_gone(cluster):
    await cluster.node("n0")
    for number in range(8):
        await cluster.pod(f"p{number}", "n0")
        status = {"status": {"phase": "Succeeded"}}
        await cluster.client.patch(PODS, f"p{number}", status, "default", subresource="status")
    await cluster.until(lambda: len(cluster.informers.cache(PODS)) == 5, PODS)


# --- owners --------------------------------------------------------------------------------------------------


async def owned_by(cluster: Cluster, owner: JSON, *names: str, block: bool = True) -> None:
    meta = owner["metadata"]
    reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": meta["name"], "uid": meta["uid"]}
    for name in names:
        metadata = {"name": name, "ownerReferences": [{**reference, "blockOwnerDeletion": block}]}
        await cluster.client.create(SECRETS, {"apiVersion": "v1", "kind": "Secret", "metadata": metadata}, "default")


async def config_map(cluster: Cluster, name: str, namespace: str = "default", **metadata: Any) -> JSON:
    obj = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, **metadata}}
    return await cluster.client.create(CONFIG_MAPS, obj, namespace)


@pytest.mark.parametrize("cluster", [0.0, 0.01], ids=["fresh", "stale"], indirect=True)
@pytest.mark.parametrize("policy", ["Background", "Foreground", None])
async def test_dependents_go_with_their_owner(cluster, policy):
    await owned_by(cluster, await config_map(cluster, "owner"), "a", "b")
    await cluster.client.delete(CONFIG_MAPS, "owner", "default", propagation_policy=policy)
    await cluster.until(
        lambda: (
            not any(cluster.get(SECRETS, name, "default") for name in "ab")
            and cluster.get(CONFIG_MAPS, "owner", "default") is None
        ),
        SECRETS,
        CONFIG_MAPS,
    )


async def test_in_the_foreground_the_owner_goes_last(cluster):
    order: list[str] = []
    for resource in (SECRETS, CONFIG_MAPS):
        cluster.informers.cache(resource).add_handler(
            lambda old, new: order.append(old.metadata.name) if new is None else None
        )
    await owned_by(cluster, await config_map(cluster, "owner"), "a", "b")
    await cluster.client.delete(CONFIG_MAPS, "owner", "default", propagation_policy="Foreground")
    await cluster.until(lambda: len(order) == 3, SECRETS, CONFIG_MAPS)
    assert order[-1] == "owner"


async def test_orphans_stay_without_their_owner(cluster):
    await owned_by(cluster, await config_map(cluster, "owner"), "a", "b")
    await cluster.client.delete(CONFIG_MAPS, "owner", "default", propagation_policy="Orphan")
    await cluster.until(lambda: cluster.get(CONFIG_MAPS, "owner", "default") is None, CONFIG_MAPS)
    for name in "ab":
        assert (await cluster.client.get(SECRETS, name, "default")).metadata.owner_references == ()


async def test_an_object_made_for_an_owner_that_never_was_is_collected(cluster):
    await owned_by(cluster, {"metadata": {"name": "never", "uid": "0000"}}, "a")
    await cluster.until(lambda: cluster.get(SECRETS, "a", "default") is None, SECRETS)


# --- namespaces ----------------------------------------------------------------------------------------------


async def test_a_namespace_has_its_account_and_the_ca(cluster):
    await cluster.client.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team"}})
    await cluster.until(
        lambda: (
            cluster.get(SERVICE_ACCOUNTS, "default", "team") and cluster.get(CONFIG_MAPS, "kube-root-ca.crt", "team")
        ),
        SERVICE_ACCOUNTS,
        CONFIG_MAPS,
    )  # fmt: skip
    assert cluster.get(CONFIG_MAPS, "kube-root-ca.crt", "team").data == {"ca.crt": CA.pem.decode()}
    await cluster.client.delete(SERVICE_ACCOUNTS, "default", "team")
    await cluster.until(lambda: cluster.get(SERVICE_ACCOUNTS, "default", "team"), SERVICE_ACCOUNTS)


async def test_a_deleted_namespace_is_emptied_and_ends(cluster):
    await cluster.node("n0")
    await cluster.client.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team"}})
    await cluster.pod("p", "n0", namespace="team", ip="10.42.0.2")
    await config_map(cluster, "held", "team", finalizers=["example.com/hold"])
    event = {
        "apiVersion": "v1", "kind": "Event", "metadata": {"name": "e"}, "reason": "Test",
        "involvedObject": {"kind": "Pod", "namespace": "team", "name": "p"},
    }  # fmt: skip
    await cluster.client.create(EVENTS, event, "team")
    await cluster.client.delete(NAMESPACES, "team")
    await cluster.until(lambda: cluster.going() == {"p"}, PODS)
    assert (await cluster.client.get(CONFIG_MAPS, "held", "team")).metadata.deletion_timestamp is None
    await cluster.client.delete(PODS, "p", "team", grace_period_seconds=0)
    said = lambda: {c.type: c.message for c in cluster.get(NAMESPACES, "team").status.conditions}  # noqa: E731
    await cluster.until(
        lambda: "example.com/hold in 1 resource instances" in said().get("NamespaceFinalizersRemaining", ""), NAMESPACES
    )
    await cluster.client.patch(CONFIG_MAPS, "held", {"metadata": {"finalizers": None}}, "team")
    await cluster.until(lambda: cluster.get(NAMESPACES, "team") is None, NAMESPACES)
    assert (await cluster.client.list(EVENTS, "team")).items == []


async def test_a_system_namespace_comes_back(cluster):
    uid = cluster.get(NAMESPACES, NODE_LEASE_NAMESPACE).metadata.uid
    await cluster.client.delete(NAMESPACES, NODE_LEASE_NAMESPACE)
    await cluster.until(
        lambda: (found := cluster.get(NAMESPACES, NODE_LEASE_NAMESPACE)) and found.metadata.uid != uid, NAMESPACES
    )


# --- services ------------------------------------------------------------------------------------------------


def service(**spec: Any) -> JSON:
    fields = {"selector": {"app": "web"}, "ports": [{"name": "http", "port": 80}], "clusterIP": "None", **spec}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web", "namespace": "default"}, "spec": fields}


async def test_endpoints_follow_pods(cluster):
    await cluster.node("n0")
    await cluster.client.create(SERVICES, service(), "default")
    await cluster.pod("a", "n0", ip="10.42.0.2")
    await cluster.pod("b", "n0", ip="10.42.0.3")
    await cluster.until(lambda: cluster.listed() == ["10.42.0.2", "10.42.0.3"], ENDPOINT_SLICES)
    addresses = lambda: [a.ip for s in cluster.get(ENDPOINTS, "web", "default").subsets for a in s.addresses]  # noqa: E731
    await cluster.until(
        lambda: cluster.get(ENDPOINTS, "web", "default") and addresses() == ["10.42.0.2", "10.42.0.3"], ENDPOINTS
    )
    await cluster.client.delete(PODS, "a", "default")
    await cluster.until(lambda: cluster.listed() == ["10.42.0.3"], ENDPOINT_SLICES)
    await cluster.until(lambda: addresses() == ["10.42.0.3"], ENDPOINTS)
    assert len(cluster.informers.cache(ENDPOINT_SLICES)) == 1
    await cluster.client.delete(SERVICES, "web", "default")
    await cluster.until(
        lambda: len(cluster.informers.cache(ENDPOINT_SLICES)) + len(cluster.informers.cache(ENDPOINTS)) == 0,
        ENDPOINT_SLICES,
        ENDPOINTS,
    )


@pytest.mark.parametrize("cluster", [0.0, 0.003], ids=["fresh", "stale"], indirect=True)
async def test_a_lost_nodes_addresses_are_dropped_and_no_slice_is_made_twice(cluster):
    for number in range(3):
        await cluster.node(f"n{number}")
    await cluster.client.create(SERVICES, service(), "default")
    await asyncio.gather(*(cluster.pod(f"p{n}", f"n{n % 3}", ip=f"10.42.{n % 3}.{n + 2}") for n in range(150)))
    await cluster.until(lambda: len(cluster.listed()) == 150, ENDPOINT_SLICES)
    assert len(cluster.informers.cache(ENDPOINT_SLICES)) <= 4
    uids = [e.target_ref["uid"] for s in cluster.informers.cache(ENDPOINT_SLICES) for e in s.endpoints]
    assert len(uids) == len(set(uids))
    await cluster.lose("n0")
    await cluster.until(lambda: len(cluster.listed()) == 100, ENDPOINT_SLICES)
    assert not any(address.startswith("10.42.0.") for address in cluster.listed())


# --- certificates --------------------------------------------------------------------------------------------


async def ask(cluster: Cluster, name: str, user: User, node: str) -> Any:
    """Make a request as ``user`` does, and wait for its outcome."""
    pem = pki.signing_request(pki.new_key(), f"system:node:{node}", ["system:nodes"])
    obj = {
        "apiVersion": "certificates.k8s.io/v1",
        "kind": "CertificateSigningRequest",
        "metadata": {"name": name},
        "spec": {
            "request": base64.b64encode(pem).decode(),
            "signerName": SIGNER,
            "usages": ["digital signature", "client auth"],
        },
    }
    await LocalClient(cluster.api, user).create(CERTIFICATE_SIGNING_REQUESTS, obj)
    found = lambda: cluster.get(CERTIFICATE_SIGNING_REQUESTS, name)  # noqa: E731
    await cluster.until(
        lambda: (csr := found()) and (csr.status.certificate or any(c.type == "Denied" for c in csr.status.conditions)),
        CERTIFICATE_SIGNING_REQUESTS,
    )
    return found().status


TOKEN = User("system:bootstrap:abcdef", ("system:bootstrappers", "system:authenticated"))


async def test_a_host_joins_and_renews(cluster):
    status = await ask(cluster, "join", TOKEN, "n0")
    assert pki.issued_by(base64.b64decode(status.certificate), CA.certificate)
    await cluster.node("n0")
    itself = User("system:node:n0", ("system:nodes", "system:authenticated"))
    assert (await ask(cluster, "renew", itself, "n0")).certificate


async def test_a_token_does_not_take_over_a_living_node_but_a_silent_one(cluster):
    await cluster.node("n0")
    status = await ask(cluster, "steal", TOKEN, "n0")
    assert [(c.type, c.reason) for c in status.conditions] == [("Denied", "NodeIsAlive")]
    await cluster.lose("n0")
    assert (await ask(cluster, "repair", TOKEN, "n0")).certificate
