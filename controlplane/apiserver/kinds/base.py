"""What the API server knows of a kind: one ``Kind`` row. The verbs are written once and driven by these rows.

Adding a kind is one row in ``table.py`` and one file beside this with its defaulting, validation and columns.
The functions in a row are pure: trees in, trees or errors out, no I/O, no clock of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from shared.api.errors import Cause
from shared.api.kinds import Resource
from shared.api.meta import JSON


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a server-side table. ``cell`` reads the value off an object; of what ages, a function from the time
    to the value.

    ``priority`` 0 columns always show, 1 with ``-o wide``. Names, types, formats and order are Kubernetes' own.
    """

    name: str
    type: str
    description: str
    cell: Callable[[JSON], Any]
    format: str = ""
    priority: int = 0

    def value(self, obj: JSON, now: datetime) -> Any:
        """What the object shows in this column at ``now``."""
        cell = self.cell(obj)
        return cell(now) if callable(cell) else cell


def _nothing(obj: JSON) -> None:
    """Default of ``default``: the kind has no defaults."""


def _valid(obj: JSON, old: JSON | None) -> Iterable[Cause]:
    """Default of ``validate``: nothing beyond the schema and metadata."""
    return ()


def _no_warnings(obj: JSON) -> Iterable[str]:
    return ()


class Custom(Protocol):
    """What a CustomResourceDefinition says of its objects (``custom.rows.CustomKind``)."""

    def check(self, obj: JSON) -> Any:
        """``shapes.Findings`` of a decoded body, from which unknown fields are taken out."""
        ...

    @property
    def shape(self) -> Any:
        """``shapes.Struct`` of an object, for server-side apply."""
        ...


@dataclass(frozen=True, slots=True)
class Subresource:
    """A subresource of a kind: its discovery entry. ``name`` is ``status``, ``scale``, ``log`` ..."""

    name: str
    verbs: tuple[str, ...]
    kind: str = ""
    """The kind that it speaks; the parent's when empty."""
    group: str | None = None
    version: str = ""
    validate: Callable[[JSON, JSON | None], Iterable[Cause]] | None = None
    """Of an update of the object through it, in place of the kind's own."""


@dataclass(frozen=True, slots=True, eq=False)
class Kind:
    """A row of the table of kinds. Two rows are the same only if they are one."""

    resource: Resource[Any]
    singular: str
    columns: tuple[Column, ...]
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    verbs: tuple[str, ...] = (
        "create", "delete", "deletecollection", "get", "list", "patch", "update", "watch",
    )  # fmt: skip
    subresources: tuple[Subresource, ...] = ()

    default: Callable[[JSON], None] = _nothing
    """Fill in defaults, in place, on a tree that nobody else holds (after decoding, before validation).
    Also canonicalises quantities. Runs on create and update."""

    validate: Callable[[JSON, JSON | None], Iterable[Cause]] = _valid
    """What is wrong with the new object, given the old one (None on create), beyond schema and metadata:
    field paths, immutable fields, cross-field rules."""

    validate_status: Callable[[JSON, JSON | None], Iterable[Cause]] = _valid
    """The same for an update through the status subresource."""

    deprecated: str = ""
    """What every answer about this kind warns of, if anything."""

    warnings: Callable[[JSON], Iterable[str]] = _no_warnings
    """What a client should be warned about (the ``Warning:`` header)."""

    known_warnings: bool = True
    """Whether an update warns again of what the object before it was warned of already."""

    inert: bool = False
    """Objects are stored and validated, but nothing acts on them yet: whoever writes one is warned of that."""

    spec_fields: tuple[str, ...] = ("spec",)
    """Top-level fields whose change counts up ``metadata.generation`` (when ``has_generation``)."""

    has_generation: bool = False

    generation_metadata: tuple[str, ...] = ()
    """Fields of metadata whose change counts as one of the spec."""

    status_metadata: tuple[str, ...] = ()
    """Fields of metadata that an update through the status subresource may change too; the others stay as they are."""

    selectable_fields: Callable[[JSON], Mapping[str, str]] | None = None
    """Fields beyond metadata.name and metadata.namespace that a field selector may name, with their values;
    given ``{}`` it must return the same keys with empty values."""

    scale: ScalePaths | None = None

    default_grace_seconds: Callable[[JSON], int] | None = None
    """Graceful deletion: the kind's own grace (a pod's terminationGracePeriodSeconds); None deletes at once."""

    default_propagation: str = "background"
    """What happens to dependents when a delete names no propagation policy."""

    deletion_warning: str = ""
    """What a deletion that names no propagation policy is warned of, if anything."""

    name_rule: str = "dns-subdomain"
    """``dns-subdomain``, ``dns-label``, ``dns-1035-label``, ``path-segment`` (for names such as RBAC's) or
    ``ip-address``."""

    extra_verbs: Sequence[str] = field(default=())

    keeps_status_on_create: bool = False
    """Whether a new object keeps the status it came with (a Node's does); else the server drops it first."""

    list_kind: str = ""
    """What a list of them is called; ``<kind>List`` when empty."""

    on_deletion: Callable[[JSON, str], JSON] | None = None
    """What the first delete makes of an object before it is marked, given the time: one with a finalizer, say. The tree
    given is left alone."""

    custom: Custom | None = None
    """Of a custom kind: what its schema makes of its objects."""

    openapi: Mapping[str, Any] = field(default_factory=dict)
    """Of a custom kind: its schema in OpenAPI 3.0, with references into Kubernetes' definitions."""

    storage: Kind | None = None
    """The row whose objects these are, where this one is another version of them: what is stored, and under which
    key. None: its own."""

    conversion: JSON | None = None
    """``spec.conversion.webhook`` of a CustomResourceDefinition: who converts what is stored under another apiVersion,
    and to the stored one, before ``from_stored`` and ``to_stored``. None: nobody has to."""

    from_stored: Callable[[JSON], JSON] | None = None
    """A stored tree as this version shows it; the tree given may be changed. None: as it is stored."""

    to_stored: Callable[[JSON], JSON] | None = None
    """A tree of this version as it is stored; the one given is left alone. None: as it is."""

    def spec_changed(self, obj: JSON, old: JSON) -> bool:
        """Whether an update counts up ``metadata.generation``. Of a custom kind all but metadata, and status where that
        has a subresource, is its spec."""
        if self.custom is None:
            return any(obj.get(field) != old.get(field) for field in self.spec_fields)
        beside = ("metadata", "status") if self.has_status else ("metadata",)
        return any(obj.get(field) != old.get(field) for field in {*obj, *old} if field not in beside)

    @property
    def is_view(self) -> bool:
        """Whether its objects are stored as those of another row."""
        return self.storage is not None

    @property
    def stored_as(self) -> Kind:
        """The row that says how and where its objects are stored."""
        return self if self.storage is None else self.storage

    @property
    def has_status(self) -> bool:
        """Whether status is written through its own subresource only."""
        return any(sub.name == "status" for sub in self.subresources)


@dataclass(frozen=True, slots=True)
class ScalePaths:
    """Where the scale subresource finds its numbers, as dotted paths."""

    spec_replicas: str = "spec.replicas"
    status_replicas: str = "status.replicas"
    selector: str = "spec.selector"
