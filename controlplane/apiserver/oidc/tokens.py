"""Id tokens: whose they are (k8s.io/apiserver/plugin/pkg/authenticator/token/oidc/oidc.go).

A signature is verified once and remembered; times and everything else are looked at with every request. On the event
loop; no I/O but waiting for a fetch of keys; a token is never logged.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import jwt

from controlplane.apiserver.identity import User
from controlplane.apiserver.oidc.config import SYSTEM, Issuer, Mapped
from controlplane.apiserver.oidc.keys import Key, ProviderKeys
from shared.work.clock import Clock, SystemClock

NOT_BEFORE_LEEWAY = timedelta(minutes=5)
"""By how much a provider's clock may be ahead, as in the library that Kubernetes uses."""

MAX_TOKEN = 64 << 10
_REMEMBERED = 4096
_CHECKS = ("exp", "nbf", "iat", "aud", "iss", "sub", "jti")
_NO_CHECKS: Any = {f"verify_{name}": False for name in _CHECKS}
_UNVERIFIED: Any = _NO_CHECKS | {"verify_signature": False}
"""Everything but the signature is looked at anew with every request, by our own clock."""

_Claims = Mapping[str, Any]


class Refusal(Exception):
    """The token does not hold; the message has nothing of it."""


class Provider:
    """One issuer and its keys."""

    def __init__(self, issuer: Issuer, keys: ProviderKeys) -> None:
        self.issuer, self.keys = issuer, keys
        self._verified: OrderedDict[bytes, tuple[Key, _Claims]] = OrderedDict()

    def claims(self, token: str) -> _Claims | None:
        """What a token says that a key of now has signed; None when none of our keys has."""
        digest = hashlib.sha256(token.encode()).digest()
        header = jwt.get_unverified_header(token)
        keys = self.keys.find(str(header.get("kid") or ""))
        known = self._verified.get(digest)
        if known is not None and known[0] in keys:
            self._verified.move_to_end(digest)
            return known[1]
        algorithm = header.get("alg")
        if algorithm not in self.issuer.algorithms:
            return None
        for key in keys:
            if key.algorithm not in ("", algorithm):
                continue
            try:
                claims: dict[str, Any] = jwt.decode(token, key.public, [algorithm], options=_NO_CHECKS)
            except (jwt.PyJWTError, ValueError, TypeError):
                continue
            self._verified[digest] = key, claims
            if len(self._verified) > _REMEMBERED:
                self._verified.popitem(last=False)
            return claims
        return None


class OidcTokens:
    """Tokens of every provider; each belongs to the one whose URL is its issuer."""

    def __init__(self, providers: Sequence[Provider], clock: Clock = SystemClock()) -> None:
        self._providers = {provider.issuer.url: provider for provider in providers}
        self._clock = clock

    def provider(self, token: str) -> Provider | None:
        """Who is to have issued ``token``, by its own words."""
        if len(token) > MAX_TOKEN:
            return None
        try:
            claims = jwt.decode(token, options=_UNVERIFIED)
        except (jwt.PyJWTError, ValueError):
            return None
        url = claims.get("iss")
        return self._providers.get(url) if isinstance(url, str) else None

    def authenticate(self, token: str) -> User | None:
        """The user by the keys that are here; None when it does not hold."""
        provider = self.provider(token)
        if provider is None or not provider.keys.ready:
            return None
        claims = provider.claims(token)
        try:
            return None if claims is None else user_of(provider.issuer, claims, self._clock.now().timestamp())
        except Refusal:
            return None

    def lacks_key(self, token: str) -> bool:
        """Whether it is a provider's by its own words, but signed with no key of the last fetch."""
        provider = self.provider(token)
        return provider is not None and provider.keys.ready and provider.claims(token) is None

    async def authenticate_with_new_keys(self, token: str) -> User | None:
        """The user, after one more fetch of the keys: providers change them."""
        if (provider := self.provider(token)) is not None:
            await provider.keys.fetch_soon()
        return self.authenticate(token)


def user_of(issuer: Issuer, claims: _Claims, now: float) -> User:
    """The user that verified claims stand for. Raises Refusal."""
    if claims.get("iss") != issuer.url:
        raise Refusal("it is another issuer's")
    audience = claims.get("aud")
    audiences = [audience] if isinstance(audience, str) else audience
    if not isinstance(audiences, list) or not set(issuer.audiences) & {a for a in audiences if isinstance(a, str)}:
        raise Refusal("it is for another audience")
    expires, begins = claims.get("exp"), claims.get("nbf")
    if not isinstance(expires, int | float) or expires is True or now >= expires:
        raise Refusal("it has expired")
    latest = now + NOT_BEFORE_LEEWAY.total_seconds()
    if begins is not None and (not isinstance(begins, int | float) or latest < begins):
        raise Refusal("it is not valid yet")
    name = _text(claims, issuer.username.claim)
    if issuer.username.claim == "email" and claims.get("email_verified", True) is not True:
        raise Refusal("the email address is not verified")
    for claim, wanted in issuer.required.items():
        if _text(claims, claim) != wanted:
            raise Refusal(f"claim {claim} has not the required value")
    user = User(issuer.username.prefix + name, _groups(claims, issuer.groups),
                _text(claims, issuer.uid) if issuer.uid else "")  # fmt: skip
    if any(text.startswith(SYSTEM) for text in (user.name, *user.groups)):
        raise Refusal(f"a name that begins with {SYSTEM} is Kubernetes' own")
    return user


def _groups(claims: _Claims, mapped: Mapped | None) -> tuple[str, ...]:
    """A text or a list of texts; a claim that is not there is no group."""
    if mapped is None or (value := claims.get(mapped.claim)) is None:
        return ()
    values = [value] if isinstance(value, str) else value
    if not isinstance(values, list) or not all(isinstance(item, str) for item in values):
        raise Refusal(f"claim {mapped.claim} is no list of texts")
    return tuple(mapped.prefix + item for item in values)


def _text(claims: _Claims, claim: str) -> str:
    value = claims.get(claim)
    if not isinstance(value, str) or not value:
        raise Refusal(f"claim {claim} is missing, or is no text")
    return value
