"""The step that gives a running container other resources, and what is told of it."""

from __future__ import annotations

import logging
from dataclasses import replace

from agent.pods.observed import Failure, Observed, Resize, resize_key
from agent.pods.plan import ResizeContainer
from agent.pods.resizes import is_done, summary
from agent.pods.resources import container_resources
from agent.pods.restarts import STEP_BACKOFF
from agent.pods.state import PodState
from agent.pods.steps.base import Tools, Work
from agent.runtime.base import ContainerInfo, Resources, RuntimeFailure
from shared.api.pod import Container, Pod

logger = logging.getLogger(__name__)


async def resize_container(work: Work, step: ResizeContainer, pod: Pod, container: Container) -> None:
    """One call of the engine. What fails is tried again with a back-off, and told in PodResizeInProgress."""
    tools, state = work.tools, work.state
    info = state.containers.get(step.id)
    if info is None:
        return
    wanted = container_resources(container)
    try:
        error = await _hindrance(tools, info, wanted)
        if not error:
            await tools.runtime.update_container(step.id, wanted)
    except RuntimeFailure as failure:
        state.stale = True  # it may have happened
        error = failure.message
    if error:
        _failed(work, pod, container, error)
        return
    state.failures.pop(resize_key(container.name), None)
    state.asked[step.id] = wanted
    if (info := state.containers.get(step.id)) is not None:
        state.containers[step.id] = replace(info, resources=wanted)


async def _hindrance(tools: Tools, info: ContainerInfo, wanted: Resources) -> str:
    """Less memory than is in use would end the container (validateMemoryResizeAction in pkg/kubelet/kuberuntime)."""
    limit, had = wanted.memory_bytes, info.resources.memory_bytes
    if not limit or (had and limit >= had):
        return ""
    usage = await tools.runtime.memory_usage(info.id)
    if usage < limit:
        return ""
    return (
        f'cannot decrease memory limits: attempting to set container "{info.name}" memory limit ({limit}) below '
        f"current usage ({usage})"
    )


def _failed(work: Work, pod: Pod, container: Container, error: str) -> None:
    tools, state = work.tools, work.state
    key = resize_key(container.name)
    before = state.failures.get(key)
    count = before.count + 1 if before is not None else 1
    now = tools.clock.monotonic()
    state.failures[key] = Failure("ResizeError", error, now, now + STEP_BACKOFF.delay(count - 1), count)
    generation = state.resize.generation or pod.metadata.generation
    if not state.resize.error:
        tools.events.warning(pod, "ResizeError", summary("Pod resize error", pod, generation, error))
        logger.info("a container cannot be resized", extra={"container": container.name, "error": error})
    state.resize = replace(state.resize, generation=generation, error=error)


def complete(tools: Tools, state: PodState, seen: Observed) -> bool:
    """Note, and tell, that every container has what it is to have; whether it is so."""
    pod = state.pod
    if pod is None or not is_done(pod, seen):
        return False
    tools.events.normal(pod, "ResizeCompleted", summary("Pod resize completed", pod, state.resize.generation))
    waiting = state.resize
    state.resize = Resize(waiting.pending, waiting.message, waiting.pending_generation)
    return True
