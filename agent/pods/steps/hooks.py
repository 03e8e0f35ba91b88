"""The hooks of a container, beside its start and its end.

postStart begins when the container has started, and nobody waits for it but the pod: until it has ended, the container
does not count as running, and the containers after it do not start (kuberuntime's startContainer). An agent that
begins anew does not run it again. preStop comes before the signal, out of the same grace
(kuberuntime_container.go, killContainer).
"""

from __future__ import annotations

import logging

from agent.pods.hooks import HookFailed
from agent.pods.http_get import Target
from agent.pods.observed import find_container
from agent.pods.steps.base import Work
from agent.runtime.base import State
from shared.api.pod import Container, LifecycleHandler, Pod

logger = logging.getLogger(__name__)

POST_START_SECONDS = 24 * 3600.0
"""The longest that a postStart hook may take. Kubernetes sets no limit; an exec ends with its container anyway."""

LEAST_GRACE = 2.0
"""Seconds that a container has for its end after a preStop hook that took all of the grace
(minimumGracePeriodInSeconds)."""


def begin_post_start(work: Work, pod: Pod, container: Container, container_id: str) -> None:
    """Start the hook of a container that has just started, if it has one."""
    handler = container.lifecycle.post_start if container.lifecycle is not None else None
    if handler is None:
        return
    work.state.post_start.add(container_id)
    work.tools.supervisor.spawn(
        f"postStart {container_id[:12]}", _post_start(work, pod, container, container_id, handler)
    )


async def _post_start(work: Work, pod: Pod, container: Container, container_id: str, handler: LifecycleHandler) -> None:
    tools, state = work.tools, work.state
    try:
        await tools.hooks.run(handler, _target(work, pod, container, container_id), POST_START_SECONDS)
    except HookFailed as error:
        if _lives(work, container_id) and container_id not in state.stopping:
            state.post_start_failed.add(container_id)
            _tell(work, pod, container, "PostStart", error)
    finally:
        state.post_start.discard(container_id)
        tools.wake(state.identity.uid)


async def pre_stop(work: Work, pod: Pod, container_id: str, grace: float) -> float:
    """Run the hook of a container that is to be stopped, if it has one and it was not run; the seconds of ``grace``
    that are left."""
    tools, state = work.tools, work.state
    info = state.containers.get(container_id)
    container = find_container(pod, info.name) if info is not None else None
    if container is None or container.lifecycle is None or (handler := container.lifecycle.pre_stop) is None:
        return grace
    if grace <= 0 or container_id in state.pre_stopped:
        return grace
    state.pre_stopped.add(container_id)
    began = tools.clock.monotonic()
    try:
        await tools.hooks.run(handler, _target(work, pod, container, container_id), grace)
    except HookFailed as error:
        if _lives(work, container_id):
            _tell(work, pod, container, "PreStop", error)
    return max(LEAST_GRACE, grace - (tools.clock.monotonic() - began))


def _target(work: Work, pod: Pod, container: Container, container_id: str) -> Target:
    address = work.tools.node.host_ip if pod.spec.host_network else work.state.address
    return Target(container_id, address, container)


def _lives(work: Work, container_id: str) -> bool:
    info = work.state.containers.get(container_id)
    return info is not None and info.state is State.RUNNING


def _tell(work: Work, pod: Pod, container: Container, hook: str, error: HookFailed) -> None:
    # As the kubelet's, the event says no more: what a hook prints may be a secret.
    work.tools.events.warning(pod, f"Failed{hook}Hook", f"{hook}Hook failed", container.name)
    logger.info("a hook failed", extra={"pod": pod.key, "container": container.name, "hook": hook, "error": str(error)})
