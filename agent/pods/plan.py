"""Steps of a pod's plan, as data: what ``decide`` returns, tests compare and ``steps`` carries out.

Steps run in order. A step that names a container and fails, or has to wait (an image being pulled), holds back the
later steps of that container only; a step of the whole pod that fails ends the plan.
"""

from __future__ import annotations

from dataclasses import dataclass

from agent.network.base import PortMapping


@dataclass(frozen=True, slots=True)
class PrepareVolumes:
    """Make the pod's volumes and files on the host."""


@dataclass(frozen=True, slots=True)
class EnsureSandbox:
    """Get a sandbox with its network: a warm one where ``warm`` allows it, else a new one."""

    hostname: str
    host_network: bool
    warm: bool


@dataclass(frozen=True, slots=True)
class PublishPorts:
    """Make host ports lead to the pod."""

    ports: tuple[PortMapping, ...]


@dataclass(frozen=True, slots=True)
class EnsureImage:
    """Have the image of a container's attempt on the host, by its pull policy. Never waits for a pull."""

    container: str
    attempt: int
    image: str
    policy: str


@dataclass(frozen=True, slots=True)
class StartContainer:
    """Create a container and start it; with ``existing`` start that one, which was created and never started."""

    container: str
    attempt: int
    init: bool = False
    existing: str = ""


@dataclass(frozen=True, slots=True)
class ResizeContainer:
    """Have a running container take what its pod's resources say now."""

    container: str
    id: str


@dataclass(frozen=True, slots=True)
class StopContainers:
    """Begin to stop containers side by side; each is killed after ``grace`` seconds. Does not wait for the end.

    ``killed_for`` is remembered of each, where they are stopped only to be started again. ``message`` is for the
    Killing event.
    """

    ids: tuple[str, ...]
    grace: float
    message: str = ""
    killed_for: str = ""


@dataclass(frozen=True, slots=True)
class RemoveContainers:
    """Remove containers, killing what still runs."""

    ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RemoveSandboxes:
    """Take back network and host ports, then remove."""

    ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CleanUp:
    """Remove the pod's volumes, files and local copy."""


@dataclass(frozen=True, slots=True)
class DeletePodObject:
    """Tell the API that the pod has ended here: delete its object with no grace, if it is still that very pod."""

    uid: str


Step = (
    PrepareVolumes
    | EnsureSandbox
    | PublishPorts
    | EnsureImage
    | StartContainer
    | ResizeContainer
    | StopContainers
    | RemoveContainers
    | RemoveSandboxes
    | CleanUp
    | DeletePodObject
)


@dataclass(frozen=True, slots=True)
class Plan:
    """Steps to take now, and seconds after which to decide again in any case (None: when something happens)."""

    steps: tuple[Step, ...] = ()
    wake: float | None = None
