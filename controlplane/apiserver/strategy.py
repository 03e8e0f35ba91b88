"""What happens to an object between the client's text and the store: the steps that every kind shares.

Owns the order of a write (decode, schema, nulls, system fields, defaults, admission, validation) and the rules of
system metadata, after k8s.io/apiserver/pkg/registry/rest (create.go, update.go). Trees given to ``prepare_*`` are
the caller's own and are changed. No I/O but reading the watch cache.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from controlplane.apiserver import admission, ownership
from controlplane.apiserver.api import ApiServer
from controlplane.apiserver.identity import Attributes
from controlplane.apiserver.kinds import causes
from controlplane.apiserver.kinds.base import Kind
from controlplane.apiserver.kinds.metadata import validate_metadata
from controlplane.apiserver.kinds.podspec.resize import resized
from controlplane.apiserver.mirror_pods import restrict_mirror_pod
from controlplane.apiserver.node_authz import restrict_node
from controlplane.apiserver.request import Request
from controlplane.apiserver.schema import check, prune_nulls
from shared.api.errors import BadRequest, Cause, Conflict, Forbidden, InternalError
from shared.api.kinds import LEASES, NAMESPACES, NODE_LEASE_NAMESPACE, PODS
from shared.api.meta import JSON

MAX_GENERATED = 63 - 5
"""Longest prefix that generateName keeps (k8s.io/apiserver/pkg/storage/names)."""

_SYSTEM_FIELDS = ("selfLink", "managedFields", "resourceVersion")
"""Never taken from a client as they are; ``ownership`` has the say about managedFields."""

_NOT_ON_CREATE = frozenset(
    (*_SYSTEM_FIELDS, "uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "generation")
)


class Undecodable(BadRequest):
    """A body that is no object of its kind; ``detail`` is what a patch that made it so is refused with."""

    def __init__(self, message: str, detail: str = "") -> None:
        super().__init__(message)
        self.detail = detail or message


def check_kind(kind: Kind, tree: Any) -> JSON:
    """Whether a body is an object of this kind, its kind and apiVersion filled in. Raises BadRequest."""
    resource = kind.resource
    if not isinstance(tree, dict):
        raise BadRequest(
            f"couldn't get version/kind; json parse error: a {resource.kind} must be an object, not {_json_type(tree)}"
        )
    api_version, name = tree.setdefault("apiVersion", resource.api_version), tree.setdefault("kind", resource.kind)
    if name != resource.kind:
        version = str(api_version).rpartition("/")[2]
        raise BadRequest(f'{name} in version "{version}" cannot be handled as a {resource.kind}')
    if api_version != resource.api_version:
        raise BadRequest(
            f"the API version in the data ({api_version}) does not match the expected API version "
            f"({resource.api_version})"
        )
    return tree


def check_name(given: str | None, name: str) -> None:
    """Whether an object has the name that the URL says. Raises BadRequest."""
    if given != name:
        raise BadRequest(f"the name of the object ({given}) does not match the name on the URL ({name})")


def check_schema(request: Request, tree: JSON, old: JSON | None = None) -> None:
    """Field types (400), unknown fields (400 or warnings), then explicit nulls are taken out.

    Unknown fields that ``old`` has already are nothing new to say. Raises Undecodable.
    """
    kind = request.kind
    result = check(kind, tree)
    words = f'{kind.resource.kind} in version "{kind.resource.version}" cannot be handled as a {kind.resource.kind}: '
    if result.type_errors:
        raise Undecodable(words + result.type_errors[0])
    unknown = result.unknown_fields
    if unknown and request.options.field_validation != "Ignore":
        if old is not None:
            known = set(check(kind, old).unknown_fields)
            unknown = [path for path in unknown if path not in known]
        texts = [f'unknown field "{path}"' for path in unknown]
        if texts and request.options.field_validation == "Strict":
            detail = f"strict decoding error: {', '.join(texts)}"
            raise Undecodable(words + detail, detail)
        request.warnings.extend(texts)
    if result.has_nulls:
        prune_nulls(tree, kind)


def draft_create(api: ApiServer, request: Request, tree: Any, owners: ownership.Owners | None = None) -> JSON:
    """The object that a POST asks for, with all that the server itself puts in, not validated yet. ``owners`` of its
    fields, where not whoever makes the request owns all.

    Raises BadRequest, Forbidden, NotFound (its namespace).
    """
    kind = request.kind
    obj = check_kind(kind, tree)
    check_schema(request, obj)
    given: JSON = obj.get("metadata") or {}
    if given.get("resourceVersion"):
        raise BadRequest("resourceVersion should not be set on objects to be created")
    namespace = given.get("namespace") or ""
    if namespace != request.namespace and (namespace or not kind.resource.namespaced):
        raise BadRequest("the namespace of the provided object does not match the namespace sent on the request")
    name = given.get("name") or ""
    if not name and given.get("generateName"):
        name = given["generateName"][:MAX_GENERATED] + api.new_suffix()
    meta: JSON = {}
    if name:
        meta["name"] = name
    if kind.resource.namespaced:
        meta["namespace"] = request.namespace
    meta["uid"] = api.new_uid()
    if kind.has_generation:
        meta["generation"] = 1
    meta["creationTimestamp"] = now = api.now()
    for key, value in given.items():
        if key not in meta and key not in _NOT_ON_CREATE and value != [] and value != {}:
            meta[key] = value
    obj["metadata"] = meta
    if kind.has_status:
        if not kind.keeps_status_on_create:
            obj.pop("status", None)
        kind.default(obj)
        if kind.custom is None:
            obj.setdefault("status", {})
    else:
        kind.default(obj)
    if owners is None:
        owners = ownership.of_created(request, obj, now)
    if kind.resource.namespaced:
        check_namespace(api, kind, request.namespace, name)
    _restrict(api, request, "create", obj, None)
    admission.admit_create(context_of(api, request), kind, obj)
    ownership.put(obj["metadata"], owners)
    return obj


def context_of(api: ApiServer, request: Request) -> admission.Context:
    """What the server's own admission may know of a request."""
    return admission.Context(
        request.user, api.toleration_seconds, api.objects, request.warnings.append, request.annotations.__setitem__
    )


