"""OpenAPI of the subresources that are connections: their kind is the options that their query holds. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from controlplane.apiserver.kinds.base import Subresource
from shared.api.meta import JSON

_STREAMS = {"container": "string", "stdin": "boolean", "stdout": "boolean", "stderr": "boolean", "tty": "boolean"}

OPTIONS: Mapping[str, Mapping[str, str]] = {
    "PodAttachOptions": _STREAMS,
    "PodExecOptions": {"command": "string"} | _STREAMS,
    "PodPortForwardOptions": {"ports": "integer"},
    "NodeProxyOptions": {"path": "string"},
    "PodProxyOptions": {"path": "string"},
    "ServiceProxyOptions": {"path": "string"},
}
"""The query of each such kind (core/v1), by name and type."""

_METHODS = {"create": "post", "delete": "delete", "get": "get", "patch": "patch", "update": "put"}


def connect(sub: Subresource, gvk: JSON) -> JSON:
    """The operations of a connection: whatever the method, it answers with what the other end says."""
    parameters = [
        {"name": name, "in": "query", "schema": {"type": kind, "uniqueItems": True}}
        for name, kind in OPTIONS[sub.kind].items()
    ]
    operation: JSON = {
        "parameters": parameters,
        "responses": {"200": {"description": "OK", "content": {"*/*": {"schema": {"type": "string"}}}}},
        "x-kubernetes-action": "connect",
        "x-kubernetes-group-version-kind": gvk,
    }
    return {_METHODS[verb]: operation for verb in sub.verbs}
