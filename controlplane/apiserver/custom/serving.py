"""Keeps the registry and the watch cache in step with the CustomResourceDefinitions that are stored.

Called by the watch cache after each change of one, before anybody else sees that change: whoever reads that a
definition is established finds its objects served. One event loop; never raises.
"""

from __future__ import annotations

import logging

from controlplane.apiserver.cache import WatchCache
from controlplane.apiserver.custom import rows
from controlplane.apiserver.kinds.base import Kind
from controlplane.apiserver.registry import Registry
from controlplane.apiserver.resource_cache import Entry, ResourceCache
from shared.api.kinds import CUSTOM_RESOURCE_DEFINITIONS
from shared.api.meta import JSON

logger = logging.getLogger(__name__)


class CustomKinds:
    """Constructing it is all; a cache without CustomResourceDefinitions is left alone."""

    def __init__(self, registry: Registry, cache: WatchCache) -> None:
        self._registry, self._cache = registry, cache
        self._seen: dict[str, int] = {}
        self._served: dict[str, tuple[Kind, object]] = {}
        resource = CUSTOM_RESOURCE_DEFINITIONS
        found = cache.find(resource.group, resource.plural)
        if found is not None:
            self._definitions: ResourceCache = found
            cache.follow(resource.group, resource.plural, self.sync)

    def sync(self) -> None:
        """Take over what has changed since the last time."""
        entries = {entry.name: entry for entry in self._definitions.entries()}
        for name in [name for name in self._seen if name not in entries]:
            del self._seen[name]
            self._withdraw(name)
        for name, entry in entries.items():
            if self._seen.get(name) != entry.revision:
                self._seen[name] = entry.revision
                self._take(name, entry)

    def _take(self, name: str, entry: Entry) -> None:
        try:
            self._serve(name, entry.tree())
        except (KeyError, TypeError, ValueError, AttributeError, StopIteration):
            # Validated when it was written, so this is a mistake of ours; one definition must not stop all others.
            logger.exception("a custom resource definition cannot be served", extra={"definition": name})
            self._withdraw(name)

    def _serve(self, name: str, crd: JSON) -> None:
        if not rows.is_served(crd):
            self._withdraw(name)
            return
        meta = crd["metadata"]
        state = (meta.get("uid"), meta.get("generation"), bool(meta.get("deletionTimestamp")),
                 (crd.get("status") or {}).get("acceptedNames"))  # fmt: skip
        before = self._served.get(name)
        if before is not None and before[1] == state:
            return
        stored = rows.stored_row(crd)
        resource = stored.resource
        kinds = rows.rows(crd, stored)
        cache = self._cache.find(resource.group, resource.plural)
        if before is None:
            if cache is not None:
                logger.error("a custom resource has the name of a built-in one", extra={"definition": name})
                return
            self._cache.add(stored)
        elif cache is not None:
            cache.end_watches()  # of the kind as it was: clients begin new ones, of what it is now
        self._served[name] = stored, state
        self._registry.put(name, kinds)

    def _withdraw(self, name: str) -> None:
        self._registry.put(name, ())
        if (served := self._served.pop(name, None)) is not None:
            resource = served[0].resource
            self._cache.drop(resource.group, resource.plural)
