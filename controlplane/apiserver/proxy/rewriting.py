"""What changes in a request and its answer on their way through the proxy: headers, and where redirects lead. Pure.

Source: k8s.io/apimachinery/pkg/util/proxy (upgradeaware.go, transport.go) and Go's net/http/httputil.ReverseProxy.
Links inside of HTML pages are left as they are.
"""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from multidict import CIMultiDict, MultiMapping

_HOP_BY_HOP = frozenset(
    (
        "connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te", "trailer",
        "transfer-encoding", "upgrade",
    )
)  # fmt: skip
"""Of one connection only (RFC 9110, 7.6.1)."""

_OURS = frozenset(("authorization", "expect"))
"""What was meant for this server: its credentials are nobody else's."""

_OUR_PREFIXES = ("impersonate-", "x-remote-")
"""Who asks, and as whom. Behind an API server ``X-Remote-*`` is only what that one says."""

_CORS = frozenset(f"access-control-allow-{what}" for what in ("credentials", "headers", "methods", "origin"))
_TOKEN_PROTOCOL = "base64url.bearer.authorization.k8s.io."  # noqa: S105 - where browsers put a token
_WEBSOCKET = "sec-websocket-protocol"


def forwarded_headers(headers: MultiMapping[str], peer: str, uri: str = "") -> CIMultiDict[str]:
    """The headers that a backend is sent. ``peer`` is the client's address, ``uri`` what the client asked for."""
    sent: CIMultiDict[str] = CIMultiDict()
    dropped = _HOP_BY_HOP | _OURS | _named_in_connection(headers)
    for name, value in headers.items():
        lower = name.lower()
        if lower in dropped or lower.startswith(_OUR_PREFIXES):
            continue
        if lower == _WEBSOCKET:
            protocols = [each for part in value.split(",") if not (each := part.strip()).startswith(_TOKEN_PROTOCOL)]
            if not protocols:
                continue
            value = ", ".join(protocols)
        sent.add(name, value)
    if peer:
        sent["X-Forwarded-For"] = ", ".join([*headers.getall("X-Forwarded-For", []), peer])
    if uri:
        sent["X-Forwarded-Uri"] = uri
    return sent


def answered_headers(headers: MultiMapping[str]) -> CIMultiDict[str]:
    """The headers that a client is sent."""
    dropped = _HOP_BY_HOP | _named_in_connection(headers)
    return CIMultiDict((name, value) for name, value in headers.items() if name.lower() not in dropped)


def without_cors(headers: CIMultiDict[str]) -> None:
    """A pod must not decide who may read the API server's answers."""
    for name in _CORS:
        headers.popall(name, None)


def _named_in_connection(headers: MultiMapping[str]) -> frozenset[str]:
    return frozenset(
        name.strip().lower() for value in headers.getall("Connection", []) for name in value.split(",") if name.strip()
    )


def asks_for_websocket(headers: Mapping[str, str]) -> bool:
    """Whether a request wants to become a WebSocket."""
    connection = {each.strip().lower() for each in headers.get("Connection", "").split(",")}
    return "upgrade" in connection and headers.get("Upgrade", "").lower() == "websocket"


def clean_path(path: str) -> str:
    """The path to ask for, of a raw one: decoded and encoded again as Go does it, so that ``a%2Fb`` is ``a/b`` for the
    backend too, and without empty and dot segments."""
    cleaned = posixpath.normpath(f"/{unquote(path, errors='surrogateescape').lstrip('/')}")
    if path.endswith(("/", "%2F", "%2f")) and cleaned != "/":
        cleaned += "/"
    return quote(cleaned, safe="$&+,/:;=@", errors="surrogateescape")


def rewritten_location(location: str, *, prefix: str, host: str, request_host: str) -> str:
    """Where a redirect of a backend leads as its client sees it. ``prefix`` is the path of the proxy, ``host`` the
    backend's own, ``request_host`` what the client called it. Those to other hosts, and relative ones, stay."""
    try:
        url = urlsplit(location)
    except ValueError:
        return location
    if (url.netloc and url.netloc not in (host, request_host)) or not url.path.startswith("/"):
        return location
    scheme, netloc = (url.scheme, url.netloc) if url.netloc == request_host else ("", "")
    path = url.path
    if not path.startswith(prefix):
        path = posixpath.normpath(f"{prefix}/{path.lstrip('/')}") + ("/" if path.endswith("/") else "")
    return urlunsplit((scheme, netloc, path, url.query, url.fragment))
