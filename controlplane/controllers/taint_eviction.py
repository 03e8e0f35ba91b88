"""Taint eviction: deletes the pods of a node with NoExecute taints that they do not, or no longer, tolerate.

Writes pod deletions with the pods' own grace, and their Events; reads caches only. One sync at a time for each
node, which deletes all of its pods that must go side by side: this is the middle of failover. The rules are those
of k8s.io/kubernetes pkg/controller/tainteviction.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from controlplane.controllers.base import Context, Key, Watch
from controlplane.controllers.writes import Delete, apply
from shared.api.core import Node, Taint
from shared.api.kinds import NODES, PODS
from shared.api.pod import Pod, Toleration

NODE = "node"
"""Index of pods by spec.nodeName."""


def by_node(pod: Pod) -> Iterable[str]:
    """Index function of NODE."""
    return (pod.spec.node_name,) if pod.spec.node_name else ()


@dataclass(frozen=True, slots=True)
class View:
    """A node's NoExecute taints, the pods bound to it, and since when (monotonic seconds) each was seen there
    with such a taint, by uid."""

    taints: tuple[Taint, ...]
    pods: tuple[Pod, ...]
    since: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Plan:
    """``evict`` now; look again after ``again`` seconds, when the next toleration ends."""

    evict: tuple[Pod, ...] = ()
    again: float | None = None


def decide(view: View, now: float) -> Plan:
    """Which pods must go at ``now`` (monotonic seconds)."""
    evict: list[Pod] = []
    waits: list[float] = []
    for pod in view.pods:
        if pod.metadata.deletion_timestamp is not None:
            continue
        seconds = tolerated_seconds(pod, view.taints)
        if seconds is None:
            continue
        left = view.since.get(pod.metadata.uid, now) + seconds - now
        if left <= 0:
            evict.append(pod)
        else:
            waits.append(left)
    return Plan(tuple(evict), min(waits, default=None))


def tolerated_seconds(pod: Pod, taints: Sequence[Taint]) -> float | None:
    """How long the pod stays on a node with these NoExecute taints: 0 not at all, None for ever.

    One taint without a toleration sends it away at once; among the tolerations in use the shortest counts, and
    one without seconds sets no limit (getMinTolerationTime).
    """
    limits: list[int] = []
    for taint in taints:
        matching = [toleration for toleration in pod.spec.tolerations if tolerates(toleration, taint)]
        if not matching:
            return 0.0
        limits += [t.toleration_seconds for t in matching if t.toleration_seconds is not None]
    return float(max(0, min(limits))) if limits else None


def tolerates(toleration: Toleration, taint: Taint) -> bool:
    """Whether the toleration matches the taint (Toleration.ToleratesTaint): an empty effect means all effects, an
    empty key with Exists all keys."""
    if toleration.effect and toleration.effect != taint.effect:
        return False
    if toleration.key and toleration.key != taint.key:
        return False
    if toleration.operator == "Exists":
        return True
    return toleration.operator in ("", "Equal") and bool(toleration.key) and toleration.value == taint.value


def no_execute(node: Node | None) -> tuple[Taint, ...]:
    """The node's NoExecute taints."""
    return () if node is None else tuple(taint for taint in node.spec.taints if taint.effect == "NoExecute")


class TaintEvictionController:
    """See the module."""

    name = "taint-eviction"

    def __init__(self, context: Context) -> None:
        self._client, self._clock, self._events = context.client, context.clock, context.events
        self._nodes = context.informers.cache(NODES)
        self._pods = context.informers.cache(PODS)
        self._pods.add_index(NODE, by_node)
        self._since: dict[str, dict[str, float]] = {}
        self._going: dict[str, set[str]] = {}
        """Uids deleted by a sync of the node, until the cache shows it."""

    # --- watches

    def watches(self) -> Sequence[Watch]:
        return (Watch(NODES, self._keys_of_node), Watch(PODS, self._keys_of_pod))

    def _keys_of_node(self, old: Node | None, new: Node | None) -> Iterable[Key]:
        if no_execute(old) == no_execute(new):
            return ()
        node = new or old
        return () if node is None else (("", node.metadata.name),)

    def _keys_of_pod(self, old: Pod | None, new: Pod | None) -> Iterable[Key]:
        if new is None or not new.spec.node_name:
            return ()
        if old is not None and (old.spec.node_name, old.spec.tolerations) == (
            new.spec.node_name,
            new.spec.tolerations,
        ):
            return ()
        return (("", new.spec.node_name),) if no_execute(self._nodes.get(new.spec.node_name)) else ()

    # --- sync

    async def sync(self, key: Key) -> float | None:
        """See ``Controller.sync``; the key is a node's."""
        name = key[1]
        taints = no_execute(self._nodes.get(name))
        if not taints:
            self._since.pop(name, None)
            self._going.pop(name, None)
            return None
        bound = tuple(self._pods.by_index(NODE, name))
        now, wall = self._clock.monotonic(), self._clock.now()
        known = self._since.get(name, {})
        since = {
            pod.metadata.uid: known.get(pod.metadata.uid, now - _elapsed(pod, taints, wall))
            for pod in bound
            if pod.metadata.deletion_timestamp is None
        }
        self._since[name] = since
        going = self._going.get(name, set()) & since.keys()
        plan = decide(View(taints, tuple(pod for pod in bound if pod.metadata.uid not in going), since), now)
        self._going[name] = going | {pod.metadata.uid for pod in plan.evict}
        try:
            await apply(self._client, [_deletion(pod) for pod in plan.evict])
        except BaseException:
            # Whatever of them did happen shows in the cache; the retry looks at all of them again.
            self._going.pop(name, None)
            raise
        for pod in plan.evict:
            self._events.event(pod, "Normal", "TaintManagerEviction", f"Marking for deletion Pod {pod.key}")
        return plan.again


def _deletion(pod: Pod) -> Delete:
    return Delete(PODS, pod.metadata.name, pod.metadata.namespace, uid=pod.metadata.uid)


def _elapsed(pod: Pod, taints: Sequence[Taint], now: datetime) -> float:
    """Seconds of its toleration that a pod used up before this process saw it: since the node was tainted, or the
    pod came, whichever is later. Kubernetes starts anew after a restart of its controller; then restarts often
    enough would keep a pod on a dead node for ever."""
    times = [taint.time_added for taint in taints if taint.time_added is not None]
    if pod.status.start_time is None or len(times) < len(taints):
        return 0.0
    return max(0.0, (now - max(min(times), pod.status.start_time)).total_seconds())
