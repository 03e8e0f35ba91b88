"""The scale subresource: an autoscaling/v1 Scale read from, and written to, the paths that the kind names."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from controlplane.apiserver import strategy
from controlplane.apiserver.api import ApiServer
from controlplane.apiserver.kinds.base import Column, ScalePaths
from controlplane.apiserver.kinds.cells import age_column, at
from controlplane.apiserver.patching import apply_patch
from controlplane.apiserver.request import Request
from controlplane.apiserver.resource_cache import Entry
from controlplane.apiserver.verbs import admit
from controlplane.apiserver.verbs.answer import Answer
from controlplane.apiserver.verbs.patch import TRIES
from controlplane.apiserver.verbs.write import UPDATE_TRIES, modify
from shared import codec
from shared.api import selectors
from shared.api.errors import BadRequest, Cause, Invalid
from shared.api.meta import JSON
from shared.client.base import PatchType

GVK = ("autoscaling", "v1", "Scale")
_NULL_PATHS = ScalePaths()

_COLUMNS = (
    Column("Name", "string", "Name of the object, unique within its namespace.", lambda obj: obj["metadata"]["name"]),
    Column(
        "Desired",
        "integer",
        "How many replicas are asked for.",
        lambda obj: at(obj, "spec", "replicas", default=0),
    ),
    Column(
        "Available",
        "integer",
        "How many replicas there are.",
        lambda obj: at(obj, "status", "replicas", default=0),
    ),
    age_column(),
)
"""As kubectl prints a Scale (pkg/printers/internalversion, scaleColumnDefinitions)."""


async def get(api: ApiServer, request: Request) -> Answer:
    """The Scale of an object. Raises NotFound."""
    entry = await api.shown(request.kind, request.namespace, request.name)
    return _answer(_scale_of(request, entry.tree()))


async def update(api: ApiServer, request: Request, tree: Any) -> Answer:
    """PUT a Scale. Raises BadRequest, Conflict, Invalid, NotFound."""

    def change(old: JSON, entry: Entry) -> JSON:
        return _apply(api, request, old, tree)

    return await _modified(api, request, change, UPDATE_TRIES)


async def patch(api: ApiServer, request: Request, content_type: str, body: Any) -> Answer:
    """PATCH the Scale. Raises BadRequest, Conflict, Invalid, NotFound, UnsupportedMediaType."""
    if content_type == PatchType.STRATEGIC:
        content_type = PatchType.MERGE  # a Scale has no lists to merge by key

    def change(old: JSON, entry: Entry) -> JSON:
        return _apply(api, request, old, apply_patch(content_type, request.kind, _scale_of(request, old), body))

    return await _modified(api, request, change, TRIES)


async def _modified(api: ApiServer, request: Request, change: Any, tries: int) -> Answer:
    answer = await modify(api, request, change, tries=tries, admits=_admitted)
    return _answer(_scale_of(request, answer.tree()))


async def _admitted(api: ApiServer, request: Request, draft: JSON, old: JSON) -> JSON:
    """The object to store, for a Scale that admission from outside is shown, with the one that it replaces."""
    shown, obj = _scale_of(request, draft), draft

    def check(scale: JSON) -> None:
        nonlocal obj
        if scale is not shown:
            obj = _apply(api, request, old, scale)
        strategy.check_update(request, obj, old)

    await admit.sent(api, replace(request, sent=GVK), admit.UPDATE, shown, _scale_of(request, old), check)
    return obj


def _answer(scale: JSON) -> Answer:
    return Answer(200, codec.encode(scale), columns=_COLUMNS)


def _apply(api: ApiServer, request: Request, old: JSON, scale: Any) -> JSON:
    """The object with the Scale's number of replicas."""
    if not isinstance(scale, dict):
        raise BadRequest("the Scale must be an object")
    if scale.get("kind", "Scale") != "Scale":
        raise BadRequest(f'{scale["kind"]} in version "{scale.get("apiVersion")}" cannot be handled as a Scale')
    meta, spec = scale.get("metadata") or {}, scale.get("spec") or {}
    if not isinstance(meta, dict) or not isinstance(spec, dict):
        raise BadRequest("the Scale's metadata and spec must be objects")
    strategy.check_name(meta.get("name", request.name), request.name)
    if meta.get("uid") and meta["uid"] != old["metadata"]["uid"]:
        raise strategy.conflict(request.kind, request.name)
    if meta.get("resourceVersion") and meta["resourceVersion"] != old["metadata"]["resourceVersion"]:
        raise strategy.conflict(request.kind, request.name)
    replicas = spec.get("replicas") or 0
    if not isinstance(replicas, int) or isinstance(replicas, bool):
        raise BadRequest(
            'Scale in version "v1" cannot be handled as a Scale: json: cannot unmarshal '
            f"{type(replicas).__name__} into Go struct field ScaleSpec.spec.replicas of type int32"
        )
    if replicas < 0:
        message = f"Invalid value: {replicas}: must be greater than or equal to 0"
        raise Invalid(
            f'Scale.autoscaling "{request.name}" is invalid: spec.replicas: {message}',
            group="autoscaling", kind="Scale", name=request.name,
            causes=[Cause("FieldValueInvalid", message, "spec.replicas")],
        )  # fmt: skip
    new: JSON = codec.copy(old)
    _put(new, (request.kind.scale or _NULL_PATHS).spec_replicas, replicas)
    return strategy.draft_update(api, request, old, new)


def _scale_of(request: Request, tree: JSON) -> JSON:
    paths = request.kind.scale or _NULL_PATHS
    was = tree["metadata"]
    meta = {key: was[key] for key in ("name", "namespace", "uid", "resourceVersion", "creationTimestamp") if key in was}
    replicas = at(tree, *paths.spec_replicas.split(".")) or 0
    status: JSON = {"replicas": at(tree, *paths.status_replicas.split(".")) or 0}
    if paths.selector and (selector := at(tree, *paths.selector.split("."))) is not None:
        text = (
            selector
            if isinstance(selector, str)
            else str(
                selectors.from_label_selector(selector)
                if "matchLabels" in selector or "matchExpressions" in selector
                else selectors.from_set(selector)
            )
        )
        if text:
            status["selector"] = text
    return {
        "kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": meta,
        "spec": {"replicas": replicas} if replicas else {}, "status": status,
    }  # fmt: skip


def _put(tree: JSON, path: str, value: Any) -> None:
    *parents, last = path.split(".")
    for part in parents:
        tree = tree.setdefault(part, {})
    tree[last] = value
