"""What steps work with, and how they fail."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from agent.network.base import PodNetwork
from agent.pods.checkpoint import Checkpoints
from agent.pods.events import PodEvents
from agent.pods.gate import StartGate
from agent.pods.hooks import Hooks
from agent.pods.objects import ObjectCache
from agent.pods.observed import Moment
from agent.pods.pool import WarmPool
from agent.pods.probes import Probes
from agent.pods.pulls import ImagePulls
from agent.pods.reports import StatusReports
from agent.pods.state import PodState
from agent.pods.status import NodeFacts
from agent.pods.volumes.pod_volumes import PodVolumes
from agent.runtime.base import Runtime
from shared.client.base import Client
from shared.work.clock import Clock
from shared.work.supervisor import Supervisor


class StepFailed(Exception):
    """A step did not succeed. ``reason`` is Kubernetes' for the container's waiting state or the event."""

    def __init__(self, reason: str, message: str, *, event: str = "Failed") -> None:
        super().__init__(message)
        self.reason, self.message, self.event = reason, message, event


@dataclass(frozen=True, slots=True)
class Tools:
    """Everything that the steps of this node's pods share."""

    node: NodeFacts
    runtime: Runtime
    network: PodNetwork
    client: Client
    clock: Clock
    supervisor: Supervisor
    volumes: PodVolumes
    objects: ObjectCache
    checkpoints: Checkpoints
    pulls: ImagePulls
    pool: WarmPool
    probes: Probes
    hooks: Hooks
    events: PodEvents
    reports: StatusReports
    starts: StartGate
    wake: Callable[[str], None]
    """Have the worker of a pod (by uid) look again."""
    refill: Callable[[], None]
    """The warm pool may need another sandbox."""
    seccomp: Path
    """The directory of this node's own seccomp profiles."""

    def now(self) -> Moment:
        return Moment(self.clock.now(), self.clock.monotonic())


@dataclass(frozen=True, slots=True)
class Work:
    """The pod that a step is for."""

    tools: Tools
    state: PodState
