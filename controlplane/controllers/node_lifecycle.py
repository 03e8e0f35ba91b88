"""Node lifecycle: what a node's lease and conditions mean for its taints, its Ready condition and its pods.

A node lives while its Lease in kube-node-lease exists: the store deletes it when heartbeats stop, and that watch
event is the news; nothing polls. Writes node taints and conditions and the Ready condition of a lost node's pods;
never deletes a pod (taint eviction does). The rules are those of k8s.io/kubernetes pkg/controller/nodelifecycle.
One sync at a time for each node.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from controlplane.controllers import conditions, node_events, pods
from controlplane.controllers.base import Context, Key, Watch
from controlplane.controllers.taint_eviction import NODE, by_node, tolerated_seconds
from controlplane.controllers.writes import Patch, apply, send
from controlplane.controllers.zones import EXCLUDED, DisruptionSettings, Zones, ZoneView, eviction_delay, zone_of
from shared.api.apps import Lease
from shared.api.core import Node, Taint
from shared.api.kinds import LEASES, NODE_LEASE_NAMESPACE, NODES, PODS
from shared.api.meta import JSON, Condition, timestamp
from shared.api.pod import Pod
from shared.client.base import PatchType

NOT_READY, UNREACHABLE = "node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"
UNSCHEDULABLE = "node.kubernetes.io/unschedulable"
_PRESSURE = {
    "MemoryPressure": "node.kubernetes.io/memory-pressure",
    "DiskPressure": "node.kubernetes.io/disk-pressure",
    "PIDPressure": "node.kubernetes.io/pid-pressure",
    "NetworkUnavailable": "node.kubernetes.io/network-unavailable",
}
_REPORTED = ("Ready", "MemoryPressure", "DiskPressure", "PIDPressure")
"""Conditions that only the agent knows, which nobody knows when it is silent."""
_OURS = frozenset(
    {(key, "NoSchedule") for key in (NOT_READY, UNREACHABLE, UNSCHEDULABLE, *_PRESSURE.values())}
    | {(key, "NoExecute") for key in (NOT_READY, UNREACHABLE)}
)
"""Taints that this controller puts and takes, by key and effect; all others are left alone."""


@dataclass(frozen=True, slots=True)
class NodeLifecycleSettings:
    """``grace``: seconds that a node may have no lease before it counts as lost, from its creation or from when
    this controller first saw it; a lease that ends is no such case, it means lost at once. ``not_ready``: seconds
    that a living agent may say that it is not ready before pods are evicted: it is starting, or its engine is, and
    the containers run. Pods tolerate a lost node for no time at all by default, unlike Kubernetes' five minutes, so
    this cannot be left to their tolerations."""

    grace: float = 40.0
    not_ready: float = 60.0
    disruption: DisruptionSettings = DisruptionSettings()


class Health(Enum):
    """What the lease says."""

    ALIVE = "alive"
    LOST = "lost"
    WAITING = "waiting"
    """It had none yet, and its grace is not over."""


@dataclass(frozen=True, slots=True)
class View:
    node: Node
    health: Health
    pods: tuple[Pod, ...]
    zone: ZoneView


@dataclass(frozen=True, slots=True)
class Plan:
    """``taints``: the whole list to write, None to leave it. ``conditions``: those to change. ``unready``: pods
    whose Ready condition becomes False (those of a lost node: a living agent reports its own). ``slow``: this
    eviction uses the zone's slow rate. ``again``: seconds."""

    taints: tuple[Taint, ...] | None = None
    conditions: tuple[Condition, ...] = ()
    unready: tuple[Pod, ...] = ()
    slow: bool = False
    again: float | None = None


def decide(
    view: View, now: datetime, monotonic: float, settings: NodeLifecycleSettings = NodeLifecycleSettings()
) -> Plan:
    """What the node needs."""
    lost = view.health is Health.LOST
    changed = _unknown(view.node, now) if lost else ()
    after = (*changed, *(c for c in view.node.status.conditions if c.type not in {new.type for new in changed}))
    taints, slow, again = _taints(view, after, now, monotonic, settings)
    evicting = tuple(taint for taint in taints if taint.effect == "NoExecute")
    unready = tuple(pod for pod in view.pods if pods.is_ready(pod) and not _goes(pod, evicting)) if lost else ()
    same = _identities(taints) == _identities(view.node.spec.taints)
    return Plan(None if same else taints, changed, unready, slow, again)


def _goes(pod: Pod, evicting: Sequence[Taint]) -> bool:
    """Whether the pod is about to be deleted: that comes first, not behind a write to the same pod, and takes it off
    endpoints too. Once it is being deleted it is marked like the others."""
    return pod.metadata.deletion_timestamp is None and tolerated_seconds(pod, evicting) == 0


