"""delete and deletecollection: preconditions, grace periods, finalizers, propagation policies.

After k8s.io/apiserver/pkg/registry/rest/delete.go (BeforeDelete) and registry/generic/registry/store.go. An object
goes at once when neither a grace period nor a finalizer holds it; else it is marked with deletionTimestamp, and
goes with the update that takes the last hold off (``strategy.is_finished``).
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from controlplane.apiserver import strategy
from controlplane.apiserver.api import ApiServer
from controlplane.apiserver.encoding import stored, with_revision
from controlplane.apiserver.kinds.base import Kind
from controlplane.apiserver.request import DeleteOptions, ListOptions, Request
from controlplane.apiserver.resource_cache import Entry, restamped
from controlplane.apiserver.verbs import admit, allocate
from controlplane.apiserver.verbs.answer import Answer, success
from controlplane.apiserver.verbs.read import Page, list_
from controlplane.store.base import Compare, Delete
from shared.api.errors import Conflict, Forbidden, NotFound
from shared.api.kinds import NAMESPACES
from shared.api.meta import JSON, timestamp

TRIES = 100
"""How often a delete looks again when others write in between; each time one of them won."""

ORPHAN, FOREGROUND = "orphan", "foregroundDeletion"

RETURNS_OBJECT = frozenset(
    ("", plural)
    for plural in (
        "pods", "services", "serviceaccounts", "persistentvolumes", "persistentvolumeclaims", "podtemplates",
        "resourcequotas",
    )
)  # fmt: skip
"""Kinds whose delete answers with the object even when it is gone (ReturnDeletedObject in pkg/registry)."""

IMMORTAL = frozenset(("default", "kube-system", "kube-public"))
"""Namespaces that cannot be deleted (the NamespaceLifecycle admission plugin)."""


async def delete(
    api: ApiServer,
    request: Request,
    options: DeleteOptions,
    *,
    also: Callable[[JSON], JSON] | None = None,
    admitted: bool = False,
) -> Answer:
    """DELETE one object. 200 with a Status when it is gone, with the object while something holds it.

    ``also`` makes of an object whose deletion begins what it is to say besides, in the same write; ``admitted``
    is what asks no admission, as an eviction that was let pass itself. Raises NotFound,
    Conflict (a precondition does not hold), Forbidden (an immortal namespace).
    """
    kind = request.kind
    if _is_namespace(kind) and request.name in IMMORTAL:
        raise Forbidden(
            f'namespaces "{request.name}" is forbidden: this namespace may not be deleted',
            kind="namespaces", name=request.name,
        )  # fmt: skip
    _warn(request, options)
    key = api.key(kind, request.namespace, request.name)
    for _ in range(TRIES):
        entry = await api.shown(kind, request.namespace, request.name)
        old = entry.tree()
        _check_preconditions(kind, old, options)
        marked = _marked(api, kind, old, options)
        if marked is old:
            return Answer(200, entry.data)
        if marked is not None and also is not None:
            marked = also(marked)
        if not admitted:
            await admit.delete(api, request, old)
        if options.dry_run:
            return (
                _gone(request, old, entry)
                if marked is None
                else Answer(200, with_revision(stored(kind.resource, marked), entry.revision))
            )
        data, kept = (b"", b"") if marked is None else await api.conversions.written(kind, marked)
        op = Delete(key) if marked is None else await api.put(kind, key, kept)
        freed = () if marked is not None else allocate.released(api, kind, old)
        result = await api.transact([Compare(key, entry.revision)], [op, *freed])
        if result.succeeded:
            if marked is None:
                return _gone(request, old, restamped(entry, result.revision))
            return Answer(200, with_revision(data, result.revision))
    raise strategy.conflict(kind, request.name)


async def delete_collection(api: ApiServer, request: Request, options: DeleteOptions, selection: ListOptions) -> Page:
    """DELETE everything that the selectors choose; what was there, as the list that is answered."""
    _warn(request, options)
    page = await list_(api, request, selection)
    for entry in page.entries:
        one = Request(request.user, request.kind, entry.namespace, entry.name, options=request.options)
        try:
            await delete(api, one, options)
        except NotFound:
            continue  # somebody was faster, which is as good
    return page


def _warn(request: Request, options: DeleteOptions) -> None:
    if request.kind.deletion_warning and not options.propagation:
        request.warnings.append(request.kind.deletion_warning)


def _marked(api: ApiServer, kind: Kind, old: JSON, options: DeleteOptions) -> JSON | None:
    """What a delete makes of the object: None when it goes now, ``old`` itself when nothing changes."""
    if kind.on_deletion is not None and not old["metadata"].get("deletionTimestamp"):
        old = kind.on_deletion(old, api.now())
    was: JSON = old["metadata"]
    finalizers = _finalizers(kind, was.get("finalizers") or [], options)
    graceful = kind.default_grace_seconds is not None
    if was.get("deletionTimestamp"):
        if graceful and (left := was.get("deletionGracePeriodSeconds")):
            asked = options.grace_period_seconds
            if asked is None or asked >= left:
                return old  # already on its way, and grace is only ever shortened
            return _with_grace(old, _started(was), max(0, asked), finalizers)
        if finalizers or _spec_finalizers(old):
            if finalizers == (was.get("finalizers") or []):
                return old
            return _with_metadata(old, finalizers=finalizers)
        return None
    grace = _grace(kind, old, options) if graceful else 0
    if not grace and not finalizers and not _spec_finalizers(old):
        return None
    new = _with_grace(old, api.clock.now(), grace, finalizers)
    assert new is not None
    if old["metadata"].get("generation"):
        new["metadata"]["generation"] = old["metadata"]["generation"] + 1
    if _is_namespace(kind):
        new["status"] = {**(old.get("status") or {}), "phase": "Terminating"}
        new["metadata"].pop("deletionGracePeriodSeconds")
    return new


def _grace(kind: Kind, old: JSON, options: DeleteOptions) -> int:
    """Seconds of grace: the kind's own, or what is asked for where the kind allows any at all."""
    assert kind.default_grace_seconds is not None
    own = kind.default_grace_seconds(old)
    asked = options.grace_period_seconds
    if not own or asked is None:
        return own
    return asked if asked >= 0 else 1


