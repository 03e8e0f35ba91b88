"""Steps that start and stop containers."""

from __future__ import annotations

import asyncio
import logging
import math
from dataclasses import replace

from agent import metrics
from agent.pods.env import ConfigError, command_line, environment, references
from agent.pods.gate import Urgency
from agent.pods.hostnames import pod_hostname
from agent.pods.observed import spec_hash
from agent.pods.plan import StartContainer, StopContainers
from agent.pods.resources import container_resources, oom_score_adj
from agent.pods.restarts import after_restart
from agent.pods.security import leaves_traces
from agent.pods.steps.base import StepFailed, Work
from agent.pods.steps.hooks import begin_post_start, pre_stop
from agent.pods.steps.secure import container_security
from agent.pods.volumes.base import VolumeFailure
from agent.runtime.base import (
    ContainerInfo,
    ContainerSpec,
    ImageMissing,
    Namespaces,
    RuntimeFailure,
    RuntimeUnavailable,
    State,
)
from shared.api.errors import StatusError
from shared.api.pod import Container, EphemeralContainer, Pod

logger = logging.getLogger(__name__)

STOP_MARGIN = 1.0
"""Seconds after a stop within which the engine's event should have told of the end."""
STOP_RETRY = 2.0
"""Seconds until a stop that failed is tried again."""


async def start_container(work: Work, step: StartContainer, pod: Pod, container: Container) -> None:
    """Create (unless ``existing``) and start: two calls of the engine."""
    tools, state = work.tools, work.state
    previous = state.latest(container.name)
    # Configuration first and outside of the gate: it may ask the server.
    spec = None if step.existing else await _spec(work, step, pod, container)
    async with tools.starts.slot(Urgency.CONTAINER):
        container_id = step.existing or await _create(work, step, pod, container, spec)
        if previous is not None and previous.id != container_id:
            _count_restart(work, container, previous)
        await _start(work, pod, container, container_id)
    state.failures.pop(container.name, None)


async def _create(work: Work, step: StartContainer, pod: Pod, container: Container, spec: ContainerSpec | None) -> str:
    tools, state = work.tools, work.state
    assert spec is not None
    began = tools.clock.monotonic()
    try:
        container_id = await tools.runtime.create_container(spec)
    except RuntimeUnavailable as error:
        state.stale = True  # it may exist: the next look tells, and the next try finds it by its name
        raise StepFailed("CreateContainerError", error.message) from error
    except ImageMissing as error:
        state.pulls.pop(container.name, None)
        raise StepFailed("ErrImageNeverPull", error.message) from error
    except RuntimeFailure as error:
        state.pulls.pop(container.name, None)  # the image may have been removed since it was looked at
        raise StepFailed("CreateContainerError", error.message) from error
    pull = state.pulls.get(container.name)
    state.containers[container_id] = ContainerInfo(
        id=container_id,
        pod=state.identity,
        name=container.name,
        attempt=step.attempt,
        sandbox_id=spec.sandbox_id,
        state=State.CREATED,
        image=spec.image,
        image_id=pull.image_id if pull is not None else "",
        created_at=tools.clock.now(),
        spec_hash=spec.spec_hash,
        init=step.init,
        resources=spec.resources,
    )
    state.asked[container_id] = spec.resources
    state.prune()
    metrics.START_SECONDS.labels("create").observe(tools.clock.monotonic() - began)
    tools.events.normal(pod, "Created", f"Created container: {container.name}", container.name)
    return container_id


async def _start(work: Work, pod: Pod, container: Container, container_id: str) -> None:
    tools, state = work.tools, work.state
    began = tools.clock.monotonic()
    sandbox, hostname = state.sandbox, pod_hostname(pod)
    foreign = sandbox is not None and not pod.spec.host_network and sandbox.hostname != hostname
    state.starting.add(container_id)
    try:
        user = await tools.runtime.start_container(container_id, hostname if foreign else "")
    except RuntimeUnavailable as error:
        state.stale = True
        raise StepFailed("RunContainerError", error.message) from error
    except RuntimeFailure as error:
        # Kubernetes: terminated with StartError and code 128, then restarted with back-off as any crash
        state.start_errors[container_id] = error.message
        state.ended[container_id] = tools.clock.monotonic()
        tools.events.warning(pod, "Failed", f"Error: {error.message}", container.name)
        metrics.STEP_FAILURES.labels("StartContainer", error.reason).inc()
        logger.info("a container cannot be started", extra={"pod": _name(pod), "container": container.name})
        return
    finally:
        state.starting.discard(container_id)
    info = state.containers.get(container_id)
    if info is not None and info.state is State.CREATED:
        started = replace(info, state=State.RUNNING, started_at=tools.clock.now(), user=user)
        state.containers[container_id] = started
    begin_post_start(work, pod, container, container_id)
    metrics.START_SECONDS.labels("start").observe(tools.clock.monotonic() - began)
    tools.events.normal(pod, "Started", f"Started container {container.name}", container.name)


