"""Which objects a controller manages: by controller reference first, by selector for those that have none.

An object has at most one managing controller (``ownerReferences[].controller``). A controller adopts an orphan
that its selector matches and releases one of its own that it no longer matches (ControllerRefManager of
k8s.io/kubernetes pkg/controller/controller_ref_manager.go). ``decide`` is pure; ``claim`` writes what it decides.
The index functions make both cheap on an informer's cache. One event loop.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from shared.api.errors import NotFound
from shared.api.kinds import Resource
from shared.api.meta import JSON, Object, OwnerReference, controller_of, controller_reference
from shared.api.selectors import Selector
from shared.client.base import Client, PatchType
from shared.client.cache import Cache

T = TypeVar("T", bound=Object)

CONTROLLER = "controller"
"""Index by the uid of the managing controller."""
ORPHANS = "orphans"
"""Index by namespace of the objects without a managing controller."""
NAMESPACE = "namespace"
"""Index by namespace."""


def add_indexes(cache: Cache[T]) -> None:
    """Keep CONTROLLER, ORPHANS and NAMESPACE for the cache; asking twice is harmless."""
    cache.add_index(CONTROLLER, _controller)
    cache.add_index(ORPHANS, _orphan)
    cache.add_index(NAMESPACE, _namespace)


def _controller(obj: Object) -> Iterable[str]:
    reference = controller_of(obj.metadata)
    return () if reference is None else (reference.uid,)


def _orphan(obj: Object) -> Iterable[str]:
    return (obj.metadata.namespace,) if controller_of(obj.metadata) is None else ()


def _namespace(obj: Object) -> Iterable[str]:
    return (obj.metadata.namespace,)


def owner_in(cache: Cache[T], namespace: str, reference: OwnerReference | None) -> T | None:
    """The object of ``cache`` that the reference means: kind, name and uid must all be its own."""
    if reference is None or reference.kind != cache.resource.kind:
        return None
    owner = cache.get(reference.name, namespace)
    return owner if owner is not None and owner.metadata.uid == reference.uid else None


@dataclass(frozen=True, slots=True)
class Claims(Generic[T]):
    """``kept`` are the owner's already, ``adopted`` shall become so, ``released`` shall cease to be."""

    kept: tuple[T, ...]
    adopted: tuple[T, ...] = ()
    released: tuple[T, ...] = ()


def decide(owner: Object, selector: Selector, owned: Iterable[T], orphans: Iterable[T]) -> Claims[T]:
    """Sort out what ``owner`` manages. One that is being deleted neither adopts nor releases."""
    leaving = owner.metadata.deletion_timestamp is not None
    kept, released = [], []
    for obj in owned:
        if selector.matches(obj.metadata.labels):
            kept.append(obj)
        elif not leaving:
            released.append(obj)
    adopted = [
        obj
        for obj in orphans
        if not leaving and obj.metadata.deletion_timestamp is None and selector.matches(obj.metadata.labels)
    ]
    return Claims(tuple(kept), tuple(adopted), tuple(released))


async def claim(
    client: Client,
    owners: Resource[Any],
    owner: Object,
    resource: Resource[T],
    claims: Claims[T],
    wrote: Callable[[JSON], None],
) -> Sequence[T]:
    """Adopt and release; what ``owner`` manages afterwards. ``wrote`` is told each answer.

    Before the first adoption the owner is read from the server: one that was deleted and made anew, or is being
    deleted, must not take anything. An object that is gone meanwhile is left out. Raises StatusError.
    """
    managed = list(claims.kept)
    if claims.adopted:
        meta = owner.metadata
        fresh = await client.get(owners, meta.name, meta.namespace)
        if fresh.metadata.uid != meta.uid or fresh.metadata.deletion_timestamp is not None:
            return managed
        reference = controller_reference(owners.api_version, owners.kind, meta.name, meta.uid)
        for obj in claims.adopted:
            if await _patch_owners(client, resource, obj, reference, wrote):
                managed.append(obj)
    for obj in claims.released:
        await _patch_owners(client, resource, obj, {"$patch": "delete", "uid": owner.metadata.uid}, wrote)
    return managed


async def _patch_owners(
    client: Client, resource: Resource[T], obj: T, reference: JSON, wrote: Callable[[JSON], None]
) -> bool:
    meta = obj.metadata
    # The uid makes it fail with Conflict if the name means another object by now.
    patch = {"metadata": {"uid": meta.uid, "ownerReferences": [reference]}}
    try:
        wrote(await client.patch(resource, meta.name, patch, meta.namespace, type=PatchType.STRATEGIC))
    except NotFound:
        return False
    return True
