"""Authentication: the user of a request, from its client certificate or its bearer token.

Order as in Kubernetes: the TLS client certificate (CN is the user, each O a group), then a bearer token: a service
account's or an OpenID Connect provider's (JSON Web Tokens), or a bootstrap token. The
TLS layer has verified the certificate against the cluster's CA; here only its end is looked at again, since a
connection may outlive it. Nobody is anonymous except on PUBLIC_PATHS. Runs on the event loop; no I/O but, for a token
that is signed with a provider's newest key, waiting for that.
"""

from __future__ import annotations

import ssl
from collections.abc import Awaitable
from functools import lru_cache
from typing import Any

from aiohttp import web

from controlplane.apiserver.accounts.tokens import AccountTokens
from controlplane.apiserver.identity import ANONYMOUS, User
from controlplane.apiserver.oidc.tokens import OidcTokens
from controlplane.apiserver.tokens import BootstrapTokens, LookupSecret
from shared.api.errors import Unauthorized
from shared.work.clock import Clock, SystemClock

PUBLIC_PATHS = frozenset({"/healthz", "/livez", "/readyz", "/version"})
"""What anybody may ask (GET); sub-paths such as ``/readyz/store`` are not among them."""

AUTHENTICATED = "system:authenticated"


class Authenticator:
    """Who asks. ``lookup_bootstrap_secret`` finds a Secret of kube-system by name in the watch cache; without
    ``accounts`` no service account is let in, without ``oidc`` nobody whom others vouch for."""

    def __init__(
        self,
        lookup_bootstrap_secret: LookupSecret,
        clock: Clock = SystemClock(),
        accounts: AccountTokens | None = None,
        oidc: OidcTokens | None = None,
    ) -> None:
        self._tokens = BootstrapTokens(lookup_bootstrap_secret, clock)
        self._clock, self._accounts, self._oidc = clock, accounts, oidc

    def authenticate(self, request: web.BaseRequest) -> User | Awaitable[User]:
        """The user of ``request``; ANONYMOUS without credentials on a public path. Raises Unauthorized."""
        transport = request.transport
        peer: dict[str, Any] | None = transport.get_extra_info("peercert") if transport is not None else None
        header = request.headers.get("Authorization", "")
        if not peer and self._oidc is not None and self._oidc.lacks_key(_bearer_of(header)):
            return self._with_new_keys(self._oidc, _bearer_of(header))
        return self.identify(peer, header, request.path)

    @staticmethod
    async def _with_new_keys(oidc: OidcTokens, token: str) -> User:
        if (found := await oidc.authenticate_with_new_keys(token)) is None:
            raise Unauthorized("Unauthorized")
        return _authenticated(found)

    def identify(self, peer: dict[str, Any] | None, authorization: str, path: str) -> User:
        """The same from its parts: ``peer`` as ``ssl.SSLSocket.getpeercert()`` gives it, None or {} without one."""
        if peer:
            user, end = _certificate_user(peer.get("subject", ()), str(peer.get("notAfter", "")))
            if end <= self._clock.now().timestamp():
                raise Unauthorized(
                    "the client certificate has expired: get a new admin.kubeconfig from the server's host, or run"
                    " 'longboat node add' for an agent's"
                )
            if not user.name:
                raise Unauthorized("the client certificate names no user: it has no common name")
            return user
        if token := _bearer_of(authorization):
            if (found := self._bearer(token)) is not None:
                return _authenticated(found)
        elif not authorization and (path.rstrip("/") or path) in PUBLIC_PATHS:
            return ANONYMOUS
        raise Unauthorized("Unauthorized")

    def _bearer(self, token: str) -> User | None:
        if token.count(".") != 2:
            return self._tokens.authenticate(token)
        found = self._accounts.authenticate(token) if self._accounts is not None else None
        return self._oidc.authenticate(token) if found is None and self._oidc is not None else found


def _authenticated(user: User) -> User:
    return User(user.name, (*user.groups, AUTHENTICATED), user.uid, user.extra)


def _bearer_of(authorization: str) -> str:
    scheme, _, token = authorization.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


@lru_cache(maxsize=4096)
def _certificate_user(subject: tuple[tuple[tuple[str, str], ...], ...], not_after: str) -> tuple[User, float]:
    """The user that a certificate stands for and when it ends (Unix time).

    Cached: a connection asks the same thing with every request, and the subject is a hashable tuple.
    """
    pairs = [pair for names in subject for pair in names]
    name = next((value for key, value in pairs if key == "commonName"), "")
    groups = tuple(value for key, value in pairs if key == "organizationName")
    end = ssl.cert_time_to_seconds(not_after) if not_after else 0.0
    return User(name, (*groups, AUTHENTICATED)), end
