"""pods/binding: a pod gets its node, once.

After pkg/registry/core/pod/storage (BindingREST.assignPod). Many bindings at a time are submitted together: the
store's group commit gives them one fsync, and each its own revision, so that a watch can be resumed between them
and one refusal does not touch the others.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from controlplane.apiserver.api import ApiServer
from controlplane.apiserver.kinds.base import Kind
from controlplane.apiserver.request import Request
from controlplane.apiserver.resource_cache import Entry
from controlplane.apiserver.verbs import admit
from controlplane.apiserver.verbs.answer import Answer, success
from controlplane.apiserver.verbs.write import UPDATE_TRIES, modify
from shared.api.errors import BadRequest, Cause, Conflict, Invalid, StatusError
from shared.api.meta import JSON
from shared.client.base import Binding

GVK = ("", "v1", "Binding")


async def bind(api: ApiServer, request: Request, tree: Any) -> Answer:
    """POST a Binding to the pod ``request.name``. Raises BadRequest, Conflict, Invalid, NotFound."""
    meta, target = _read(request, tree)
    asked = replace(request, sent=GVK)
    if admit.is_asked(api, asked, admit.CREATE):
        body = {**tree, "kind": GVK[2], "apiVersion": "v1", "metadata": {**meta, "namespace": request.namespace}}
        tree = await admit.sent(api, asked, admit.CREATE, body)
        meta, target = _read(request, tree)
    await _assign(api, request, str(target["name"]), str(meta.get("uid") or ""), meta.get("annotations") or {})
    return success(201)


def _read(request: Request, tree: Any) -> tuple[JSON, JSON]:
    """Metadata and target of a Binding. Raises BadRequest, Invalid."""
    if not isinstance(tree, dict) or tree.get("kind", "Binding") != "Binding":
        raise BadRequest("the body must be a Binding")
    meta, target = tree.get("metadata") or {}, tree.get("target") or {}
    if not isinstance(meta, dict) or not isinstance(target, dict):
        raise BadRequest("the Binding's metadata and target must be objects")
    if meta.get("name", request.name) != request.name:
        raise BadRequest(f"name in URL does not match name in Binding object: {request.name}, {meta['name']}")
    if target.get("kind") not in (None, "", "Node"):
        raise _invalid(request.name, "target.kind", "FieldValueNotSupported",
                       f'Unsupported value: "{target["kind"]}": supported values: "Node", ""')  # fmt: skip
    if not target.get("name"):
        raise _invalid(request.name, "target.name", "FieldValueRequired", "Required value")
    return meta, target


async def bind_many(api: ApiServer, request: Request, bindings: Sequence[Binding]) -> list[StatusError | None]:
    """Bind many pods side by side; an outcome for each, in order. ``request`` gives the user and the kind."""

    async def one(binding: Binding) -> StatusError | None:
        try:
            asked = Request(request.user, request.kind, binding.namespace, binding.name, "binding")
            if admit.is_asked(api, asked, admit.CREATE):
                meta = {"name": binding.name, "uid": binding.uid}
                await bind(api, asked, {"metadata": meta, "target": {"kind": "Node", "name": binding.node}})
            else:
                await _assign(api, asked, binding.node, binding.uid, {})
        except StatusError as error:
            return error
        return None

    return list(await asyncio.gather(*(one(binding) for binding in bindings)))


async def _assign(api: ApiServer, request: Request, node: str, uid: str, annotations: JSON) -> None:
    kind, name = request.kind, request.name

    def change(old: JSON, entry: Entry) -> JSON:
        meta, spec = old["metadata"], old.get("spec") or {}
        if uid and uid != meta["uid"]:
            raise _conflict(
                kind, name,
                f"Precondition failed: UID in precondition: {uid}, UID in object meta: {meta['uid']}",
            )  # fmt: skip
        if meta.get("deletionTimestamp"):
            raise _conflict(kind, name, f"pod {name} is being deleted, cannot be assigned to a host")
        if spec.get("nodeName"):
            raise _conflict(kind, name, f'pod {name} is already assigned to node "{spec["nodeName"]}"')
        if spec.get("schedulingGates"):
            raise _conflict(kind, name, f"pod {name} has non-empty .spec.schedulingGates")
        status = old.get("status") or {}
        others = [c for c in status.get("conditions") or [] if c.get("type") != "PodScheduled"]
        scheduled = {"type": "PodScheduled", "status": "True", "lastTransitionTime": api.now()}
        new = {
            **old,
            "spec": {**spec, "nodeName": node},
            "status": {**status, "conditions": [*others, scheduled]},
        }
        if annotations:
            new["metadata"] = {**meta, "annotations": {**(meta.get("annotations") or {}), **annotations}}
        return new

    await modify(api, request, change, tries=UPDATE_TRIES, admits=None)


def _conflict(kind: Kind, name: str, why: str) -> Conflict:
    return Conflict(
        f'Operation cannot be fulfilled on {kind.resource.plural}/binding "{name}": {why}',
        kind=f"{kind.resource.plural}/binding", name=name,
    )  # fmt: skip


def _invalid(name: str, field: str, reason: str, message: str) -> Invalid:
    return Invalid(
        f'Binding "{name}" is invalid: {field}: {message}',
        kind="Binding", name=name, causes=[Cause(reason, message, field)],
    )  # fmt: skip
