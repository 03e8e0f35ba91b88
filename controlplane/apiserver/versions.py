"""Objects of one stored kind as another served version shows them.

Owns nothing but the conversions it has made, which are kept on the entries, so that an object is converted once for
each version and revision whoever reads it. Entries that come out are of the version; keys, order and revisions are
those of what is stored. One event loop, as the watch cache.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from controlplane.apiserver.encoding import api_version, stored, with_revision
from controlplane.apiserver.kinds.base import Kind
from controlplane.apiserver.resource_cache import Entry, ResourceCache, own_fields
from shared import codec
from shared.api.meta import JSON


class VersionView:
    """What ``kind`` makes of the entries of a ``ResourceCache``. Implements ``resource_cache.Shown``."""

    def __init__(self, cache: ResourceCache, kind: Kind) -> None:
        self.cache, self.kind = cache, kind
        self.decode = msgspec.json.Decoder(kind.resource.type, strict=False).decode

    def fields_of(self, tree: JSON, namespace: str, name: str) -> Mapping[str, str]:
        return own_fields(self.kind, tree, namespace, name)

    def known(self, entry: Entry) -> Entry | None:
        """A stored entry as this version shows it, where that was made already."""
        found: Entry | None = entry.versions.get(self.kind.resource.version)
        return None if found is None or found.cache is not self else found

    def needs_webhook(self, entry: Entry) -> bool:
        """Whether somebody else has to convert a stored entry."""
        return self.kind.conversion is not None and api_version(entry.data) != self.kind.resource.api_version

    def shown(self, entry: Entry) -> Entry:
        """A stored entry as this version shows it; of one that ``needs_webhook`` ask ``known`` or ``keep``."""
        return self.known(entry) or self.keep(entry, codec.decode(entry.data))

    def keep(self, entry: Entry, tree: JSON) -> Entry:
        """Remember what ``tree``, which may be changed, makes of a stored entry as this version shows it."""
        if self.kind.from_stored is not None:
            tree = self.kind.from_stored(tree)
        data = with_revision(stored(self.kind.resource, tree), entry.revision)
        if data == entry.data:
            data = entry.data  # one copy in memory is enough
        made = Entry(self, entry.namespace, entry.name, entry.revision, data)
        entry.versions[self.kind.resource.version] = made
        return made


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
