"""The runtime on Docker: every verb of ``Runtime`` as calls of the daemon.

It owns names and labels, the sandbox's image and the mapping of the daemon's answers. It decides nothing about
pods and keeps no state but a short memory of images: the daemon is asked each time. All methods are safe to call
concurrently on one event loop; calls for the same container are the caller's to order.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

from docker import APIClient

from agent.namespaces import ipc_objects, set_hostname
from agent.runtime import docker_events, docker_exec, docker_logs, docker_process, docker_pull, pause
from agent.runtime import docker_names as names
from agent.runtime.base import (
    ContainerInfo,
    ContainerSpec,
    EngineEvent,
    EngineInfo,
    ExecResult,
    Image,
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
from agent.runtime.docker_engine import DockerEngine, is_conflict
from agent.runtime.docker_errors import status_of
from agent.runtime.docker_options import DockerOptions
from agent.runtime.docker_sizes import container_sizes
from agent.runtime.docker_spec import container_body, probe_body, resource_config, sandbox_body
from agent.runtime.docker_users import read_user
from agent.runtime.images import PresentImages, parse_reference
from agent.runtime.orphans import Listed, Orphan, find_orphans
from agent.usage import kernel
from shared.work.backoff import Backoff
from shared.work.clock import Clock, SystemClock

logger = logging.getLogger(__name__)
_RECONNECT = Backoff(0.2, 10.0)
_Document = dict[str, Any]
_GONE = ContainerInfo(
    "", PodIdentity("", "", ""), "", 0, "", State.EXITED, "", "", datetime.fromtimestamp(0, UTC)
)  # fmt: skip
"""Of a container that went away between the list and the look at it."""


class DockerRuntime:
    """``Runtime`` on the Docker daemon at ``options.host``, for the node ``node``. Connects at the first call."""

    def __init__(
        self,
        options: DockerOptions,
        node: str,
        *,
        clock: Clock | None = None,
        token: Callable[[], str] = partial(secrets.token_hex, 8),
    ) -> None:
        self._options, self._node, self._token = options, node, token
        self._clock = clock or SystemClock()
        self._engine = DockerEngine(options)
        self._images = PresentImages(self._clock, options.image_cache_seconds)
        self._pulls = asyncio.Semaphore(options.pulls)
        self._execs = asyncio.Semaphore(options.execs)
        self._stops = asyncio.Semaphore(options.stops)
        self._log_streams = asyncio.Semaphore(options.log_streams)
        self._preparing = asyncio.Lock()
        self._pause_image = ""
        self._negative_scores: bool | None = None

    # --- looking ---------------------------------------------------------------------------------------------

    async def info(self) -> EngineInfo:
        found, version = await asyncio.gather(
            self._engine.call("info", lambda client: client.info()),
            self._engine.call("version", lambda client: client.version()),
        )
        return EngineInfo(
            version=version["Version"],
            api_version=version["ApiVersion"],
            os=version["Os"],
            architecture=version["Arch"],
            kernel=version.get("KernelVersion", ""),
            os_image=found.get("OperatingSystem", ""),
            cpus=int(found["NCPU"]),
            memory_bytes=int(found["MemTotal"]),
            storage_driver=found.get("Driver", ""),
            cgroup_version=found.get("CgroupVersion") or "1",
            data_root=found.get("DockerRootDir", ""),
            security_options=names.read_security_options(found.get("SecurityOptions") or ()),
        )

    async def list_sandboxes(self) -> Sequence[Sandbox]:
        found = await self._inspect_all([f"{names.SANDBOX}=true"])
        return [names.read_sandbox(one) for one in found]

    async def list_containers(self, pod_uid: str = "") -> Sequence[ContainerInfo]:
        listed = await self._list([names.CONTAINER, f"{names.POD_UID}={pod_uid}" if pod_uid else names.POD_UID])
        looks = (self._engine.call("inspect", partial(_read, one["Id"]), absent=_GONE) for one in listed)
        return [info for info in await asyncio.gather(*looks) if info is not _GONE]

    async def container_sizes(self) -> Mapping[str, int]:
        return await container_sizes(self._engine, self._node)

    async def process_id(self, container_id: str) -> int:
        """Raises RuntimeFailure."""
        found: int = await self._engine.call("inspect", partial(_process_id, container_id))
        if not found:
            raise RuntimeFailure(f"container {container_id[:12]} is not running", "NotRunning")
        return found

    def events(self) -> AsyncIterator[EngineEvent]:
        return docker_events.events(self._engine, self._node, self._clock, _RECONNECT)

    # --- sandboxes -------------------------------------------------------------------------------------------

    async def create_sandbox(self, spec: SandboxSpec) -> Sandbox:
        """Raises RuntimeFailure with CreatePodSandboxError."""
        name = names.pod_sandbox_name(spec.pod) if spec.pod else names.warm_sandbox_name(self._token())
        for attempt in (0, 1):
            await self._prepare()
            body = sandbox_body(
                spec,
                node=self._node,
                image=self._pause_image,
                command=pause.PATH,
                options=self._options,
                negative_scores=bool(self._negative_scores),
            )
            try:
                sandbox_id = await self._create("create_sandbox", body, name)
                break
            except RuntimeFailure as failure:
                if attempt:
                    raise
                if is_conflict(failure.__cause__):
                    if (existing := await self._reuse_sandbox(name)) is not None:
                        return existing
                elif status_of(failure.__cause__ or failure) == 404:
                    self._pause_image = ""  # somebody removed the image
                else:
                    raise
        try:
            await self._engine.call("start_sandbox", partial(_start, sandbox_id), write=True)
            return names.read_sandbox(await self._inspect(sandbox_id))
        except RuntimeUnavailable:
            raise  # it may run: the next try finds it by its name
        except RuntimeFailure as failure:
            await self.remove_sandbox(sandbox_id)
            raise RuntimeFailure(failure.message, "CreatePodSandboxError") from failure

    async def claim_sandbox(self, sandbox_id: str, pod: PodIdentity) -> None:
        """Raises RuntimeFailure with CreatePodSandboxError when the sandbox is gone or the pod has another one."""
        name = names.pod_sandbox_name(pod)
        try:
            await self._engine.call("claim_sandbox", partial(_rename, sandbox_id, name), write=True)
        except RuntimeUnavailable:
            raise
        except RuntimeFailure as failure:
            found = await self._find(sandbox_id)
            if found is None or found["Name"].lstrip("/") != name:
                raise RuntimeFailure(failure.message, "CreatePodSandboxError") from failure

    async def release_sandbox(self, sandbox: Sandbox) -> Sandbox | None:
        """Raises RuntimeFailure with CreatePodSandboxError."""
        rename = partial(_release, sandbox, names.warm_sandbox_name(self._token()))
        return await self._engine.call("release_sandbox", rename, write=True)

    async def remove_sandbox(self, sandbox_id: str) -> None:
        await self.remove_container(sandbox_id)

    # --- images ----------------------------------------------------------------------------------------------

    async def image_present(self, image: str) -> Image | None:
        """None too for a name that is no valid reference: a pull says what is wrong with it."""
        known = self._images.get(image)
        if known is None:
            known = await docker_pull.inspect(self._engine, image)
            if known is not None:
                self._images.put(image, known)
        return known

    async def pull_image(self, image: str, auth: RegistryAuth | None = None) -> Image:
        reference = parse_reference(image)
        self._images.forget(image)
        async with self._pulls:
            await docker_pull.pull(self._engine, reference, auth)
        found = await self.image_present(image)
        if found is None:
            raise RuntimeFailure(f"image {image!r} was pulled, but the engine does not find it", "ErrImagePull")
        return found

    async def list_images(self) -> Sequence[Image]:
        found: list[_Document] = await self._engine.call("list_images", lambda client: client.images())
        return [docker_pull.read_image(one) for one in found]

    async def remove_image(self, name: str) -> bool:
        self._images.forget(name)
        return await docker_pull.remove(self._engine, name)

    # --- containers ------------------------------------------------------------------------------------------

    async def create_container(self, spec: ContainerSpec) -> str:
        """Raises RuntimeFailure with CreateContainerError."""
        negative = False
        if spec.oom_score_adj is not None and spec.oom_score_adj < 0:
            await self._prepare()
            negative = bool(self._negative_scores)
        body = container_body(spec, node=self._node, options=self._options, negative_scores=negative)
        name = names.container_name(spec.pod.uid, spec.name, spec.attempt)
        try:
            return await self._create("create", body, name)
        except RuntimeUnavailable:
            raise
        except RuntimeFailure as failure:
            if is_conflict(failure.__cause__) and (existing := await self._find(name)) is not None:
                return str(existing["Id"])
            self._images.forget(spec.image)
            raise

    async def start_container(self, container_id: str, hostname: str = "") -> ProcessUser | None:
        """Raises RuntimeFailure with StartError when the command cannot be executed, else RunContainerError."""
        await self._engine.call("start", partial(_start, container_id), write=True)
        info: ContainerInfo = await self._engine.call(
            "started", partial(_started, container_id, hostname), absent=_GONE
        )
        return info.user

    async def update_container(self, container_id: str, resources: Resources) -> None:
        await self._engine.call("update", partial(_update, container_id, resource_config(resources)), write=True)

    async def memory_usage(self, container_id: str) -> int:
        """By the kernel's word: the daemon has none for a container in another's network."""
        process_id = await self.process_id(container_id)
        try:
            return (await asyncio.to_thread(lambda: kernel.group_of(process_id).read())).memory
        except OSError as error:
            raise RuntimeFailure(f"the memory of container {container_id[:12]} cannot be read: {error}") from error

    async def stop_container(self, container_id: str, grace_seconds: int) -> None:
        grace = max(0, grace_seconds)
        async with self._stops:
            await self._engine.dedicated(
                "stop", partial(_stop, container_id, grace), limit=grace + self._options.write_timeout, absent=True
            )

    async def remove_container(self, container_id: str) -> None:
        try:
            await self._engine.call("remove", partial(_remove, container_id), write=True, absent=True)
        except RuntimeFailure as failure:
            if not is_conflict(failure.__cause__):
                raise
            # its removal is in progress, begun by a call that we gave up or by somebody else
            await self._engine.call("wait_removed", partial(_wait_removed, container_id), write=True, absent=True)

    async def exec(self, container_id: str, command: Sequence[str], timeout: float) -> ExecResult:
        return await docker_exec.run(self._engine, self._execs, container_id, command, timeout)

    async def open_exec(self, container_id: str, command: Sequence[str], streams: ProcessStreams) -> RemoteProcess:
        return await docker_process.open_exec(self._engine, container_id, command, streams)

    async def open_attach(self, container_id: str, streams: ProcessStreams) -> RemoteProcess:
        return await docker_process.open_attach(self._engine, container_id, streams)

    def logs(self, container_id: str, options: LogOptions) -> AsyncIterator[bytes]:
        return docker_logs.logs(self._engine, self._log_streams, self._clock, container_id, options)

    # --- housekeeping ----------------------------------------------------------------------------------------

    async def remove_orphans(self) -> Sequence[Orphan]:
        """Remove what nobody will come back for (``orphans.py``), and say what it was."""
        listed = await self._list([])
        orphans = find_orphans([_listed(one) for one in listed], self._clock.now())
        for orphan in orphans:
            logger.warning("removing an orphan", extra={"container": orphan.name, "reason": orphan.reason})
            await self.remove_container(orphan.id)
        return orphans

    async def close(self) -> None:
        await self._engine.close()

    # --- parts -----------------------------------------------------------------------------------------------

    async def _prepare(self) -> None:
        """Once, and again when it was removed: the sandbox's image, and what this host allows."""
        async with self._preparing:
            if not self._pause_image:
                self._pause_image = await docker_pull.ensure_pause_image(self._engine)
            if self._negative_scores is None:
                self._negative_scores = await self._probe_scores()

    async def _probe_scores(self) -> bool:
        """Whether a container may have a negative oom_score_adj. Some hosts refuse it, and runc then fails with a
        message that does not say so; asking is the only way to know."""
        body = probe_body(node=self._node, image=self._pause_image, command=pause.PATH)
        probe = await self._create("create_sandbox", body, f"longboat.probe.{self._token()}")
        try:
            await self._engine.call("start_sandbox", partial(_start, probe), write=True)
        except RuntimeUnavailable:
            raise
        except RuntimeFailure as failure:
            logger.info("this host allows no negative oom_score_adj", extra={"reason": failure.message})
            return False
        finally:
            await self.remove_container(probe)
        return True

    async def _reuse_sandbox(self, name: str) -> Sandbox | None:
        """The sandbox of this name if it runs; one that does not is removed."""
        found = await self._find(name)
        if found is None:
            return None
        sandbox = names.read_sandbox(found)
        if sandbox.running:
            return sandbox
        await self.remove_sandbox(sandbox.id)
        return None

    async def _create(self, operation: str, body: _Document, name: str) -> str:
        made: _Document = await self._engine.call(
            operation, lambda client: client.create_container_from_config(body, name), write=True
        )
        return str(made["Id"])

    async def _list(self, labels: list[str]) -> list[_Document]:
        filters = {"label": [f"{names.NODE}={self._node}", *labels]}
        found: list[_Document] = await self._engine.call(
            "list", lambda client: client.containers(all=True, filters=filters)
        )
        return found

    async def _inspect(self, container: str) -> _Document:
        found: _Document = await self._engine.call("inspect", lambda client: client.inspect_container(container))
        return found

    async def _find(self, container: str) -> _Document | None:
        """By id or name; None when there is none."""
        found: _Document = await self._engine.call(
            "inspect", lambda client: client.inspect_container(container), absent={}
        )
        return found or None

    async def _inspect_all(self, labels: list[str]) -> list[_Document]:
        """Inspect what the list finds; what vanishes in between is left out."""
        listed = await self._list(labels)
        found = await asyncio.gather(*(self._find(one["Id"]) for one in listed))
        return [one for one in found if one is not None]


