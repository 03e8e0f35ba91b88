"""Namespace deletion: everything in a terminating namespace is deleted, then the namespace is finalized.

Writes deletions of what is in the namespace, the namespace's conditions, and its finalize subresource; touches no
namespace that is not being deleted. Pods go first, with their grace, and all else only when none is left
(KEP-5080, ordered namespace deletion). The rules are those of k8s.io/kubernetes pkg/controller/namespace. One sync
at a time for each namespace.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from controlplane.controllers import conditions, ownership
from controlplane.controllers.base import Context, Key, Watch
from controlplane.controllers.writes import Delete, Patch, apply, send
from shared.api import kinds
from shared.api.core import Namespace
from shared.api.errors import MethodNotAllowed, NotFound, StatusError
from shared.api.kinds import EVENTS, NAMESPACES, PODS, Resource
from shared.api.meta import JSON, Condition, Object
from shared.client.base import PatchType

FINALIZER = "kubernetes"
RECHECK = 5.0
"""Seconds after which a namespace that waits for agents or finalizers is looked at again, for its conditions."""

ELSEWHERE_RECHECK = 1.0
"""Seconds after which what another API server still has is looked at again: no watch tells of it."""

_MESSAGE = "unable to retrieve the complete list of server APIs"

Content = Mapping[Resource[Any], Sequence[Object]]


@dataclass(frozen=True, slots=True)
class Plan:
    """``delete`` these, then write ``conditions``; ``empty``: nothing is left, so the finalizer can go."""

    delete: tuple[Delete, ...] = ()
    conditions: tuple[Condition, ...] = ()
    empty: bool = False


class Elsewhere(Protocol):
    """What other API servers have in namespaces; see ``apiserver.aggregation.content``."""

    def undiscovered(self) -> Mapping[str, str]:
        """Why nobody knows what a group version has, by its name."""
        ...

    def resources(self) -> Sequence[Resource[Object]]: ...

    async def list(self, resource: Resource[Object], namespace: str) -> Sequence[Object]: ...

    async def delete(self, resource: Resource[Object], obj: Object) -> None: ...


@dataclass(frozen=True, slots=True)
class Outside:
    """What other API servers still have of a namespace, and what is in the way: ``undiscovered`` group versions with
    the reasons, ``failed`` the messages of what could not be listed or deleted."""

    content: Content = field(default_factory=dict)
    undiscovered: Mapping[str, str] = field(default_factory=dict)
    failed: Sequence[str] = ()

    def __bool__(self) -> bool:
        return any(self.content.values()) or bool(self.undiscovered) or bool(self.failed)


def decide(namespace: Namespace, content: Content, now: datetime, outside: Outside = Outside()) -> Plan:
    """The next step of a terminating namespace that has ``content``, and ``outside`` elsewhere."""
    left = {resource: objects for resource, objects in content.items() if objects}
    if not left and not outside:
        return Plan(empty=True)
    turn = {PODS: left[PODS]} if PODS in left else left
    delete = tuple(
        Delete(resource, obj.metadata.name, obj.metadata.namespace, uid=obj.metadata.uid,
               propagation_policy="Background")
        for resource, objects in turn.items()
        for obj in objects
        if obj.metadata.deletion_timestamp is None
    )  # fmt: skip
    return Plan(delete, _conditions(namespace, left, now, outside))


def is_terminating(namespace: Namespace | None) -> bool:
    return namespace is not None and namespace.metadata.deletion_timestamp is not None


def _conditions(namespace: Namespace, left: Content, now: datetime, outside: Outside) -> tuple[Condition, ...]:
    """The conditions that differ from what the namespace says."""
    left = {**left, **{resource: objects for resource, objects in outside.content.items() if objects}}
    remaining = [f"{r.group_resource} has {len(objects)} resource instances" for r, objects in left.items()]
    holders: dict[str, int] = {}
    for objects in left.values():
        for obj in objects:
            for finalizer in obj.metadata.finalizers:
                holders[finalizer] = holders.get(finalizer, 0) + 1
    held = [f"{finalizer} in {count} resource instances" for finalizer, count in sorted(holders.items())]
    wanted = [
        *_failures(outside),
        Condition(
            type="NamespaceContentRemaining",
            status="True",
            reason="SomeResourcesRemain",
            message=f"Some resources are remaining: {', '.join(sorted(remaining))}",
        )
        if remaining
        else Condition(
            type="NamespaceContentRemaining",
            status="False",
            reason="ContentRemoved",
            message="All content successfully removed",
        ),
        Condition(
            type="NamespaceFinalizersRemaining",
            status="True",
            reason="SomeFinalizersRemain",
            message=f"Some content in the namespace has finalizers remaining: {', '.join(held)}",
        )
        if held
        else Condition(
            type="NamespaceFinalizersRemaining",
            status="False",
            reason="ContentHasNoFinalizers",
            message="All content-preserving finalizers finished",
        ),
    ]
    changed = []
    for condition in wanted:
        old = conditions.find(namespace.status.conditions, condition.type)
        if old is not None and (old.status, old.message) == (condition.status, condition.message):
            continue
        since = old.last_transition_time if old is not None and old.status == condition.status else now
        changed.append(conditions.replaced(condition, last_transition_time=since))
    return tuple(changed)


def _failures(outside: Outside) -> Iterable[Condition]:
    """Whether everything was found and deleted (status_condition_utils.go). A group version that does not parse is
    refused before it is stored, so that none fails there."""
    if outside.undiscovered:
        why = ", ".join(f"{name}: {reason}" for name, reason in sorted(outside.undiscovered.items()))
        message = f"Discovery failed for some groups, {len(outside.undiscovered)} failing: {_MESSAGE}: {why}"
        yield _condition("NamespaceDeletionDiscoveryFailure", "True", "DiscoveryFailed", message)
    else:
        message = "All resources successfully discovered"
        yield _condition("NamespaceDeletionDiscoveryFailure", "False", "ResourcesDiscovered", message)
    message = "All legacy kube types successfully parsed"
    yield _condition("NamespaceDeletionGroupVersionParsingFailure", "False", "ParsedGroupVersions", message)
    if outside.failed:
        why = ", ".join(sorted(outside.failed))
        message = f"Failed to delete all resource types, {len(outside.failed)} remaining: {why}"
        yield _condition("NamespaceDeletionContentFailure", "True", "ContentDeletionFailed", message)
    else:
        message = "All content successfully deleted, may be waiting on finalization"
        yield _condition("NamespaceDeletionContentFailure", "False", "ContentDeleted", message)


def _condition(type: str, status: str, reason: str, message: str) -> Condition:
    return Condition(type=type, status=status, reason=reason, message=message)


class NamespaceController:
    """See the module. ``resources`` are all namespaced kinds there are, but those ``elsewhere``."""

    name = "namespace"

    def __init__(
        self, context: Context, resources: Iterable[Resource[Any]] = kinds.ALL, elsewhere: Elsewhere | None = None
    ) -> None:
        self._elsewhere = elsewhere
        self._client, self._clock = context.client, context.clock
        self._namespaces = context.informers.cache(NAMESPACES)
        self._informers = context.informers
        self._resources = tuple(resource for resource in resources if resource.namespaced)
        # Events are many and of no use in a cache: the server is asked for them at the end.
        self._caches = {r: context.informers.cache(r) for r in self._resources if r != EVENTS}
        for cache in self._caches.values():
            cache.add_index(ownership.NAMESPACE, _namespace)

    # --- watches

    def watches(self) -> Sequence[Watch]:
        contents = (Watch(resource, self._handler(resource)) for resource in self._caches)
        return (Watch(NAMESPACES, self._keys_of_namespace), *contents)

    def follow(self, resource: Resource[Any]) -> Watch | None:
        """See ``FollowsKinds``."""
        if not resource.namespaced:
            return None
        cache = self._informers.custom(resource)
        cache.add_index(ownership.NAMESPACE, _namespace)
        self._caches[resource] = cache
        self._resources = (*self._resources, resource)
        return Watch(resource, self._handler(resource))

    def forget(self, resource: Resource[Any]) -> None:
        """See ``FollowsKinds``."""
        self._caches.pop(resource, None)
        self._resources = tuple(known for known in self._resources if known != resource)

    def _keys_of_namespace(self, old: Namespace | None, new: Namespace | None) -> Iterable[Key]:
        """A deletion began, or something beyond our own conditions changed since."""
        if new is None or not is_terminating(new):
            return ()
        if old is not None and is_terminating(old) and old.spec.finalizers == new.spec.finalizers:
            return ()
        return (("", new.metadata.name),)

    def _handler(self, resource: Resource[Any]) -> Callable[[Any, Any], Iterable[Key]]:
        def keys(old: Object | None, new: Object | None) -> Iterable[Key]:
            """The last object of its kind is gone from a terminating namespace, or one came late."""
            obj = new or old
            assert obj is not None
            namespace = obj.metadata.namespace
            if (old is not None and new is not None) or not is_terminating(self._namespaces.get(namespace)):
                return ()
            if (
                new is None
                and resource in self._caches
                and self._caches[resource].by_index(ownership.NAMESPACE, namespace)
            ):
                return ()
            return (("", namespace),)

        return keys

    # --- sync

    async def sync(self, key: Key) -> float | None:
        """See ``Controller.sync``; the key is a namespace's."""
        name = key[1]
        namespace = self._namespaces.get(name)
        if namespace is None or not is_terminating(namespace) or FINALIZER not in namespace.spec.finalizers:
            return None
        cached = {r: cache.by_index(ownership.NAMESPACE, name) for r, cache in self._caches.items()}
        outside = Outside() if cached.get(PODS) else await self._emptied(name)
        plan = decide(namespace, cached, self._clock.now(), outside)
        if plan.empty:
            plan = decide(namespace, await self._listed(name), self._clock.now())
        if plan.empty:
            await self._finalize(namespace)
            return None
        await apply(self._client, plan.delete)
        if plan.delete and all(delete.resource == EVENTS for delete in plan.delete):
            # They are gone, and no cache will tell.
            return 0.0
        await self._report(namespace, plan.conditions)
        return ELSEWHERE_RECHECK if outside else RECHECK

    async def _emptied(self, name: str) -> Outside:
        """Begin the deletion of what other API servers have in the namespace, and tell what that is."""
        if (elsewhere := self._elsewhere) is None:
            return Outside()
        found: dict[Resource[Any], Sequence[Object]] = {}
        failed: list[str] = []
        for resource in elsewhere.resources():
            try:
                found[resource] = await elsewhere.list(resource, name)
                for obj in found[resource]:
                    if obj.metadata.deletion_timestamp is None:
                        with suppress(NotFound):
                            await elsewhere.delete(resource, obj)
            except (NotFound, MethodNotAllowed):
                continue  # not served any more
            except StatusError as error:
                failed.append(error.message)
        return Outside(found, elsewhere.undiscovered(), tuple(failed))

    async def _listed(self, name: str) -> Content:
        """What the server has in the namespace."""
        return {resource: (await self._client.list(resource, name)).items for resource in self._resources}

    async def _report(self, namespace: Namespace, changed: Sequence[Condition]) -> None:
        if not changed:
            return
        patch: JSON = {
            "metadata": {"uid": namespace.metadata.uid},
            "status": {"conditions": [conditions.condition_tree(condition) for condition in changed]},
        }
        name = namespace.metadata.name
        await send(self._client, Patch(NAMESPACES, name, patch, type=PatchType.STRATEGIC, subresource="status"))

    async def _finalize(self, namespace: Namespace) -> None:
        """Take our finalizer off, through the subresource that is there for it; that ends the namespace."""
        meta = namespace.metadata
        left = [finalizer for finalizer in namespace.spec.finalizers if finalizer != FINALIZER]
        obj: JSON = {
            "kind": NAMESPACES.kind,
            "apiVersion": NAMESPACES.api_version,
            "metadata": {"name": meta.name, "uid": meta.uid, "resourceVersion": meta.resource_version},
            "spec": {"finalizers": left},
        }
        await self._client.replace(NAMESPACES, obj, subresource="finalize")


def _namespace(obj: Object) -> Iterable[str]:
    return (obj.metadata.namespace,)
