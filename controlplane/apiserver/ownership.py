"""Which manager a request is to ``metadata.managedFields``, and what its write makes of them.

Joins requests and kinds to ``managedfields``, which knows neither. Pure.
"""

from __future__ import annotations

from controlplane.apiserver import schema
from controlplane.apiserver.kinds.base import Kind
from controlplane.apiserver.managedfields import managers
from controlplane.apiserver.managedfields.managers import APPLY, UPDATE, Identity
from controlplane.apiserver.request import Request
from shared.api.errors import BadRequest
from shared.api.meta import JSON

Owners = list[JSON]
"""managedFields as it stands in metadata."""


def identity(request: Request, operation: str = UPDATE) -> Identity:
    """The manager that a request is; one that does not say is named by its User-Agent."""
    name = request.options.field_manager or managers.name_from_agent(request.user_agent)
    return Identity(name, operation, request.kind.resource.api_version, request.subresource)


def of_created(request: Request, obj: JSON, now: str) -> Owners:
    """Of an object as it is before admission, whose additions nobody owns."""
    shape = schema.shape(request.kind)
    return managers.write(managers.created(without_status(request.kind, obj), shape, identity(request), now))


def without_status(kind: Kind, obj: JSON) -> JSON:
    """What a write to the object itself can set."""
    if kind.has_status and not kind.keeps_status_on_create and "status" in obj:
        return {key: value for key, value in obj.items() if key != "status"}
    return obj


def of_updated(request: Request, old: JSON, new: JSON, given: JSON, now: str, *, changed: bool) -> Owners:
    """After an update that makes ``new`` of ``old``. ``given`` is the metadata that came with it, in which a client may
    set or reset the owners itself."""
    was = old["metadata"]
    stored: Owners = was.get("managedFields") or []
    asked = None if request.subresource else given.get("managedFields")
    if managers.is_reset(asked):
        return []
    entries = None
    if asked and asked != stored:
        try:
            entries = managers.read(given)
        except BadRequest:  # as upstream: what cannot be read leaves the owners as they are
            entries = None
    if entries is None:
        if not changed or not stored:  # an object whose owners were reset stays without, until it is applied
            return stored
        entries = managers.stored(was)
    if changed:
        entries = managers.updated(old, new, schema.shape(request.kind), entries, identity(request), now)
    return managers.write(entries)


def applier(request: Request) -> Identity:
    return identity(request, APPLY)


def put(metadata: JSON, owners: Owners) -> None:
    """Set the owners, last in metadata; none is no field."""
    metadata.pop("managedFields", None)
    if owners:
        metadata["managedFields"] = owners
