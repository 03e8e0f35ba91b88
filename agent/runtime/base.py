"""The runtime protocol: what the agent asks of a container engine, and the plain data that it gets back.

A pod is a sandbox (a container that only sleeps and holds the network namespace) plus its containers, which
join it. State lives with the engine: a sandbox's *name* says which pod it serves (Docker labels cannot change
after creation, and a warm sandbox is made before its pod is known), a container's *labels* say the rest. So a
restarted agent learns everything from ``list_pods`` and ``list_containers``.

Implementations: Docker, and a hollow one that only pretends (for load without hosts). All methods are safe to
call concurrently; none blocks the event loop; each is bounded in time and raises RuntimeFailure.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Protocol


class RuntimeFailure(Exception):
    """The engine refused or failed. ``reason`` is a Kubernetes reason (RunContainerError, ErrImagePull ...)."""

    def __init__(self, message: str, reason: str = "RunContainerError") -> None:
        super().__init__(message)
        self.message, self.reason = message, reason


class RuntimeUnavailable(RuntimeFailure):
    """The engine does not answer; what was asked may or may not have happened."""

    def __init__(self, message: str) -> None:
        super().__init__(message, "RuntimeUnavailable")


class ImageMissing(RuntimeFailure):
    """The image is not on this host and the pull policy is Never."""

    def __init__(self, message: str) -> None:
        super().__init__(message, "ErrImageNeverPull")


class State(StrEnum):
    CREATED = "created"
    RUNNING = "running"
    EXITED = "exited"


@dataclass(frozen=True, slots=True)
class PodIdentity:
    uid: str
    namespace: str
    name: str


@dataclass(frozen=True, slots=True)
class Sandbox:
    """A sandbox as observed. ``pod`` is None while it waits in the warm pool."""

    id: str
    pod: PodIdentity | None
    running: bool
    process_id: int
    """Process id on the host, for its network namespace; 0 when not running."""
    created_at: datetime
    hostname: str = ""
    host_network: bool = False


@dataclass(frozen=True, slots=True)
class Resources:
    """What a container may take of its host."""

    cpu_shares: int = 2
    """Its weight where processors are short."""
    cpu_quota: int = 0
    """Microseconds per 100 ms period; 0 for no limit."""
    memory_bytes: int = 0
    """0 for no limit. There is no swap beyond it."""


@dataclass(frozen=True, slots=True)
class ProcessUser:
    """Who a process is, by numbers."""

    uid: int
    gid: int
    groups: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class ContainerInfo:
    """A container as observed. ``attempt`` counts from 0: restart number in this pod."""

    id: str
    pod: PodIdentity
    name: str
    attempt: int
    sandbox_id: str
    state: State
    image: str
    image_id: str
    created_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None
    exit_code: int = 0
    oom_killed: bool = False
    error: str = ""
    spec_hash: str = ""
    init: bool = False
    resources: Resources = Resources()
    """What it may take now, as the engine has it."""
    user: ProcessUser | None = None
    """Who its first process was when it began, where that is known."""


@dataclass(frozen=True, slots=True)
class Mount:
    """A bind mount from the host, or memory when ``source`` is empty."""

    source: str
    target: str
    read_only: bool = False
    size_bytes: int = 0
    memory: bool = False
    propagation: str = ""
    """How mounts below it pass between host and container (mount(8)): ``rslave``, ``rshared``; empty for not at all."""
    recursive: bool = False
    """What is mounted below it is read-only too, or the container does not start."""


@dataclass(frozen=True, slots=True)
class Security:
    """What a container's processes may do. Empty and false values stand for the engine's own ways."""

    user: str = ""
    """``uid`` or ``user:gid``; empty for the image's."""
    groups: tuple[int, ...] = ()
    privileged: bool = False
    read_only_root: bool = False
    no_new_privileges: bool = False
    add: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()
    """Capabilities beyond and of the engine's set; ``ALL`` for all."""
    seccomp: str = ""
    """``unconfined``, or a profile as JSON."""
    app_armor: str = ""
    """``unconfined``, or the name of a profile that is loaded."""
    unmasked: bool = False
    """/proc as it is, with nothing hidden or read-only."""


