"""One resource in the watch cache: its entries in key order, and its recent events.

Owns the memory of one kind. Entries and events are immutable and shared by every reader; what is derived from an
entry's bytes (labels, selectable fields, the struct) is made when somebody asks and kept while the entry is the
newest. One event loop; ``WatchCache`` is the only writer.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import msgspec

from controlplane.apiserver.encoding import at_revision, storage_prefix, with_revision
from controlplane.apiserver.kinds.base import Kind
from controlplane.apiserver.watches import Watches
from controlplane.store.base import Change
from shared import codec
from shared.api.errors import Expired
from shared.api.meta import JSON
from shared.client.base import EventType

RING_BYTES = 32 << 20
"""What one resource's recent events may hold alive at most, whatever their number."""

_EMPTY: dict[str, str] = {}


class _Labels(msgspec.Struct):
    labels: dict[str, str] | None = None


class _Labelled(msgspec.Struct):
    metadata: _Labels = msgspec.field(default_factory=_Labels)


_decode_labels = msgspec.json.Decoder(_Labelled).decode


class Entry:
    """One object at one revision. ``data`` is its JSON as served."""

    __slots__ = (
        "_fields", "_labels", "_object", "_versions", "cache", "data", "name", "namespace", "printed", "revision",
    )  # fmt: skip

    def __init__(self, cache: Shown, namespace: str, name: str, revision: int, data: bytes) -> None:
        self.cache, self.namespace, self.name, self.revision, self.data = cache, namespace, name, revision, data
        self._labels: dict[str, str] | None = None
        self._fields: Mapping[str, str] | None = None
        self._object: Any = None
        self._versions: dict[str, Entry] | None = None
        self.printed: Any = None
        """What ``tables`` keeps of it, once somebody wants it as a row."""

    @property
    def versions(self) -> dict[str, Entry]:
        """This object as other versions show it, by version; see ``versions.VersionView``."""
        if self._versions is None:
            self._versions = {}
        return self._versions

    @property
    def key(self) -> str:
        """``namespace/name``, or the name of a cluster-scoped object: what lists are ordered by."""
        return f"{self.namespace}/{self.name}" if self.cache.kind.resource.namespaced else self.name

    @property
    def labels(self) -> dict[str, str]:
        """metadata.labels, read without decoding the rest."""
        if self._labels is None:
            self._labels = _decode_labels(self.data).metadata.labels or _EMPTY
        return self._labels

    @property
    def fields(self) -> Mapping[str, str]:
        """What a field selector may name, with its values."""
        if self._fields is None:
            self._fields = self.cache.fields_of(self.tree(), self.namespace, self.name)
        return self._fields

    def field(self, name: str) -> str:
        """One selectable field; the name and the namespace without decoding anything."""
        if name == "metadata.name":
            return self.name
        if name == "metadata.namespace":
            return self.namespace
        return self.fields.get(name, "")

    def tree(self) -> JSON:
        """A fresh JSON tree, the caller's own to change."""
        tree: JSON = codec.decode(self.data)
        return tree

    @property
    def object(self) -> Any:
        """The frozen struct, decoded once. Raises msgspec.ValidationError if the struct does not take it."""
        if self._object is None:
            self._object = self.cache.decode(self.data)
        return self._object

    def forget(self) -> None:
        """Let go of what is derived: this entry is the past, and a struct is several times larger than the bytes."""
        self._object = self.printed = None
        for entry in (self._versions or {}).values():
            entry.forget()


class Event:
    """One change of one object. ``entry`` is the new state, or of a deletion the last one with its revision."""

    __slots__ = ("_left", "entry", "previous", "revision", "type")

    def __init__(self, type: EventType, entry: Entry, previous: Entry | None) -> None:
        self.type, self.entry, self.previous = type, entry, previous
        self.revision = entry.revision
        self._left: Entry | None = None

    @property
    def left(self) -> Entry:
        """The previous state with this event's revision: what a watch is told that no longer selects the object."""
        if self._left is None:
            assert self.previous is not None
            self._left = restamped(self.previous, self.revision)
        return self._left


def restamped(entry: Entry, revision: int) -> Entry:
    """The same object under another revision."""
    return Entry(entry.cache, entry.namespace, entry.name, revision, at_revision(entry.data, revision))


class Shown(Protocol):
    """What an entry is shown by: the cache of what is stored, or a version of it."""

    @property
    def kind(self) -> Kind: ...
    @property
    def decode(self) -> Callable[[bytes], Any]: ...
    def fields_of(self, tree: JSON, namespace: str, name: str) -> Mapping[str, str]: ...


def own_fields(kind: Kind, tree: JSON, namespace: str, name: str) -> Mapping[str, str]:
    """The selectable fields of a tree of ``kind``."""
    own = {"metadata.name": name, "metadata.namespace": namespace}
    select = kind.selectable_fields
    return own if select is None else {**own, **select(tree)}


