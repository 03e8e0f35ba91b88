"""Deployments: a ReplicaSet for each template, sized step by step so that the rollout keeps its promises.

Writes ReplicaSets (create, scale, annotate, adopt, delete), the revision annotation and status of Deployments;
reads caches only. What sizes are due is ``rollout``'s, what is reported ``progress``'s, which ReplicaSet is which
``history``'s to say. After k8s.io/kubernetes pkg/controller/deployment. One sync at a time for each Deployment;
every pod that becomes ready comes here as its ReplicaSet's status, and the next step follows at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

import msgspec

from controlplane.controllers import conditions, history, ownership, pods, progress, rollout
from controlplane.controllers.base import Context, Key, Watch
from controlplane.controllers.expectations import Expectations
from controlplane.controllers.rollout import Goal, Part, Scale
from shared.api.apps import Deployment, DeploymentStatus, ReplicaSet, RollingUpdateDeployment
from shared.api.errors import AlreadyExists, Forbidden, NotFound, StatusError
from shared.api.kinds import DEPLOYMENTS, PODS, REPLICA_SETS
from shared.api.meta import JSON, Condition, LabelSelector, controller_of
from shared.api.pod import Pod
from shared.api.selectors import from_label_selector

_STATUS = conditions.StatusRules(always=frozenset({"terminating_replicas"}))


@dataclass(frozen=True, slots=True)
class View:
    """What a Deployment is decided on. ``running_old_pods``: some pod of an old ReplicaSet has not ended yet."""

    deployment: Deployment
    new: ReplicaSet | None
    old: tuple[ReplicaSet, ...]
    running_old_pods: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """``create`` the new ReplicaSet with this size, or ``scales`` existing ones in this order; ``remove`` history.

    ``judge``: the rollout's progress is judged; not while paused, scaled or deleted.
    """

    create: int | None = None
    scales: tuple[Scale, ...] = ()
    remove: tuple[ReplicaSet, ...] = ()
    judge: bool = False


def goal_of(deployment: Deployment) -> Goal:
    """The bounds of the rollout, in replicas."""
    spec = deployment.spec
    if spec.strategy.type != "RollingUpdate":
        return Goal(spec.replicas, rolling=False)
    asked = spec.strategy.rolling_update or RollingUpdateDeployment()
    surge, unavailable = rollout.fenceposts(asked.max_surge, asked.max_unavailable, spec.replicas)
    return Goal(spec.replicas, surge, min(unavailable, spec.replicas))


def part_of(rs: ReplicaSet) -> Part:
    """The ReplicaSet as ``rollout`` sees it."""
    return Part(
        rs.metadata.name,
        rs.spec.replicas,
        rs.status.available_replicas,
        history.age(rs),
        history.desired_of(rs),
        history.most_of(rs),
    )


def decide(view: View) -> Plan:
    """The next step (syncDeployment, without its writes)."""
    deployment, goal = view.deployment, goal_of(view.deployment)
    new = part_of(view.new) if view.new is not None else None
    old = [part_of(rs) for rs in view.old]
    everything = [*old, *([new] if new is not None else [])]
    surplus = tuple(history.removable(view.old, deployment.spec.revision_history_limit))
    if deployment.metadata.deletion_timestamp is not None:
        return Plan()
    if deployment.spec.paused:
        return Plan(scales=tuple(rollout.proportional(goal, new, old)), remove=surplus)
    if rollout.is_scaling(goal, everything) and (scales := rollout.proportional(goal, new, old)):
        return Plan(scales=tuple(scales))
    done = progress.complete(deployment, deployment.status)
    remove = surplus if done else ()
    if goal.rolling:
        if new is None:
            return Plan(create=rollout.new_size(goal, 0, sum(part.size for part in old)), judge=True)
        return Plan(scales=tuple(rollout.rolling(goal, new, old)), remove=remove, judge=True)
    shrink = tuple(Scale(part.name, 0) for part in old if part.size > 0)
    if shrink or view.running_old_pods or any(rs.status.replicas > 0 for rs in view.old):
        return Plan(scales=shrink, judge=True)
    if new is None:
        return Plan(create=goal.replicas, judge=True)
    grow = () if new.size == goal.replicas else (Scale(new.name, goal.replicas),)
    return Plan(scales=grow, remove=remove, judge=True)


class DeploymentController:
    """See the module."""

    name = "deployment"

    def __init__(self, context: Context) -> None:
        self._client, self._clock, self._events = context.client, context.clock, context.events
        self._deployments = context.informers.cache(DEPLOYMENTS)
        self._sets = context.informers.cache(REPLICA_SETS)
        self._pods = context.informers.cache(PODS)
        ownership.add_indexes(self._deployments)
        ownership.add_indexes(self._sets)
        ownership.add_indexes(self._pods)
        self._expectations = Expectations(context.clock)

    # --- watches

    def watches(self) -> Sequence[Watch]:
        return (
            Watch(DEPLOYMENTS, self._keys_of_deployment),
            Watch(REPLICA_SETS, self._keys_of_set),
            Watch(PODS, self._keys_of_pod),
        )

    def _keys_of_deployment(self, old: Deployment | None, new: Deployment | None) -> Iterable[Key]:
        deployment = new or old
        return () if deployment is None else ((deployment.metadata.namespace, deployment.metadata.name),)

    def _keys_of_set(self, old: ReplicaSet | None, new: ReplicaSet | None) -> Iterable[Key]:
        """The Deployment that controls the ReplicaSet, or those that would adopt it; before and after the change."""
        keys: set[Key] = set()
        for rs in (old, new):
            if rs is None:
                continue
            reference = controller_of(rs.metadata)
            if reference is None:
                keys |= {
                    (d.metadata.namespace, d.metadata.name)
                    for d in self._deployments.by_index(ownership.NAMESPACE, rs.metadata.namespace)
                    if from_label_selector(d.spec.selector).matches(rs.metadata.labels)
                }
            elif reference.kind == DEPLOYMENTS.kind:
                keys.add((rs.metadata.namespace, reference.name))
        return keys

    def _keys_of_pod(self, old: Pod | None, new: Pod | None) -> Iterable[Key]:
        """Recreate waits for the last old pod to end; nothing else here reads pods."""
        if old is None or (new is not None and pods.is_finished(new) == pods.is_finished(old)):
            return ()
        rs = ownership.owner_in(self._sets, old.metadata.namespace, controller_of(old.metadata))
        reference = controller_of(rs.metadata) if rs is not None else None
        deployment = ownership.owner_in(self._deployments, old.metadata.namespace, reference)
        if deployment is None or deployment.spec.strategy.type != "Recreate":
            return ()
        return ((deployment.metadata.namespace, deployment.metadata.name),)

    # --- sync

    async def sync(self, key: Key) -> float | None:
        """See ``Controller.sync``."""
        namespace, name = key
        deployment = self._deployments.get(name, namespace)
        if deployment is None:
            self._expectations.forget(key)
            return None
        wait = self._expectations.wait(key)
        if wait is not None:
            return wait
        return await _Sync(self, key, deployment).run()


class _Sync:
    """One sync of one Deployment: what it reads, and the ReplicaSets as its own writes change them."""

    def __init__(self, controller: DeploymentController, key: Key, deployment: Deployment) -> None:
        self._controller, self._key, self._deployment = controller, key, deployment
        self._client, self._events = controller._client, controller._events
        self._now: datetime = controller._clock.now()
        self._goal = goal_of(deployment)
        self._sets: dict[str, ReplicaSet] = {}
        self._new: str | None = None
        self._conditions: tuple[Condition, ...] = ()
        self._collisions = deployment.status.collision_count

    async def run(self) -> float | None:
        deployment = self._deployment
        if deployment.spec.selector == LabelSelector():
            message = "This deployment is selecting all pods. A non-empty selector is required."
            self._events.event(deployment, "Warning", "SelectingAll", message)
            return None
        await self._claim()
        self._conditions = deployment.status.conditions
        if deployment.metadata.deletion_timestamp is None:
            self._conditions = progress.pause_or_resume(deployment, self._now)
            if self._new is not None:
                await self._renew()
        plan = decide(self._view())
        if plan.create is not None and not await self._create(plan.create):
            return 0.0
        for scale in plan.scales:
            await self._scale(scale)
        for rs in plan.remove:
            await self._remove(rs)
        return await self._report(plan)

    def _view(self) -> View:
        new = self._sets[self._new] if self._new is not None else None
        old = tuple(rs for rs in self._sets.values() if rs is not new)
        return View(self._deployment, new, old, not self._goal.rolling and self._running(old))

    def _running(self, old: Iterable[ReplicaSet]) -> bool:
        """Whether a pod of ``old`` may still run, terminating ones included (oldPodsRunning)."""
        cache = self._controller._pods
        owned = (pod for rs in old for pod in cache.by_index(ownership.CONTROLLER, rs.metadata.uid))
        return any(not pods.is_finished(pod) for pod in owned)

    async def _claim(self) -> None:
        """The ReplicaSets of the Deployment, and which of them is the new one."""
        deployment, cache = self._deployment, self._controller._sets
        claims = ownership.decide(
            deployment,
            from_label_selector(deployment.spec.selector),
            cache.by_index(ownership.CONTROLLER, deployment.metadata.uid),
            cache.by_index(ownership.ORPHANS, deployment.metadata.namespace),
        )
        owned = await ownership.claim(self._client, DEPLOYMENTS, deployment, REPLICA_SETS, claims, self._wrote)
        self._sets = {rs.metadata.name: rs for rs in owned}
        new = history.find_new(deployment, owned)
        self._new = new.metadata.name if new is not None else None

    async def _renew(self) -> None:
        """Bring the new ReplicaSet's annotations and minReadySeconds, and the Deployment's revision, up to date."""
        assert self._new is not None
        rs, spec = self._sets[self._new], self._deployment.spec
        changes: JSON = {}
        lacking = history.new_annotations(self._deployment, rs.metadata.annotations, self._next_revision())
        if lacking:
            changes["metadata"] = {"annotations": lacking}
        if rs.spec.min_ready_seconds != spec.min_ready_seconds:
            changes["spec"] = {"minReadySeconds": spec.min_ready_seconds}
        if changes:
            rs = await self._patch_set(rs, changes)
        await self._set_revision(history.revision_of(rs))
        if progress.has_deadline(self._deployment) and conditions.find(self._conditions, progress.PROGRESSING) is None:
            self._progressing("True", progress.NEW_FOUND, f'Found new replica set "{rs.metadata.name}"')

    def _next_revision(self) -> int:
        old = (rs for name, rs in self._sets.items() if name != self._new)
        return max((history.revision_of(rs) for rs in old), default=0) + 1

    async def _create(self, size: int) -> bool:
        """Make the new ReplicaSet; False if its name is another's, and the next sync shall try another hash."""
        deployment = self._deployment
        revision = self._next_revision()
        sizes = self._sizes_said()
        obj = history.new_replica_set(deployment, size, revision, sizes, self._collisions)
        name, namespace = obj["metadata"]["name"], deployment.metadata.namespace
        made = True
        try:
            answer = await self._client.create(REPLICA_SETS, obj, namespace)
            rs = _read(answer)
            self._wrote(answer)
        except AlreadyExists:
            made = False
            rs = await self._client.get(REPLICA_SETS, name, namespace)
            owner = controller_of(rs.metadata)
            mine = owner is not None and owner.uid == deployment.metadata.uid
            if not mine or not history.same_template(rs.spec.template, deployment.spec.template):
                await self._patch_status({"collisionCount": self._collisions + 1})
                return False
        except StatusError as error:
            await self._creation_failed(name, error)
            raise
        self._sets[name], self._new = rs, name
        if made and size > 0:
            self._say_scaled(name, 0, size)
        await self._set_revision(revision if made else history.revision_of(rs))
        if made and progress.has_deadline(deployment):
            self._progressing("True", progress.NEW_CREATED, f'Created new replica set "{name}"')
        return True

    async def _creation_failed(self, name: str, error: StatusError) -> None:
        if isinstance(error, Forbidden) and any(cause.reason == "NamespaceTerminating" for cause in error.causes):
            return
        message = f'Failed to create new replica set "{name}": {error.message}'
        self._events.event(self._deployment, "Warning", progress.CREATE_FAILED, message)
        if progress.has_deadline(self._deployment):
            self._progressing("False", progress.CREATE_FAILED, message)
            await self._report(Plan())

    async def _scale(self, scale: Scale) -> None:
        """Give a ReplicaSet its size, and note what the Deployment asked for at that time."""
        rs = self._sets[scale.name]
        lacking = {k: v for k, v in self._sizes_said().items() if rs.metadata.annotations.get(k) != v}
        if rs.spec.replicas == scale.size and not lacking:
            return
        before = rs.spec.replicas
        await self._patch_set(rs, {"metadata": {"annotations": lacking}, "spec": {"replicas": scale.size}})
        if before != scale.size:
            self._say_scaled(scale.name, before, scale.size)

    def _sizes_said(self) -> Mapping[str, str]:
        return {history.DESIRED_REPLICAS: str(self._goal.replicas), history.MAX_REPLICAS: str(self._goal.most)}

    def _say_scaled(self, name: str, before: int, after: int) -> None:
        way = "up" if after > before else "down"
        message = f"Scaled {way} replica set {name} from {before} to {after}"
        self._events.event(self._deployment, "Normal", "ScalingReplicaSet", message)

    async def _remove(self, rs: ReplicaSet) -> None:
        meta = rs.metadata
        with suppress(NotFound):  # which is what was wanted
            await self._client.delete(
                REPLICA_SETS, meta.name, meta.namespace, uid=meta.uid, resource_version=meta.resource_version
            )
        self._sets.pop(meta.name, None)

    async def _set_revision(self, revision: int) -> None:
        meta = self._deployment.metadata
        if meta.annotations.get(history.REVISION) == str(revision):
            return
        patch = {"metadata": {"uid": meta.uid, "annotations": {history.REVISION: str(revision)}}}
        # with the status, as an annotation set otherwise would be a new generation, and so something more to observe
        answer = await self._client.patch(DEPLOYMENTS, meta.name, patch, meta.namespace, subresource="status")
        self._controller._expectations.wrote(self._key, self._controller._deployments, answer)

    def _progressing(self, status: str, reason: str, message: str) -> None:
        self._conditions = progress.progressing(self._conditions, status, reason, message, self._now)

    async def _report(self, plan: Plan) -> float | None:
        """Write the status if it changed; seconds until progress is to be judged again."""
        view = self._view()
        sets = [*view.old, *([view.new] if view.new is not None else [])]
        status = progress.counted(
            self._deployment, self._goal, view.new, sets, self._conditions, self._collisions, self._now
        )
        if plan.judge:
            status = progress.judged(self._deployment, status, view.new, sets, self._now)
        current: DeploymentStatus = self._deployment.status
        await self._patch_status(_STATUS.patch(current, status, first=current.observed_generation == 0))
        return progress.seconds_to_deadline(self._deployment, status, self._now)

    async def _patch_status(self, changes: JSON) -> None:
        if not changes:
            return
        meta = self._deployment.metadata
        answer = await self._client.patch(
            DEPLOYMENTS, meta.name, {"status": changes}, meta.namespace, subresource="status"
        )
        self._controller._expectations.wrote(self._key, self._controller._deployments, answer)

    async def _patch_set(self, rs: ReplicaSet, changes: JSON) -> ReplicaSet:
        """Patch this version of the ReplicaSet, and no other (Conflict): it is what was decided on."""
        meta = rs.metadata
        changes = {**changes, "metadata": {**changes.get("metadata", {}), "resourceVersion": meta.resource_version}}
        answer = await self._client.patch(REPLICA_SETS, meta.name, changes, meta.namespace)
        self._wrote(answer)
        self._sets[meta.name] = _read(answer)
        return self._sets[meta.name]

    def _wrote(self, answer: JSON) -> None:
        self._controller._expectations.wrote(self._key, self._controller._sets, answer)


def _read(answer: JSON) -> ReplicaSet:
    return msgspec.convert(answer, ReplicaSet)
