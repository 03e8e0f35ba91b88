"""The entries of ``metadata.managedFields``: read, written, and what a write makes of them.

After k8s.io/apimachinery/pkg/util/managedfields/internal. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from controlplane.apiserver.managedfields.fieldset import LEAF, Set, check, difference, union
from controlplane.apiserver.managedfields.typed import compare, fields_of
from controlplane.apiserver.shapes import Shape
from shared.api.errors import BadRequest
from shared.api.meta import JSON

APPLY, UPDATE = "Apply", "Update"
MAX_UPDATERS = 10
"""Entries of managers that update; older ones are put together (DefaultMaxUpdateManagers)."""

MAX_NAME = 128
"""Characters of a manager's name."""

_ANCIENT = "ancient-changes"
_UNOWNED_METADATA = frozenset((
    "name", "namespace", "creationTimestamp", "selfLink", "uid", "clusterName", "generation", "managedFields",
    "resourceVersion",
))  # fmt: skip
_UNOWNED: Set = {
    "f:apiVersion": LEAF,
    "f:kind": LEAF,
    "f:metadata": {".": LEAF, **{f"f:{field}": LEAF for field in sorted(_UNOWNED_METADATA)}},
}
"""What nobody owns (stripmeta.go)."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Whose an entry is. An applier has one entry whatever the version it applies."""

    manager: str
    operation: str
    api_version: str
    subresource: str = ""

    @property
    def key(self) -> tuple[str, ...]:
        version = "" if self.operation == APPLY else self.api_version
        return self.manager, self.operation, version, self.subresource


@dataclass(frozen=True, slots=True)
class Entry:
    """What one manager owns; ``time`` is of its last change, RFC 3339."""

    who: Identity
    fields: Set
    time: str = ""


@lru_cache(maxsize=256)
def name_from_agent(user_agent: str) -> str:
    """What a manager is called that does not say: the User-Agent up to the first slash (prefixFromUserAgent)."""
    kept = "".join(character for character in user_agent.partition("/")[0] if character.isprintable())
    return kept[:MAX_NAME] or "unknown"


def stored(meta: JSON) -> list[Entry]:
    """The entries of an object that is stored."""
    return [
        Entry(
            Identity(given["manager"], given["operation"], given["apiVersion"], given.get("subresource") or ""),
            given["fieldsV1"], given.get("time") or "",
        )
        for given in meta.get("managedFields") or ()
    ]  # fmt: skip


def read(meta: JSON) -> list[Entry]:
    """The entries that a client gives in an object's metadata. Raises BadRequest for one that is malformed."""
    found = []
    for index, given in enumerate(meta.get("managedFields") or ()):
        where = f"metadata.managedFields[{index}]"
        if not isinstance(given, dict):
            raise BadRequest(f"{where}: must be an object")
        if given.get("operation") not in (APPLY, UPDATE):
            raise BadRequest(f"{where}.operation: must be `Apply` or `Update`")
        if not given.get("apiVersion"):
            raise BadRequest(f"{where}.apiVersion: must not be empty")
        if given.get("fieldsType") != "FieldsV1":
            raise BadRequest(f"{where}.fieldsType: must be `FieldsV1`")
        who = Identity(
            given.get("manager") or "", given["operation"], given["apiVersion"], given.get("subresource") or ""
        )
        found.append(Entry(who, check(given.get("fieldsV1") or {}, f"{where}.fieldsV1"), given.get("time") or ""))
    return found


def write(entries: Sequence[Entry]) -> list[JSON]:
    """As they stand in metadata: appliers first, then by time, manager and version (sortEncodedManagedFields)."""
    ordered = sorted(
        entries, key=lambda e: (e.who.operation, e.time, e.who.manager, e.who.api_version, e.who.subresource)
    )
    written: list[JSON] = []
    for entry in ordered:
        who = entry.who
        out: dict[str, Any] = {"manager": who.manager, "operation": who.operation, "apiVersion": who.api_version}
        if entry.time:
            out["time"] = entry.time
        out |= {"fieldsType": "FieldsV1", "fieldsV1": entry.fields}
        if who.subresource:
            out["subresource"] = who.subresource
        written.append(out)
    return written


def is_reset(given: object) -> bool:
    """Whether a client asks to forget all owners: with one empty entry. An empty list does not, since clients send that
    who know nothing of owners."""
    return given == [{}]


def created(obj: JSON, shape: Shape, who: Identity, now: str) -> list[Entry]:
    """What whoever creates an object owns of it: all that can be owned."""
    own = {key: value for key, value in obj.items() if key not in ("apiVersion", "kind", "metadata")}
    metadata = {key: value for key, value in obj["metadata"].items() if key not in _UNOWNED_METADATA}
    if metadata:
        own = {"metadata": metadata, **own}
    return [Entry(who, fields_of(own, shape, added=True), now)]


def updated(old: JSON, new: JSON, shape: Shape, entries: Sequence[Entry], who: Identity, now: str) -> list[Entry]:
    """The entries after ``who`` has made ``new`` of ``old``: what it changed is its own, and nobody else's."""
    removed, changed = compare(old, new, shape)
    return with_changes(entries, who, removed, owned(changed), now)


def with_changes(entries: Sequence[Entry], who: Identity, removed: Set, changed: Set, now: str) -> list[Entry]:
    """``removed`` is owned by nobody afterwards, ``changed`` by ``who`` only."""
    kept: list[Entry] = []
    mine: Entry | None = None
    for entry in entries:
        fields = difference(difference(entry.fields, removed), changed)
        if entry.who.key == who.key:
            mine = Entry(who, union(fields, changed), now if changed else entry.time)
        elif fields:
            kept.append(entry if fields == entry.fields else replace(entry, fields=fields))
    if mine is None:
        mine = Entry(who, changed, now)
    if mine.fields:
        kept.append(mine)
    return _capped(kept)


def owned(fields: Set) -> Set:
    """Without what nobody owns."""
    return difference(fields, _UNOWNED)


def own_of(obj: JSON, shape: Shape) -> Set:
    """What an applier of ``obj`` owns."""
    return owned(fields_of(obj, shape))


def _capped(entries: list[Entry]) -> list[Entry]:
    updaters = sorted((e for e in entries if e.who.operation == UPDATE), key=lambda e: (e.time, e.who.manager))
    while len(updaters) > MAX_UPDATERS:
        first, second = updaters[:2]
        version = first.who.api_version
        both = Entry(Identity(_ANCIENT, UPDATE, version), union(first.fields, second.fields), second.time)
        entries = [both, *(entry for entry in entries if entry is not first and entry is not second)]
        updaters = [both, *updaters[2:]]
    return entries