def _unknown(node: Node, now: datetime) -> tuple[Condition, ...]:
    """The conditions that became Unknown with the node's silence."""
    changed: list[Condition] = []
    for type in _REPORTED:
        old = conditions.find(node.status.conditions, type)
        if old is None:
            reason, message = "NodeStatusNeverUpdated", "Agent never posted node status."
        elif old.status == "Unknown":
            continue
        else:
            reason, message = "NodeStatusUnknown", "Agent stopped posting node status."
        heartbeat = old.last_heartbeat_time if old else node.metadata.creation_timestamp
        changed.append(
            Condition(
                type=type,
                status="Unknown",
                reason=reason,
                message=message,
                last_heartbeat_time=heartbeat,
                last_transition_time=now,
            )
        )
    return tuple(changed)


def _taints(
    view: View, after: Sequence[Condition], now: datetime, monotonic: float, settings: NodeLifecycleSettings
) -> tuple[tuple[Taint, ...], bool, float | None]:
    """The node's taints as they should be, whether the slow rate is used, and when to look again."""
    wanted: set[tuple[str, str]] = set()
    if view.node.spec.unschedulable:
        wanted.add((UNSCHEDULABLE, "NoSchedule"))
    wanted |= {
        (key, "NoSchedule") for type, key in _PRESSURE.items() if (c := conditions.find(after, type)) and _true(c)
    }
    present = {(taint.key, taint.effect) for taint in view.node.spec.taints}
    ready = conditions.find(after, "Ready")
    slow, again = False, None
    if ready is None:
        # Registered, but without a first report: whatever it came with stays.
        wanted |= {(NOT_READY, "NoSchedule"), (NOT_READY, "NoExecute")} & present
    elif not _true(ready):
        key = UNREACHABLE if ready.status == "Unknown" else NOT_READY
        wanted.add((key, "NoSchedule"))
        evicting = bool({(NOT_READY, "NoExecute"), (UNREACHABLE, "NoExecute")} & present)
        if evicting and not view.zone.everything_down:
            wanted.add((key, "NoExecute"))
        elif not evicting:
            again = eviction_delay(view.zone, settings.disruption, monotonic)
            if again is not None and ready.status == "False" and ready.last_transition_time is not None:
                since = (now - ready.last_transition_time).total_seconds()
                again = max(again, settings.not_ready - since)
            if again is not None and again <= 0:
                again = None
                wanted.add((key, "NoExecute"))
                slow = view.zone.state.value == "PartialDisruption"
    kept = [taint for taint in view.node.spec.taints if (taint.key, taint.effect) not in _OURS - wanted]
    added = sorted(wanted - present)
    return (*kept, *(Taint(key=key, effect=effect, time_added=now) for key, effect in added)), slow, again


def _true(condition: Condition) -> bool:
    return condition.status == "True"


def _identities(taints: Iterable[Taint]) -> set[tuple[str, str]]:
    return {(taint.key, taint.effect) for taint in taints}


