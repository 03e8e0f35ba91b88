"""Runs controllers: their queues, workers, retries, metrics and logging, once for all of them.

Owns one work queue and some workers for each controller; never reads or writes an object itself. Cache handlers
only put keys on queues. A key is synced by one worker at a time; a sync that fails is tried again with back-off
(5 ms doubling to 60 s); one that takes longer than ``sync_timeout`` is cancelled and counts as failed. Metrics
have the names of Kubernetes' workqueue. One event loop.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from prometheus_client import Counter, Gauge, Histogram

from controlplane.controllers.base import Context, Controller, FollowsKinds, Key, Watch
from controlplane.controllers.custom_resources import resource_of
from controlplane.controllers.events import Recorder
from controlplane.controllers.informers import SharedInformers
from shared.api.errors import Conflict, NotFound, StatusError
from shared.api.extensions import CustomResourceDefinition
from shared.api.kinds import CUSTOM_RESOURCE_DEFINITIONS, Resource
from shared.client.base import Client
from shared.observe import logs, metrics
from shared.work.clock import Clock
from shared.work.queue import WorkQueue
from shared.work.supervisor import Supervisor

logger = logging.getLogger(__name__)

DEPTH = Gauge("workqueue_depth", "Keys that wait.", ["name"])
ADDS = Counter("workqueue_adds_total", "Changes that asked for a sync.", ["name"])
WAIT = Histogram("workqueue_queue_duration_seconds", "How long keys waited.", ["name"], buckets=metrics.FAST)
WORK = Histogram("workqueue_work_duration_seconds", "How long syncs took.", ["name"], buckets=metrics.FAST)
RETRIES = Counter("workqueue_retries_total", "Syncs that failed and are tried again.", ["name"])
FAILURES = Counter("longboat_controller_failures_total", "Syncs that failed, quiet conflicts left out.", ["name"])


class Runner:
    """``start`` gives every controller its workers, as services of ``supervisor``."""

    def __init__(
        self,
        controllers: Sequence[Controller],
        context: Context,
        supervisor: Supervisor,
        *,
        workers: int | Mapping[str, int] = 5,
        sync_timeout: float = 60.0,
    ) -> None:
        """``workers`` is how many keys of one controller are synced at a time: for all, or by name (else 5)."""
        self._controllers = controllers
        self._context = context
        self._supervisor = supervisor
        self._workers = workers
        self._timeout = sync_timeout
        self._queues: dict[str, WorkQueue[Key]] = {c.name: WorkQueue() for c in controllers}
        self._custom: dict[str, Resource[Any]] = {}
        if len(self._queues) != len(controllers):
            raise ValueError("two controllers have the same name")

    def start(self) -> None:
        """Connect watches to queues and start the workers, which wait until every cache is synced."""
        for controller in self._controllers:
            queue = self._queues[controller.name]
            DEPTH.labels(controller.name).set_function(queue.__len__)
            for watch in controller.watches():
                self._connect(controller.name, watch, queue)
            count = self._workers if isinstance(self._workers, int) else self._workers.get(controller.name, 5)
            for number in range(count):
                self._supervisor.service(f"{controller.name} worker {number}", self._work(controller, queue))

        if any(isinstance(controller, FollowsKinds) for controller in self._controllers):
            self._context.informers.cache(CUSTOM_RESOURCE_DEFINITIONS).add_handler(self._definition)

    def _definition(self, old: CustomResourceDefinition | None, new: CustomResourceDefinition | None) -> None:
        """A custom kind comes, goes, or is asked for in another version."""
        crd = new or old
        assert crd is not None
        name, before = crd.metadata.name, self._custom.get(crd.metadata.name)
        after = resource_of(new) if new is not None and new.has("Established") else None
        if after == before:
            return
        following = [controller for controller in self._controllers if isinstance(controller, FollowsKinds)]
        if before is not None:
            self._context.informers.drop(before)
            del self._custom[name]
            for controller in following:
                controller.forget(before)
        if after is not None:
            self._custom[name] = after
            self._context.informers.custom(after)
            for controller in following:
                if (watch := controller.follow(after)) is not None:
                    self._connect(controller.name, watch, self._queues[controller.name])

    def enqueue(self, controller: str, key: Key) -> None:
        """Ask for a sync from outside, as a watch would."""
        self._queues[controller].add(key)

    def _connect(self, name: str, watch: Watch, queue: WorkQueue[Key]) -> None:
        adds = ADDS.labels(name)

        def handle(old: object, new: object) -> None:
            for key in watch.keys(old, new):
                adds.inc()
                queue.add(key)

        self._context.informers.cache(watch.resource).add_handler(handle)

    async def _work(self, controller: Controller, queue: WorkQueue[Key]) -> None:
        await self._context.informers.synced()
        wait = WAIT.labels(controller.name)
        while True:
            key, waited = await queue.take()
            wait.observe(waited)
            try:
                with logs.bound(controller=controller.name, key="/".join(filter(None, key))):
                    await self._sync(controller, queue, key)
            finally:
                queue.done(key)

    async def _sync(self, controller: Controller, queue: WorkQueue[Key], key: Key) -> None:
        began = time.perf_counter()
        try:
            async with asyncio.timeout(self._timeout):
                again = await controller.sync(key)
        except (Conflict, NotFound) as error:
            # Someone wrote first, or deleted it: the cache will tell. Retried, as the change may be our own.
            RETRIES.labels(controller.name).inc()
            logger.debug("object changed meanwhile", extra={"reason": error.reason, "error": error.message})
            queue.retry(key)
        except StatusError as error:
            delay = self._failed(controller, queue, key)
            extra = {"reason": error.reason, "error": error.message, "retry_in": round(delay, 3)}
            logger.warning("sync was refused", extra=extra)
        except TimeoutError:
            delay = self._failed(controller, queue, key)
            logger.warning("sync took too long", extra={"limit": self._timeout, "retry_in": round(delay, 3)})
        except Exception:
            delay = self._failed(controller, queue, key)
            logger.exception("sync failed", extra={"retry_in": round(delay, 3)})
        else:
            queue.forget(key)
            if again is not None:
                queue.add_after(key, again)
        finally:
            WORK.labels(controller.name).observe(time.perf_counter() - began)

    def _failed(self, controller: Controller, queue: WorkQueue[Key], key: Key) -> float:
        RETRIES.labels(controller.name).inc()
        FAILURES.labels(controller.name).inc()
        return queue.retry(key)


Factory = Callable[[Context], Controller]


async def run_controllers(
    client: Client, clock: Clock, factories: Mapping[str, Factory], *, workers: int | Mapping[str, int] = 5
) -> None:
    """Everything that a leader runs: informers, event recorder, controllers. Until cancelled.

    ``factories`` gives each controller by the name that its Events come from, such as ``deployment-controller``.
    """
    informers = SharedInformers(client)
    recorder = Recorder(client, clock)
    contexts = {name: Context(client, informers, clock, recorder.named(name)) for name in factories}
    controllers = [factory(contexts[name]) for name, factory in factories.items()]
    async with Supervisor() as supervisor:
        supervisor.service("event recorder", recorder.run())
        Runner(controllers, Context(client, informers, clock, recorder), supervisor, workers=workers).start()
        informers.start(supervisor)
