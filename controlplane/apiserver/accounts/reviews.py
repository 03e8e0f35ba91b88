"""TokenReviews: whose a bearer token is, for servers that are shown one (pkg/registry/authentication/tokenreview)."""

from __future__ import annotations

from aiohttp import web

from controlplane.apiserver.accounts.tokens import AccountTokens
from controlplane.apiserver.authn import AUTHENTICATED
from controlplane.apiserver.identity import User
from controlplane.apiserver.oidc.tokens import OidcTokens
from controlplane.apiserver.tokens import BootstrapTokens
from controlplane.apiserver.virtual import review_handler
from shared.api.errors import BadRequest
from shared.api.meta import JSON

GROUP = "authentication.k8s.io"


class TokenReviews:
    """The handler. Service accounts, bootstrap tokens and those of OpenID Connect providers are known; a token is never
    repeated in an answer's error."""

    def __init__(self, accounts: AccountTokens, bootstrap: BootstrapTokens, oidc: OidcTokens) -> None:
        self._accounts, self._bootstrap, self._oidc = accounts, bootstrap, oidc

    def add_routes(self, app: web.Application) -> None:
        app.router.add_post(f"/apis/{GROUP}/v1/tokenreviews", review_handler(GROUP, "TokenReview", self._review))

    def _review(self, asker: User, namespace: str, spec: JSON) -> JSON:
        if not (token := spec.get("token") or ""):
            raise BadRequest("token is required for TokenReview in authentication")
        own = self._accounts.issuer
        audiences = spec.get("audiences") or [own]
        found = self._accounts.review(token, audiences)
        if found is None and own in audiences:
            other = self._bootstrap.authenticate(token) or self._oidc.authenticate(token)
            found = None if other is None else (other, [own])
        if found is None:
            return {"authenticated": False, "user": {}, "error": "invalid bearer token"}
        user, common = found
        info = {"username": user.name, "groups": [*user.groups, AUTHENTICATED]}
        return {
            "authenticated": True,
            "user": info | ({"uid": user.uid} if user.uid else {}) | ({"extra": user.extras} if user.extra else {}),
            "audiences": common,
        }
