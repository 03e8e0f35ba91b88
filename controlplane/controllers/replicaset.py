"""ReplicaSets: as many pods as asked for, made from the template, the right ones taken away.

Writes pods (create, delete, adopt, release) and ReplicaSet status; reads caches only. Pods whose deletion has
begun do not count, so that they are replaced at once. The rules are those of k8s.io/kubernetes
pkg/controller/replicaset and pkg/controller/controller_utils.go. One sync at a time for each ReplicaSet;
``expectations`` keeps a late cache from making pods twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from controlplane.controllers import conditions, ownership, pods
from controlplane.controllers.base import Context, Key, Watch
from controlplane.controllers.expectations import Expectations
from controlplane.controllers.pace import Pace
from shared import codec
from shared.api import names
from shared.api.apps import ReplicaSet, ReplicaSetStatus
from shared.api.errors import Forbidden, NotFound, StatusError
from shared.api.kinds import PODS, REPLICA_SETS
from shared.api.meta import JSON, Condition, controller_of, controller_reference
from shared.api.pod import Pod
from shared.api.selectors import from_label_selector

T = TypeVar("T")

BURST = 500
"""The most pods created or deleted in one sync."""
SLOW_START = 1
"""Pods in the first batch of creations. Each batch without an error doubles the next, so that a ReplicaSet whose
pods are all refused (a quota, a bad template) costs a few requests and not hundreds."""
TERMINATING_NAMESPACE = "NamespaceTerminating"

_STATUS = conditions.StatusRules(always=frozenset({"replicas", "terminating_replicas"}))


@dataclass(frozen=True, slots=True)
class Plan:
    """``create`` new pods, ``delete`` these; never both."""

    create: int = 0
    delete: tuple[Pod, ...] = ()


def decide(rs: ReplicaSet, active: Sequence[Pod], siblings: Iterable[Pod], now: datetime) -> Plan:
    """What brings ``active`` to spec.replicas; ``siblings`` are the pods of all ReplicaSets of the same owner."""
    missing = rs.spec.replicas - len(active)
    if rs.metadata.deletion_timestamp is not None or missing == 0:
        return Plan()
    if missing > 0:
        return Plan(create=min(missing, BURST))
    return Plan(delete=tuple(pods.victims(active, min(-missing, BURST), siblings, now)))


def status_of(
    rs: ReplicaSet, active: Sequence[Pod], terminating: int, failure: StatusError | None, now: datetime
) -> ReplicaSetStatus:
    """The status that the pods add up to (calculateStatus)."""
    template_labels = ((rs.spec.template.get("metadata") or {}).get("labels") or {}).items()
    ready = [pod for pod in active if pods.is_ready(pod)]
    known = rs.status.conditions
    if failure is None:
        known = conditions.without(known, "ReplicaFailure")
    elif conditions.find(known, "ReplicaFailure") is None:
        reason = "FailedCreate" if len(active) < rs.spec.replicas else "FailedDelete"
        known = (*known, Condition(
            type="ReplicaFailure", status="True", reason=reason, message=failure.message, last_transition_time=now,
        ))  # fmt: skip
    return ReplicaSetStatus(
        replicas=len(active),
        fully_labeled_replicas=sum(template_labels <= pod.metadata.labels.items() for pod in active),
        ready_replicas=len(ready),
        available_replicas=sum(pods.is_available(pod, rs.spec.min_ready_seconds, now) for pod in ready),
        terminating_replicas=terminating,
        observed_generation=rs.metadata.generation,
        conditions=known,
    )


def pod_from(rs: ReplicaSet) -> JSON:
    """A new pod of the template, owned by ``rs``, with the name left to the server (GetPodFromTemplate)."""
    template: dict[str, Any] = codec.copy(rs.spec.template)
    given = template.get("metadata") or {}
    prefix = f"{rs.metadata.name}-"
    if names.dns_subdomain(f"{prefix}x"):
        prefix = rs.metadata.name
    metadata: JSON = {"generateName": prefix}
    metadata |= {field: given[field] for field in ("labels", "annotations", "finalizers") if given.get(field)}
    metadata["ownerReferences"] = [
        controller_reference(REPLICA_SETS.api_version, REPLICA_SETS.kind, rs.metadata.name, rs.metadata.uid)
    ]
    return {"kind": "Pod", "apiVersion": "v1", "metadata": metadata, "spec": template.get("spec") or {}}


async def slow_start(count: int, do: Callable[[], Awaitable[T]]) -> tuple[int, StatusError | None]:
    """Call ``do`` ``count`` times, in batches side by side of 1, 2, 4..., until a batch has an error.

    How many succeeded, and the first error (slowStartBatch).
    """
    done, batch = 0, SLOW_START
    while done < count:
        results = await asyncio.gather(*(do() for _ in range(min(batch, count - done))), return_exceptions=True)
        errors = [result for result in results if isinstance(result, BaseException)]
        done += len(results) - len(errors)
        if errors:
            return done, _status_error(errors)
        batch *= 2
    return done, None


def _status_error(errors: Sequence[BaseException]) -> StatusError:
    """The first error, if all are answers of the API; anything else is a bug and is raised as it is."""
    for error in errors:
        if not isinstance(error, StatusError):
            raise error
    assert isinstance(errors[0], StatusError)
    return errors[0]


class ReplicaSetController:
    """See the module."""

    name = "replicaset"

    def __init__(self, context: Context) -> None:
        self._client, self._clock, self._events = context.client, context.clock, context.events
        self._sets = context.informers.cache(REPLICA_SETS)
        self._pods = context.informers.cache(PODS)
        ownership.add_indexes(self._sets)
        ownership.add_indexes(self._pods)
        self._expectations = Expectations(context.clock)
        self._pace = Pace(context.clock)

    # --- watches

    def watches(self) -> Sequence[Watch]:
        return (Watch(REPLICA_SETS, self._keys_of_set), Watch(PODS, self._keys_of_pod))

    def _keys_of_set(self, old: ReplicaSet | None, new: ReplicaSet | None) -> Iterable[Key]:
        rs = new or old
        return () if rs is None else ((rs.metadata.namespace, rs.metadata.name),)

    def _keys_of_pod(self, old: Pod | None, new: Pod | None) -> Iterable[Key]:
        """The ReplicaSet that controls the pod, or those that would adopt it; before and after the change.

        A change that no ReplicaSet reads (a binding, an address, an image's name) asks for nothing: with a
        thousand pods each such sync would count a thousand pods.
        """
        keys: set[Key] = set()
        if old is not None and new is not None and _seen(old) == _seen(new):
            return keys
        for pod in (old, new):
            if pod is None:
                continue
            reference = controller_of(pod.metadata)
            if reference is not None:
                if reference.kind == REPLICA_SETS.kind:
                    keys.add((pod.metadata.namespace, reference.name))
            elif pod is new and (old is None or _ownership_changed(old, pod)):
                keys |= self._keys_that_match(pod)
        return keys

    def _keys_that_match(self, orphan: Pod) -> set[Key]:
        sets = self._sets.by_index(ownership.NAMESPACE, orphan.metadata.namespace)
        return {
            (rs.metadata.namespace, rs.metadata.name)
            for rs in sets
            if from_label_selector(rs.spec.selector).matches(orphan.metadata.labels)
        }

    # --- sync

    async def sync(self, key: Key) -> float | None:
        """See ``Controller.sync``."""
        namespace, name = key
        rs = self._sets.get(name, namespace)
        if rs is None:
            self._expectations.forget(key)
            self._pace.forget(key)
            return None
        wait = self._expectations.wait(key) or self._pace.wait(key)
        if wait is not None:
            return wait
        active, terminating = await self._claim(key, rs)
        self._pace.looked(key, len(active) + terminating)
        now = self._clock.now()
        plan = decide(rs, active, self._siblings(rs), now)
        failure = await self._apply(key, rs, plan)
        if (plan.create or plan.delete) and failure is None:
            # Our writes come back as events, which ask for the next sync; it finds the pods to report.
            return None
        status = status_of(rs, active, terminating, failure, now)
        await self._write_status(key, rs, status)
        if failure is not None:
            raise failure
        waits = (pods.seconds_until_available(pod, rs.spec.min_ready_seconds, now) for pod in active)
        return min((seconds for seconds in waits if seconds is not None), default=None)

    async def _claim(self, key: Key, rs: ReplicaSet) -> tuple[Sequence[Pod], int]:
        """The active pods of ``rs``, and how many of its pods are terminating."""
        owned = self._pods.by_index(ownership.CONTROLLER, rs.metadata.uid)
        going = self._expectations.going(key, (p.metadata.uid for p in owned if p.metadata.deletion_timestamp is None))
        active = [pod for pod in owned if pods.is_active(pod) and pod.metadata.uid not in going]
        terminating = sum(pods.is_terminating(pod) or pod.metadata.uid in going for pod in owned)
        orphans = self._pods.by_index(ownership.ORPHANS, rs.metadata.namespace)
        selector = from_label_selector(rs.spec.selector)
        claims = ownership.decide(rs, selector, active, (pod for pod in orphans if pods.is_active(pod)))

        def wrote(answer: JSON) -> None:
            self._expectations.wrote(key, self._pods, answer)

        return await ownership.claim(self._client, REPLICA_SETS, rs, PODS, claims, wrote), terminating

    def _siblings(self, rs: ReplicaSet) -> Iterable[Pod]:
        """The pods of every ReplicaSet with the same controller, such as a Deployment's others."""
        owner = controller_of(rs.metadata)
        related = [rs] if owner is None else self._sets.by_index(ownership.CONTROLLER, owner.uid)
        for sibling in related:
            yield from self._pods.by_index(ownership.CONTROLLER, sibling.metadata.uid)

    async def _apply(self, key: Key, rs: ReplicaSet, plan: Plan) -> StatusError | None:
        """Do as planned; the first refusal."""
        if plan.create:
            _, failure = await slow_start(plan.create, lambda: self._create(key, rs))
            return failure
        if plan.delete:
            results = await asyncio.gather(*(self._delete(key, rs, pod) for pod in plan.delete), return_exceptions=True)
            errors = [result for result in results if isinstance(result, BaseException)]
            return _status_error(errors) if errors else None
        return None

    async def _create(self, key: Key, rs: ReplicaSet) -> None:
        try:
            pod = await self._client.create(PODS, pod_from(rs), rs.metadata.namespace)
        except StatusError as error:
            if _namespace_is_ending(error):
                return  # the ReplicaSet goes with its namespace: nothing to retry and nobody to tell
            self._events.event(rs, "Warning", "FailedCreate", f"Error creating: {error.message}")
            raise
        self._expectations.wrote(key, self._pods, pod)
        self._events.event(rs, "Normal", "SuccessfulCreate", f"Created pod: {pod['metadata']['name']}")

    async def _delete(self, key: Key, rs: ReplicaSet, pod: Pod) -> None:
        meta = pod.metadata
        try:
            await self._client.delete(PODS, meta.name, meta.namespace, uid=meta.uid)
        except NotFound:
            pass  # what was wanted; the cache is about to say so
        except StatusError as error:
            self._events.event(rs, "Warning", "FailedDelete", f"Error deleting: {error.message}")
            raise
        self._expectations.deleted(key, meta.uid)
        self._events.event(rs, "Normal", "SuccessfulDelete", f"Deleted pod: {meta.name}")

    async def _write_status(self, key: Key, rs: ReplicaSet, status: ReplicaSetStatus) -> None:
        changes = _STATUS.patch(rs.status, status, first=rs.status.observed_generation == 0)
        if not changes:
            return
        meta = rs.metadata
        answer = await self._client.patch(
            REPLICA_SETS, meta.name, {"status": changes}, meta.namespace, subresource="status"
        )
        self._expectations.wrote(key, self._sets, answer)


def _seen(pod: Pod) -> tuple[object, ...]:
    """All of a pod that decides about its ReplicaSet's next step or status."""
    meta = pod.metadata
    active = pods.is_active(pod), pods.is_terminating(pod)
    return (meta.uid, meta.labels, controller_of(meta), *active, pods.is_ready(pod), pods.ready_since(pod))


def _ownership_changed(old: Pod, new: Pod) -> bool:
    return old.metadata.labels != new.metadata.labels or controller_of(old.metadata) is not None


def _namespace_is_ending(error: StatusError) -> bool:
    return isinstance(error, Forbidden) and any(cause.reason == TERMINATING_NAMESPACE for cause in error.causes)
