"""Service account tokens: JSON Web Tokens with Kubernetes' claims (pkg/serviceaccount/claims.go), issued and verified.

A token ends with its time, its account, and the object that it is bound to: every request asks the watch cache, so
what is deleted lets nobody in a moment later. Signatures are remembered, since they cost a hundred times more. No I/O,
on the event loop; a token is never logged.
"""

from __future__ import annotations

import hashlib
import uuid
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

import jwt

from controlplane.apiserver.accounts.keys import ALGORITHM, SigningKeys
from controlplane.apiserver.identity import User
from shared.api.core import Node, Secret, ServiceAccount
from shared.api.meta import JSON, Object
from shared.api.pod import Pod
from shared.work.clock import Clock, SystemClock

PREFIX = "system:serviceaccount:"
LEEWAY = timedelta(seconds=60)
"""How long after its deletion is due a pod's token still holds, for its last words (pkg/serviceaccount/claims.go)."""

_REMEMBERED = 4096


class Bound(Protocol):
    """Objects as the watch cache has them."""

    def service_account(self, namespace: str, name: str) -> ServiceAccount | None: ...

    def pod(self, namespace: str, name: str) -> Pod | None: ...

    def secret(self, namespace: str, name: str) -> Secret | None: ...

    def node(self, name: str) -> Node | None: ...


@dataclass(frozen=True, slots=True)
class Issued:
    token: str
    expires: datetime


class AccountTokens:
    """``issuer`` stands in every token, and is the audience of those that name none."""

    def __init__(self, keys: SigningKeys, objects: Bound, issuer: str, clock: Clock = SystemClock()) -> None:
        self._keys, self._objects, self.issuer, self._clock = keys, objects, issuer, clock
        self._verified: OrderedDict[bytes, JSON] = OrderedDict()

    # --- issuing

    def issue(
        self, account: ServiceAccount, audiences: Sequence[str], seconds: int, bound: Pod | Secret | Node | None = None
    ) -> Issued:
        """A token of ``account`` that ends with ``bound``, after ``seconds`` at the latest."""
        now = self._clock.now().replace(microsecond=0)
        meta = account.metadata
        private: JSON = {"namespace": meta.namespace, "serviceaccount": _reference(account)}
        if isinstance(bound, Pod):
            private["pod"] = _reference(bound)
            if (node := self._objects.node(bound.spec.node_name)) is not None:
                private["node"] = _reference(node)
        elif bound is not None:
            private["secret" if isinstance(bound, Secret) else "node"] = _reference(bound)
        expires = now + timedelta(seconds=seconds)
        claims = {
            "iss": self.issuer, "aud": list(audiences), "sub": f"{PREFIX}{meta.namespace}:{meta.name}",
            "iat": int(now.timestamp()), "nbf": int(now.timestamp()), "exp": int(expires.timestamp()),
            "jti": str(uuid.uuid4()), "kubernetes.io": private,
        }  # fmt: skip
        key = self._keys.signing
        return Issued(jwt.encode(claims, key.private, ALGORITHM, {"kid": key.id}), expires)

    # --- verifying

    def authenticate(self, token: str) -> User | None:
        """The account that presents ``token`` to this server, or None when it does not hold."""
        found = self.review(token, [self.issuer])
        return None if found is None else found[0]

    def review(self, token: str, audiences: Sequence[str]) -> tuple[User, list[str]] | None:
        """The account behind ``token``, and which of ``audiences`` it is for; None when it holds for none of them."""
        claims = self._claims(token)
        if claims is None or not (common := [audience for audience in audiences if audience in claims["aud"]]):
            return None
        user = self._user(claims)
        return None if user is None else (user, common)

    def _user(self, claims: JSON) -> User | None:
        now = self._clock.now()
        private = claims["kubernetes.io"]
        if not claims["nbf"] <= now.timestamp() < claims["exp"]:
            return None
        namespace, named = private["namespace"], private["serviceaccount"]
        account = self._objects.service_account(namespace, named["name"])
        if account is None or account.metadata.uid != named["uid"]:
            return None
        pod, secret, node = private.get("pod"), private.get("secret"), private.get("node")
        if pod is not None and not self._stands(self._objects.pod(namespace, pod["name"]), pod, now):
            return None
        if secret is not None and not self._stands(self._objects.secret(namespace, secret["name"]), secret, now):
            return None
        if node is not None and pod is None and not self._stands(self._objects.node(node["name"]), node, now):
            return None
        groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}")
        return User(f"{PREFIX}{namespace}:{named['name']}", groups, account.metadata.uid, _extra(claims))

    @staticmethod
    def _stands(found: Object | None, wanted: JSON, now: datetime) -> bool:
        if found is None or found.metadata.uid != wanted["uid"]:
            return False
        deleted = found.metadata.deletion_timestamp
        return deleted is None or now < deleted + LEEWAY

    def _claims(self, token: str) -> JSON | None:
        """What a token that we signed says; None for any other."""
        digest = hashlib.sha256(token.encode()).digest()
        if (known := self._verified.get(digest)) is not None:
            self._verified.move_to_end(digest)
            return known
        try:
            key = self._keys.find(str(jwt.get_unverified_header(token).get("kid", "")))
            if key is None:
                return None
            claims: dict[str, Any] = jwt.decode(
                token, key.private.public_key(), [ALGORITHM], issuer=self.issuer,
                # Times and audience are looked at anew with every request, by our own clock.
                options={"verify_exp": False, "verify_nbf": False, "verify_iat": False, "verify_aud": False,
                         "require": ["exp", "nbf", "aud", "sub", "kubernetes.io"]},
            )  # fmt: skip
        except jwt.InvalidTokenError:
            return None
        self._verified[digest] = claims
        if len(self._verified) > _REMEMBERED:
            self._verified.popitem(last=False)
        return claims


def _extra(claims: JSON) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Which token it is, and of which pod on which node (k8s.io/apiserver/pkg/authentication/
    serviceaccount/util.go)."""
    found: list[tuple[str, tuple[str, ...]]] = []
    if jti := claims.get("jti"):
        found.append(("authentication.kubernetes.io/credential-id", (f"JTI={jti}",)))
    for what in ("node", "pod"):
        if (named := claims["kubernetes.io"].get(what)) is not None:
            found += [(f"authentication.kubernetes.io/{what}-{key}", (named[key],)) for key in ("name", "uid")]
    return tuple(found)


def _reference(obj: Object) -> JSON:
    return {"name": obj.metadata.name, "uid": obj.metadata.uid}
