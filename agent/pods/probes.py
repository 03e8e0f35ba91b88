"""Probes of running containers: one task for each, whose verdicts go to the pod's worker.

Owns the tasks and the rules of thresholds; makes no decision about containers. Rules are the kubelet's
(pkg/kubelet/prober/worker.go): liveness and readiness wait for the startup probe; a verdict changes after so many
results alike in a row; after a failed startup or liveness verdict the task ends, since the container is about to be
killed. A first verdict is reported even when it is the expected one.

More than the kubelet does: where an application is still starting at the first look, startup and readiness are asked
again in between, by HTTP and TCP, soon and then less often, for one period; only a success counts there. So a pod is
Ready moments after it can answer, not up to ``periodSeconds`` later.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from agent import metrics
from agent.pods.http_get import Target
from agent.pods.probing import Prober, ProbeResult
from shared.api.pod import Container, Pod, Probe
from shared.work.backoff import Backoff
from shared.work.clock import Clock
from shared.work.supervisor import Supervisor

logger = logging.getLogger(__name__)

_SOON = Backoff(0.05, 10.0)


class ProbeKind(StrEnum):
    STARTUP = "Startup"
    LIVENESS = "Liveness"
    READINESS = "Readiness"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a probe says about a container, with the output of the last failure."""

    pod_uid: str
    container_id: str
    kind: ProbeKind
    healthy: bool


@dataclass(slots=True)
class Thresholds:
    """Counts results alike in a row. Pure."""

    success: int
    failure: int
    run: int = 0
    last: bool | None = None

    def add(self, healthy: bool) -> bool | None:
        """The verdict after one more result; None while there are too few alike."""
        self.run = self.run + 1 if healthy is self.last else 1
        self.last = healthy
        return healthy if self.run >= (self.success if healthy else self.failure) else None


class Probes:
    """The probes of this node's containers. ``on_verdict`` and ``on_failure`` must not block or raise."""

    def __init__(
        self,
        prober: Prober,
        clock: Clock,
        supervisor: Supervisor,
        on_verdict: Callable[[Verdict], None],
        on_failure: Callable[[Pod, Container, ProbeKind, str], None],
    ) -> None:
        self._prober, self._clock, self._supervisor = prober, clock, supervisor
        self._on_verdict, self._on_failure = on_verdict, on_failure
        self._tasks: dict[str, list[asyncio.Task[None]]] = {}
        self._owners: dict[str, str] = {}

    def __len__(self) -> int:
        return len(self._tasks)

    def watch(self, pod: Pod, container: Container, container_id: str, address: str, running_for: float) -> None:
        """Probe a container that has run for so many seconds; a no-op when it is probed already."""
        if container_id in self._tasks:
            return
        kinds = {
            ProbeKind.STARTUP: container.startup_probe,
            ProbeKind.LIVENESS: container.liveness_probe,
            ProbeKind.READINESS: container.readiness_probe,
        }
        declared = {kind: probe for kind, probe in kinds.items() if probe is not None}
        if not declared:
            return
        started = asyncio.Event()
        if ProbeKind.STARTUP not in declared:
            started.set()
        self._owners[container_id] = pod.metadata.uid
        began = self._clock.monotonic() - running_for
        target = Target(container_id, address, container)
        self._tasks[container_id] = [
            self._supervisor.spawn(
                f"{kind.lower()} probe {container_id[:12]}", self._run(pod, target, kind, probe, started, began)
            )
            for kind, probe in declared.items()
        ]

    def stop(self, container_id: str) -> None:
        """The container does not run any more."""
        self._owners.pop(container_id, None)
        for task in self._tasks.pop(container_id, ()):
            task.cancel()

    def stop_pod(self, pod_uid: str, keep: set[str] | None = None) -> None:
        """Stop every probe of the pod but those of the containers ``keep``."""
        for container_id in [c for c, owner in self._owners.items() if owner == pod_uid and c not in (keep or ())]:
            self.stop(container_id)

    async def _run(
        self, pod: Pod, target: Target, kind: ProbeKind, probe: Probe, started: asyncio.Event, began: float
    ) -> None:
        if kind is not ProbeKind.STARTUP:
            await started.wait()
        wait = began + probe.initial_delay_seconds - self._clock.monotonic()
        if wait > 0:
            await asyncio.sleep(wait)
        thresholds = Thresholds(max(1, probe.success_threshold), max(1, probe.failure_threshold))
        verdict: bool | None = None
        result, period = await self._probe(kind, probe, target), max(1, probe.period_seconds)
        hasty = kind is not ProbeKind.LIVENESS and probe.exec_ is None
        while True:
            if not result.healthy:
                self._on_failure(pod, target.container, kind, result.output)
            now_says = thresholds.add(result.healthy)
            if now_says is not None and now_says is not verdict:
                verdict = now_says
                self._on_verdict(Verdict(pod.metadata.uid, target.container_id, kind, verdict))
            if kind is ProbeKind.STARTUP and verdict:
                started.set()
                return
            if verdict is False and kind is not ProbeKind.READINESS:
                return
            due = self._clock.monotonic() + period
            early = await self._soon(kind, probe, target, due) if hasty and not result.healthy else None
            hasty = False
            if early is None:
                await asyncio.sleep(max(0.0, due - self._clock.monotonic()))
            result = early or await self._probe(kind, probe, target)

    async def _soon(self, kind: ProbeKind, probe: Probe, target: Target, due: float) -> ProbeResult | None:
        """The first success before the clock's ``due``, if there is one."""
        attempt = 0
        while self._clock.monotonic() + (wait := _SOON.delay(attempt)) < due:
            await asyncio.sleep(wait)
            result = await self._probe(kind, probe, target)
            if result.healthy:
                return result
            attempt += 1
        return None

    async def _probe(self, kind: ProbeKind, probe: Probe, target: Target) -> ProbeResult:
        result = await self._prober.probe(probe, target)
        metrics.PROBES.labels(kind, "successful" if result.healthy else "failed").inc()
        return result