class ResourceCache:
    """All objects of one kind. Implements ``Shown``."""

    def __init__(self, kind: Kind, history: int) -> None:
        self.kind = kind
        self.prefix = storage_prefix(kind.resource)
        self.decode = msgspec.json.Decoder(kind.resource.type, strict=False).decode
        self.watches = Watches()
        self._history = history
        self._entries: dict[str, Entry] = {}
        self._keys: list[str] = []
        self._ring: deque[Event] = deque()
        self._ring_bytes = 0
        self._oldest = 0
        self.changed = 0
        """Revision of the newest change of this resource."""

    # --- reading

    def get(self, namespace: str, name: str) -> Entry | None:
        """The object now."""
        return self._entries.get(f"{namespace}/{name}" if self.kind.resource.namespaced else name)

    def __len__(self) -> int:
        return len(self._entries)

    def entries(self, namespace: str = "", start_after: str = "") -> list[Entry]:
        """Objects in key order, of one namespace or of all, after the key ``start_after``."""
        keys, low, high = self._keys, 0, len(self._keys)
        if namespace:
            low, high = bisect_left(keys, f"{namespace}/"), bisect_left(keys, f"{namespace}0")  # "0" follows "/"
        if start_after:
            low = max(low, bisect_left(keys, f"{start_after}\0"))
        if low == 0 and high == len(keys):
            return [self._entries[key] for key in keys]
        return [self._entries[key] for key in keys[low:high]]

    def since(self, revision: int) -> list[Event]:
        """Events after ``revision``, oldest first. Raises Expired when the ring does not reach back so far."""
        if revision < self._oldest:
            raise Expired(f"too old resource version: {revision} ({self._oldest})")
        newer: list[Event] = []
        for event in reversed(self._ring):
            if event.revision <= revision:
                break
            newer.append(event)
        newer.reverse()
        return newer

    def entries_at(self, revision: int, namespace: str = "", start_after: str = "") -> list[Entry]:
        """``entries`` as they were at an earlier revision. Raises Expired when the ring does not reach back so far."""
        if self.changed <= revision:
            return self.entries(namespace, start_after)
        undone: dict[str, Entry | None] = {}
        for event in reversed(self.since(revision)):
            undone[event.entry.key] = event.previous
        then = {entry.key: entry for entry in self.entries(namespace, start_after) if entry.key not in undone}
        for key, entry in undone.items():
            if entry is not None and key > start_after and namespace in ("", entry.namespace):
                then[key] = entry
        return [then[key] for key in sorted(then)]

    def fields_of(self, tree: JSON, namespace: str, name: str) -> Mapping[str, str]:
        """The selectable fields of a tree of this kind."""
        return own_fields(self.kind, tree, namespace, name)

    def entry_of(self, key: str, stored: bytes, revision: int) -> Entry:
        """An entry for stored bytes, which becomes part of the cache only through ``load`` or ``apply``."""
        namespace, name = self._split(key[len(self.prefix) :])
        return Entry(self, namespace, name, revision, with_revision(stored, revision))

    def _split(self, short: str) -> tuple[str, str]:
        if not self.kind.resource.namespaced:
            return "", short
        namespace, _, name = short.partition("/")
        return namespace, name

    # --- feeding (WatchCache)

    def reset(self, revision: int) -> None:
        """Forget everything; what follows is true from ``revision`` on."""
        self._entries, self._keys = {}, []
        self._ring.clear()
        self._ring_bytes = 0
        self._oldest = self.changed = revision

    def load(self, key: str, stored: bytes, revision: int) -> None:
        """An object of the first list. ``loaded`` follows the last."""
        self._entries[key[len(self.prefix) :]] = self.entry_of(key, stored, revision)

    def loaded(self) -> None:
        self._keys = sorted(self._entries)

    def apply(self, change: Change) -> None:
        """Take in one change and tell the watches that select it; ``wake`` follows the last of a batch."""
        short = change.key[len(self.prefix) :]
        previous = self._entries.get(short)
        if change.value is None:
            if previous is None:
                return
            del self._entries[short]
            del self._keys[bisect_left(self._keys, short)]
            event = Event(EventType.DELETED, restamped(previous, change.revision), previous)
        else:
            entry = self.entry_of(change.key, change.value, change.revision)
            self._entries[short] = entry
            if previous is None:
                insort(self._keys, short)
                event = Event(EventType.ADDED, entry, None)
            else:
                event = Event(EventType.MODIFIED, entry, previous)
        self.changed = change.revision
        self._remember(event)
        self.watches.offer(event)
        if previous is not None:
            previous.forget()

    def _remember(self, event: Event) -> None:
        self._ring.append(event)
        self._ring_bytes += len(event.entry.data)
        while len(self._ring) > self._history or self._ring_bytes > RING_BYTES:
            gone = self._ring.popleft()
            self._ring_bytes -= len(gone.entry.data)
            self._oldest = gone.revision

    def wake(self) -> None:
        """Wake every watch that was offered something."""
        self.watches.wake()

    def end_watches(self) -> None:
        """End every watch of this resource; their readers see a clean end."""
        self.watches.end()
