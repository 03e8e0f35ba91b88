"""Owner garbage collection: objects whose owners are gone are deleted, in the background, in the foreground, or
let go as orphans.

Writes deletions, owner references and the two finalizers of propagation policies; the decisions are in
``garbage_graph``. Keeps the graph of all kinds that can own or be owned (Events are neither). One sync at a time
for each object; a key is ("", uid).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from controlplane.controllers.base import Context, Key, Watch
from controlplane.controllers.garbage_graph import (
    Graph,
    Item,
    Owner,
    Plan,
    View,
    decide,
    existing,
    owner_resource,
    owner_state,
    view_of,
)
from controlplane.controllers.writes import apply
from shared.api import kinds
from shared.api.errors import MethodNotAllowed, NotFound
from shared.api.kinds import Resource
from shared.api.meta import Object, OwnerReference

COLLECTED: tuple[Resource[Any], ...] = tuple(resource for resource in kinds.ALL if resource != kinds.EVENTS)
"""What can own or be owned: Events are neither."""
REMEMBERED = 500
"""How many absent owners are remembered; as Kubernetes' absentOwnerCache. A uid never comes back."""

_Coordinates = tuple[str, str, str, str, str]


class GarbageCollector:
    """See the module. ``resources`` are all kinds that it looks after."""

    name = "garbage-collector"

    def __init__(self, context: Context, resources: Iterable[Resource[Any]] = COLLECTED) -> None:
        self._client, self._events = context.client, context.events
        self._resources = tuple(resources)
        self._kinds = {(resource.group, resource.kind): resource for resource in self._resources}
        self._gone: set[tuple[str, str]] = set()
        """Custom kinds that were served and are not any more: their objects were deleted before."""
        self._graph = Graph()
        self._absent: OrderedDict[_Coordinates, None] = OrderedDict()

    # --- watches

    def watches(self) -> Sequence[Watch]:
        return tuple(Watch(resource, self._handler(resource)) for resource in self._resources)

    def _handler(self, resource: Resource[Any]) -> Callable[[Any, Any], Iterable[Key]]:
        def keys(old: Object | None, new: Object | None) -> Iterable[Key]:
            uids: dict[str, None] = {}
            if old is not None and (new is None or new.metadata.uid != old.metadata.uid):
                uids |= dict.fromkeys(self._removed(old))
            if new is not None:
                uids |= dict.fromkeys(self._put(Item(resource, new)))
            return [("", uid) for uid in uids]

        return keys

    def _put(self, item: Item) -> Iterable[str]:
        """Note an object; who must be looked at."""
        old = self._graph.get(item.uid)
        self._graph.put(item)
        before = old.obj.metadata.owner_references if old is not None else ()
        after = item.obj.metadata.owner_references
        if before != after:
            yield item.uid
            # Those that it does not belong to any more, or does not block any more.
            yield from (ref.uid for ref in before if ref not in after and self._waits(ref.uid))
        if item.deleting_dependents or item.orphaning:
            yield item.uid
            yield from (ref.uid for ref in after if self._waits(ref.uid))
            if old is None or not (old.deleting_dependents or old.orphaning):
                yield from (dependent.uid for dependent in self._graph.dependents(item.uid))
        # An orphaning owner must hear of a dependent that comes late.
        if old is None:
            yield from (ref.uid for ref in after if self._waits(ref.uid))

    def _removed(self, obj: Object) -> Iterable[str]:
        """Note that an object is gone; who must be looked at."""
        self._graph.remove(obj.metadata.uid)
        yield from (dependent.uid for dependent in self._graph.dependents(obj.metadata.uid))
        yield from (ref.uid for ref in obj.metadata.owner_references if self._waits(ref.uid))

    def _waits(self, uid: str) -> bool:
        owner = self._graph.get(uid)
        return owner is not None and (owner.deleting_dependents or owner.orphaning)

    def follow(self, resource: Resource[Any]) -> Watch:
        """See ``FollowsKinds``."""
        self._kinds[resource.group, resource.kind] = resource
        self._gone.discard((resource.group, resource.kind))
        return Watch(resource, self._handler(resource))

    def forget(self, resource: Resource[Any]) -> None:
        """See ``FollowsKinds``. The kind stays known: who belonged to one of its objects belongs to nobody now."""
        self._gone.add((resource.group, resource.kind))

    # --- sync

    async def sync(self, key: Key) -> float | None:
        """See ``Controller.sync``; the key is ("", uid)."""
        verified: dict[str, Owner] = {}
        plan = Plan()
        for _ in range(2):
            item = self._graph.get(key[1])
            if item is None:
                return None
            plan = decide(self._view(item, verified))
            if not plan.verify:
                break
            for ref in plan.verify:
                verified[ref.uid] = await self._verify(item, ref)
        await apply(self._client, plan.writes)
        return None

    def _view(self, item: Item, verified: dict[str, Owner]) -> View:
        states = []
        for ref in item.obj.metadata.owner_references:
            state = owner_state(self._graph, self._kinds, item, ref, verified)
            if state is Owner.UNVERIFIED and self._coordinates(item, ref) in self._absent:
                state = Owner.ABSENT
            if state is Owner.INVALID:
                message = f"ownerRef {ref.kind}/{ref.name} is namespaced, and {item.obj.kind} is cluster-scoped"
                self._events.event(item.obj, "Warning", "OwnerRefInvalidNamespace", message)
            states.append((ref, state))
        return view_of(self._graph, item, states)

    async def _verify(self, item: Item, ref: OwnerReference) -> Owner:
        """Ask the server for the owner, by name and uid."""
        resource = owner_resource(self._kinds, ref)
        assert resource is not None
        coordinates = self._coordinates(item, ref)
        try:
            owner = await self._client.get(resource, ref.name, coordinates[0])
        except NotFound:
            owner = None
        except MethodNotAllowed:
            if (resource.group, resource.kind) not in self._gone:
                raise
            owner = None
        if owner is not None and owner.metadata.uid == ref.uid:
            return existing(Item(resource, owner))
        self._absent[coordinates] = None
        if len(self._absent) > REMEMBERED:
            self._absent.popitem(last=False)
        known = self._graph.get(ref.uid)
        if known is not None and known.obj.metadata.namespace != coordinates[0]:
            message = f"ownerRef {ref.kind}/{ref.name} ({ref.uid}) does not exist in namespace {coordinates[0]!r}"
            self._events.event(item.obj, "Warning", "OwnerRefInvalidNamespace", message)
        return Owner.ABSENT

    def _coordinates(self, item: Item, ref: OwnerReference) -> _Coordinates:
        resource = owner_resource(self._kinds, ref)
        namespace = item.obj.metadata.namespace if resource is not None and resource.namespaced else ""
        return namespace, ref.api_version, ref.kind, ref.name, ref.uid
