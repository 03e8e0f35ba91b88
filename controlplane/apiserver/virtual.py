"""Kinds that are only asked: what is common to all reviews. Nothing is stored."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from aiohttp import web

from controlplane.apiserver import bodies, schema
from controlplane.apiserver.connections import read_body
from controlplane.apiserver.guard import CALL
from controlplane.apiserver.identity import User
from controlplane.apiserver.negotiation import body_type
from shared import codec
from shared.api.errors import BadRequest
from shared.api.meta import JSON

Answer = Callable[[User, str, JSON], JSON]
"""``(who asks, namespace, spec)`` to the status. Raises StatusErrors."""


def review_handler(group: str, kind: str, answer: Answer) -> Callable[[web.Request], Any]:
    async def handle(request: web.Request) -> web.Response:
        call = CALL.get()
        content_type = body_type(request.headers.get("Content-Type", ""))
        tree = bodies.decode(await read_body(request), content_type, "Ignore", [])
        if not isinstance(tree, dict):
            raise BadRequest(f"the body must be a {kind}")
        named = (tree.setdefault("apiVersion", f"{group}/v1"), tree.setdefault("kind", kind))
        if named != (f"{group}/v1", kind):
            raise BadRequest(f"the body must be a {kind} of {group}/v1")
        if wrong := schema.check_gvk((group, "v1", kind), tree).type_errors:
            raise BadRequest(wrong[0])
        status = answer(call.user, call.target.namespace, tree.get("spec") or {})
        meta = {key: value for key, value in (tree.get("metadata") or {}).items() if value is not None}
        body = {"kind": kind, "apiVersion": f"{group}/v1", "metadata": meta}
        if "spec" in tree:
            body["spec"] = tree["spec"]
        return web.Response(status=201, body=codec.encode(body | {"status": status}), content_type="application/json")

    return handle