def check_create(request: Request, obj: JSON) -> None:
    """Whether a new object may be stored; gathers warnings. Raises Invalid."""
    kind = request.kind
    wrong = [*validate_metadata(kind, obj, None), *kind.validate(obj, None)]
    if wrong:
        raise _refuse(kind, obj["metadata"].get("name") or "", wrong)
    request.warnings.extend((*kind.warnings(obj), *_inert(kind)))


def draft_update(
    api: ApiServer, request: Request, old: JSON, tree: Any, owners: ownership.Owners | None = None
) -> JSON:
    """What a PUT or PATCH makes of ``old``, which is left alone, not validated yet; ``old`` itself if nothing changes.

    ``owners`` of its fields where an apply has worked them out. Raises BadRequest, Conflict (uid), Forbidden. The
    caller compares resourceVersions.
    """
    kind = request.kind
    given = check_kind(kind, tree)
    check_schema(request, given, old)
    meta: JSON = given.get("metadata") or {}
    was: JSON = old["metadata"]
    check_name(meta.setdefault("name", was["name"]), was["name"])
    if kind.resource.namespaced and (meta.get("namespace") or request.namespace) != request.namespace:
        raise BadRequest("the namespace of the provided object does not match the namespace on the request")
    if meta.get("uid") and meta["uid"] != was["uid"]:
        raise conflict(
            kind,
            was["name"],
            f"Precondition failed: UID in precondition: {meta['uid']}, UID in object meta: {was['uid']}",
        )
    given["metadata"] = meta
    obj = _merged(request, old, given)
    obj["metadata"] = _updated_metadata(meta if obj is given else obj["metadata"], was)
    kind.default(obj)
    admission.admit_update(context_of(api, request), kind, obj, old)
    _count_generation(request, obj, old)  # what admission has put back is no change
    unchanged = same(obj, old)
    if owners is None:
        owners = ownership.of_updated(request, old, obj, meta, api.now(), changed=not unchanged)
    if unchanged and owners == was.get("managedFields", []):
        return old
    ownership.put(obj["metadata"], owners)
    _restrict(api, request, "update", obj, old)
    return obj


def check_update(request: Request, obj: JSON, old: JSON) -> None:
    """Whether a changed object may be stored; gathers warnings. Raises Invalid."""
    kind = request.kind
    validate = _validation(kind, request.subresource)
    wrong = [*validate_metadata(kind, obj, old), *validate(obj, old)]
    if wrong:
        raise _refuse(kind, old["metadata"]["name"], wrong)
    if request.subresource in ("", "ephemeralcontainers"):
        known = () if kind.known_warnings else tuple(kind.warnings(old))
        request.warnings.extend((*(text for text in kind.warnings(obj) if text not in known), *_inert(kind)))


