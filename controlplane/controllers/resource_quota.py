"""ResourceQuota: what is used is counted, and said together with the limits in the quota's status.

Writes quotas' status only. Creations are charged by admission as they happen; this counts everything when a quota is
new or changed, when something that counted goes or ends, and every few minutes. After k8s.io/kubernetes
pkg/controller/resourcequota. One sync at a time for each quota. The quota is read before what it counts, both from
the API and not from informers: so nothing that was charged is missed, and a charge that comes after makes the write
a Conflict.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from controlplane.controllers.base import Context, Key, Watch
from controlplane.controllers.writes import Patch, apply
from shared.api import kinds
from shared.api.errors import NotFound
from shared.api.kinds import PERSISTENT_VOLUME_CLAIMS, PODS, RESOURCE_QUOTAS, SERVICES, Resource
from shared.api.meta import JSON, Object
from shared.api.pod import Pod
from shared.api.policies import ResourceQuota
from shared.quota import amounts
from shared.quota.amounts import Amounts
from shared.quota.evaluate import evaluator, matches

COUNTED: tuple[Resource[Any], ...] = tuple(each for each in kinds.ALL if evaluator(each) is not None)
RESYNC = 300.0
"""Seconds after which a quota is counted anew though nothing seems to have changed."""

UNKNOWN = 10.0
"""The same for one that limits what is no kind yet: its objects are refused until they are counted."""

_NAMESPACE = "namespace"


def count(quota: ResourceQuota, objects: Mapping[Resource[Any], Sequence[Any]], now: datetime) -> Amounts:
    """What is used of each resource that the quota limits. ``objects`` are the namespace's, of every kind that
    counts."""
    used: Amounts = {}
    for resource, present in objects.items():
        how = evaluator(resource)
        limited = how.names(quota.spec.hard) if how is not None else ()
        if how is None or not limited:
            continue
        used |= amounts.total((how.usage(obj, now) for obj in present if matches(quota, how, obj)), limited)
    return used


def decide(quota: ResourceQuota, used: Amounts) -> Patch | None:
    """The write that says it in the status, if that says something else. What nobody counts stays as it is said."""
    kept = amounts.only(quota.status.used, quota.spec.hard)
    told = {**kept, **used}
    if amounts.same(told, quota.status.used) and amounts.same(quota.spec.hard, quota.status.hard):
        return None
    status: JSON = {
        "hard": {**dict.fromkeys(quota.status.hard), **quota.spec.hard},
        "used": {**dict.fromkeys(quota.status.used), **told},
    }
    meta = quota.metadata
    version = {"resourceVersion": meta.resource_version}
    return Patch(
        RESOURCE_QUOTAS, meta.name, {"metadata": version, "status": status}, meta.namespace, subresource="status"
    )


class ResourceQuotaController:
    """See the module."""

    name = "resource-quota"

    def __init__(self, context: Context) -> None:
        self._client, self._clock = context.client, context.clock
        self._quotas = context.informers.cache(RESOURCE_QUOTAS)
        self._quotas.add_index(_NAMESPACE, lambda quota: (quota.metadata.namespace,))
        self._counted = COUNTED
        self._informers = context.informers

    def watches(self) -> Sequence[Watch]:
        return (
            Watch(RESOURCE_QUOTAS, self._of_quota),
            *(Watch(resource, self._of_object(resource)) for resource in COUNTED if resource != RESOURCE_QUOTAS),
        )

    def follow(self, resource: Resource[Any]) -> Watch | None:
        """See ``FollowsKinds``."""
        if evaluator(resource) is None:
            return None
        self._informers.custom(resource)
        self._counted = (*self._counted, resource)
        return Watch(resource, self._of_object(resource))

    def forget(self, resource: Resource[Any]) -> None:
        """See ``FollowsKinds``."""
        self._counted = tuple(known for known in self._counted if known != resource)

    def _of_quota(self, old: ResourceQuota | None, new: ResourceQuota | None) -> Iterable[Key]:
        obj = new or old
        assert obj is not None
        if old is not None and new is not None and old.spec == new.spec:
            return ()
        if new is None:
            return self._all(obj.metadata.namespace)  # a quota counts against quotas too
        return ((new.metadata.namespace, new.metadata.name),)

    def _of_object(self, resource: Resource[Any]) -> Callable[[Any, Any], Iterable[Key]]:
        def keys(old: Object | None, new: Object | None) -> Iterable[Key]:
            if old is None or (new is not None and not _freed(resource, old, new)):
                return ()
            return self._all(old.metadata.namespace)

        return keys

    def _all(self, namespace: str) -> list[Key]:
        return [(namespace, quota.metadata.name) for quota in self._quotas.by_index(_NAMESPACE, namespace)]

    async def sync(self, key: Key) -> float | None:
        """See ``Controller.sync``."""
        namespace, name = key
        try:
            quota = await self._client.get(RESOURCE_QUOTAS, name, namespace)
        except NotFound:
            return None
        objects: dict[Resource[Any], Sequence[Any]] = {}
        for resource in self._counted:
            how = evaluator(resource)
            if how is not None and how.names(quota.spec.hard):
                objects[resource] = (await self._client.list(resource, namespace)).items
        used = count(quota, objects, self._clock.now())
        write = decide(quota, used)
        if write is not None:
            await apply(self._client, (write,))
        return RESYNC if used.keys() >= quota.spec.hard.keys() else UNKNOWN


def _freed(resource: Resource[Any], old: Any, new: Any) -> bool:
    """Whether a change may make an object count for less."""
    if resource == PODS:
        return _ended(new) and not _ended(old)
    if resource == SERVICES:
        return bool(old.spec != new.spec)
    if resource == PERSISTENT_VOLUME_CLAIMS:
        return bool(old.spec != new.spec or old.status != new.status)
    return False


def _ended(pod: Pod) -> bool:
    return pod.status.phase in ("Failed", "Succeeded")
