"""Steps that give a pod its place: volumes, a sandbox with its network, host ports."""

from __future__ import annotations

import logging
from dataclasses import replace

from agent import metrics
from agent.network.base import NetworkFailure
from agent.pods.decide import takes_warm_sandbox
from agent.pods.gate import Urgency
from agent.pods.hostnames import NameTooLong, check_hostname
from agent.pods.plan import EnsureSandbox, PrepareVolumes, PublishPorts
from agent.pods.pool import WarmSandbox
from agent.pods.security import leaves_traces
from agent.pods.steps.base import StepFailed, Tools, Work
from agent.pods.volumes.base import VolumeFailure
from agent.runtime.base import RuntimeFailure, RuntimeUnavailable, Sandbox, SandboxSpec
from agent.sysctls import dotted
from shared.api.pod import Pod

logger = logging.getLogger(__name__)


async def prepare_volumes(work: Work, step: PrepareVolumes, pod: Pod) -> None:
    began = work.tools.clock.monotonic()
    try:
        await work.tools.volumes.prepare(pod)
    except VolumeFailure as error:
        raise StepFailed("FailedMount", str(error), event="FailedMount") from error
    work.state.volumes_ready = True
    metrics.START_SECONDS.labels("volumes").observe(work.tools.clock.monotonic() - began)


async def ensure_sandbox(work: Work, step: EnsureSandbox, pod: Pod) -> None:
    """A warm sandbox if one may serve and is there, else a new one; its address; the pod's files in /etc."""
    tools, state = work.tools, work.state
    began = tools.clock.monotonic()
    try:
        check_hostname(pod)
        if not pod.spec.host_users:
            raise RuntimeFailure('RuntimeClass handler "" does not support user namespaces')
        if takes_warm_sandbox(pod):
            tools.pool.arrived(began)
        if not (step.warm and await _claim(work)):
            async with tools.starts.slot(Urgency.SANDBOX):
                if not (step.warm and await _claim(work)):  # one may have come while this pod waited
                    await _create(work, step, pod)
                    metrics.WARM_CLAIMS.labels("none").inc()
        address = tools.node.host_ip if step.host_network else state.address
        await tools.volumes.write_host_files(pod, address, step.hostname)
    except VolumeFailure as error:
        raise StepFailed("FailedCreatePodSandBox", str(error), event="FailedCreatePodSandBox") from error
    except (RuntimeFailure, NetworkFailure, NameTooLong) as error:
        text = f"Failed to create pod sandbox: {error}"
        raise StepFailed("FailedCreatePodSandBox", text, event="FailedCreatePodSandBox") from error
    finally:
        tools.refill()
    state.published = False
    metrics.START_SECONDS.labels("sandbox").observe(tools.clock.monotonic() - began)


async def _claim(work: Work) -> bool:
    """Take a warm sandbox; one that turns out dead is dropped, and the next is tried."""
    tools, state = work.tools, work.state
    while (warm := tools.pool.take()) is not None:
        try:
            await tools.runtime.claim_sandbox(warm.sandbox.id, state.identity)
        except RuntimeUnavailable:
            raise  # it may be the pod's now: the next look at the engine tells
        except RuntimeFailure:
            tools.supervisor.spawn(f"remove sandbox {warm.sandbox.id[:12]}", discard(tools, warm))
            continue
        state.sandbox = replace(warm.sandbox, pod=state.identity)
        state.address = warm.address
        metrics.WARM_CLAIMS.labels("warm").inc()
        return True
    return False


async def discard(tools: Tools, warm: WarmSandbox) -> None:
    """Give up a warm sandbox. What cannot be removed now is found again by the next full look."""
    try:
        await tools.network.detach(None, warm.sandbox.id)
        await tools.runtime.remove_sandbox(warm.sandbox.id)
    except (RuntimeFailure, NetworkFailure) as error:
        logger.warning("a warm sandbox cannot be removed", extra={"sandbox": warm.sandbox.id, "error": str(error)})


async def recycle(work: Work) -> bool:
    """Give the sandbox of a pod whose containers are gone to the warm pool, if that wants one; whether it took it.

    It gets a link and an address of its own again: of the pod's network nothing is left in it, for what outlives a
    link (rules, settings of the kernel) takes rights that no container of the pod had. Raises RuntimeFailure,
    NetworkFailure.
    """
    tools, state = work.tools, work.state
    sandbox = state.sandbox
    if sandbox is None or not sandbox.running or sandbox.host_network or state.containers:
        return False
    if leaves_traces(state.pod) if state.pod is not None else not state.traceless:
        return False
    if tools.pool.missing(tools.clock.monotonic()) <= 0:
        return False
    with tools.pool.coming():
        await tools.network.detach(state.identity, sandbox.id)
        try:
            released = await tools.runtime.release_sandbox(sandbox)
        except RuntimeUnavailable:
            raise
        except RuntimeFailure:
            released = None  # its removal tells what is wrong with it, if it is not gone anyway
    if released is None:
        return False
    tools.supervisor.spawn(f"recycle sandbox {sandbox.id[:12]}", _plug(tools, released))
    return True


async def _plug(tools: Tools, sandbox: Sandbox) -> None:
    """Into the pool with a network of its own."""
    with tools.pool.coming():
        try:
            address = await tools.network.attach(None, sandbox.id, sandbox.process_id)
        except NetworkFailure as error:
            logger.warning("a sandbox cannot be used again", extra={"sandbox": sandbox.id, "error": str(error)})
            await discard(tools, WarmSandbox(sandbox, ""))
            return
    tools.pool.put(WarmSandbox(sandbox, address))


async def _create(work: Work, step: EnsureSandbox, pod: Pod) -> None:
    tools, state = work.tools, work.state
    sysctls = tuple((dotted(each.name), each.value) for each in pod.spec.security_context.sysctls)
    spec = SandboxSpec(state.identity, step.hostname, step.host_network, sysctls)
    sandbox = await tools.runtime.create_sandbox(spec)
    state.sandbox, state.address = sandbox, ""
    if not step.host_network:
        try:
            state.address = await tools.network.attach(state.identity, sandbox.id, sandbox.process_id)
        except NetworkFailure:
            # without its network it is of no use: the next try begins with a fresh one
            state.sandbox = replace(sandbox, running=False)
            raise


async def publish_ports(work: Work, step: PublishPorts, pod: Pod) -> None:
    try:
        await work.tools.network.publish(work.state.identity, work.state.address, step.ports)
    except NetworkFailure as error:
        raise StepFailed("FailedCreatePodSandBox", f"Failed to publish host ports: {error}") from error
    work.state.published = True
