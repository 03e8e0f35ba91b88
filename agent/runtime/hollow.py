"""A runtime and a pod network that only pretend: for load without hosts (a thousand agents in one process).

They keep the contracts of ``Runtime`` and ``PodNetwork`` in memory, with latencies of choice; ``end_container``,
``lose_container`` and ``restart_engine`` make happen what happens on real hosts. One event loop; nothing blocks.
"""

from __future__ import annotations

import asyncio
import ipaddress
import itertools
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace

from agent.network.base import PortMapping
from agent.runtime.base import (
    ContainerInfo,
    ContainerSpec,
    EngineEvent,
    EngineInfo,
    ExecResult,
    Image,
    ImageMissing,
    LogOptions,
    PodIdentity,
    ProcessStreams,
    ProcessUser,
    RegistryAuth,
    RemoteProcess,
    Resources,
    RuntimeFailure,
    RuntimeUnavailable,
    Sandbox,
    SandboxSpec,
    State,
)
from shared.work.clock import Clock

EVENT_LIMIT = 1000
"""Events that wait for a subscriber; when there are more it is told to look at everything again."""
LOOK_AGAIN = EngineEvent("", "", "")


@dataclass(frozen=True, slots=True)
class HollowLatency:
    """Seconds that each call takes."""

    sandbox: float = 0.0
    pull: float = 0.0
    create: float = 0.0
    start: float = 0.0
    remove: float = 0.0


@dataclass(frozen=True, slots=True)
class HollowCapacity:
    """What the pretended host says of itself."""

    cpus: int = 4
    memory_bytes: int = 8 * 1024**3


