"""The scheduling loop: cache events in, bindings out. The scheduler's only module that does I/O.

Owns the queue and the snapshot, and feeds both from the caches of Pods and Nodes. A round takes the active pods,
decides, counts its decisions in the snapshot at once (so that no room is given away twice before the watch
confirms it), and binds them in one call. It sleeps until something is active: an event, or the end of a
back-off. Only the leader runs it. One event loop; between awaits the snapshot and the caches agree.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from weakref import WeakKeyDictionary, ref

from controlplane.controllers.base import Context
from controlplane.scheduler import metrics
from controlplane.scheduler.decide import Bound, Decision, Pending, decide
from controlplane.scheduler.queue import SchedulingQueue, Waiting
from controlplane.scheduler.report import WORKERS, Reporter
from controlplane.scheduler.requirements import Requirements, of_pod
from controlplane.scheduler.snapshot import Snapshot
from shared.api.core import Node
from shared.api.errors import StatusError
from shared.api.kinds import NODES, PODS
from shared.api.pod import Pod
from shared.api.resizing import counted
from shared.client.base import Binding
from shared.work.supervisor import Supervisor

logger = logging.getLogger(__name__)

NAME = "default-scheduler"
"""The schedulerName of the pods that are ours."""

BATCH = 500
"""Pods in one round at most: some tens of milliseconds of work, and one transaction of bindings."""

GATHER_SECONDS = 0.003
"""How long a round waits for the rest of a burst, so that equal pods are decided together."""


class Scheduler:
    """Built once for each process; ``run`` once. ``context.events`` speaks as the scheduler."""

    def __init__(self, context: Context, *, gather: float = GATHER_SECONDS, batch: int = BATCH) -> None:
        self._context = context
        self._gather, self._batch = gather, batch
        self._snapshot = Snapshot()
        self._queue = SchedulingQueue(context.clock)
        self._wake = asyncio.Event()
        self._interned: WeakKeyDictionary[Requirements, ref[Requirements]] = WeakKeyDictionary()
        self._assumed: set[str] = set()
        """uids of pods that are placed in the snapshot but not yet in the cache."""
        self._pods = context.informers.cache(PODS)
        self._nodes = context.informers.cache(NODES)
        self._reporter = Reporter(context.client, self._pods, context.clock)
        self._pods.add_handler(self._pod_changed)
        self._nodes.add_handler(self._node_changed)

    async def run(self) -> None:
        """Schedule until cancelled."""
        await asyncio.gather(self._pods.synced.wait(), self._nodes.synced.wait())
        async with Supervisor() as supervisor:
            for number in range(WORKERS):
                supervisor.service(f"scheduler reports {number}", self._reporter.run())
            supervisor.service("scheduler", self._rounds())

    # --- events

    def _node_changed(self, old: Node | None, new: Node | None) -> None:
        if new is None:
            if old is not None:
                self._snapshot.remove_node(old.metadata.name)
        elif self._snapshot.put_node(new):
            self._cluster_changed()

    def _pod_changed(self, old: Pod | None, new: Pod | None) -> None:
        if old is not None and (new is None or new.metadata.uid != old.metadata.uid):
            self._gone(old.metadata.uid)
        if new is None:
            return
        uid = new.metadata.uid
        if new.spec.node_name:
            self._queue.remove(uid)
            self._assumed.discard(uid)
            if new.status.phase in ("Succeeded", "Failed"):
                self._gone(uid)
            else:
                self._placed(old, new)
        elif uid in self._assumed:
            return  # an event from before our binding; the one that confirms it will come
        elif _is_ours(new):
            requirements = self._requirements(new)
            if requirements is not None:
                meta = new.metadata
                self._queue.put(Pending(meta.namespace, meta.name, uid, requirements, new.spec.priority))
                self._wake.set()
        else:
            self._queue.remove(uid)

    def _placed(self, old: Pod | None, new: Pod) -> None:
        spread = new.metadata.deletion_timestamp is None
        known = self._snapshot.placement(new.metadata.uid)
        same = known is not None and known.node == new.spec.node_name
        unchanged = old is None or _counts_as_before(old, new)
        requirements = known.requirements if known and same and unchanged else self._requirements(new)
        if requirements is not None:
            self._snapshot.place(new.metadata.uid, new.spec.node_name, requirements, spread=spread)
            if not unchanged:
                self._cluster_changed()  # resized in place

    def _gone(self, uid: str) -> None:
        self._queue.remove(uid)
        self._assumed.discard(uid)
        if self._snapshot.forget(uid):
            self._cluster_changed()

    def _cluster_changed(self) -> None:
        self._queue.cluster_changed()
        self._wake.set()

    def _requirements(self, pod: Pod) -> Requirements | None:
        """Equal requirements are one object: thousands of pods share them, and comparing them is comparing ids."""
        try:
            found = of_pod(pod)
        except ValueError as error:
            logger.warning("a pod's requests cannot be read", extra={"pod": pod.key, "error": str(error)})
            return None
        return self._interned.setdefault(found, ref(found))() or found

    # --- rounds

    async def _rounds(self) -> None:
        while True:
            self._queue.flush()
            if not len(self._queue):
                await self._sleep()
                continue
            await asyncio.sleep(self._gather)
            await self._round()

    async def _sleep(self) -> None:
        """Until an event, or until the next back-off ends."""
        due = self._queue.due()
        try:
            async with asyncio.timeout(None if due is None else max(0.0, due - self._context.clock.monotonic())):
                await self._wake.wait()
        except TimeoutError:
            return
        self._wake.clear()

    async def _round(self) -> None:
        waiting = {item.pod.uid: item for item in self._queue.take(self._batch)}
        if not waiting:
            return
        started = self._context.clock.monotonic()
        decision = decide(self._snapshot, [item.pod for item in waiting.values()])
        metrics.DECISION_SECONDS.observe(self._context.clock.monotonic() - started)
        metrics.BATCH_SIZE.observe(len(waiting))
        for bound in decision.bound:
            self._assumed.add(bound.pod.uid)
            self._snapshot.place(bound.pod.uid, bound.node, bound.pod.requirements)
        self._refuse(decision, waiting)
        if decision.bound:
            await self._bind(decision.bound, waiting)

    def _refuse(self, decision: Decision, waiting: dict[str, Waiting]) -> None:
        for refused in decision.refused:
            metrics.ATTEMPTS.labels("unschedulable").inc()
            self._queue.give_back(waiting[refused.pod.uid], unschedulable=True)
            pod = self._pods.get(refused.pod.name, refused.pod.namespace)
            if pod is not None and pod.metadata.uid == refused.pod.uid:
                self._context.events.event(pod, "Warning", "FailedScheduling", refused.message)
                self._reporter.unschedulable(pod, refused.message)

    async def _bind(self, bound: Sequence[Bound], waiting: dict[str, Waiting]) -> None:
        bindings = [Binding(b.pod.namespace, b.pod.name, b.pod.uid, b.node) for b in bound]
        try:
            outcomes: Sequence[StatusError | None] = await self._context.client.bind(bindings)
        except StatusError as error:
            outcomes = [error] * len(bound)  # of the whole call: none was bound, or that is not known
        except BaseException:
            # Whether it happened is not known; the watch will tell, and the queue is not lost meanwhile.
            for item in bound:
                self._unbound(item, waiting[item.pod.uid])
            raise
        now = self._context.clock.monotonic()
        for item, failure in zip(bound, outcomes, strict=True):
            if failure is not None:
                self._bind_failed(item, waiting[item.pod.uid], failure)
                continue
            self._queue.remove(item.pod.uid)
            metrics.ATTEMPTS.labels("scheduled").inc()
            metrics.POD_SECONDS.observe(now - waiting[item.pod.uid].seen)
            pod = self._pods.get(item.pod.name, item.pod.namespace)
            if pod is not None and pod.metadata.uid == item.pod.uid:
                text = f"Successfully assigned {item.pod.namespace}/{item.pod.name} to {item.node}"
                self._context.events.event(pod, "Normal", "Scheduled", text)

    def _bind_failed(self, item: Bound, waiting: Waiting, error: StatusError) -> None:
        metrics.ATTEMPTS.labels("error").inc()
        pod = self._pods.get(item.pod.name, item.pod.namespace)
        logger.info(
            "a binding failed",
            extra={"pod": f"{item.pod.namespace}/{item.pod.name}", "node": item.node, "error": error.message},
        )
        if pod is None or pod.metadata.uid != item.pod.uid:
            self._gone(item.pod.uid)
            return
        self._unbound(item, waiting)
        if pod.spec.node_name or not _is_ours(pod):
            self._queue.remove(item.pod.uid)

    def _unbound(self, item: Bound, waiting: Waiting) -> None:
        """Take an assumption back, unless the watch has confirmed it meanwhile."""
        if item.pod.uid in self._assumed:
            self._assumed.discard(item.pod.uid)
            self._snapshot.forget(item.pod.uid)
            self._queue.give_back(waiting, unschedulable=False)
            self._cluster_changed()


def _is_ours(pod: Pod) -> bool:
    return (
        pod.spec.scheduler_name == NAME
        and not pod.spec.scheduling_gates
        and pod.metadata.deletion_timestamp is None
        and pod.status.phase not in ("Succeeded", "Failed")
    )


def _counts_as_before(old: Pod, new: Pod) -> bool:
    """Whether no resize, wanted or done, changes what the pod takes."""
    before, now = counted(old), counted(new)
    return before.containers == now.containers and before.init_containers == now.init_containers
