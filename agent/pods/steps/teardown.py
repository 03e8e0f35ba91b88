"""Steps that remove what a pod had on this host, and then its object."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from agent.network.base import NetworkFailure
from agent.pods.plan import CleanUp, DeletePodObject, RemoveContainers, RemoveSandboxes
from agent.pods.steps.base import StepFailed, Work
from agent.pods.steps.sandbox import recycle
from agent.runtime.base import RuntimeFailure
from shared.api.errors import Conflict, NotFound, StatusError
from shared.api.kinds import PODS
from shared.api.pod import Pod

FLUSH_TIMEOUT = 5.0
"""Seconds that the last status of a pod has to reach the server before its object is deleted all the same."""


async def remove_containers(work: Work, step: RemoveContainers) -> None:
    """Side by side. Each is forgotten first, so that the engine's events about it are no news."""
    outcomes = await asyncio.gather(*(_remove(work, container_id) for container_id in step.ids))
    if failure := next((outcome for outcome in outcomes if outcome is not None), None):
        work.state.stale = True
        raise StepFailed("FailedKillPod", f"error killing pod: {failure}", event="FailedKillPod")


async def _remove(work: Work, container_id: str) -> RuntimeFailure | None:
    work.tools.probes.stop(container_id)
    info = work.state.forget(container_id)
    try:
        await work.tools.runtime.remove_container(container_id)
    except RuntimeFailure as error:
        if info is not None:
            work.state.containers[container_id] = info
        return error
    return None


async def remove_sandboxes(work: Work, step: RemoveSandboxes) -> None:
    """The warm pool may have use for the one that runs; the others go."""
    state = work.state
    for sandbox_id in step.ids:
        current = state.sandbox is not None and state.sandbox.id == sandbox_id
        try:
            if not (current and await recycle(work)):
                await _remove_sandbox(work, sandbox_id)
        except (RuntimeFailure, NetworkFailure) as error:
            text = f"Failed to remove pod sandbox: {error}"
            raise StepFailed("FailedKillPod", text, event="FailedKillPod") from error
        if current:
            state.sandbox, state.address, state.published = None, "", False
        state.old_sandboxes = [sandbox for sandbox in state.old_sandboxes if sandbox.id != sandbox_id]


async def _remove_sandbox(work: Work, sandbox_id: str) -> None:
    """Network and sandbox side by side: either takes a while, and neither needs the other."""
    tools, state = work.tools, work.state
    if state.sandbox is not None and state.sandbox.id == sandbox_id:
        state.sandbox = replace(state.sandbox, running=False)  # its end, which the engine tells, is no news
    await asyncio.gather(tools.network.detach(state.identity, sandbox_id), tools.runtime.remove_sandbox(sandbox_id))


async def clean_up(work: Work, step: CleanUp) -> None:
    uid = work.state.identity.uid
    work.tools.probes.stop_pod(uid)
    try:
        await work.tools.volumes.cleanup(uid)
    except OSError as error:
        text = f"volumes of the pod cannot be removed: {error}"
        raise StepFailed("FailedKillPod", text, event="FailedKillPod") from error
    work.state.cleaned = True


async def delete_pod_object(work: Work, step: DeletePodObject, pod: Pod) -> None:
    """The last status first, then the object, if it is still that very pod."""
    tools, meta = work.tools, pod.metadata
    await tools.reports.flush(meta.uid, FLUSH_TIMEOUT)
    try:
        await tools.client.delete(PODS, meta.name, meta.namespace, grace_period_seconds=0, uid=step.uid)
    except (NotFound, Conflict):
        pass  # it is gone, or another pod has its name now
    except StatusError as error:
        raise StepFailed("FailedKillPod", f"the pod's object cannot be deleted: {error.message}", event="") from error
    work.state.deleted = True
