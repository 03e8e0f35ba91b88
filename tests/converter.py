"""A conversion webhook over real HTTPS, and a definition whose versions it knows.

``v1alpha1`` says ``spec.hostPort``, ``v1`` has ``spec.host`` and ``spec.port`` and is stored.
"""

from __future__ import annotations

import asyncio
import base64
import copy
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer

from shared import pki

GROUP = "pets.example.com"


class Converter:
    """Answers questions with ``answer``, which a test may replace; ``asked`` are the requests so far."""

    def __init__(self, folder: Path) -> None:
        authority = pki.create_ca()
        made = pki.server_certificate(authority, ["127.0.0.1"])
        self.bundle = base64.b64encode(authority.pem).decode()
        pair = folder / "converter.pem"
        pair.write_bytes(made.certificate + made.key)
        self._context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._context.load_cert_chain(pair)
        app = web.Application()
        app.router.add_post("/convert", self._convert)
        self._server = TestServer(app, scheme="https")
        self.asked: list[dict[str, Any]] = []
        self.answer: Callable[[dict[str, Any]], Any] = self.convert
        self.open = asyncio.Event()
        """Answers wait for it."""
        self.open.set()

    async def start(self) -> None:
        await self._server.start_server(ssl=self._context)

    async def close(self) -> None:
        await self._server.close()

    async def _convert(self, request: web.Request) -> web.Response:
        review = await request.json()
        self.asked.append(review["request"])
        await self.open.wait()
        return web.json_response(self.answer(review))

    def convert(self, review: dict[str, Any]) -> dict[str, Any]:
        """The review with the right answer."""
        asked = review["request"]
        wanted = asked["desiredAPIVersion"]
        made = [converted(obj, wanted) for obj in asked["objects"]]
        return {
            **review, "response": {"uid": asked["uid"], "result": {"status": "Success"}, "convertedObjects": made},
        }  # fmt: skip

    def definition(self, **conversion: Any) -> Any:
        """A CustomResourceDefinition of Addresses with this webhook."""
        client = {"url": f"https://127.0.0.1:{self._server.port}/convert", "caBundle": self.bundle}
        text = {"type": "string"}
        webhook = {"conversionReviewVersions": ["v1"], "clientConfig": client} | conversion
        return {
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {"name": f"addresses.{GROUP}"},
            "spec": {
                "group": GROUP, "scope": "Namespaced",
                "names": {"plural": "addresses", "singular": "address", "kind": "Address"},
                "conversion": {"strategy": "Webhook", "webhook": webhook},
                "versions": [
                    _version("v1", {"host": text, "port": text | {"default": "80"}}, storage=True, field="host"),
                    _version("v1alpha1", {"hostPort": text}, storage=False, field="hostPort"),
                ],
            },
        }  # fmt: skip


def _version(name: str, properties: dict[str, Any], *, storage: bool, field: str) -> dict[str, Any]:
    schema = {"type": "object", "properties": {"spec": {"type": "object", "properties": properties}}}
    return {
        "name": name, "served": True, "storage": storage, "schema": {"openAPIV3Schema": schema},
        "selectableFields": [{"jsonPath": f".spec.{field}"}],
    }  # fmt: skip


def converted(obj: Any, wanted: str) -> Any:
    made = copy.deepcopy(obj)
    made["apiVersion"] = wanted
    spec = made.setdefault("spec", {})
    if wanted.endswith("/v1"):
        spec["host"], _, spec["port"] = spec.pop("hostPort", ":").partition(":")
    else:
        spec["hostPort"] = f"{spec.pop('host', '')}:{spec.pop('port', '')}"
    made["metadata"].setdefault("labels", {})["spoken"] = wanted.rpartition("/")[2]
    return made
