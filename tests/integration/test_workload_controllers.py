"""Deployments and ReplicaSets from end to end: the real controllers on the API's real verbs over a real store.

Only the hosts are played: ``Hosts`` binds pods, reports them Running and Ready (unless their image is "broken")
and confirms their deletion, as the scheduler and agents do.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest

from controlplane.apiserver.api import ApiServer
from controlplane.apiserver.kinds.table import KINDS
from controlplane.apiserver.local_client import LocalClient
from controlplane.controllers import history, pods
from controlplane.controllers.deployment import DeploymentController
from controlplane.controllers.informers import SharedInformers
from controlplane.controllers.replicaset import ReplicaSetController
from controlplane.controllers.runner import run_controllers
from controlplane.store.sqlite import SqliteStore
from shared import codec
from shared.api.apps import Deployment, ReplicaSet
from shared.api.errors import NotFound
from shared.api.kinds import DEPLOYMENTS, EVENTS, NAMESPACES, PODS, REPLICA_SETS
from shared.api.meta import JSON, controller_of, timestamp
from shared.api.pod import Pod
from shared.client.base import Binding, Client, PatchType
from shared.client.cache import Cache
from shared.work.clock import SystemClock
from shared.work.queue import WorkQueue
from shared.work.supervisor import Supervisor
from tests.controllers import LateWatches

FACTORIES = {"deployment-controller": DeploymentController, "replicaset-controller": ReplicaSetController}


class Hosts:
    """Plays scheduler and agents: two nodes, pods ready at once, deletion confirmed after ``stopping`` seconds."""

    def __init__(self, client: Client, cache: Cache[Pod]) -> None:
        self.client, self.cache = client, cache
        self.stopping = 0.0
        self.holding: Callable[[Pod], bool] = lambda pod: pod.spec.containers[0].image == "broken"
        self._queue: WorkQueue[tuple[str, str]] = WorkQueue()

    async def run(self) -> None:
        self.cache.add_handler(
            lambda old, new: self._queue.add(((new or old).metadata.namespace, (new or old).metadata.name))
        )
        async with Supervisor() as supervisor:
            for number in range(4):
                supervisor.service(f"host {number}", self._work())

    def look_again(self) -> None:
        for pod in self.cache:
            self._queue.add((pod.metadata.namespace, pod.metadata.name))

    async def _work(self) -> None:
        while True:
            key, _ = await self._queue.take()
            pod = self.cache.get(key[1], key[0])
            try:
                if pod is not None:
                    await self._step(pod)
            except NotFound:
                pass
            finally:
                self._queue.done(key)

    async def _step(self, pod: Pod) -> None:
        meta = pod.metadata
        if meta.deletion_timestamp is not None:
            await asyncio.sleep(self.stopping)
            await self.client.delete(PODS, meta.name, meta.namespace, grace_period_seconds=0, uid=meta.uid)
        elif not pod.spec.node_name:
            node = f"node-{len(meta.name + meta.uid) % 2}"
            await self.client.bind([Binding(meta.namespace, meta.name, meta.uid, node)])
        elif pod.status.phase == "Pending" and not self.holding(pod):
            await self.report(pod, "True")

    async def report(self, pod: Pod, ready: str, phase: str = "Running") -> None:
        condition = {"type": "Ready", "status": ready, "lastTransitionTime": timestamp(datetime.now(UTC))}
        status = {"phase": phase, "conditions": [condition]}
        meta = pod.metadata
        await self.client.patch(PODS, meta.name, {"status": status}, meta.namespace, subresource="status")


class Cluster:
    """The API with controllers running, and what the tests ask of it."""

    def __init__(self, client: Client, informers: SharedInformers) -> None:
        self.client = client
        self.deployments = informers.cache(DEPLOYMENTS)
        self.sets = informers.cache(REPLICA_SETS)
        self.pods = informers.cache(PODS)
        self.hosts = Hosts(client, self.pods)

    async def until(self, condition: Callable[[], Any], seconds: float = 10.0) -> None:
        """Wait for the caches to satisfy ``condition``; looks again after each change."""
        changed = asyncio.Event()
        for cache in (self.deployments, self.sets, self.pods):
            cache.add_handler(lambda old, new: changed.set())
        try:
            async with asyncio.timeout(seconds):
                while not condition():
                    changed.clear()
                    await changed.wait()
        except TimeoutError:
            raise AssertionError(f"not within {seconds} s: {self.state()}") from None

    def state(self) -> str:
        return "\n".join(
            [
                *(f"{d.key} {d.spec.replicas} {d.status}" for d in self.deployments),
                *(f"{rs.key} {rs.spec.replicas} {rs.status}" for rs in self.sets),
                *(f"{p.key} {p.status.phase} {p.metadata.deletion_timestamp}" for p in self.pods),
            ]
        )

    def deployment(self, name: str = "web") -> Deployment:
        found = self.deployments.get(name, "default")
        assert found is not None
        return found

    def sets_of(self, name: str = "web") -> list[ReplicaSet]:
        uid = self.deployment(name).metadata.uid
        owned = [rs for rs in self.sets if (ref := controller_of(rs.metadata)) is not None and ref.uid == uid]
        return sorted(owned, key=history.revision_of)

    def active(self) -> list[Pod]:
        return [pod for pod in self.pods if pods.is_active(pod)]

    def condition(self, type: str, name: str = "web") -> tuple[str, str] | None:
        return next(((c.status, c.reason) for c in self.deployment(name).status.conditions if c.type == type), None)

    def complete(self, name: str = "web") -> bool:
        """As kubectl rollout status sees it."""
        d = self.deployments.get(name, "default")
        if d is None or d.status.observed_generation < d.metadata.generation:
            return False
        s, size = d.status, d.spec.replicas
        return (s.updated_replicas, s.replicas, s.available_replicas) == (size, size, size)

    async def apply(self, patch: JSON, name: str = "web") -> None:
        answer = await self.client.patch(DEPLOYMENTS, name, {"spec": patch}, "default", type=PatchType.STRATEGIC)
        await self.until(lambda: self.deployment(name).metadata.generation >= answer["metadata"]["generation"])

    async def image(self, image: str) -> None:
        await self.apply({"template": {"spec": {"containers": [{"name": "c", "image": image}]}}})

    async def events(self, reason: str) -> list[str]:
        listed = await self.client.list(EVENTS, "default")
        return [event.message for event in listed.items if event.reason == reason]


def web(replicas: int, **spec: Any) -> JSON:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [{"name": "c", "image": "v1"}]},
            },
            **spec,
        },
    }


def rolling(surge: int | str, unavailable: int | str) -> JSON:
    return {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable}}


@asynccontextmanager
async def running(client: Client, late: float = 0.0) -> AsyncIterator[Cluster]:
    informers = SharedInformers(client)
    made = Cluster(client, informers)
    for_controllers = cast("Client", LateWatches(client, late)) if late else client
    async with Supervisor() as supervisor:
        informers.start(supervisor)
        await informers.synced()
        supervisor.service("hosts", made.hosts.run())
        supervisor.service("controllers", run_controllers(for_controllers, SystemClock(), FACTORIES))
        yield made
        supervisor.stop()


@pytest.fixture
async def api_client(tmp_path: Path) -> AsyncIterator[Client]:
    store = await SqliteStore.open(tmp_path / "data")
    api = ApiServer(store, KINDS)
    async with Supervisor() as supervisor:
        supervisor.service("api", api.run())
        await api.ready()
        client = LocalClient(api)
        for namespace in ("default", "kube-system"):
            await client.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
        yield client
        api.close()
        supervisor.stop()
    await store.close()


@pytest.fixture
async def cluster(api_client: Client) -> AsyncIterator[Cluster]:
    async with running(api_client) as made:
        yield made


async def test_a_deployment_gets_its_replica_set_and_pods(cluster):
    await cluster.client.create(DEPLOYMENTS, web(3), "default")
    await cluster.until(cluster.complete)
    await cluster.until(lambda: cluster.condition("Progressing") == ("True", "NewReplicaSetAvailable"))
    (rs,) = cluster.sets_of()
    assert rs.metadata.annotations == {
        history.REVISION: "1", history.DESIRED_REPLICAS: "3", history.MAX_REPLICAS: "4",
    }  # fmt: skip
    hash = rs.metadata.labels["pod-template-hash"]
    assert rs.metadata.name == f"web-{hash}"
    assert {pod.metadata.labels["pod-template-hash"] for pod in cluster.pods} == {hash}
    assert all(pod.metadata.name.startswith(f"web-{hash}-") for pod in cluster.pods)
    assert cluster.deployment().metadata.annotations[history.REVISION] == "1"
    assert cluster.deployment().metadata.generation == 1, "the revision is no change of what is wanted"
    assert cluster.condition("Available") == ("True", "MinimumReplicasAvailable")
    assert (rs.status.replicas, rs.status.fully_labeled_replicas, rs.status.available_replicas) == (3, 3, 3)
    while not await cluster.events("ScalingReplicaSet"):
        await asyncio.sleep(0.01)
    assert await cluster.events("ScalingReplicaSet") == [f"Scaled up replica set {rs.metadata.name} from 0 to 3"]


async def test_the_status_is_as_kubernetes_writes_it(cluster):
    cluster.hosts.holding = lambda pod: True
    await cluster.client.create(DEPLOYMENTS, web(1), "default")
    await cluster.until(lambda: cluster.deployments.get("web", "default") and cluster.deployment().status.replicas == 1)
    tree = await cluster.client.patch(DEPLOYMENTS, "web", {"metadata": {"annotations": {"touch": "1"}}}, "default")
    for condition in tree["status"]["conditions"]:
        for time_field in ("lastUpdateTime", "lastTransitionTime"):
            condition.pop(time_field)
        condition.pop("message")
    assert tree["status"] == {
        "observedGeneration": 1,
        "replicas": 1,
        "updatedReplicas": 1,
        "unavailableReplicas": 1,
        "terminatingReplicas": 0,
        "conditions": [
            {"type": "Available", "status": "False", "reason": "MinimumReplicasUnavailable"},
            {"type": "Progressing", "status": "True", "reason": "ReplicaSetUpdated"},
        ],
    }


async def test_annotations_reach_the_replica_set_and_are_observed(cluster):
    await cluster.client.create(DEPLOYMENTS, web(1), "default")
    await cluster.until(cluster.complete)
    await cluster.client.patch(DEPLOYMENTS, "web", {"metadata": {"annotations": {"kubernetes.io/change-cause": "why"}}},
                               "default")  # fmt: skip
    await cluster.until(lambda: cluster.deployment().status.observed_generation == 2)
    await cluster.until(lambda: cluster.sets_of()[0].metadata.annotations.get("kubernetes.io/change-cause") == "why")
    assert len(cluster.sets_of()) == 1


async def test_a_rolling_update_keeps_its_promises(cluster):
    await cluster.client.create(DEPLOYMENTS, web(60, strategy=rolling(10, 0)), "default")
    await cluster.until(cluster.complete)
    lowest, highest = [60], [60]

    def check(old: Any, new: Any) -> None:
        lowest.append(sum(pods.is_active(pod) and pods.is_ready(pod) for pod in cluster.pods))
        highest.append(sum(rs.spec.replicas for rs in cluster.sets))

    cluster.pods.add_handler(check)
    await cluster.image("v2")
    await cluster.until(cluster.complete, 30)
    assert min(lowest) >= 60
    assert max(highest) <= 70
    assert [(rs.spec.replicas, history.revision_of(rs)) for rs in cluster.sets_of()] == [(0, 1), (60, 2)]
    assert {pod.spec.containers[0].image for pod in cluster.active()} == {"v2"}


async def test_a_broken_image_stops_the_rollout_and_undo_repairs_it(cluster):
    await cluster.client.create(DEPLOYMENTS, web(4, strategy=rolling(1, 1), progressDeadlineSeconds=2), "default")
    await cluster.until(cluster.complete)
    first = cluster.sets_of()[0]
    await cluster.image("broken")
    await cluster.until(lambda: cluster.condition("Progressing") == ("False", "ProgressDeadlineExceeded"))
    assert sum(pods.is_ready(pod) for pod in cluster.active()) == 3
    # As kubectl rollout undo does: the old ReplicaSet's template without the hash label, through Go's structs.
    template = codec.copy(first.spec.template)
    del template["metadata"]["labels"]["pod-template-hash"]
    template["metadata"]["creationTimestamp"] = None
    patch = [{"op": "replace", "path": "/spec/template", "value": template}]
    answer = await cluster.client.patch(DEPLOYMENTS, "web", patch, "default", type=PatchType.JSON)
    generation = answer["metadata"]["generation"]
    await cluster.until(lambda: cluster.deployment().metadata.generation == generation and cluster.complete())
    assert [rs.metadata.name for rs in cluster.sets_of()][-1] == first.metadata.name, "the same one, not a third"
    assert len(cluster.sets_of()) == 2
    newest = cluster.sets_of()[-1]
    assert newest.metadata.annotations[history.REVISION] == "3"
    assert newest.metadata.annotations[history.REVISION_HISTORY] == "1"
    await cluster.until(lambda: cluster.deployment().metadata.annotations[history.REVISION] == "3")


async def test_recreate_waits_until_every_old_pod_has_ended(cluster):
    cluster.hosts.stopping = 0.2
    await cluster.client.create(DEPLOYMENTS, web(3, strategy={"type": "Recreate"}), "default")
    await cluster.until(cluster.complete)
    together: list[set[str]] = []
    cluster.pods.add_handler(lambda old, new: together.append({p.spec.containers[0].image for p in cluster.pods}))
    await cluster.image("v2")
    await cluster.until(cluster.complete)
    assert {"v1", "v2"} not in together
    assert {pod.spec.containers[0].image for pod in cluster.pods} == {"v2"}


async def test_a_paused_deployment_scales_but_does_not_roll(cluster):
    await cluster.client.create(DEPLOYMENTS, web(2), "default")
    await cluster.until(cluster.complete)
    await cluster.apply({"paused": True})
    await cluster.until(lambda: cluster.condition("Progressing") == ("Unknown", "DeploymentPaused"))
    await cluster.image("v2")
    await cluster.apply({"replicas": 5})
    await cluster.until(lambda: len(cluster.active()) == 5 and cluster.deployment().status.available_replicas == 5)
    assert {pod.spec.containers[0].image for pod in cluster.active()} == {"v1"}
    await cluster.apply({"paused": False})
    await cluster.until(cluster.complete)
    assert {pod.spec.containers[0].image for pod in cluster.active()} == {"v2"}


async def test_scaling_in_mid_rollout_is_proportional(cluster):
    await cluster.client.create(DEPLOYMENTS, web(10, strategy=rolling(3, 2)), "default")
    await cluster.until(cluster.complete)
    await cluster.image("broken")
    await cluster.until(lambda: [rs.spec.replicas for rs in cluster.sets_of()] == [8, 5])
    await cluster.apply({"replicas": 30})
    await cluster.until(lambda: sum(rs.spec.replicas for rs in cluster.sets_of()) == 33)
    assert [rs.spec.replicas for rs in cluster.sets_of()] == [20, 13]


async def test_old_replica_sets_go_beyond_the_history_limit(cluster):
    await cluster.client.create(DEPLOYMENTS, web(1, revisionHistoryLimit=1), "default")
    await cluster.until(cluster.complete)
    for version in ("v2", "v3", "v4"):
        await cluster.image(version)
        await cluster.until(
            lambda v=version: cluster.complete() and {p.spec.containers[0].image for p in cluster.active()} == {v}
        )
    await cluster.until(lambda: [history.revision_of(rs) for rs in cluster.sets_of()] == [3, 4])


async def test_lost_and_deleted_pods_are_replaced_and_none_too_many(cluster):
    await cluster.client.create(DEPLOYMENTS, web(6), "default")
    await cluster.until(cluster.complete)
    cluster.hosts.stopping = 30.0  # so long that a replacement cannot wait for it
    made: Counter[str] = Counter()
    cluster.pods.add_handler(lambda old, new: made.update(["made"] if old is None else []))
    made.clear()
    victims = cluster.active()[:2]
    for pod in victims:
        await cluster.client.delete(PODS, pod.metadata.name, "default")
    await cluster.hosts.report(cluster.active()[-1], "False", "Failed")
    await cluster.until(lambda: len(cluster.active()) == 6 and cluster.deployment().status.available_replicas == 6)
    assert made["made"] == 3
    await cluster.until(lambda: cluster.deployment().status.terminating_replicas == 2)


async def test_min_ready_seconds_delay_availability(cluster):
    await cluster.client.create(DEPLOYMENTS, web(2, minReadySeconds=2), "default")
    await cluster.until(
        lambda: cluster.deployments.get("web", "default") and cluster.deployment().status.ready_replicas == 2
    )
    assert cluster.deployment().status.available_replicas == 0
    await cluster.until(cluster.complete)


async def test_orphans_are_adopted_and_strangers_released(cluster):
    orphan = {
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "orphan", "labels": {"app": "solo"}},
        "spec": {"containers": [{"name": "c", "image": "v1"}]},
    }  # fmt: skip
    await cluster.client.create(PODS, orphan, "default")
    spec = web(2)["spec"] | {"selector": {"matchLabels": {"app": "solo"}}}
    spec["template"]["metadata"]["labels"] = {"app": "solo"}
    rs = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": "solo"}, "spec": spec}
    await cluster.client.create(REPLICA_SETS, rs, "default")
    await cluster.until(lambda: (one := cluster.sets.get("solo", "default")) and one.status.available_replicas == 2)
    adopted = cluster.pods.get("orphan", "default")
    assert adopted is not None
    assert len(cluster.pods) == 2
    assert controller_of(adopted.metadata) is not None
    await cluster.client.patch(PODS, "orphan", {"metadata": {"labels": {"app": "free"}}}, "default")
    await cluster.until(lambda: len(cluster.active()) == 3)
    await cluster.until(lambda: (pod := cluster.pods.get("orphan", "default")) and controller_of(pod.metadata) is None)


async def test_controllers_that_see_everything_late_make_nothing_twice(api_client):
    async with running(api_client, late=0.03) as cluster:
        made: Counter[str] = Counter()
        cluster.pods.add_handler(lambda old, new: made.update(["made"] if old is None else []))
        cluster.sets.add_handler(lambda old, new: made.update(["sets"] if old is None else []))
        await cluster.client.create(DEPLOYMENTS, web(8, strategy=rolling(4, 0)), "default")
        await cluster.until(cluster.complete, 30)
        await cluster.apply({"replicas": 3})
        await cluster.until(cluster.complete, 30)
        assert len(cluster.active()) == 3
        lowest = [3]
        cluster.pods.add_handler(
            lambda old, new: lowest.append(sum(pods.is_active(p) and pods.is_ready(p) for p in cluster.pods))
        )
        await cluster.image("v2")
        await cluster.until(cluster.complete, 30)
        assert made == {"made": 8 + 3, "sets": 2}
        assert min(lowest) >= 3
