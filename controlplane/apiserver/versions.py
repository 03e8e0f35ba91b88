"""Objects of one stored kind as another served version shows them.

Owns nothing but the conversions it has made, which are kept on the entries, so that an object is converted once for
each version and revision whoever reads it. Entries and events that come out are of the version; keys, order and
revisions are those of what is stored. One event loop, as the watch cache.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

import msgspec

from controlplane.apiserver.encoding import stored, with_revision
from controlplane.apiserver.kinds.base import Kind
from controlplane.apiserver.resource_cache import Entry, Event, ResourceCache, own_fields
from controlplane.apiserver.watches import Watches
from shared import codec
from shared.api.meta import JSON

logger = logging.getLogger(__name__)


class VersionView:
    """A ``ResourceCache`` as ``kind`` shows it, for everybody who only reads. Implements ``resource_cache.Shown``."""

    def __init__(self, cache: ResourceCache, kind: Kind) -> None:
        self._cache, self.kind = cache, kind
        self.decode = msgspec.json.Decoder(kind.resource.type, strict=False).decode

    @property
    def prefix(self) -> str:
        return self._cache.prefix

    @property
    def watches(self) -> Watches:
        return self._cache.watches

    def get(self, namespace: str, name: str) -> Entry | None:
        entry = self._cache.get(namespace, name)
        return None if entry is None else self.shown(entry)

    def __len__(self) -> int:
        return len(self._cache)

    def entries(self, namespace: str = "", start_after: str = "") -> list[Entry]:
        return [self.shown(entry) for entry in self._cache.entries(namespace, start_after)]

    def entries_at(self, revision: int, namespace: str = "", start_after: str = "") -> list[Entry]:
        return [self.shown(entry) for entry in self._cache.entries_at(revision, namespace, start_after)]

    def since(self, revision: int) -> list[Event]:
        return [self.event(event) for event in self._cache.since(revision)]

    def event(self, event: Event) -> Event:
        """A change as this version tells it."""
        previous = None if event.previous is None else self.shown(event.previous)
        return Event(event.type, self.shown(event.entry), previous)

    def entry_of(self, key: str, stored_bytes: bytes, revision: int) -> Entry:
        return self.shown(self._cache.entry_of(key, stored_bytes, revision))

    def fields_of(self, tree: JSON, namespace: str, name: str) -> Mapping[str, str]:
        return own_fields(self.kind, tree, namespace, name)

    def shown(self, entry: Entry) -> Entry:
        """An entry of what is stored as this version shows it."""
        version = self.kind.resource.version
        made: dict[str, Entry] = entry.versions
        found = made.get(version)
        if found is None or found.cache is not self:
            data = self._converted(entry)
            if data == entry.data:
                data = entry.data  # one copy in memory is enough
            found = made[version] = Entry(self, entry.namespace, entry.name, entry.revision, data)
        return found

    def _converted(self, entry: Entry) -> bytes:
        tree: JSON = codec.decode(entry.data)
        if self.kind.from_stored is not None:
            tree = self.kind.from_stored(tree)
        return with_revision(stored(self.kind.resource, tree), entry.revision)


def written(kind: Kind, tree: JSON) -> tuple[bytes, bytes]:
    """The bytes of an object of a served version that is written: as they are answered, and as they are stored. What is
    answered is what a read will give: a version without a field does not keep it for others."""
    data = stored(kind.resource, tree)
    if kind.storage is None or kind.to_stored is None:
        return data, data
    kept = stored(kind.storage.resource, kind.to_stored(tree))
    if kind.from_stored is None:
        return data, kept
    return stored(kind.resource, kind.from_stored(codec.decode(kept))), kept
