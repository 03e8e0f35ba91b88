"""What a leader runs beside the API: the informers, the controllers and the scheduler.

Owns their start and nothing of theirs. They come after the API is ready: their modules (NumPy among them) are loaded
in a thread meanwhile, so that the first requests wait neither for them nor for their first look at the whole cluster.
One event loop.
"""

from __future__ import annotations

import asyncio
import logging
import time

from controlplane.controllers.base import Context
from controlplane.controllers.events import Recorder
from controlplane.controllers.informers import SharedInformers
from controlplane.controllers.kubernetes_service import Address
from controlplane.controllers.namespace import Elsewhere
from shared.client.base import Client
from shared.pki import CertificateAuthority
from shared.work.clock import Clock
from shared.work.supervisor import Supervisor

logger = logging.getLogger(__name__)


class Leader:
    """``run`` starts everything as services of ``supervisor`` and returns once it works."""

    def __init__(
        self,
        client: Client,
        ca: CertificateAuthority,
        supervisor: Supervisor,
        clock: Clock,
        *,
        cluster_cidr: str,
        address: Address,
    ) -> None:
        self.informers = SharedInformers(client)
        """May be asked for caches, and they for indexes, before ``run``."""
        self.elsewhere: Elsewhere | None = None
        """What other API servers have; to be set before ``run``."""
        self._client, self._ca, self._supervisor, self._clock = client, ca, supervisor, clock
        self._cluster_cidr, self._address = cluster_cidr, address

    async def run(self) -> None:
        """Start them; returns when all have seen the cluster. An essential service."""
        began = time.perf_counter()
        await asyncio.to_thread(_load)
        from controlplane.controllers import bootstrap_rbac, kubernetes_service, system_priority_classes
        from controlplane.controllers.runner import Runner
        from controlplane.controllers.table import controllers
        from controlplane.scheduler.loop import Scheduler

        recorder = Recorder(self._client, self._clock)
        context = Context(self._client, self.informers, self._clock, recorder)
        self._supervisor.service("event recorder", recorder.run())
        rows = controllers(
            context,
            recorder,
            self._ca,
            cluster_cidr=self._cluster_cidr,
            address=self._address,
            elsewhere=self.elsewhere,
        )
        Runner(rows, context, self._supervisor).start()
        scheduler = Scheduler(Context(self._client, self.informers, self._clock, recorder.named("default-scheduler")))
        self._supervisor.service("scheduler", scheduler.run())
        await bootstrap_rbac.ensure(self._client)
        await system_priority_classes.ensure(self._client)
        await kubernetes_service.ensure(self._client, self._address, self._clock)
        self.informers.start(self._supervisor)
        await self.informers.synced()
        logger.info("controllers and scheduler work", extra={"after": round(time.perf_counter() - began, 3)})


def _load() -> None:
    import controlplane.controllers.runner
    import controlplane.controllers.table
    import controlplane.scheduler.loop  # noqa: F401 - loaded here, used above
