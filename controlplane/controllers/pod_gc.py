"""Pod garbage collection: pods that nobody will ever finish deleting, and too many finished ones.

Deletes for good (grace 0, by uid): pods bound to a node that does not exist, after a quarantine and a look at the
server itself; unscheduled pods that are terminating; the oldest finished pods over a threshold. The rules are
those of k8s.io/kubernetes pkg/controller/podgc, driven by events and not by a timer. One sync at a time for each
node, pod, and for the finished pods as a whole.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from controlplane.controllers import pods
from controlplane.controllers.base import Context, Key, Watch
from controlplane.controllers.taint_eviction import NODE, by_node
from controlplane.controllers.writes import Delete, apply
from shared.api.core import Node
from shared.api.errors import NotFound
from shared.api.kinds import NODES, PODS
from shared.api.pod import Pod

logger = logging.getLogger(__name__)

FINISHED: Key = ("", "")
"""The key of all finished pods; a node's is ("", name), a pod's (namespace, name)."""
_FINISHED_INDEX = "finished"


@dataclass(frozen=True, slots=True)
class PodGcSettings:
    """``quarantine``: seconds that a node must be missing before its pods are deleted, as a node may register anew.
    ``finished``: how many finished pods are kept; 0 keeps all. Defaults are Kubernetes' own."""

    quarantine: float = 40.0
    finished: int = 12_500


def decide_orphaned(bound: Iterable[Pod], missing_for: float, quarantine: float) -> tuple[tuple[Pod, ...], float]:
    """Pods of a missing node to delete, and the seconds to wait when it is too early."""
    left = quarantine - missing_for
    return ((), left) if left > 0 else (tuple(bound), 0.0)


def decide_finished(finished: Iterable[Pod], keep: int) -> tuple[Pod, ...]:
    """The oldest finished pods beyond ``keep`` (evicted ones first, as in Kubernetes); none when ``keep`` is 0."""
    candidates = [pod for pod in finished if pod.metadata.deletion_timestamp is None]
    if keep <= 0 or len(candidates) <= keep:
        return ()
    candidates.sort(
        key=lambda pod: (
            pod.status.reason != "Evicted",
            str(pod.metadata.creation_timestamp or ""),
            pod.metadata.namespace,
            pod.metadata.name,
        )
    )
    return tuple(candidates[: len(candidates) - keep])


def is_unscheduled_terminating(pod: Pod | None) -> bool:
    """Whether no agent will ever confirm the pod's deletion."""
    return pod is not None and pod.metadata.deletion_timestamp is not None and not pod.spec.node_name


def _finished(pod: Pod) -> Iterable[str]:
    return ("",) if pods.is_finished(pod) else ()


class PodGcController:
    """See the module."""

    name = "pod-gc"

    def __init__(self, context: Context, settings: PodGcSettings = PodGcSettings()) -> None:
        self._client, self._clock, self._settings = context.client, context.clock, settings
        self._nodes = context.informers.cache(NODES)
        self._pods = context.informers.cache(PODS)
        self._pods.add_index(NODE, by_node)
        self._pods.add_index(_FINISHED_INDEX, _finished)
        self._missing: dict[str, float] = {}
        """Since when (monotonic seconds) a node that pods are bound to was seen to be missing."""
        self._count = 0

    # --- watches

    def watches(self) -> Sequence[Watch]:
        return (Watch(NODES, self._keys_of_node), Watch(PODS, self._keys_of_pod))

    def _keys_of_node(self, old: Node | None, new: Node | None) -> Iterable[Key]:
        if new is not None:
            self._missing.pop(new.metadata.name, None)
            return ()
        assert old is not None
        return (("", old.metadata.name),)

    def _keys_of_pod(self, old: Pod | None, new: Pod | None) -> Iterable[Key]:
        before, after = old is not None and pods.is_finished(old), new is not None and pods.is_finished(new)
        self._count += after - before
        if new is None:
            return
        if after and not before and 0 < self._settings.finished < self._count:
            yield FINISHED
        if is_unscheduled_terminating(new):
            yield (new.metadata.namespace, new.metadata.name)
        node = new.spec.node_name
        if node and (old is None or not old.spec.node_name) and self._nodes.get(node) is None:
            yield ("", node)

    # --- sync

    async def sync(self, key: Key) -> float | None:
        """See ``Controller.sync``."""
        namespace, name = key
        if key == FINISHED:
            gone = decide_finished(self._pods.by_index(_FINISHED_INDEX, ""), self._settings.finished)
            await self._delete(gone, "too many finished pods")
            return None
        if namespace:
            pod = self._pods.get(name, namespace)
            if pod is not None and is_unscheduled_terminating(pod):
                await self._delete((pod,), "terminating and never scheduled")
            return None
        return await self._sync_node(name)

    async def _sync_node(self, name: str) -> float | None:
        bound = self._pods.by_index(NODE, name)
        if not bound or self._nodes.get(name) is not None:
            self._missing.pop(name, None)
            return None
        now = self._clock.monotonic()
        orphaned, wait = decide_orphaned(bound, now - self._missing.setdefault(name, now), self._settings.quarantine)
        if not orphaned:
            return wait
        try:
            await self._client.get(NODES, name)
        except NotFound:
            # Pods may have gone or come while we asked.
            await self._delete(tuple(self._pods.by_index(NODE, name)), "its node does not exist")
            self._missing.pop(name, None)
        else:
            # The cache is behind, and its event will tell.
            self._missing.pop(name, None)
            return self._settings.quarantine
        return None

    async def _delete(self, gone: Sequence[Pod], why: str) -> None:
        for pod in gone:
            logger.info("deleting a pod for good", extra={"pod": pod.key, "why": why})
        await apply(
            self._client,
            [
                Delete(PODS, pod.metadata.name, pod.metadata.namespace, uid=pod.metadata.uid, grace_period_seconds=0)
                for pod in gone
            ],
        )
