"""What a controller is to its runner."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar, runtime_checkable

from shared.api.kinds import Resource
from shared.api.meta import Object
from shared.client.base import Client
from shared.client.cache import Cache
from shared.work.clock import Clock

T = TypeVar("T", bound=Object)

Key = tuple[str, str]
"""(namespace, name) of the object that a sync is for; the namespace of a cluster-scoped one is empty."""


@dataclass(frozen=True, slots=True)
class Watch:
    """Which keys to sync when an object of ``resource`` changes; ``keys(old, new)`` as of a cache handler."""

    resource: Resource[Any]
    keys: Callable[[Any, Any], Iterable[Key]]


class Informers(Protocol):
    """The shared caches, one for each resource, all synced before a controller's first sync."""

    def cache(self, resource: Resource[T]) -> Cache[T]: ...

    def custom(self, resource: Resource[T]) -> Cache[T]:
        """The one cache of a custom kind, until ``drop``; nobody waits for its first list."""
        ...

    def drop(self, resource: Resource[Any]) -> None:
        """End the cache of a custom kind; its handlers are told that every object is gone."""
        ...

    async def synced(self) -> None:
        """Return when every cache asked for so far holds its first list."""
        ...


@dataclass(frozen=True, slots=True)
class Context:
    """What every controller is built with."""

    client: Client
    informers: Informers
    clock: Clock
    events: EventRecorder


@runtime_checkable
class FollowsKinds(Protocol):
    """A controller that looks after objects of every kind, also of those that come while it runs."""

    name: str

    def follow(self, resource: Resource[Any]) -> Watch | None:
        """A custom kind is served from now on: the watch that the controller wants of it."""
        ...

    def forget(self, resource: Resource[Any]) -> None:
        """It is not any more; its objects were removed from the cache before."""
        ...


class EventRecorder(Protocol):
    """Writes core/v1 Events about objects, repeats counted; never blocks and never fails its caller."""

    def event(self, about: Object, type: str, reason: str, message: str) -> None:
        """``type`` is Normal or Warning."""
        ...


class Controller(Protocol):
    """One reconciler. Constructed as ``Name(context, ...)``; its constructor takes caches and adds indexes."""

    name: str

    def watches(self) -> Sequence[Watch]: ...

    async def sync(self, key: Key) -> float | None:
        """Bring one object nearer to its spec; level-based: it may run at any time, for a key that is gone too.

        One at a time for each key. Returns seconds after which to sync again, or None. An exception is logged
        and retried with back-off (a Conflict quietly).
        """
        ...
