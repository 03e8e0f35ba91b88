"""create and update (PUT), and the one loop that every change of an object goes through.

A change reads the object from the watch cache, works out the new one and writes it if nobody was faster, as
GuaranteedUpdate of k8s.io/apiserver/pkg/storage/etcd3 does. Two callers never see each other's half of a write.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from controlplane.apiserver import strategy
from controlplane.apiserver.api import ApiServer
from controlplane.apiserver.encoding import with_revision
from controlplane.apiserver.request import Request
from controlplane.apiserver.resource_cache import Entry
from controlplane.apiserver.unserved import not_allowed
from controlplane.apiserver.verbs import admit, allocate, charge
from controlplane.apiserver.verbs.answer import Answer
from controlplane.apiserver.verbs.read import parse_revision
from controlplane.store.base import Compare, Delete
from shared import codec
from shared.api.errors import AlreadyExists
from shared.api.meta import JSON

NAME_TRIES = 8
"""How often generateName tries another suffix (k8s.io/apiserver/pkg/registry/generic/registry, since 1.32)."""

UPDATE_TRIES = 100
"""How often a PUT without resourceVersion tries again when others are faster; each try means that one of them won."""


Admits = Callable[[ApiServer, Request, JSON, JSON], Awaitable[JSON]]
"""``(api, request, draft, old)`` to the object to store; raises what refuses it."""


async def create(api: ApiServer, request: Request, tree: Any) -> Answer:
    """POST. Raises AlreadyExists, BadRequest, Forbidden, Invalid, NotFound (the namespace)."""
    if request.subresource:
        raise not_allowed()
    given = tree.get("metadata") if isinstance(tree, dict) else None
    generated = isinstance(given, dict) and not given.get("name") and bool(given.get("generateName"))
    return await insert(api, request, strategy.draft_create(api, request, tree), generated=generated)


async def insert(api: ApiServer, request: Request, obj: JSON, *, generated: bool = False) -> Answer:
    """Admit, check and write a drafted object that is not there yet; one with a ``generated`` name gets another when
    that is taken. Raises AlreadyExists, Forbidden, Invalid, and what refuses admission."""
    kind = request.kind
    obj = await admit.create(api, request, obj)
    if kind.custom is not None and not api.is_served(kind, "create"):
        raise not_allowed()  # its definition went meanwhile
    for attempt in range(NAME_TRIES):
        name = obj["metadata"]["name"]
        answer = await _insert(api, request, obj, name)
        if answer is not None:
            return answer
        if not generated or attempt == NAME_TRIES - 1:
            break
        obj["metadata"]["name"] = obj["metadata"]["generateName"][: strategy.MAX_GENERATED] + api.new_suffix()
        kind.default(obj)
    raise _exists(request, name)


async def _insert(api: ApiServer, request: Request, obj: JSON, name: str) -> Answer | None:
    """Write a new object with what it is given on the way; None when its name is taken."""
    kind = request.kind
    key = api.key(kind, request.namespace, name)
    for _ in range(allocate.TRIES):
        given = allocate.plan(api, request, obj, None)
        data, kept = await api.conversions.written(kind, given.obj)
        if request.options.dry_run:
            if api.of(kind).get(request.namespace, name) is not None:
                return None
            charge.check(api, request, given.obj, None)
            return Answer(201, data)
        put = await api.put(kind, key, kept)
        result = await charge.transact(api, request, Compare(key, 0), put, given, None)
        if result.succeeded:
            return Answer(201, with_revision(data, result.revision))
        if not given.lost(result) or any(failed == key for failed, _ in result.failed):
            return None
    raise strategy.conflict(kind, name)


def _exists(request: Request, name: str) -> AlreadyExists:
    resource = request.kind.resource
    return AlreadyExists(
        f'{resource.group_resource} "{name}" already exists',
        group=resource.group, kind=resource.plural, name=name,
    )  # fmt: skip


async def update(api: ApiServer, request: Request, tree: Any) -> Answer:
    """PUT, also to the status, finalize and approval subresources. Raises BadRequest, Conflict, Invalid, NotFound."""
    strategy.check_kind(request.kind, tree)
    meta = tree.get("metadata")
    given = (meta.get("name") if isinstance(meta, dict) else None) or request.name
    # Before anything is looked up: the wrong name is the mistake, whether or not the object exists.
    strategy.check_name(given, request.name)
    asked = parse_revision(str(meta.get("resourceVersion") or "")) if isinstance(meta, dict) else 0
    pristine = b"" if asked else codec.encode(tree)
    first = True

    def change(old: JSON, entry: Entry) -> JSON:
        nonlocal first
        if asked and asked != entry.revision:
            raise strategy.conflict(request.kind, request.name)
        body = tree if first else codec.decode(pristine)
        first = False
        return strategy.draft_update(api, request, old, body)

    return await modify(api, request, change, tries=1 if asked else UPDATE_TRIES)


async def modify(
    api: ApiServer,
    request: Request,
    change: Callable[[JSON, Entry], JSON],
    *,
    tries: int,
    admits: Admits | None = admit.update,
) -> Answer:
    """Write what ``change(old tree, entry)`` makes of the object, once ``admits`` has admitted and checked it; None is
    for what was admitted already.

    Nothing is written when it returns ``old`` itself. An object that nothing holds any longer is deleted. When
    somebody else writes in between, ``change`` is asked again, ``tries`` times in all. Raises Conflict, NotFound,
    Invalid, and what refuses admission.
    """
    kind = request.kind
    strategy.check_unattached(kind, request.namespace, request.name)
    key = api.key(kind, request.namespace, request.name)
    for _ in range(tries):
        entry = await api.shown(kind, request.namespace, request.name)
        request.warnings.clear()
        old = entry.tree()
        new = change(old, entry)
        if new is old:
            return Answer(200, entry.data)
        if admits is not None:
            new = await admits(api, request, new, old)
        ends = strategy.is_finished(new)
        given = allocate.plan(api, request, new, old, ends=ends)
        data, kept = await api.conversions.written(kind, given.obj)
        if request.options.dry_run:
            charge.check(api, request, given.obj, old)
            return Answer(200, with_revision(data, entry.revision))
        op = Delete(key) if ends else await api.put(kind, key, kept)
        result = await charge.transact(api, request, Compare(key, entry.revision), op, given, old)
        if result.succeeded:
            return Answer(200, with_revision(data, result.revision))
    raise strategy.conflict(kind, request.name)
