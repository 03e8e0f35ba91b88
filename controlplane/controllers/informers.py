"""Shared informers: one cache and one reflector for each resource, whoever asks.

Owns the caches' reflectors; never writes. A cache that is asked for before ``start`` begins to fill then; one
asked for later begins at once. One event loop.
"""

from __future__ import annotations

import asyncio
import random
from typing import Any, TypeVar, cast

from shared.api.kinds import Resource
from shared.api.meta import Object
from shared.client.base import Client
from shared.client.cache import Cache
from shared.client.reflector import Reflector
from shared.work.supervisor import Supervisor

T = TypeVar("T", bound=Object)


class SharedInformers:
    """Implements ``controllers.base.Informers``. ``rng`` spreads the reflectors' retries."""

    def __init__(self, client: Client, *, rng: random.Random | None = None) -> None:
        self._client, self._rng = client, rng
        self._caches: dict[str, Cache[Any]] = {}
        self._supervisor: Supervisor | None = None
        self._custom: dict[str, asyncio.Task[None] | None] = {}

    def cache(self, resource: Resource[T]) -> Cache[T]:
        """The one cache of ``resource``, over all namespaces."""
        key = _key(resource)
        if key not in self._caches:
            self._caches[key] = Cache(resource)
            if self._supervisor is not None:
                self._reflect(self._supervisor, self._caches[key])
        return cast("Cache[T]", self._caches[key])

    def custom(self, resource: Resource[T]) -> Cache[T]:
        """See ``Informers.custom``."""
        key = _key(resource)
        if key not in self._caches:
            self._caches[key] = Cache(resource)
            supervisor = self._supervisor
            self._custom[key] = None if supervisor is None else self._reflect(supervisor, self._caches[key])
        return cast("Cache[T]", self._caches[key])

    def drop(self, resource: Resource[Any]) -> None:
        """See ``Informers.drop``."""
        key = _key(resource)
        if (task := self._custom.pop(key, None)) is not None:
            task.cancel()
        if (cache := self._caches.pop(key, None)) is not None:
            cache.replace((), cache.resource_version)

    def start(self, supervisor: Supervisor) -> None:
        """Begin to fill the caches, in tasks of ``supervisor``. Once only."""
        if self._supervisor is not None:
            raise RuntimeError("the informers were started already")
        self._supervisor = supervisor
        for key, cache in self._caches.items():
            task = self._reflect(supervisor, cache)
            if key in self._custom:
                self._custom[key] = task

    async def synced(self) -> None:
        """Return when every cache asked for so far holds its first list. Unbounded: cancel it to give up."""
        await asyncio.gather(
            *(cache.synced.wait() for key, cache in list(self._caches.items()) if key not in self._custom)
        )

    def _reflect(self, supervisor: Supervisor, cache: Cache[Any]) -> asyncio.Task[None]:
        reflector = Reflector(self._client, cache.resource, cache, rng=self._rng)
        return supervisor.service(f"reflector {cache.resource.group_resource}", reflector.run())


def _key(resource: Resource[Any]) -> str:
    return f"{resource.group_resource}/{resource.version}"