class HollowRuntime:
    """An engine in memory. Every image but those in ``missing_images`` can be pulled."""

    def __init__(
        self,
        node: str,
        clock: Clock,
        *,
        latency: HollowLatency = HollowLatency(),
        capacity: HollowCapacity = HollowCapacity(),
    ) -> None:
        self._node, self._clock, self._latency, self._capacity = node, clock, latency, capacity
        self._ids = itertools.count(1)
        self.sandboxes: dict[str, Sandbox] = {}
        self.containers: dict[str, ContainerInfo] = {}
        self.specs: dict[str, ContainerSpec] = {}
        self.images: dict[str, Image] = {}
        self.missing_images: set[str] = set()
        self.sizes: dict[str, int] = {}
        """Bytes that containers have written, by id, where it is more than none."""
        self.private_images: dict[str, RegistryAuth] = {}
        """Images that are given to nobody else."""
        self.start_failures: dict[str, str] = {}
        """Containers by name that cannot be started, with the engine's message."""
        self.ignores_term: set[str] = set()
        """Containers by name that end only when they are killed."""
        self.memory: dict[str, int] = {}
        """Bytes that containers have in use, by id, where it is more than none."""
        self.exec_results: dict[str, ExecResult] = {}
        """What exec gives, by container name; else exit code 0."""
        self.available = True
        self.calls: dict[str, int] = {}
        self._subscribers: list[asyncio.Queue[EngineEvent]] = []

    # --- what happens to hosts

    def end_container(self, container_id: str, exit_code: int = 0, *, oom: bool = False) -> None:
        """The container's process ends."""
        info = self.containers.get(container_id)
        if info is None or info.state is not State.RUNNING:
            return
        self.containers[container_id] = replace(
            info, state=State.EXITED, exit_code=exit_code, oom_killed=oom, finished_at=self._clock.now()
        )
        self._tell("die", container_id, info.pod.uid)

    def lose_container(self, container_id: str) -> None:
        """Somebody removes the container behind the agent's back."""
        info = self.containers.pop(container_id)
        self._tell("destroy", container_id, info.pod.uid)

    def kill_sandbox(self, sandbox_id: str) -> None:
        """The sandbox's process dies."""
        sandbox = self.sandboxes[sandbox_id]
        self.sandboxes[sandbox_id] = replace(sandbox, running=False, process_id=0)
        self._tell("die", sandbox_id, sandbox.pod.uid if sandbox.pod else "")

    def restart_engine(self) -> None:
        """As a restart of dockerd without live-restore: everything that ran has ended, and events were missed."""
        for sandbox in list(self.sandboxes.values()):
            self.sandboxes[sandbox.id] = replace(sandbox, running=False, process_id=0)
        for info in list(self.containers.values()):
            if info.state is State.RUNNING:
                ended = replace(info, state=State.EXITED, exit_code=137, finished_at=self._clock.now())
                self.containers[info.id] = ended
        for queue in self._subscribers:
            self._put(queue, LOOK_AGAIN)

    # --- Runtime

    async def info(self) -> EngineInfo:
        await self._call("info")
        return EngineInfo(
            version="hollow", api_version="1.41", os="linux", architecture="amd64", kernel="", os_image="hollow",
            cpus=self._capacity.cpus, memory_bytes=self._capacity.memory_bytes, storage_driver="none",
            cgroup_version="2", data_root="/",
        )  # fmt: skip

    async def list_sandboxes(self) -> Sequence[Sandbox]:
        await self._call("list_sandboxes")
        return list(self.sandboxes.values())

    async def list_containers(self, pod_uid: str = "") -> Sequence[ContainerInfo]:
        await self._call("list_containers")
        return [info for info in self.containers.values() if not pod_uid or info.pod.uid == pod_uid]

    async def process_id(self, container_id: str) -> int:
        raise RuntimeFailure("a container that only pretends has no process", "NotRunning")

    async def events(self) -> AsyncIterator[EngineEvent]:
        queue: asyncio.Queue[EngineEvent] = asyncio.Queue(EVENT_LIMIT)
        self._subscribers.append(queue)
        try:
            yield LOOK_AGAIN
            while True:
                yield await queue.get()
        finally:
            self._subscribers.remove(queue)

    async def create_sandbox(self, spec: SandboxSpec) -> Sandbox:
        await self._call("create_sandbox", self._latency.sandbox)
        if spec.pod is not None:
            for existing in self.sandboxes.values():
                if existing.pod == spec.pod and existing.running:
                    return existing
        number = next(self._ids)
        sandbox = Sandbox(
            id=f"{self._node}-sandbox-{number}", pod=spec.pod, running=True, process_id=number,
            created_at=self._clock.now(), hostname=spec.hostname, host_network=spec.host_network,
        )  # fmt: skip
        self.sandboxes[sandbox.id] = sandbox
        return sandbox

    async def claim_sandbox(self, sandbox_id: str, pod: PodIdentity) -> None:
        await self._call("claim_sandbox")
        sandbox = self.sandboxes.get(sandbox_id)
        if sandbox is None:
            raise RuntimeFailure(f"no such sandbox: {sandbox_id}", "CreatePodSandboxError")
        self.sandboxes[sandbox_id] = replace(sandbox, pod=pod)

    async def release_sandbox(self, sandbox: Sandbox) -> Sandbox | None:
        await self._call("release_sandbox")
        found = self.sandboxes.get(sandbox.id)
        if found is None or not found.running:
            return None
        self.sandboxes[sandbox.id] = replace(found, pod=None)
        return self.sandboxes[sandbox.id]

    async def remove_sandbox(self, sandbox_id: str) -> None:
        await self._call("remove_sandbox", self._latency.remove)
        self.sandboxes.pop(sandbox_id, None)

    async def container_sizes(self) -> Mapping[str, int]:
        await self._call("container_sizes")
        return dict.fromkeys(self.containers, 0) | self.sizes

    async def image_present(self, image: str) -> Image | None:
        await self._call("image_present")
        return self.images.get(image)

    async def pull_image(self, image: str, auth: RegistryAuth | None = None) -> Image:
        await self._call("pull_image", self._latency.pull)
        if image in self.missing_images or self.private_images.get(image, auth) != auth:
            raise RuntimeFailure(f"pull access denied for {image}, repository does not exist", "ErrImagePull")
        self.images[image] = Image(f"sha256:{image}", (image,), (), 1_000_000)
        return self.images[image]

    async def list_images(self) -> Sequence[Image]:
        await self._call("list_images")
        return list(self.images.values())

    async def remove_image(self, name: str) -> bool:
        await self._call("remove_image")
        found = next((image for image in self.images.values() if name in (*image.tags, image.id)), None)
        if found is not None and any(info.image_id == found.id for info in self.containers.values()):
            return False
        self.images = {key: image for key, image in self.images.items() if image is not found}
        return True

    async def create_container(self, spec: ContainerSpec) -> str:
        await self._call("create_container", self._latency.create)
        for existing in self.containers.values():
            if (existing.pod.uid, existing.name, existing.attempt) == (spec.pod.uid, spec.name, spec.attempt):
                return existing.id
        if spec.image not in self.images:
            raise ImageMissing(f"No such image: {spec.image}")
        container_id = f"{self._node}-{spec.name}-{next(self._ids)}"
        self.specs[container_id] = spec
        self.containers[container_id] = ContainerInfo(
            id=container_id, pod=spec.pod, name=spec.name, attempt=spec.attempt, sandbox_id=spec.sandbox_id,
            state=State.CREATED, image=spec.image, image_id=self.images[spec.image].id, created_at=self._clock.now(),
            spec_hash=spec.spec_hash, init=spec.init, resources=spec.resources,
        )  # fmt: skip
        return container_id

    async def start_container(self, container_id: str, hostname: str = "") -> ProcessUser | None:
        await self._call("start_container", self._latency.start)
        info = self.containers.get(container_id)
        if info is None:
            raise RuntimeFailure(f"No such container: {container_id}")
        if message := self.start_failures.get(info.name):
            self.containers[container_id] = replace(info, error=message, exit_code=127)
            raise RuntimeFailure(message, "StartError")
        sandbox = self.sandboxes.get(info.sandbox_id)
        if sandbox is None or not sandbox.running:
            raise RuntimeFailure(f"cannot join network of a non running container: {info.sandbox_id}")
        self.containers[container_id] = replace(info, state=State.RUNNING, started_at=self._clock.now())
        self._tell("start", container_id, info.pod.uid)
        return None

    async def update_container(self, container_id: str, resources: Resources) -> None:
        await self._call("update_container")
        info = self.containers.get(container_id)
        if info is None:
            raise RuntimeFailure(f"No such container: {container_id}")
        self.containers[container_id] = replace(info, resources=resources)

    async def memory_usage(self, container_id: str) -> int:
        await self._call("memory_usage")
        return self.memory.get(container_id, 0)

    async def stop_container(self, container_id: str, grace_seconds: int) -> None:
        await self._call("stop_container")
        info = self.containers.get(container_id)
        if info is not None and info.name in self.ignores_term:
            await asyncio.sleep(grace_seconds)
        self.end_container(container_id, 137 if info is not None and info.name in self.ignores_term else 0)

    async def remove_container(self, container_id: str) -> None:
        await self._call("remove_container", self._latency.remove)
        info = self.containers.get(container_id)
        if info is None:
            return
        self.end_container(container_id, 137)
        self.lose_container(container_id)

    async def exec(self, container_id: str, command: Sequence[str], timeout: float) -> ExecResult:
        await self._call("exec")
        info = self.containers.get(container_id)
        if info is None or info.state is not State.RUNNING:
            raise RuntimeFailure(f"container {container_id} is not running")
        return self.exec_results.get(info.name, ExecResult(0, b""))

    async def open_exec(self, container_id: str, command: Sequence[str], streams: ProcessStreams) -> RemoteProcess:
        raise RuntimeFailure("a hollow container runs no commands")

    async def open_attach(self, container_id: str, streams: ProcessStreams) -> RemoteProcess:
        raise RuntimeFailure("a hollow container has no process")

    async def logs(self, container_id: str, options: LogOptions) -> AsyncIterator[bytes]:
        if container_id not in self.containers:
            raise RuntimeFailure(f"No such container: {container_id}")
        yield f"hollow log of {container_id}\n".encode()

    async def close(self) -> None:
        self._subscribers.clear()

    # --- inside

    async def _call(self, name: str, latency: float = 0.0) -> None:
        self.calls[name] = self.calls.get(name, 0) + 1
        await asyncio.sleep(latency)
        if not self.available:
            raise RuntimeUnavailable("the engine does not answer")

    def _tell(self, action: str, container_id: str, pod_uid: str) -> None:
        for queue in self._subscribers:
            self._put(queue, EngineEvent(action, container_id, pod_uid))

    def _put(self, queue: asyncio.Queue[EngineEvent], event: EngineEvent) -> None:
        if queue.full():
            while not queue.empty():
                queue.get_nowait()
            event = LOOK_AGAIN
        queue.put_nowait(event)