def _count_restart(work: Work, container: Container, previous: ContainerInfo) -> None:
    """A new instance follows one that ended: the next crash meets a longer back-off."""
    state, now = work.state, work.tools.clock.monotonic()
    ended = state.ended.get(previous.id, now)
    state.backoffs[container.name] = after_restart(state.backoffs.get(container.name), ended, now)
    reason = state.killed.get(previous.id) or ("vanished" if previous.id in state.vanished else "ended")
    metrics.RESTARTS.labels(reason).inc()


async def _spec(work: Work, step: StartContainer, pod: Pod, container: Container) -> ContainerSpec:
    """Everything resolved. Raises StepFailed with CreateContainerConfigError."""
    tools, state = work.tools, work.state
    sandbox = state.sandbox
    assert sandbox is not None
    hostname = pod_hostname(pod)
    try:
        try:
            variables = await _variables(work, pod, container, None)
        except ConfigError:
            # What is missing may have been added since the object was read.
            variables = await _variables(work, pod, container, 0.0)
        mounts = await tools.volumes.mounts(pod, container, variables)
        target = _target(work, container)
    except (ConfigError, VolumeFailure) as error:
        raise StepFailed("CreateContainerConfigError", str(error)) from error
    except StatusError as error:
        raise StepFailed("CreateContainerConfigError", error.message) from error
    security = await container_security(work, pod, container)
    state.traceless = not leaves_traces(pod)
    command, args = command_line(container, variables)
    foreign = not pod.spec.host_network and sandbox.hostname != hostname
    return ContainerSpec(
        pod=state.identity,
        name=container.name,
        attempt=step.attempt,
        sandbox_id=sandbox.id,
        image=container.image,
        command=command,
        args=args,
        env=tuple(variables.items()),
        working_dir=container.working_dir,
        mounts=mounts,
        spec_hash=spec_hash(container),
        hostname=hostname if foreign else "",
        resources=container_resources(container),
        oom_score_adj=oom_score_adj(pod, container, tools.node.memory_bytes),
        host_network=pod.spec.host_network,
        init=step.init,
        tty=container.tty,
        stdin=container.stdin,
        stdin_once=container.stdin_once,
        processes_of=target,
        security=security,
        namespaces=Namespaces(pod.spec.host_pid, pod.spec.host_ipc, pod.spec.share_process_namespace),
    )


def _target(work: Work, container: Container) -> str:
    """The running container whose processes this one sees. Raises ConfigError."""
    name = container.target_container_name if isinstance(container, EphemeralContainer) else ""
    if not name:
        return ""
    info = work.state.latest(name)
    if info is None or info.state is not State.RUNNING:
        raise ConfigError(f"unable to find target container {name}: it does not run")
    return info.id


async def _variables(work: Work, pod: Pod, container: Container, max_age: float | None) -> dict[str, str]:
    """The container's environment. Raises ConfigError, StatusError."""
    tools, meta = work.tools, pod.metadata
    address = tools.node.host_ip if pod.spec.host_network else work.state.address
    objects = await tools.objects.get(meta.uid, meta.namespace, references(container), max_age=max_age)
    hostname = pod_hostname(pod)
    if pod.spec.host_network and work.state.sandbox is not None:
        hostname = work.state.sandbox.hostname  # the host's own
    return environment(pod, container, objects, tools.node, address, hostname)


async def stop_containers(work: Work, step: StopContainers, pod: Pod) -> None:
    """Begin to stop; the end of each is told by the engine's events."""
    tools, state = work.tools, work.state
    for container_id in step.ids:
        info = state.containers.get(container_id)
        if info is None:
            continue
        state.stopping[container_id] = tools.clock.monotonic() + step.grace
        if step.killed_for:
            state.killed[container_id] = step.killed_for
        message = step.message or f"Stopping container {info.name}"
        tools.events.normal(pod, "Killing", message, info.name)
        tools.supervisor.spawn(f"stop {container_id[:12]}", _stop(work, pod, container_id, step.grace))


async def _stop(work: Work, pod: Pod, container_id: str, grace: float) -> None:
    tools, state = work.tools, work.state
    left = await pre_stop(work, pod, container_id, grace)
    if container_id not in state.containers:
        return  # it was removed meanwhile
    try:
        await tools.runtime.stop_container(container_id, math.ceil(left))
        await asyncio.sleep(STOP_MARGIN)  # normally the event has come by then, and there is nothing to look at
    except RuntimeFailure as error:
        logger.warning("a container cannot be stopped", extra={"container": container_id, "error": error.message})
        await asyncio.sleep(STOP_RETRY)
    info = state.containers.get(container_id)
    if info is not None and info.state is State.RUNNING:
        state.stopping.pop(container_id, None)
        state.stale = True
        tools.wake(state.identity.uid)


def _name(pod: Pod) -> str:
    return f"{pod.metadata.namespace}/{pod.metadata.name}"
