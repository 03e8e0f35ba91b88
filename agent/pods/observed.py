"""What is known of one pod at one moment: the input of ``decide`` and of ``status``.

Pure data, frozen: a worker takes a picture of its pod's state and decides on the picture. Durations are measured on
the monotonic clock (``Moment.monotonic``), since the wall clock may jump; the engine's own timestamps are wall time
and only shown to people.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from agent.runtime.base import ContainerInfo, Resources, Sandbox, State
from shared.api.pod import Container, Pod

POD = ""
"""The key of failures that concern the pod as a whole (sandbox, volumes), not one container."""
TEARDOWN = "/teardown"
"""The key of failures to remove something; no container can have this name."""

NONE: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Moment:
    """Now, on both clocks."""

    wall: datetime
    monotonic: float


@dataclass(frozen=True, slots=True)
class Health:
    """Results of a container's probes; None while there is no verdict yet (Kubernetes: Unknown)."""

    startup: bool | None = None
    liveness: bool | None = None
    readiness: bool | None = None


@dataclass(frozen=True, slots=True)
class Failure:
    """A step that failed. ``since`` and ``until`` (when to try again) are monotonic seconds.

    ``subject`` is what was tried (a container's spec hash): a failure counts only while that is still wanted.
    """

    reason: str
    message: str
    since: float
    until: float
    count: int = 1
    subject: str = ""


class PullState(StrEnum):
    PENDING = "pending"
    READY = "ready"


@dataclass(frozen=True, slots=True)
class Pull:
    """The image of a container's attempt: being pulled, or there (with the engine's image id)."""

    attempt: int
    image: str
    state: PullState
    image_id: str = ""


@dataclass(frozen=True, slots=True)
class CrashBackoff:
    """Back-off of a container's restarts: ``delay`` seconds after an exit, decided at ``updated`` (monotonic)."""

    delay: float
    updated: float


@dataclass(frozen=True, slots=True)
class Resize:
    """How a change of the pod's resources in place stands. Generations are the object's; 0 for none."""

    pending: str = ""
    """Why the node does not give what is wanted: Deferred, or Infeasible."""
    message: str = ""
    pending_generation: int = 0
    generation: int = 0
    """Whose resources the containers are being given."""
    error: str = ""
    """Why a container could not be given them."""


@dataclass(frozen=True, slots=True)
class Ending:
    """Why this node ends a pod, which has Failed once its containers have stopped. ``deadline`` is the monotonic time
    at which their grace ends; ``disruption`` is not the pod's own doing (its condition DisruptionTarget)."""

    reason: str
    message: str
    deadline: float
    disruption: bool = False


@dataclass(frozen=True, slots=True)
class Observed:
    """Everything known of one pod apart from its object."""

    sandbox: Sandbox | None = None
    """The newest sandbox, running or not."""
    old_sandboxes: tuple[Sandbox, ...] = ()
    address: str = ""
    containers: tuple[ContainerInfo, ...] = ()
    ended: Mapping[str, float] = field(default_factory=lambda: NONE)
    """When each ended container ended, monotonic seconds, by container id."""
    start_errors: Mapping[str, str] = field(default_factory=lambda: NONE)
    """Containers that were created but could not be started, by id: the engine's message."""
    vanished: frozenset[str] = frozenset()
    """Ids of containers that were removed behind our back; they stand among ``containers`` as exited with 137."""
    health: Mapping[str, Health] = field(default_factory=lambda: NONE)
    backoffs: Mapping[str, CrashBackoff] = field(default_factory=lambda: NONE)
    failures: Mapping[str, Failure] = field(default_factory=lambda: NONE)
    pulls: Mapping[str, Pull] = field(default_factory=lambda: NONE)
    killed: Mapping[str, str] = field(default_factory=lambda: NONE)
    """Why we stopped a container in order to restart it, by container id."""
    stopping: Mapping[str, float] = field(default_factory=lambda: NONE)
    """Containers being stopped: monotonic time at which they are killed, by container id."""
    deletion_deadline: float | None = None
    """Monotonic time at which the grace of the pod's deletion ends; None while it is not being deleted."""
    volumes_ready: bool = False
    published: bool = False
    """The pod's host ports lead to this sandbox."""
    cleaned: bool = False
    """Volumes, checkpoint and network of a pod that ends are gone."""
    deleted: bool = False
    """The pod's object was deleted for good by us."""
    ending: Ending | None = None
    post_start: frozenset[str] = frozenset()
    """Containers whose postStart hook is under way, by id: they do not count as running yet."""
    post_start_failed: frozenset[str] = frozenset()
    """Containers that are to be stopped since their postStart hook has failed, by id."""
    resize: Resize = Resize()
    asked: Mapping[str, Resources] = field(default_factory=lambda: NONE)
    """What the engine was asked last to give each container, by id. One that cannot limit something never shows it."""

    def runs(self, info: ContainerInfo) -> bool:
        """Whether a container counts as running."""
        return info.state is State.RUNNING and info.id not in self.post_start

    def instances(self, name: str) -> list[ContainerInfo]:
        """Every instance of the container ``name``, the latest first."""
        found = [info for info in self.containers if info.name == name]
        return sorted(found, key=lambda info: (info.attempt, info.created_at), reverse=True)

    def latest(self, name: str) -> ContainerInfo | None:
        return next(iter(self.instances(name)), None)

    def ready_sandbox(self) -> Sandbox | None:
        """The sandbox, when containers can join it."""
        return self.sandbox if self.sandbox is not None and self.sandbox.running else None

    def has_ended(self, info: ContainerInfo) -> bool:
        """It ran and ended, or could not be started at all (Kubernetes: StartError, exit code 128)."""
        return info.state is State.EXITED or (
            info.state is State.CREATED and (info.id in self.start_errors or bool(info.error))
        )

    def exit_code(self, info: ContainerInfo) -> int:
        """Exit code of a container that has ended; 128 when it never started, as containerd's StartError."""
        return info.exit_code if info.state is State.EXITED else 128


def has(info: ContainerInfo, wanted: Resources, seen: Observed) -> bool:
    """Whether the container has these resources, as far as its engine can give them."""
    return wanted in (info.resources, seen.asked.get(info.id))


def resize_key(container: str) -> str:
    """The key of failures to change a container's resources."""
    return f"/resize/{container}"


def spec_hash(container: Container) -> str:
    """A digest of what about a container may change in a living pod: its image.

    No more than that goes in: a digest over every field that this version knows would change with the next version
    of the agent, and restart every container on upgrade (kubernetes#129385).
    """
    return hashlib.sha256(f"{container.name}\0{container.image}".encode()).hexdigest()[:16]


def is_sidecar(container: Container) -> bool:
    """An init container that keeps running beside the others (KEP-753: restartPolicy Always)."""
    return container.restart_policy == "Always"


def find_container(pod: Pod | None, name: str) -> Container | None:
    """The container of that name, of whichever list."""
    if pod is None:
        return None
    every: Iterable[Container] = (
        *pod.spec.containers, *pod.spec.init_containers, *pod.spec.ephemeral_containers,
    )  # fmt: skip
    return next((container for container in every if container.name == name), None)
