"""Join tokens go when they expire.

Deletes Secrets of kube-system that stand for an expired bootstrap token, and nothing else: one whose expiration
cannot be read authenticates nobody and is left for a person to mend. After k8s.io/kubernetes
pkg/controller/bootstrap/tokencleaner.go. One sync at a time for each Secret.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from controlplane.controllers.base import Context, Key, Watch
from controlplane.controllers.writes import Delete, apply
from shared import join
from shared.api.core import Secret
from shared.api.kinds import SECRETS


def seconds_left(secret: Secret, now: datetime) -> float | None:
    """Until the token of this Secret expires, 0 or less when it has; None for one without an end or no token."""
    token = join.read_token(secret)
    if token is None or token.expiration is None:
        return None
    return (token.expiration - now).total_seconds()


class TokenCleaner:
    """See the module."""

    name = "token-cleaner"

    def __init__(self, context: Context) -> None:
        self._client, self._clock = context.client, context.clock
        self._secrets = context.informers.cache(SECRETS)

    def watches(self) -> Sequence[Watch]:
        return (Watch(SECRETS, _tokens),)

    async def sync(self, key: Key) -> float | None:
        """See ``Controller.sync``."""
        namespace, name = key
        secret = self._secrets.get(name, namespace)
        left = None if secret is None else seconds_left(secret, self._clock.now())
        if secret is None or left is None or left > 0:
            return left
        # Not one that was given more time meanwhile.
        version = secret.metadata.resource_version
        await apply(self._client, [Delete(SECRETS, name, namespace, resource_version=version)])
        return None


def _tokens(old: Secret | None, new: Secret | None) -> Iterable[Key]:
    if new is not None and new.type == join.SECRET_TYPE and new.metadata.namespace == join.NAMESPACE:
        yield (join.NAMESPACE, new.metadata.name)