@dataclass(frozen=True, slots=True)
class Namespaces:
    """Which of a container's namespaces are not as usual: its sandbox's network and IPC, its own processes."""

    host_pid: bool = False
    host_ipc: bool = False
    shared_pid: bool = False
    """All containers of the pod see each other's processes, below those of the sandbox."""


@dataclass(frozen=True, slots=True)
class SandboxSpec:
    """What a sandbox of ``pod`` needs; with ``pod`` None one for the warm pool."""

    pod: PodIdentity | None
    hostname: str
    host_network: bool = False
    sysctls: tuple[tuple[str, str], ...] = ()
    """Settings of the kernel in its namespaces."""


@dataclass(frozen=True, slots=True)
class ContainerSpec:
    """A container to create, everything resolved: no references left to look up."""

    pod: PodIdentity
    name: str
    attempt: int
    sandbox_id: str
    image: str
    command: tuple[str, ...] | None
    args: tuple[str, ...] | None
    env: tuple[tuple[str, str], ...]
    working_dir: str
    mounts: tuple[Mount, ...]
    spec_hash: str
    hostname: str = ""
    """The pod's hostname, set in the container after start where its sandbox came from the warm pool."""
    resources: Resources = Resources()
    oom_score_adj: int | None = None
    host_network: bool = False
    init: bool = False
    tty: bool = False
    stdin: bool = False
    stdin_once: bool = False
    """Stdin ends with the first who was attached to it."""
    processes_of: str = ""
    """The container whose processes it sees, in place of its own alone."""
    security: Security = Security()
    namespaces: Namespaces = Namespaces()

    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class EngineEvent:
    """Something happened to a container of ours. ``action`` is ``start``, ``die``, ``destroy``, ``oom``; an
    event with an empty ``container_id`` means that events may have been missed: look at everything again."""

    action: str
    container_id: str
    pod_uid: str


@dataclass(frozen=True, slots=True)
class EngineInfo:
    version: str
    api_version: str
    os: str
    architecture: str
    kernel: str
    os_image: str
    cpus: int
    memory_bytes: int
    storage_driver: str
    cgroup_version: str
    data_root: str
    security_options: tuple[str, ...] = ()
    """What it can confine processes with: ``apparmor``, ``seccomp`` ..."""


@dataclass(frozen=True, slots=True)
class Image:
    id: str
    tags: tuple[str, ...]
    digests: tuple[str, ...]
    size_bytes: int
    user: str = ""
    """Who its processes run as, ``user`` or ``user:group``; empty for root, and in lists."""


@dataclass(frozen=True, slots=True)
class RegistryAuth:
    """Who one is to a registry."""

    username: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class ExecResult:
    exit_code: int
    output: bytes
    """Stdout and stderr together, cut at 10 KiB."""


@dataclass(frozen=True, slots=True)
class ProcessStreams:
    """Which streams of a process are wanted, and whether they are a terminal's."""

    stdin: bool = False
    stdout: bool = False
    stderr: bool = False
    tty: bool = False


@dataclass(frozen=True, slots=True)
class LogOptions:
    """Options of a log read, as ``PodLogOptions``; ``since`` and ``since_seconds`` exclude each other."""

    follow: bool = False
    tail_lines: int | None = None
    since: datetime | None = None
    since_seconds: int | None = None
    timestamps: bool = False
    limit_bytes: int | None = None


class RemoteProcess(Protocol):
    """A process that somebody far away talks to. One reader, one writer; ``close`` and ``hang_up`` end both."""

    async def read(self) -> tuple[int, bytes] | None:
        """Output, with 1 for stdout (a terminal's is all there) or 2 for stderr; None at its end."""
        ...

    async def write(self, data: bytes) -> None:
        """Give it stdin; waits while it does not read. What an ended process is given is lost."""
        ...

    async def close_stdin(self) -> None:
        """No more stdin comes."""
        ...

    async def resize(self, width: int, height: int) -> None:
        """The terminal's size, once it has one. Raises RuntimeFailure."""
        ...

    async def exit_code(self) -> int:
        """After the end of its output: waits for its own. Raises RuntimeFailure."""
        ...

    async def hang_up(self) -> None:
        """Whoever talked to it has gone: its stdin ends, and its terminal, where it has one of its own, hangs up."""
        ...

    async def close(self) -> None:
        """Give the connection back; the process is left alone. Idempotent."""
        ...


