"""Tokens of the accounts that pods run as: asked for, kept in memory, and asked for anew in time.

A token is for one pod and ends with it. It is replaced when 80 % of its life are over, or after a day
(pkg/kubelet/token/token_manager.go); while the server cannot be reached the one at hand stands in until its end. Tokens
are never logged. One event loop; calls for one pod come one at a time (from its worker).
"""

from __future__ import annotations

import logging
import random
from dataclasses import dataclass
from datetime import datetime, timedelta

from shared.api.errors import InternalError, NotFound, StatusError
from shared.api.kinds import SERVICE_ACCOUNTS
from shared.api.meta import JSON
from shared.api.pod import Pod, ServiceAccountTokenProjection
from shared.client.base import Client
from shared.work.clock import Clock

logger = logging.getLogger(__name__)

SHARE = 0.8
"""Of a token's life, after which it is replaced."""

LONGEST = timedelta(hours=24)
"""The longest that one is kept, whatever its life."""

_JITTER = 10.0
"""Seconds by which a token is replaced earlier, so that not all of a node come at once."""

_Key = tuple[str, str, int]
"""Uid of the pod, audience, seconds."""


@dataclass(frozen=True, slots=True)
class _Token:
    text: str
    due: datetime
    expires: datetime


class PodTokens:
    """``of`` gives the tokens of a pod's projected volumes."""

    def __init__(self, client: Client, clock: Clock, rng: random.Random) -> None:
        self._client, self._clock, self._rng = client, clock, rng
        self._tokens: dict[_Key, _Token] = {}

    async def of(self, pod: Pod) -> dict[ServiceAccountTokenProjection, str]:
        """Every token that a volume of the pod shows. Raises StatusError when one cannot be had."""
        wanted = {
            source.service_account_token
            for volume in pod.spec.volumes
            if volume.projected is not None
            for source in volume.projected.sources
            if source.service_account_token is not None
        }
        return {projection: await self._token(pod, projection) for projection in wanted}

    def forget(self, uid: str) -> None:
        """The pod has ended."""
        for key in [key for key in self._tokens if key[0] == uid]:
            del self._tokens[key]

    async def _token(self, pod: Pod, projection: ServiceAccountTokenProjection) -> str:
        key = (pod.metadata.uid, projection.audience, projection.expiration_seconds)
        known, now = self._tokens.get(key), self._clock.now()
        if known is not None and now < known.due:
            return known.text
        try:
            answer = await self._client.create(
                SERVICE_ACCOUNTS, _request(pod, projection), pod.metadata.namespace,
                name=pod.spec.service_account_name, subresource="token",
            )  # fmt: skip
            made = self._read(answer, now, projection.expiration_seconds)
        except NotFound:
            raise  # the account is gone, or the pod is
        except StatusError as error:
            if known is None or now >= known.expires:
                raise
            extra = {"pod": pod.key, "reason": error.reason, "until": known.expires.isoformat()}
            logger.warning("a token cannot be renewed, using the last one", extra=extra)
            return known.text
        self._tokens[key] = made
        return made.text

    def _read(self, answer: JSON, now: datetime, seconds: int) -> _Token:
        """Raises InternalError for an answer that holds no token."""
        status = answer.get("status") or {}
        try:
            text = str(status["token"])
            expires = datetime.fromisoformat(str(status["expirationTimestamp"]))
            life = timedelta(seconds=int((answer.get("spec") or {}).get("expirationSeconds") or seconds))
        except (KeyError, ValueError) as error:
            raise InternalError("the server's answer to a token request holds no token") from error
        start = max(now - timedelta(minutes=5), expires - life)
        due = min(start + life * SHARE, start + LONGEST) - timedelta(seconds=self._rng.uniform(0.0, _JITTER))
        return _Token(text, due, expires)


def _request(pod: Pod, projection: ServiceAccountTokenProjection) -> JSON:
    meta = pod.metadata
    return {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "spec": {
            "audiences": [projection.audience] if projection.audience else [],
            "expirationSeconds": projection.expiration_seconds,
            "boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": meta.name, "uid": meta.uid},
        },
    }
