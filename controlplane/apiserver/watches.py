"""The watches of one resource, found by what they select. Owned by its ``ResourceCache``; one event loop."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from controlplane.apiserver.resource_cache import Event
    from controlplane.apiserver.watching import Selected, Watch


class Watches:
    """The watches of one resource, found by what they select so that an event meets only those it may concern.

    A watch that demands one value of a field (``spec.nodeName=a``) stands in an index by that value: a thousand
    agents' watches of pods then cost an event two look-ups, as with the triggers of Kubernetes' cacher. Those that
    select all of a namespace, or of all, are told everything of one batch together: twenty of them cost hardly more
    than one.
    """

    def __init__(self) -> None:
        self._plain: dict[str, set[Watch]] = {}
        self._told: dict[str, list[Selected]] = {}
        self._general: dict[str, set[Watch]] = {}
        self._indexed: dict[str, dict[str, set[Watch]]] = {}
        self._offered: set[Watch] = set()

    def __iter__(self) -> Iterator[Watch]:
        for group in (
            *self._plain.values(),
            *self._general.values(),
            *(g for index in self._indexed.values() for g in index.values()),
        ):
            yield from group

    def add(self, watch: Watch) -> None:
        self._group(watch).add(watch)

    def remove(self, watch: Watch) -> None:
        """Forget a watch; one that is not there is no error."""
        group = self._group(watch)
        group.discard(watch)
        self._offered.discard(watch)
        if not group:
            if watch.plain:
                self._plain.pop(watch.namespace, None)
            elif watch.trigger is None:
                self._general.pop(watch.namespace, None)
            else:
                field, value = watch.trigger
                index = self._indexed[field]
                index.pop(value, None)
                if not index:
                    del self._indexed[field]

    def _group(self, watch: Watch) -> set[Watch]:
        if watch.plain:
            return self._plain.setdefault(watch.namespace, set())
        if watch.trigger is None:
            return self._general.setdefault(watch.namespace, set())
        field, value = watch.trigger
        return self._indexed.setdefault(field, {}).setdefault(value, set())

    def offer(self, event: Event) -> None:
        """Tell the watches that select the event; ``wake`` follows the last of a batch."""
        entry, previous = event.entry, event.previous
        for namespace in {"", entry.namespace}:
            if namespace in self._plain:
                self._told.setdefault(namespace, []).append((event.type, entry))
        groups: list[set[Watch]] = []
        if self._general:
            groups.append(self._general.get("", _NOBODY))
            if entry.namespace:
                groups.append(self._general.get(entry.namespace, _NOBODY))
        for field, index in self._indexed.items():
            new = entry.field(field)
            groups.append(index.get(new, _NOBODY))
            if previous is not None and (old := previous.field(field)) != new:
                groups.append(index.get(old, _NOBODY))
        for group in groups:
            for watch in group:
                if watch.offer(event):
                    self._offered.add(watch)

    def wake(self) -> None:
        """Wake every watch that was offered something."""
        self._tell()
        for watch in self._offered:
            watch.wake()
        self._offered.clear()

    def _tell(self) -> None:
        for namespace, told in self._told.items():
            size = sum(len(entry.data) for _, entry in told)
            for watch in self._plain.get(namespace, _NOBODY):
                watch.take(told, size)
                self._offered.add(watch)
        self._told.clear()

    def end(self) -> None:
        """End all; what they were offered is told before."""
        self._tell()
        for watch in list(self):
            watch.end()


_NOBODY: set[Watch] = set()
