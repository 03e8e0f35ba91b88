"""Webhooks for tests: a real HTTPS server with a path for each, and the configurations that name them."""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer

from controlplane.apiserver.local_client import LocalClient
from shared import pki
from shared.api.kinds import MUTATING_WEBHOOK_CONFIGURATIONS, VALIDATING_WEBHOOK_CONFIGURATIONS

Answer = Callable[[dict[str, Any]], dict[str, Any]]


class Hooks:
    """A server of webhooks: a path each, and what was asked."""

    def __init__(self, folder: Path) -> None:
        self.asked: list[dict[str, Any]] = []
        self.answers: dict[str, Answer] = {}
        authority = pki.create_ca()
        made = pki.server_certificate(authority, ["127.0.0.1", "hook.g.svc"])
        self.bundle = base64.b64encode(authority.pem).decode()
        files = folder / "tls.crt", folder / "tls.key"
        for path, data in zip(files, (made.certificate, made.key), strict=True):
            path.write_bytes(data)
        self._context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._context.load_cert_chain(*files)
        app = web.Application()
        app.router.add_post("/{path:.*}", self._answer)
        self.server = TestServer(app, scheme="https")

    async def start(self) -> None:
        await self.server.start_server(ssl=self._context)

    async def _answer(self, request: web.Request) -> web.Response:
        review = await request.json()
        self.asked.append(review["request"] | {"path": request.path})
        response = self.answers[request.path](review["request"])
        if "body" in response:
            return web.Response(text=response["body"], status=response.get("status", 200))
        await asyncio.sleep(response.pop("after", 0))
        return web.json_response({
            "kind": "AdmissionReview", "apiVersion": review["apiVersion"],
            "response": {"uid": review["request"]["uid"]} | response,
        })  # fmt: skip

    def hook(self, path: str, answer: Answer, **fields: Any) -> dict[str, Any]:
        self.answers[path] = answer
        name = path.strip("/").replace("/", "-")
        return {
            "name": f"{name}.example.com", "admissionReviewVersions": ["v1"], "sideEffects": "None",
            "clientConfig": {"url": f"https://127.0.0.1:{self.server.port}{path}", "caBundle": self.bundle},
            "rules": [{"operations": ["*"], "apiGroups": ["*"], "apiVersions": ["*"], "resources": ["configmaps",
                      "deployments"]}],
        } | fields  # fmt: skip


def allow(request: dict[str, Any]) -> dict[str, Any]:
    return {"allowed": True, "warnings": ["looked at"]}


def deny(request: dict[str, Any]) -> dict[str, Any]:
    return {"allowed": False, "status": {"code": 403, "message": "not here", "reason": "Forbidden"}}


def put(path: str, value: Any) -> Answer:
    def answer(request: dict[str, Any]) -> dict[str, Any]:
        patch = json.dumps([{"op": "add", "path": path, "value": value}]).encode()
        return {"allowed": True, "patchType": "JSONPatch", "patch": base64.b64encode(patch).decode()}

    return answer


async def validating(client: LocalClient, *webhooks: dict[str, Any]) -> None:
    await client.create(VALIDATING_WEBHOOK_CONFIGURATIONS, {"metadata": {"name": "v"}, "webhooks": list(webhooks)})


async def mutating(client: LocalClient, *webhooks: dict[str, Any], name: str = "m") -> None:
    await client.create(MUTATING_WEBHOOK_CONFIGURATIONS, {"metadata": {"name": name}, "webhooks": list(webhooks)})


def rules(*resources: str) -> list[dict[str, Any]]:
    return [{"operations": ["*"], "apiGroups": ["*"], "apiVersions": ["*"], "resources": list(resources)}]
