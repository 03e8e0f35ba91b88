"""Requests to a server process byte for byte, as no well-behaved client would send them."""

from __future__ import annotations

import json
import socket
import ssl
from dataclasses import dataclass
from http.client import HTTPResponse, HTTPSConnection
from typing import Any

from shared.client import kubeconfig
from tests.cluster import Cluster

PATIENCE = 60.0
"""Seconds until an answer counts as missing."""

CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"
DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"
PODS = "/api/v1/namespaces/default/pods"

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"


@dataclass(frozen=True)
class Reply:
    """What came back; ``tree`` is the body where that is JSON, else None."""

    code: int
    text: str
    tree: Any

    @property
    def message(self) -> str:
        return str(self.tree["message"])

    @property
    def fields(self) -> list[str]:
        """The field paths that a Status names."""
        return [cause.get("field", "") for cause in (self.tree.get("details") or {}).get("causes", [])]


class Line:
    """One connection to the server, as its administrator or with other ``access``; kept alive between requests."""

    def __init__(self, cluster: Cluster, context: ssl.SSLContext | None = None) -> None:
        host, _, port = cluster.address.rpartition(":")
        context = context or kubeconfig.load(cluster.kubeconfig).ssl_context()
        self._connection = HTTPSConnection(host, int(port), context=context, timeout=PATIENCE)

    def __enter__(self) -> Line:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def ask(self, method: str, path: str, body: Any = None, type: str = "application/json", **headers: str) -> Reply:
        """Send a request and read its answer; a body that is no text or bytes is sent as JSON."""
        if body is not None and not isinstance(body, str | bytes):
            body = json.dumps(body)
        if body is not None:
            headers["Content-Type"] = type
        self._connection.request(method, path, body, headers)
        return _reply(self._connection.getresponse())

    @property
    def socket(self) -> socket.socket:
        """The connection itself, for what is no whole request."""
        if self._connection.sock is None:
            self._connection.connect()
        return self._connection.sock

    def answer(self) -> Reply:
        """The answer to what was sent over ``socket``."""
        response = HTTPResponse(self.socket)
        response.begin()
        return _reply(response)


def _reply(response: HTTPResponse) -> Reply:
    text = response.read().decode()
    is_json = response.headers.get("Content-Type", "").startswith("application/json")
    return Reply(response.status, text, json.loads(text) if is_json and text else None)


def config_map(name: str, **more: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, **more}