def _validation(kind: Kind, subresource: str) -> Callable[[JSON, JSON | None], Iterable[Cause]]:
    if subresource in ("status", "approval"):
        return kind.validate_status
    own = next((sub.validate for sub in kind.subresources if sub.name == subresource), None)
    return own or kind.validate


_SERVERS_OWN = (
    "name", "generateName", "namespace", "uid", "creationTimestamp", "generation", "deletionTimestamp",
    "deletionGracePeriodSeconds", "managedFields",
)  # fmt: skip


def readmitted(request: Request, drafted: JSON, mutated: JSON, old: JSON | None) -> JSON:
    """What admission outside the server has made of a draft, with what is not its to change put back.

    Raises InternalError when it is no object of its kind any longer.
    """
    kind = request.kind
    found = check(kind, mutated)
    if found.type_errors:
        raise InternalError(f"Internal error occurred: admission made an object that is none: {found.type_errors[0]}")
    if found.has_nulls:
        prune_nulls(mutated, kind)
    if old is not None:
        mutated = _merged(request, old, mutated)  # of a subresource only what is written through it
    was: JSON = drafted["metadata"]
    meta = {key: was[key] for key in _SERVERS_OWN if key in was}
    given: JSON = mutated.get("metadata") or {}
    meta |= {key: value for key, value in given.items() if key not in _SERVERS_OWN and value not in ([], {})}
    if "managedFields" in meta:
        ownership.put(meta, meta["managedFields"])
    obj = {**mutated, "kind": drafted["kind"], "apiVersion": drafted["apiVersion"], "metadata": meta}
    if kind.has_status and request.subresource != "status" and "status" in drafted:
        obj["status"] = drafted["status"]
    kind.default(obj)
    if old is not None:
        _count_generation(request, obj, old)
    return obj


def _restrict(api: ApiServer, request: Request, verb: str, obj: JSON, old: JSON | None) -> None:
    """What an agent may write to a Node (the NodeRestriction admission plugin), and what other parts have a say in."""
    resource = request.kind.resource
    for restriction in api.restrictions:
        restriction(request.user, resource.group, resource.plural, obj, old)
    if old is None and resource == PODS and not request.subresource:
        restrict_mirror_pod(request.user, obj)
    if (resource.group, resource.plural) == ("", "nodes"):
        attributes = Attributes(
            verb, "", "", resource.version, "nodes", request.subresource, name=obj["metadata"].get("name") or ""
        )
        restrict_node(request.user, attributes, obj, old)


def same(new: JSON, old: JSON) -> bool:
    """Whether the two say the same, whatever their revisions, the owners and the order of their fields."""
    if len(new) != len(old):
        return False
    for key, value in new.items():
        if key == "metadata":
            before = dict(old["metadata"])
            before.pop("resourceVersion", None)
            before.pop("managedFields", None)
            if value != before:
                return False
        elif key not in old or value != old[key]:
            return False
    return True


def _merged(request: Request, old: JSON, given: JSON) -> JSON:
    """What the request may change, on top of what it may not."""
    kind, subresource = request.kind, request.subresource
    if not subresource or subresource == "scale":
        if kind.has_status:
            given.pop("status", None)
            if "status" in old:
                given["status"] = old["status"]
        return given
    obj = {**old}
    if subresource == "finalize":
        obj["spec"] = {**(old.get("spec") or {}), "finalizers": (given.get("spec") or {}).get("finalizers") or []}
    elif subresource == "ephemeralcontainers":
        obj["spec"] = {key: value for key, value in (old.get("spec") or {}).items() if key != "ephemeralContainers"}
        if added := (given.get("spec") or {}).get("ephemeralContainers"):
            obj["spec"]["ephemeralContainers"] = added
    elif subresource == "resize":
        obj["spec"] = resized(old.get("spec") or {}, given.get("spec") or {})
    elif subresource == "approval":
        status = {**(old.get("status") or {})}
        status["conditions"] = (given.get("status") or {}).get("conditions") or []
        obj["status"] = status
    elif kind.custom is None or "status" in given:
        obj["status"] = given.get("status") or {}
    else:
        obj.pop("status", None)
    if subresource == "status" and kind.status_metadata:
        meta = {key: value for key, value in old["metadata"].items() if key not in kind.status_metadata}
        meta |= {key: given["metadata"][key] for key in kind.status_metadata if key in given["metadata"]}
        obj["metadata"] = meta
    return obj