def _read(container_id: str, client: APIClient) -> ContainerInfo:
    found = client.inspect_container(container_id)
    process_id = int(found["State"].get("Pid") or 0)
    return names.read_container(found, read_user(process_id) if process_id else None)


def _start(container_id: str, client: APIClient) -> None:
    client.start(container_id)


def _update(container_id: str, config: _Document, client: APIClient) -> None:
    client.update_container(
        container_id,
        cpu_shares=config["CpuShares"],
        cpu_period=config.get("CpuPeriod"),
        cpu_quota=config.get("CpuQuota"),
        mem_limit=config.get("Memory"),
        memswap_limit=config.get("MemorySwap"),
    )


def _rename(container_id: str, name: str, client: APIClient) -> None:
    client.rename(container_id, name)


def _release(sandbox: Sandbox, name: str, client: APIClient) -> Sandbox | None:
    try:
        left = ipc_objects(sandbox.process_id)
    except OSError as error:
        left = [str(error)]
    if left:
        logger.debug("a sandbox is not used again", extra={"sandbox": sandbox.id, "left": left[:5]})
        return None
    client.rename(sandbox.id, name)
    return replace(sandbox, pod=None)


def _stop(container_id: str, grace: int, client: APIClient) -> bool:
    client.stop(container_id, timeout=grace)
    return True


