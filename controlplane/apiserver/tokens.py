"""Bootstrap tokens as bearer tokens: who presents one that holds.

The rules are those of Kubernetes' bootstrap token authenticator (plugin/pkg/auth/authenticator/token/bootstrap):
the Secret ``bootstrap-token-<id>`` in kube-system must be of the token type, not being deleted, not expired,
meant for authentication, and hold the same id and secret. Compared in constant time; tokens are never logged.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable

from controlplane.apiserver.identity import User
from shared.api.core import Secret
from shared.api.meta import JSON
from shared.join import TokenInfo, read_token, secret_name
from shared.work.clock import Clock

LookupSecret = Callable[[str], Secret | JSON | None]
"""The Secret of that name in kube-system from the watch cache, as a struct or a tree; None if there is none."""

_BEARER = re.compile(r"([a-z0-9]{6})\.([a-z0-9]{16})")


class BootstrapTokens:
    """Authenticates bearer tokens of the form ``<id>.<secret>``."""

    def __init__(self, lookup: LookupSecret, clock: Clock) -> None:
        self._lookup, self._clock = lookup, clock

    def authenticate(self, token: str) -> User | None:
        """``system:bootstrap:<id>`` with the token's groups, or None when the token does not hold."""
        match = _BEARER.fullmatch(token)
        if match is None:
            return None
        info = self._info(match[1])
        # Compared even when there is no such token: the time taken tells nothing about which ids exist.
        same = hmac.compare_digest((info.secret if info else "").encode(), match[2].encode())
        if info is None or not same or not info.authentication or info.expired(self._clock.now()):
            return None
        return User(f"system:bootstrap:{info.id}", info.groups)

    def _info(self, id: str) -> TokenInfo | None:
        secret = self._lookup(secret_name(id))
        info = read_token(secret) if secret is not None else None
        return info if info is not None and info.id == id else None
