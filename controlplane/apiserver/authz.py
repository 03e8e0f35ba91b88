"""Authorization: whether a user may do what is asked. Deny by default.

``Authorizer`` asks its authorities in order; the first that allows decides, and no authority can forbid what
another allows, as with Kubernetes' --authorization-mode list: static rules, nodes, RBAC. What is refused is
refused in Kubernetes' words (k8s.io/apiserver/pkg/endpoints/handlers/responsewriters/errors.go). Pure but for
reading the watch cache; no I/O, on the event loop.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from controlplane.apiserver.identity import Attributes, User
from shared.api.errors import Forbidden


class Refused(Forbidden):
    """Forbidden by the authorities; ``why`` is what they have to say about it."""

    why = ""


class Authority(Protocol):
    """One source of permissions."""

    def why(self, user: User, attributes: Attributes) -> str | None:
        """Why this authority permits it, "" when it needs no words; None is no opinion."""
        ...

    def refusal(self, user: User, attributes: Attributes) -> str:
        """What there is to say about its not permitting it; "" mostly."""
        ...


class Authorizer:
    """All authorities together; without any, everything is refused."""

    def __init__(self, *authorities: Authority) -> None:
        self._authorities: Sequence[Authority] = authorities

    def why(self, user: User, attributes: Attributes) -> str | None:
        """Why it is permitted; None when it is not."""
        for authority in self._authorities:
            if (reason := authority.why(user, attributes)) is not None:
                return reason
        return None

    def allowed(self, user: User, attributes: Attributes) -> bool:
        return self.why(user, attributes) is not None

    def refusal(self, user: User, attributes: Attributes) -> str:
        """Why it is not permitted, as far as there is anything to say (pkg/authorization/union)."""
        reasons = (authority.refusal(user, attributes) for authority in self._authorities)
        return "\n".join(reason for reason in reasons if reason)

    def authorize(self, user: User, attributes: Attributes) -> str:
        """Why it is permitted. Raises Forbidden."""
        if (reason := self.why(user, attributes)) is None:
            raise forbidden(user, attributes, self.refusal(user, attributes))
        return reason


_ISSUER = ("/.well-known/openid-configuration", "/openid/v1/jwks")
"""What Kubernetes' role system:service-account-issuer-discovery is for."""


class StaticRules:
    """What holds in every cluster, without objects: administrators, discovery, health, joining agents."""

    def why(self, user: User, attributes: Attributes) -> str | None:
        return "" if self.allows(user, attributes) else None

    def refusal(self, user: User, attributes: Attributes) -> str:
        return ""

    def allows(self, user: User, attributes: Attributes) -> bool:
        groups = user.groups
        if "system:masters" in groups:
            return True
        if not attributes.is_resource:
            return attributes.verb in ("get", "head") and (
                _public(attributes.path)
                or ("system:authenticated" in groups and _discovery(attributes.path))
                or ("system:serviceaccounts" in groups and attributes.path in _ISSUER)
            )
        return (
            "system:bootstrappers" in groups
            and attributes.group == "certificates.k8s.io"
            and attributes.resource == "certificatesigningrequests"
            and not attributes.subresource
            and (attributes.verb == "create" or (attributes.verb == "get" and bool(attributes.name)))
        )


def forbidden(user: User, attributes: Attributes, reason: str = "") -> Refused:
    """The refusal, worded as Kubernetes words it; ``reason`` adds why."""
    error = _refused(user, attributes, reason)
    error.why = reason
    return error


def _refused(user: User, attributes: Attributes, reason: str) -> Refused:
    if not attributes.is_resource:
        words = f'User "{user.name}" cannot {attributes.verb} path "{attributes.path}"'
        return Refused(f"forbidden: {words}" + (f": {reason}" if reason else ""))
    resource = attributes.resource + (f"/{attributes.subresource}" if attributes.subresource else "")
    scope = f'in the namespace "{attributes.namespace}"' if attributes.namespace else "at the cluster scope"
    words = (
        f'User "{user.name}" cannot {attributes.verb} resource "{resource}" in API group "{attributes.group}" {scope}'
    )
    what = f"{attributes.resource}.{attributes.group}" if attributes.group else attributes.resource
    if attributes.name:
        what += f' "{attributes.name}"'
    return Refused(
        f"{what} is forbidden: {words}" + (f": {reason}" if reason else ""),
        group=attributes.group,
        kind=attributes.resource,
        name=attributes.name,
    )


def _public(path: str) -> bool:
    return path.rstrip("/") in ("/healthz", "/livez", "/readyz", "/version")


def _discovery(path: str) -> bool:
    """The paths of the cluster role system:discovery."""
    first = path.split("/", 2)[1] if path.startswith("/") else ""
    return first in ("api", "apis", "openapi", "version") and "//" not in path
