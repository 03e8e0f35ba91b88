"""How somebody tried to log in who was not let in, for the audit log. Pure; no credential is repeated.

Source: k8s.io/apiserver/pkg/endpoints/filters/authn_audit.go (getAuthMethods).
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping


def message(authorization: str, query: Mapping[str, str], *, certificate: bool) -> str:
    """The message of a failed login's event. ``certificate`` is whether the client has shown one."""
    methods = list(_methods(authorization, query, certificate=certificate))
    if not methods:
        return "Authentication failed, no credentials provided"
    return f"Authentication failed, attempted: {', '.join(methods)}"


def _methods(authorization: str, query: Mapping[str, str], *, certificate: bool) -> Iterator[str]:
    scheme, blank, value = authorization.partition(" ")
    if scheme.lower() == "basic" and _is_password(value):
        yield "basic"
    scheme, blank, _ = authorization.strip().partition(" ")
    if blank and scheme.lower() == "bearer":
        yield "bearer"
    if query.get("access_token", "").strip():
        yield "access_token"
    if certificate:
        yield "x509"


def _is_password(value: str) -> bool:
    try:
        return b":" in base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        return False
