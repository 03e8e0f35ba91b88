"""Connecting to a subresource (exec, attach, portforward, proxy) is admitted first, as the operation CONNECT.

What admission is shown is the options object of the subresource, made of the request's query (rest.Connecter in
k8s.io/apiserver/pkg/endpoints/handlers/rest.go: ConnectResource). Whoever serves such a subresource awaits
``connecting.admitted`` once, after authorization and before anything is dialled.
"""

from __future__ import annotations

from collections.abc import Sequence

from multidict import MultiDict

from controlplane.apiserver.api import ApiServer
from controlplane.apiserver.identity import User
from controlplane.apiserver.request import Request, Target
from controlplane.apiserver.verbs import admit
from shared.api.errors import BadRequest
from shared.api.meta import JSON

_KINDS = {
    ("nodes", "proxy"): "NodeProxyOptions",
    ("pods", "attach"): "PodAttachOptions",
    ("pods", "exec"): "PodExecOptions",
    ("pods", "portforward"): "PodPortForwardOptions",
    ("pods", "proxy"): "PodProxyOptions",
    ("services", "proxy"): "ServiceProxyOptions",
}
"""The kind of the options, in core/v1, by resource and subresource."""

_FLAGS = ("stdin", "stdout", "stderr", "tty")

Query = Sequence[tuple[str, str]]
"""The parameters of a URL, in their order: some stand several times."""


async def admitted(
    api: ApiServer, user: User, target: Target, query: Query, path: str = "",
    warnings: list[str] | None = None, annotations: dict[str, str] | None = None,
) -> JSON:  # fmt: skip
    """The options to connect with, as admission leaves them.

    ``target`` names the object and its subresource; ``path`` is what follows a proxy's subresource. What admission
    warns of and tells the audit log is added to ``warnings`` and ``annotations``, also where it refuses. Raises
    BadRequest for options that cannot be read, what refuses admission, and KeyError for a subresource that nobody
    connects to.
    """
    options_kind = _KINDS[target.resource, target.subresource]
    kind = api.kind(target.group, target.version, target.resource)
    assert kind is not None
    sent = "", "v1", options_kind
    asked = Request(
        user, kind, target.namespace, target.name, target.subresource, sent=sent,
        warnings=[] if warnings is None else warnings, annotations={} if annotations is None else annotations,
    )  # fmt: skip
    return await admit.sent(api, asked, admit.CONNECT, options(options_kind, query, path))


def options(kind: str, query: Query, path: str = "") -> JSON:
    """The options object of ``kind``, without what is not set. Raises BadRequest."""
    found: JSON = {"kind": kind, "apiVersion": "v1"}
    if kind.endswith("ProxyOptions"):
        return found | ({"path": f"/{path.lstrip('/')}"} if path else {})
    if kind == "PodPortForwardOptions":
        ports = [_port(port) for key, value in query if key == "ports" for port in value.split(",") if port]
        return found | ({"ports": ports} if ports else {})
    first = dict(reversed(query))
    found |= {flag: True for flag in _FLAGS if flag in first and first[flag].lower() not in ("0", "false")}
    if container := first.get("container"):
        found["container"] = container
    if kind == "PodExecOptions":
        found["command"] = [value for key, value in query if key == "command"] or None
    return found


def as_query(options: JSON) -> MultiDict[str]:
    """The query that says the same as ``options``, for whoever reads queries."""
    found: MultiDict[str] = MultiDict()
    for key, value in options.items():
        for item in value if isinstance(value, list) else () if value is None else (value,):
            found.add(key, str(item).lower() if isinstance(item, bool) else str(item))
    return found


def _port(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise BadRequest(f'strconv.ParseInt: parsing "{text}": invalid syntax') from None
