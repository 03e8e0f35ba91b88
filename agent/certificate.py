"""Keeping this node's certificate fresh: a new key and certificate at two thirds of its life.

Owns when, not how: ``agent.csr`` asks for it. A certificate that runs out while the server is away for months can
only be mended with a token, and says so. One task, on the event loop.
"""

from __future__ import annotations

import asyncio
import logging
import random
from dataclasses import replace
from datetime import datetime

from prometheus_client import Counter, Gauge

from agent import identity, keys
from agent.csr import CertificateRefused, request_certificate
from agent.identity import Identity
from agent.keys import MakeKey
from shared import tls
from shared.api.errors import StatusError
from shared.client.http import HttpClient
from shared.work.backoff import Backoff
from shared.work.clock import Clock, SystemClock

logger = logging.getLogger(__name__)

RENEWALS = Counter("longboat_certificate_renewals_total", "Renewals of the node's certificate.", ["outcome"])
EXPIRES = Gauge("longboat_certificate_expiration_seconds", "When the node's certificate ends, in Unix time.")

SHARE = 2 / 3
"""Of the certificate's life, after which it is renewed."""

EXPIRED = (
    "the node's certificate has expired and the server believes it no more: run 'longboat node add' for this host"
    " again, or start the agent once with --token and a new token from 'longboat token create'"
)

_SPREAD = 0.05
"""Of the certificate's life by which nodes renew earlier or later, so that not all come at once."""

_LOOK = 3600.0
"""Seconds between looks at the clock: wall-clock time may jump, so no sleep is longer."""


class CertificateRenewer:
    """Renews ``identity``'s certificate, keeps it in the data directory and has ``client`` show it."""

    def __init__(
        self,
        known: Identity,
        client: HttpClient,
        *,
        clock: Clock = SystemClock(),
        rng: random.Random | None = None,
        backoff: Backoff = Backoff(10.0, 3600.0),
        make_key: MakeKey = keys.in_child,
    ) -> None:
        self.identity = known
        self._client, self._clock, self._backoff, self._make_key = client, clock, backoff, make_key
        self._spread = (rng or random.Random()).uniform(-_SPREAD, _SPREAD)  # noqa: S311 - no secret
        EXPIRES.set(known.expires().timestamp())

    def due(self) -> datetime:
        """When to renew."""
        start, end = tls.validity(self.identity.pair.certificate)
        return start + (end - start) * (SHARE + self._spread)

    async def run(self) -> None:
        """Renew whenever it is time, until cancelled."""
        failures = 0
        while True:
            wait = (self.due() - self._clock.now()).total_seconds()
            if wait > 0:
                await asyncio.sleep(min(wait, _LOOK))
                continue
            if await self.renew():
                failures = 0
                continue
            delay = self._backoff.delay(failures)
            failures += 1
            await asyncio.sleep(min(delay, _LOOK))

    async def renew(self) -> bool:
        """Try once, now. False, with the reason logged, when it did not work."""
        known = self.identity
        try:
            pair = await request_certificate(self._client, known.node_name, 60.0, self._make_key)
            await asyncio.to_thread(identity.save_pair, known.data_dir, pair)
        except (StatusError, CertificateRefused, OSError) as error:
            RENEWALS.labels("failed").inc()
            left = known.expires() - self._clock.now()
            logger.log(
                logging.ERROR if left.days < 14 else logging.WARNING,
                EXPIRED if left.total_seconds() <= 0 else "the node's certificate could not be renewed",
                extra={"node": known.node_name, "error": str(error), "expires": known.expires().isoformat()},
            )
            return False
        self.identity = replace(known, pair=pair)
        await self._client.use(self.identity.ssl_context())
        RENEWALS.labels("renewed").inc()
        EXPIRES.set(self.identity.expires().timestamp())
        logger.info(
            "certificate renewed", extra={"node": known.node_name, "until": self.identity.expires().isoformat()}
        )
        return True
