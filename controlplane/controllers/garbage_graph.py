"""The graph of owners and dependents by uid, and what garbage collection decides on it.

Pure: no I/O, no clock. ``Graph`` is fed with objects as caches show them; ``decide`` says what one object needs,
as API writes and as owners to ask the server about. The rules are those of k8s.io/kubernetes
pkg/controller/garbagecollector. Single-threaded.

- An object that has an owner which exists ("solid") stays; references to owners that are gone are taken off.
- An object all of whose owners are gone is deleted. That an owner is gone is believed only from the server.
- An owner in foreground deletion waits for its dependents that block it; an orphaned one lets its dependents go.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from controlplane.controllers.writes import Delete, Patch, Write
from shared.api.kinds import Resource
from shared.api.meta import JSON, Object, OwnerReference
from shared.client.base import PatchType

FOREGROUND, ORPHAN = "foregroundDeletion", "orphan"
"""Finalizers that the API server sets for the propagation policies Foreground and Orphan."""


@dataclass(frozen=True, slots=True)
class Item:
    """An object in the graph."""

    resource: Resource[Any]
    obj: Object

    @property
    def uid(self) -> str:
        return self.obj.metadata.uid

    @property
    def deleting(self) -> bool:
        return self.obj.metadata.deletion_timestamp is not None

    @property
    def deleting_dependents(self) -> bool:
        """Whether it is in foreground deletion."""
        return self.deleting and FOREGROUND in self.obj.metadata.finalizers

    @property
    def orphaning(self) -> bool:
        """Whether its dependents must let go of it before it ends."""
        return self.deleting and ORPHAN in self.obj.metadata.finalizers

    def reference_to(self, uid: str) -> OwnerReference | None:
        return next((ref for ref in self.obj.metadata.owner_references if ref.uid == uid), None)


class Graph:
    """Objects by uid, and who depends on whom. Owners need not be in it."""

    def __init__(self) -> None:
        self._items: dict[str, Item] = {}
        self._dependents: dict[str, dict[str, None]] = {}

    def get(self, uid: str) -> Item | None:
        return self._items.get(uid)

    def dependents(self, uid: str) -> Sequence[Item]:
        """Objects in the graph with an owner reference to ``uid``."""
        return [self._items[dependent] for dependent in self._dependents.get(uid, ())]

    def waits_for_itself(self, uid: str) -> bool:
        """Whether the foreground deletion of ``uid`` waits, over other foreground deletions, for its own end."""
        seen: set[str] = set()
        waiting = [uid]
        while waiting:
            owner = self._items[waiting.pop()]
            for dependent in self.dependents(owner.uid):
                if dependent.deleting_dependents and blocks(dependent, owner):
                    if dependent.uid == uid:
                        return True
                    if dependent.uid not in seen:
                        seen.add(dependent.uid)
                        waiting.append(dependent.uid)
        return False

    def put(self, item: Item) -> None:
        """Add the object, or replace what was known of it."""
        self._unlink(item.uid)
        self._items[item.uid] = item
        for ref in item.obj.metadata.owner_references:
            self._dependents.setdefault(ref.uid, {})[item.uid] = None

    def remove(self, uid: str) -> None:
        """Forget the object; its dependents stay, with an owner that is not there."""
        self._unlink(uid)
        self._items.pop(uid, None)

    def _unlink(self, uid: str) -> None:
        old = self._items.get(uid)
        for ref in old.obj.metadata.owner_references if old is not None else ():
            dependents = self._dependents.get(ref.uid)
            if dependents is not None:
                dependents.pop(uid, None)
                if not dependents:
                    del self._dependents[ref.uid]


class Owner(Enum):
    """What is known of an owner."""

    SOLID = "it exists"
    WAITING = "it exists, and its deletion waits for its dependents"
    ABSENT = "the server says that it does not exist"
    UNVERIFIED = "it is in no cache; the server must be asked"
    UNKNOWN = "its kind is not served here, so nobody can tell"
    INVALID = "it is namespaced, and the object is not"


def owner_state(
    graph: Graph,
    kinds: Mapping[tuple[str, str], Resource[Any]],
    item: Item,
    ref: OwnerReference,
    verified: Mapping[str, Owner],
) -> Owner:
    """What is known of the owner that ``ref`` of ``item`` means. ``kinds``: by (group, kind); ``verified``: what
    the server said of the owners of this object, by uid."""
    resource = owner_resource(kinds, ref)
    if resource is None:
        return Owner.UNKNOWN
    namespace = item.obj.metadata.namespace
    if resource.namespaced and not namespace:
        return Owner.INVALID
    owner = graph.get(ref.uid)
    # A namespaced owner is looked for in the object's own namespace: one elsewhere does not exist for it.
    meant = resource, ref.name, namespace if resource.namespaced else ""
    if owner is not None and (owner.resource, owner.obj.metadata.name, owner.obj.metadata.namespace) == meant:
        return existing(owner)
    return verified.get(ref.uid, Owner.UNVERIFIED)


def existing(owner: Item) -> Owner:
    """The state of an owner that exists."""
    return Owner.WAITING if owner.deleting_dependents else Owner.SOLID


def owner_resource(kinds: Mapping[tuple[str, str], Resource[Any]], ref: OwnerReference) -> Resource[Any] | None:
    """The resource that a reference means, whatever its version; None when it is not served."""
    group, slash, _ = ref.api_version.partition("/")
    return kinds.get((group if slash else "", ref.kind))


@dataclass(frozen=True, slots=True)
class View:
    """An object, its owners with what is known of each, and its dependents. ``circular``: its foreground deletion
    waits for itself."""

    item: Item
    owners: tuple[tuple[OwnerReference, Owner], ...] = ()
    dependents: tuple[Item, ...] = ()
    circular: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """``verify``: ask the server whether these owners exist, then decide again. ``writes``: to do, in order."""

    verify: tuple[OwnerReference, ...] = ()
    writes: tuple[Write, ...] = ()


def decide(view: View) -> Plan:
    """What the object needs (attemptToDeleteItem, processDeletingDependentsItem, orphanDependents)."""
    item = view.item
    if item.deleting:
        return Plan(writes=_finish(view))
    by_state: dict[Owner, list[OwnerReference]] = {state: [] for state in Owner}
    for ref, state in view.owners:
        by_state[state].append(ref)
    if not view.owners or by_state[Owner.UNKNOWN] or by_state[Owner.INVALID]:
        return Plan()
    if by_state[Owner.SOLID]:
        # It stays either way, so a reference that is not certain may stay with it.
        gone = by_state[Owner.ABSENT] + by_state[Owner.WAITING]
        verify = tuple(by_state[Owner.UNVERIFIED])
        return Plan(verify=verify) if verify else Plan(writes=(drop_owners(item, gone),) if gone else ())
    if by_state[Owner.UNVERIFIED]:
        return Plan(verify=tuple(by_state[Owner.UNVERIFIED]))
    if by_state[Owner.WAITING] and view.dependents:
        # Its own dependents go first too. Should one of them wait for it, they form a circle: it stops blocking.
        circle = any(dependent.deleting_dependents for dependent in view.dependents)
        blocking = [ref for ref in item.obj.metadata.owner_references if ref.block_owner_deletion]
        if circle and blocking:
            return Plan(writes=(_unblock(item, blocking),))
        return Plan(writes=(_delete(item, "Foreground"),))
    finalizers = item.obj.metadata.finalizers
    policy = "Orphan" if ORPHAN in finalizers else "Foreground" if FOREGROUND in finalizers else "Background"
    return Plan(writes=(_delete(item, policy),))


def _finish(view: View) -> tuple[Write, ...]:
    """The next step of an object whose deletion has begun."""
    item = view.item
    if item.orphaning:
        if view.dependents:
            return tuple(
                drop_owners(dependent, [ref])
                for dependent in view.dependents
                if (ref := dependent.reference_to(item.uid)) is not None
            )
        return (_remove_finalizer(item, ORPHAN),)
    if not item.deleting_dependents:
        return ()
    if not any(blocks(dependent, item) for dependent in view.dependents):
        return (_remove_finalizer(item, FOREGROUND),)
    if view.circular:
        # Deleted by a user at two places of a circle, which Kubernetes leaves hanging: it stops blocking.
        return (_unblock(item, [ref for ref in item.obj.metadata.owner_references if ref.block_owner_deletion]),)
    return ()


def view_of(graph: Graph, item: Item, owners: Iterable[tuple[OwnerReference, Owner]]) -> View:
    """What the graph says of the object."""
    circular = item.deleting_dependents and graph.waits_for_itself(item.uid)
    return View(item, tuple(owners), tuple(graph.dependents(item.uid)), circular)


def blocks(dependent: Item, owner: Item) -> bool:
    """Whether the owner's foreground deletion waits for the dependent."""
    ref = dependent.reference_to(owner.uid)
    return ref is not None and ref.block_owner_deletion