def _remove(container_id: str, client: APIClient) -> bool:
    client.remove_container(container_id, v=True, force=True)
    return True


def _wait_removed(container_id: str, client: APIClient) -> bool:
    client.wait(container_id, condition="removed")
    return True


def _process_id(container_id: str, client: APIClient) -> int:
    """0 of a container that does not run."""
    return int(client.inspect_container(container_id)["State"].get("Pid") or 0)


def _started(container_id: str, hostname: str, client: APIClient) -> ContainerInfo:
    """Name the host of a container that has just been started, and look who it is."""
    found = client.inspect_container(container_id)
    process_id = int(found["State"].get("Pid") or 0)
    if process_id and hostname:
        _name_host(container_id, process_id, hostname)
    return names.read_container(found, read_user(process_id) if process_id else None)


def _name_host(container_id: str, process_id: int, hostname: str) -> None:
    try:
        set_hostname(process_id, hostname)
    except OSError as error:
        logger.warning("host name not set", extra={"container": container_id, "reason": str(error)})


def _listed(one: _Document) -> Listed:
    labels = one.get("Labels") or {}
    name = (one.get("Names") or ["/"])[0].lstrip("/")
    sandbox = labels.get(names.SANDBOX) == "true"
    return Listed(
        id=one["Id"],
        name=name,
        status=one.get("State", ""),
        created_at=datetime.fromtimestamp(one["Created"], UTC),
        sandbox=sandbox,
        warm=sandbox and names.is_warm(name),
        pod_uid=labels.get(names.POD_UID, ""),
        container=labels.get(names.CONTAINER, ""),
        attempt=int(labels.get(names.ATTEMPT, "0")),
    )
