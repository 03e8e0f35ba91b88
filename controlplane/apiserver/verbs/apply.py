"""Server-side apply: PATCH with application/apply-patch+yaml, which also creates what is not there.

After k8s.io/apiserver/pkg/endpoints/handlers/patch.go (applyPatcher) and
https://kubernetes.io/docs/reference/using-api/server-side-apply/. An object that was never applied and whose owners
nobody has kept belongs to ``before-first-apply``.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from controlplane.apiserver import ownership, schema, strategy
from controlplane.apiserver.api import ApiServer, not_found
from controlplane.apiserver.managedfields import managers
from controlplane.apiserver.managedfields.apply import applied, check_fields
from controlplane.apiserver.managedfields.managers import UPDATE, Entry, Identity
from controlplane.apiserver.request import Request
from controlplane.apiserver.verbs.answer import Answer
from controlplane.apiserver.verbs.patch import TRIES
from controlplane.apiserver.verbs.write import insert, modify
from shared import codec
from shared.api.errors import AlreadyExists, BadRequest, NotFound
from shared.api.meta import JSON

BEFORE_FIRST = "before-first-apply"


async def apply(
    api: ApiServer, request: Request, body: object, may_create: Callable[[], Awaitable[None]] | None = None
) -> Answer:
    """Apply ``body``, the whole of what the manager wants. ``may_create`` raises Forbidden where the object is not
    there and the user may not create it.

    Raises BadRequest, Conflict (of field managers, or of an outdated resourceVersion), Forbidden, Invalid, NotFound.
    """
    intent = _intent(request, body)
    for _ in range(TRIES):
        try:
            return await modify(api, request, lambda old, _: _change(api, request, old, intent), tries=TRIES)
        except NotFound:
            if request.subresource or api.of(request.kind).get(request.namespace, request.name) is not None:
                raise
        if may_create is not None:
            await may_create()
        try:
            return await _create(api, request, intent)
        except AlreadyExists:
            continue
    raise strategy.conflict(request.kind, request.name)


def _intent(request: Request, body: object) -> JSON:
    """The body, checked, without what the endpoint cannot set."""
    kind = request.kind
    if isinstance(body, dict) and not (body.get("kind") and body.get("apiVersion")):
        raise BadRequest("error decoding YAML: Object 'Kind' or 'apiVersion' is missing in the apply patch")
    tree = strategy.check_kind(kind, body)
    found = schema.check(kind, tree)
    check_fields(found.unknown_fields, found.type_errors, tree)
    if found.has_nulls:
        schema.prune_nulls(tree, kind)
    meta: JSON = tree.setdefault("metadata", {})
    if meta.get("managedFields") is not None:
        raise BadRequest("metadata.managedFields must be nil")
    strategy.check_name(meta.setdefault("name", request.name), request.name)
    if kind.resource.namespaced and (meta.get("namespace") or request.namespace) != request.namespace:
        raise BadRequest("the namespace of the provided object does not match the namespace sent on the request")
    if request.subresource == "status":
        kept = ("name", "namespace", "uid", "resourceVersion", *kind.status_metadata)
        named = {key: value for key, value in meta.items() if key in kept}
        return {key: named if key == "metadata" else tree[key] for key in tree if key in _STATUS}
    return ownership.without_status(kind, tree)


_STATUS = ("apiVersion", "kind", "metadata", "status")


def _change(api: ApiServer, request: Request, old: JSON, intent: JSON) -> JSON:
    was, meta = old["metadata"], intent["metadata"]
    if meta.get("resourceVersion") and meta["resourceVersion"] != was["resourceVersion"]:
        raise strategy.conflict(request.kind, request.name)
    shape, who = schema.shape(request.kind), ownership.applier(request)
    entries = managers.stored(was)
    if not entries:
        before = Identity(BEFORE_FIRST, UPDATE, request.kind.resource.api_version)
        fields = managers.own_of(ownership.without_status(request.kind, old), shape)
        entries = [Entry(before, fields, was["creationTimestamp"])]
    new, after = applied(old, intent, shape, entries, who, api.now(), force=request.options.force)
    return strategy.draft_update(api, request, old, new, managers.write(after))


async def _create(api: ApiServer, request: Request, intent: JSON) -> Answer:
    kind, meta = request.kind, intent["metadata"]
    if meta.get("uid"):
        raise strategy.conflict(
            kind, request.name,
            f"uid mismatch: the provided object specified uid {meta['uid']}, and no existing object was found",
        )  # fmt: skip
    if meta.get("resourceVersion"):
        raise not_found(kind, request.name)
    shape = schema.shape(kind)
    fields = managers.own_of(intent, shape)
    owners = managers.write([Entry(ownership.applier(request), fields, api.now())])
    return await insert(api, request, strategy.draft_create(api, request, codec.copy(intent), owners))
