"""What the server's own admission reads of the cluster: few objects that many writes are held against.

Trees are decoded once for each change of their kind and shared. On the event loop.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from controlplane.apiserver.cache import WatchCache
from shared.api.kinds import NAMESPACES, Resource
from shared.api.meta import JSON


class StoredObjects:
    """See ``admission.context.Objects``."""

    def __init__(self, cache: WatchCache) -> None:
        self._cache = cache
        self._trees: dict[tuple[str, str], tuple[int, dict[str, Sequence[JSON]]]] = {}

    def list(self, resource: Resource[Any], namespace: str = "") -> Sequence[JSON]:
        found = self._cache.find(resource.group, resource.plural)
        if found is None or not len(found):
            return ()
        key = (resource.group, resource.plural)
        revision, trees = self._trees.get(key, (-1, {}))
        if revision != found.changed:
            trees = {}
            self._trees[key] = found.changed, trees
        if namespace not in trees:
            trees[namespace] = [entry.tree() for entry in found.entries(namespace)]
        return trees[namespace]

    def labels(self, namespace: str) -> Mapping[str, str]:
        found = self._cache.find(NAMESPACES.group, NAMESPACES.plural)
        entry = found.get("", namespace) if found is not None else None
        return {} if entry is None else entry.labels

    def count(self, resource: Resource[Any], namespace: str) -> int:
        found = self._cache.find(resource.group, resource.plural)
        return len(found.entries(namespace)) if found is not None else 0

    def some(self, resource: Resource[Any], namespace: str, most: int) -> Iterator[JSON]:
        found = self._cache.find(resource.group, resource.plural)
        for entry in found.entries(namespace)[:most] if found is not None else ():
            yield entry.tree()