def _with_grace(old: JSON, start: datetime, grace: int, finalizers: list[str]) -> JSON | None:
    """Marked for deletion ``grace`` seconds after ``start``; None when that is at once and nothing else holds it."""
    if not grace and not finalizers and not _spec_finalizers(old):
        return None
    return _with_metadata(
        old,
        finalizers=finalizers,
        deletionTimestamp=timestamp(start + timedelta(seconds=grace)),
        deletionGracePeriodSeconds=grace,
    )


def _with_metadata(old: JSON, *, finalizers: list[str], **fields: object) -> JSON:
    meta = {**old["metadata"], **fields}
    meta.pop("finalizers", None)
    if finalizers:
        meta["finalizers"] = finalizers
    return {**old, "metadata": meta}


def _started(was: JSON) -> datetime:
    """When the deletion under way was asked for."""
    end = datetime.strptime(was["deletionTimestamp"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    return end - timedelta(seconds=was["deletionGracePeriodSeconds"])


def _finalizers(kind: Kind, has: list[str], options: DeleteOptions) -> list[str]:
    """The object's finalizers with the garbage collector's own added or taken off, as the policy says; without a
    policy those that are there decide (deletionFinalizersForGarbageCollection)."""
    policy = options.propagation
    if not policy:
        if ORPHAN in has or FOREGROUND in has:
            return list(has)
        policy = kind.default_propagation.capitalize()
    rest = [finalizer for finalizer in has if finalizer not in (ORPHAN, FOREGROUND)]
    if policy == "Orphan":
        return [*rest, ORPHAN]
    if policy == "Foreground":
        return [*rest, FOREGROUND]
    return rest


def _spec_finalizers(old: JSON) -> bool:
    """A namespace's own finalizers, which its controller takes off through the finalize subresource."""
    return old["kind"] == "Namespace" and old["apiVersion"] == "v1" and bool((old.get("spec") or {}).get("finalizers"))


def _check_preconditions(kind: Kind, old: JSON, options: DeleteOptions) -> None:
    meta: JSON = old["metadata"]
    if options.uid and options.uid != meta["uid"]:
        raise _precondition(
            kind, meta["name"],
            f"the UID in the precondition ({options.uid}) does not match the UID in record ({meta['uid']}). The object "
            "might have been deleted and then recreated",
        )  # fmt: skip
    if options.resource_version and options.resource_version != meta["resourceVersion"]:
        raise _precondition(
            kind, meta["name"],
            f"the ResourceVersion in the precondition ({options.resource_version}) does not match the ResourceVersion "
            f"in record ({meta['resourceVersion']}). The object might have been modified",
        )  # fmt: skip


def _precondition(kind: Kind, name: str, why: str) -> Conflict:
    """Unlike other conflicts this one names the kind, not the resource (rest.BeforeDelete)."""
    group, word = kind.resource.group, kind.resource.kind
    qualified = f"{word}.{group}" if group else word
    return Conflict(f'Operation cannot be fulfilled on {qualified} "{name}": {why}', group=group, kind=word, name=name)


def _gone(request: Request, old: JSON, entry: Entry) -> Answer:
    resource = request.kind.resource
    if (resource.group, resource.plural) in RETURNS_OBJECT:
        return Answer(200, entry.data)
    return success(200, request.kind, request.name, old["metadata"].get("uid") or "")


def _is_namespace(kind: Kind) -> bool:
    return kind.resource == NAMESPACES
