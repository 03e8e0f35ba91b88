"""A cache of one resource, kept by a reflector (or fed by a local watch), read by code that decides.

Single-threaded: everything happens on the event loop, so readers see a consistent cache between awaits.
Objects are frozen structs and are shared between readers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from typing import Generic, TypeVar

from shared.api.kinds import Resource
from shared.api.meta import Object

T = TypeVar("T", bound=Object)

Handler = Callable[[T | None, T | None], None]
"""Called with (old, new) after the cache has changed: old None is an addition, new None a removal. It must not
block or raise; it usually puts keys on a queue."""


class Cache(Generic[T]):
    """Objects by (namespace, name), with indexes. ``synced`` is set once the first list is in."""

    def __init__(self, resource: Resource[T]) -> None:
        self.resource = resource
        self.synced = asyncio.Event()
        self.resource_version = ""
        self._objects: dict[tuple[str, str], T] = {}
        self._handlers: list[Handler[T]] = []
        self._index_functions: dict[str, Callable[[T], Iterable[str]]] = {}
        self._indexes: dict[str, dict[str, dict[tuple[str, str], T]]] = {}

    # --- reading

    def get(self, name: str, namespace: str = "") -> T | None:
        return self._objects.get((namespace, name))

    def __len__(self) -> int:
        return len(self._objects)

    def __iter__(self) -> Iterator[T]:
        """Every object; take a list before awaiting."""
        return iter(self._objects.values())

    def by_index(self, index: str, value: str) -> list[T]:
        """The objects that index function ``index`` gave ``value`` for."""
        return list(self._indexes[index].get(value, {}).values())

    # --- wiring

    def add_index(self, index: str, function: Callable[[T], Iterable[str]]) -> None:
        """Keep an index; adding the same name again with any function is a no-op."""
        if index in self._index_functions:
            return
        self._index_functions[index] = function
        self._indexes[index] = {}
        for key, obj in self._objects.items():
            self._index(index, key, obj)

    def add_handler(self, handler: Handler[T]) -> None:
        """Be told of changes; what is there already is told at once as additions."""
        self._handlers.append(handler)
        for obj in list(self._objects.values()):
            handler(None, obj)

    # --- feeding (the reflector)

    def replace(self, objects: Iterable[T], resource_version: str) -> None:
        """The whole truth from a list: tells additions, changes and removals, and sets ``synced``."""
        fresh = {(o.metadata.namespace, o.metadata.name): o for o in objects}
        for key in [key for key in self._objects if key not in fresh]:
            self._remove(key)
        for key, obj in fresh.items():
            old = self._objects.get(key)
            if old is None or old.metadata.resource_version != obj.metadata.resource_version:
                self._put(key, obj)
        self.resource_version = resource_version
        self.synced.set()

    def apply(self, obj: T) -> None:
        """An ADDED or MODIFIED event."""
        self._put((obj.metadata.namespace, obj.metadata.name), obj)
        self.resource_version = obj.metadata.resource_version

    def remove(self, obj: T) -> None:
        """A DELETED event."""
        self._remove((obj.metadata.namespace, obj.metadata.name))
        self.resource_version = obj.metadata.resource_version

    # --- inside

    def _put(self, key: tuple[str, str], obj: T) -> None:
        old = self._objects.get(key)
        if old is not None:
            self._unindex(key, old)
        self._objects[key] = obj
        for index in self._index_functions:
            self._index(index, key, obj)
        for handler in self._handlers:
            handler(old, obj)

    def _remove(self, key: tuple[str, str]) -> None:
        old = self._objects.pop(key, None)
        if old is None:
            return
        self._unindex(key, old)
        for handler in self._handlers:
            handler(old, None)

    def _index(self, index: str, key: tuple[str, str], obj: T) -> None:
        for value in self._index_functions[index](obj):
            self._indexes[index].setdefault(value, {})[key] = obj

    def _unindex(self, key: tuple[str, str], obj: T) -> None:
        for index, function in self._index_functions.items():
            for value in function(obj):
                bucket = self._indexes[index].get(value)
                if bucket is not None:
                    bucket.pop(key, None)
                    if not bucket:
                        del self._indexes[index][value]