class Runtime(Protocol):
    """What the agent asks of an engine."""

    async def info(self) -> EngineInfo: ...

    async def list_sandboxes(self) -> Sequence[Sandbox]:
        """Every sandbox of this agent, warm ones too."""
        ...

    async def list_containers(self, pod_uid: str = "") -> Sequence[ContainerInfo]:
        """Every container of this agent's pods, running or not; of one pod when ``pod_uid`` is given."""
        ...

    async def container_sizes(self) -> Mapping[str, int]:
        """Bytes on the disk of what each container of this agent's pods has written, its log included. Slow."""
        ...

    async def process_id(self, container_id: str) -> int:
        """The first process of a running container. Raises RuntimeFailure."""
        ...

    def events(self) -> AsyncIterator[EngineEvent]:
        """Events from now on, without end: it reconnects by itself with back-off, and says so with an event that
        has no container. The subscription is live when the first event (always such a one) is delivered."""
        ...

    async def create_sandbox(self, spec: SandboxSpec) -> Sandbox:
        """Create and start a sandbox; its network namespace has only ``lo``, unless ``host_network``."""
        ...

    async def claim_sandbox(self, sandbox_id: str, pod: PodIdentity) -> None:
        """Give a warm sandbox to a pod (a rename, durable before it returns)."""
        ...

    async def release_sandbox(self, sandbox: Sandbox) -> Sandbox | None:
        """Take a running sandbox back from a pod whose containers are gone: it is a warm one then. None when it will
        not do for another pod: something of this one (shared memory, message queues) is left in it."""
        ...

    async def remove_sandbox(self, sandbox_id: str) -> None:
        """Kill and remove; no error if it is gone."""
        ...

    async def image_present(self, image: str) -> Image | None: ...

    async def pull_image(self, image: str, auth: RegistryAuth | None = None) -> Image:
        """Pull, as ``auth`` where given. Raises RuntimeFailure with ErrImagePull or InvalidImageName and the engine's
        message."""
        ...

    async def list_images(self) -> Sequence[Image]: ...

    async def remove_image(self, name: str) -> bool:
        """Take a name (or an id) off an image, which goes with its last. False when a container is made of it; no error
        if it is gone."""
        ...

    async def create_container(self, spec: ContainerSpec) -> str:
        """Create, not start; its id. If one of the same pod, name and attempt exists, that one's id."""
        ...

    async def start_container(self, container_id: str, hostname: str = "") -> ProcessUser | None:
        """Start; with ``hostname``, set it in the container's UTS namespace right after. Who its process is, where that
        is known."""
        ...

    async def update_container(self, container_id: str, resources: Resources) -> None:
        """Change what a running container may take; a limit is never taken away."""
        ...

    async def memory_usage(self, container_id: str) -> int:
        """Bytes that a running container has in use, without what the kernel would give up at once. Raises
        RuntimeFailure."""
        ...

    async def stop_container(self, container_id: str, grace_seconds: int) -> None:
        """SIGTERM (or the image's stop signal), after ``grace_seconds`` SIGKILL; returns when it has ended."""
        ...

    async def remove_container(self, container_id: str) -> None:
        """Kill and remove; no error if it is gone."""
        ...

    async def exec(self, container_id: str, command: Sequence[str], timeout: float) -> ExecResult:
        """Run a command inside; on timeout TimeoutError."""
        ...

    async def open_exec(self, container_id: str, command: Sequence[str], streams: ProcessStreams) -> RemoteProcess:
        """Start a command inside and talk to it. To be closed by the caller. Raises RuntimeFailure."""
        ...

    async def open_attach(self, container_id: str, streams: ProcessStreams) -> RemoteProcess:
        """Talk to the container's own process; whether it has a terminal is its own. As ``open_exec``."""
        ...

    def logs(self, container_id: str, options: LogOptions) -> AsyncIterator[bytes]:
        """The log's bytes, stdout and stderr in the order written; with ``follow`` until the container ends."""
        ...

    async def close(self) -> None: ...