def drop_owners(item: Item, refs: Iterable[OwnerReference]) -> Patch:
    """Take references off an object. The uid makes it fail if the name means another object by now."""
    return _patch_owners(item, [{"$patch": "delete", "uid": ref.uid} for ref in refs])


def _unblock(item: Item, refs: Iterable[OwnerReference]) -> Patch:
    return _patch_owners(item, [{"uid": ref.uid, "blockOwnerDeletion": False} for ref in refs])


def _patch_owners(item: Item, references: list[JSON]) -> Patch:
    meta = item.obj.metadata
    patch = {"metadata": {"uid": meta.uid, "ownerReferences": references}}
    return Patch(item.resource, meta.name, patch, meta.namespace, type=PatchType.STRATEGIC)


def _remove_finalizer(item: Item, finalizer: str) -> Patch:
    """The whole list is written, so only for the version that was read."""
    meta = item.obj.metadata
    left = [name for name in meta.finalizers if name != finalizer]
    patch = {"metadata": {"uid": meta.uid, "resourceVersion": meta.resource_version, "finalizers": left or None}}
    return Patch(item.resource, meta.name, patch, meta.namespace)


def _delete(item: Item, policy: str) -> Delete:
    """Only the version that was read: it may have been given an owner since."""
    meta = item.obj.metadata
    return Delete(
        item.resource,
        meta.name,
        meta.namespace,
        uid=meta.uid,
        resource_version=meta.resource_version,
        propagation_policy=policy,
    )