def _updated_metadata(meta: JSON, was: JSON) -> JSON:
    """What a client may not change comes from what is stored; a stable order keeps equal objects equal in bytes."""
    out: JSON = {}
    for key in ("name", "generateName", "namespace", "uid", "generation", "creationTimestamp", "deletionTimestamp"):
        if key in was:
            out[key] = was[key]
    if "deletionTimestamp" in was and "deletionGracePeriodSeconds" in was:
        out["deletionGracePeriodSeconds"] = meta.get("deletionGracePeriodSeconds", was["deletionGracePeriodSeconds"])
    for key, value in meta.items():
        if key in out or key in _NOT_ON_CREATE or (key == "generateName" and key not in was):
            continue
        if value != [] and value != {}:  # as Go's omitempty: an emptied list of finalizers is no list
            out[key] = value
    return out


def _inert(kind: Kind) -> Iterable[str]:
    if kind.inert:
        yield f"{kind.resource.kind} objects are stored, but nothing acts on them yet"


def _count_generation(request: Request, obj: JSON, old: JSON) -> None:
    kind, meta, was = request.kind, obj["metadata"], old["metadata"]
    changed = kind.spec_changed(obj, old)
    if not request.subresource:
        changed = changed or any(meta.get(field) != was.get(field) for field in kind.generation_metadata)
    if kind.has_generation and changed:
        meta["generation"] = (was.get("generation") or 0) + 1


def check_namespace(api: ApiServer, kind: Kind, namespace: str, name: str) -> None:
    """The namespace must be there and not be ending, as the NamespaceLifecycle admission plugin demands."""
    cache = api.cache.find(NAMESPACES.group, NAMESPACES.plural)
    if cache is None:
        return
    entry = api.entry(cache.kind, "", namespace)
    if entry.object.metadata.deletion_timestamp is not None or entry.object.status.phase == "Terminating":
        resource = kind.resource
        raise Forbidden(
            f'{resource.group_resource} "{name}" is forbidden: unable to create new content in namespace {namespace} '
            "because it is being terminated",
            group=resource.group, kind=resource.plural, name=name,
            causes=[Cause("NamespaceTerminating", f"namespace {namespace} is being terminated", "metadata.namespace")],
        )  # fmt: skip


def check_unattached(kind: Kind, namespace: str, name: str) -> None:
    """Node Leases live by heartbeats: an ordinary write would detach one from its store lease, and the death of its
    node would go unnoticed. Raises Forbidden."""
    if kind.resource == LEASES and namespace == NODE_LEASE_NAMESPACE:
        raise Forbidden(
            f'leases.coordination.k8s.io "{name}" is forbidden: only heartbeats write the Lease of a node',
            group=LEASES.group, kind=LEASES.plural, name=name,
        )  # fmt: skip


def is_finished(obj: JSON) -> bool:
    """Whether an update takes the last hold off an object that is being deleted, so that it goes now."""
    meta: JSON = obj["metadata"]
    if not meta.get("deletionTimestamp") or meta.get("finalizers") or meta.get("deletionGracePeriodSeconds"):
        return False
    return not (obj["kind"] == "Namespace" and obj["apiVersion"] == "v1" and (obj.get("spec") or {}).get("finalizers"))


def conflict(kind: Kind, name: str, why: str = "") -> Conflict:
    """409 with Kubernetes' words; without ``why`` the object has changed."""
    resource = kind.resource
    why = why or "the object has been modified; please apply your changes to the latest version and try again"
    return Conflict(
        f'Operation cannot be fulfilled on {resource.group_resource} "{name}": {why}',
        group=resource.group, kind=resource.plural, name=name,
    )  # fmt: skip


def _refuse(kind: Kind, name: str, wrong: list[Cause]) -> Exception:
    return causes.refusal(kind.resource.group, kind.resource.kind, name, wrong)


def _json_type(value: Any) -> str:
    return {list: "an array", str: "a string", bool: "a boolean", type(None): "null"}.get(type(value), "a number")