class NodeLifecycleController:
    """See the module."""

    name = "node-lifecycle"

    def __init__(self, context: Context, settings: NodeLifecycleSettings = NodeLifecycleSettings()) -> None:
        self._client, self._clock, self._events = context.client, context.clock, context.events
        self._settings = settings
        self._nodes = context.informers.cache(NODES)
        self._leases = context.informers.cache(LEASES)
        self._pods = context.informers.cache(PODS)
        self._pods.add_index(NODE, by_node)
        self._zones = Zones(settings.disruption)
        self._without: dict[str, float] = {}
        """When (monotonic seconds) a node was first seen without a lease that it never had."""
        self._lost: set[str] = set()
        """Nodes whose lease ended, or did not come in time."""
        self._affected: set[Key] = set()
        """Nodes to sync because a sync found another one lost; with the next event, which that sync's write makes."""

    # --- watches

    def watches(self) -> Sequence[Watch]:
        return (Watch(NODES, self._keys_of_node), Watch(LEASES, self._keys_of_lease), Watch(PODS, self._keys_of_pod))

    def _keys_of_node(self, old: Node | None, new: Node | None) -> Iterable[Key]:
        node = new or old
        assert node is not None
        name = node.metadata.name
        if new is None:
            self._without.pop(name, None)
            self._lost.discard(name)
            return [("", name), *(("", other) for other in self._zones.remove(name, self._clock.monotonic()))]
        if old is not None and _decisive(old) == _decisive(new):
            return ()
        for reason, message in node_events.happened(old, new, self._clock.now()):
            self._events.event(new, "Normal", reason, message)
        affected, self._affected = self._affected, set()
        return [("", name), *self._count(new), *affected]

    def _keys_of_lease(self, old: Lease | None, new: Lease | None) -> Iterable[Key]:
        lease = new or old
        assert lease is not None
        name = lease.metadata.name
        if lease.metadata.namespace != NODE_LEASE_NAMESPACE or (old is not None and new is not None):
            return ()
        node = self._nodes.get(name)
        self._without.pop(name, None)
        if new is not None:
            self._lost.discard(name)
        elif node is not None:
            self._lost.add(name)
        return [("", name), *(self._count(node) if node is not None else ())]

    def _keys_of_pod(self, old: Pod | None, new: Pod | None) -> Iterable[Key]:
        """A pod that shows as ready on a lost node."""
        if new is None or new.spec.node_name not in self._lost or not pods.is_ready(new):
            return ()
        return (("", new.spec.node_name),)

    def _count(self, node: Node) -> Iterable[Key]:
        """Count the node in its zone; the keys of the nodes that this matters to."""
        ready = conditions.find(node.status.conditions, "Ready")
        counted = ready is not None and EXCLUDED not in node.metadata.labels
        up = _says_ready(node) and node.metadata.name not in self._lost
        affected = self._zones.put(
            node.metadata.name, zone_of(node), self._clock.monotonic(), ready=up, counted=counted
        )
        return [("", name) for name in affected]

    # --- sync

    async def sync(self, key: Key) -> float | None:
        """See ``Controller.sync``; the key is a node's."""
        name = key[1]
        node = self._nodes.get(name)
        if node is None:
            return None
        now, monotonic = self._clock.now(), self._clock.monotonic()
        health, grace_left = self._health(node, now, monotonic)
        zone = zone_of(node)
        view = View(node, health, tuple(self._pods.by_index(NODE, name)), self._zones.view(zone))
        plan = decide(view, now, monotonic, self._settings)
        if plan.slow:
            self._zones.evicted_slowly(zone, monotonic)
        await self._apply(node, plan)
        return min((seconds for seconds in (grace_left, plan.again) if seconds is not None), default=None)

    def _health(self, node: Node, now: datetime, monotonic: float) -> tuple[Health, float | None]:
        """The node's health, and the seconds of grace that it has left."""
        name = node.metadata.name
        if self._leases.get(name, NODE_LEASE_NAMESPACE) is not None:
            return Health.ALIVE, None
        if name in self._lost:
            return Health.LOST, None
        left = self._without.setdefault(name, monotonic) + self._settings.grace - monotonic
        ready = conditions.find(node.status.conditions, "Ready")
        if left > 0 and not (ready is not None and ready.status == "Unknown"):
            return Health.WAITING, left
        self._lost.add(name)
        self._affected.update(self._count(node))
        return Health.LOST, None

    async def _apply(self, node: Node, plan: Plan) -> None:
        """Taints first: pods are evicted as soon as they show. Each write holds only for the node as it was read,
        so that it cannot undo what the agent reports at this moment."""
        meta = node.metadata
        version = meta.resource_version
        if plan.taints is not None:
            patch = {"metadata": {"resourceVersion": version}, "spec": {"taints": [_tree(t) for t in plan.taints]}}
            answer = await send(self._client, Patch(NODES, meta.name, patch))
            if answer is None:
                return
            version = answer["metadata"]["resourceVersion"]
        if plan.conditions:
            status = {"conditions": [conditions.condition_tree(condition) for condition in plan.conditions]}
            patch = {"metadata": {"resourceVersion": version}, "status": status}
            await send(self._client, Patch(NODES, meta.name, patch, type=PatchType.STRATEGIC, subresource="status"))
            if any(c.type == "Ready" for c in plan.conditions) and _says_ready(node):
                self._events.event(node, "Normal", "NodeNotReady", f"Node {meta.name} status is now: NodeNotReady")
        await apply(self._client, [_unready(pod, self._clock.now()) for pod in plan.unready])


def _says_ready(node: Node) -> bool:
    ready = conditions.find(node.status.conditions, "Ready")
    return ready is not None and _true(ready)


def _decisive(node: Node) -> tuple[object, ...]:
    """What of a node is read here: a heartbeat's times are not."""
    statuses = tuple((c.type, c.status) for c in node.status.conditions)
    return statuses, node.spec.taints, node.spec.unschedulable, zone_of(node), EXCLUDED in node.metadata.labels


def _tree(taint: Taint) -> JSON:
    tree: JSON = {"key": taint.key, "effect": taint.effect}
    if taint.value:
        tree["value"] = taint.value
    if taint.time_added is not None:
        tree["timeAdded"] = timestamp(taint.time_added)
    return tree


def _unready(pod: Pod, now: datetime) -> Patch:
    condition = Condition(
        type="Ready", status="False", reason="NodeNotReady", message="The node of the pod is not ready.",
        last_transition_time=now,
    )  # fmt: skip
    patch = {"metadata": {"uid": pod.metadata.uid}, "status": {"conditions": [conditions.condition_tree(condition)]}}
    return Patch(PODS, pod.metadata.name, patch, pod.metadata.namespace, type=PatchType.STRATEGIC, subresource="status")