class HollowNetwork:
    """Addresses from the node's pod CIDR, going round as the real ones do, and nothing behind them."""

    def __init__(self) -> None:
        self._free: deque[str] = deque()
        self._addresses: dict[str, str] = {}
        self.published: dict[str, tuple[PortMapping, ...]] = {}

    async def setup(self, pod_cidr: str) -> None:
        used = set(self._addresses.values())
        hosts = [str(host) for host in itertools.islice(ipaddress.ip_network(pod_cidr).hosts(), 1, 1025)]
        self._free = deque(host for host in hosts if host not in used)

    async def attach(self, pod: PodIdentity | None, sandbox_id: str, process_id: int) -> str:
        if sandbox_id not in self._addresses:
            self._addresses[sandbox_id] = self._free.popleft() if self._free else ""
        return self._addresses[sandbox_id]

    async def publish(self, pod: PodIdentity, address: str, ports: Sequence[PortMapping]) -> None:
        self.published[pod.uid] = tuple(ports)

    async def detach(self, pod: PodIdentity | None, sandbox_id: str) -> None:
        if address := self._addresses.pop(sandbox_id, ""):
            self._free.append(address)
        if pod is not None:
            self.published.pop(pod.uid, None)

    async def adopt(self, sandboxes: Sequence[tuple[PodIdentity | None, str, int]]) -> dict[str, str]:
        kept = {sandbox_id for _, sandbox_id, _ in sandboxes}
        for gone in [sandbox_id for sandbox_id in self._addresses if sandbox_id not in kept]:
            await self.detach(None, gone)
        return {key: value for key, value in self._addresses.items() if key in kept}

    async def close(self) -> None:
        return None
