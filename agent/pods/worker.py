"""The worker of a pod: look, decide, carry out, report, until there is nothing to do.

One run at a time for each pod (the dispatcher sees to it), runs of different pods side by side. It waits for no pull,
no stop and no probe: those wake it when they have ended. Whatever goes wrong in a step becomes a failure in the pod's
state, with a back-off, and heals when its cause goes.
"""

from __future__ import annotations

import logging
from dataclasses import replace

from agent import metrics
from agent.pods.decide import decide
from agent.pods.observed import POD, TEARDOWN, Ending, Failure, Health, Moment, Observed, find_container, spec_hash
from agent.pods.phase import FAILED, SUCCEEDED, is_finished
from agent.pods.plan import (
    CleanUp,
    DeletePodObject,
    EnsureImage,
    EnsureSandbox,
    Plan,
    PrepareVolumes,
    PublishPorts,
    RemoveContainers,
    RemoveSandboxes,
    ResizeContainer,
    StartContainer,
    Step,
    StopContainers,
)
from agent.pods.probes import ProbeKind, Verdict
from agent.pods.restarts import STEP_BACKOFF, active_seconds_left
from agent.pods.state import PodState
from agent.pods.status import pod_status
from agent.pods.steps import containers, images, resize, sandbox, teardown
from agent.pods.steps.base import StepFailed, Tools, Work
from agent.pods.volumes.base import VolumeFailure
from agent.runtime.base import RuntimeFailure, State
from shared.api.meta import JSON
from shared.api.pod import Pod

logger = logging.getLogger(__name__)

ROUNDS = 20
"""Decisions in one run; a plan that never ends is a bug, and must not keep the loop busy."""
LOOK_RETRY = 2.0
"""Seconds until an engine that did not answer is asked again."""
REFRESH_AGE = 1.0
"""Seconds that an object may be old when files are made of it again; pods that share one share the request."""
_TEARDOWN = (RemoveContainers, RemoveSandboxes, CleanUp, DeletePodObject)


class PodWorker:
    """Works on any pod of the node; ``run`` must not be called twice at a time for one pod."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools

    async def run(self, state: PodState) -> float | None:
        """Bring the pod nearer to what it is to be; seconds after which to look again, None when nothing is due."""
        for _ in range(ROUNDS):
            if state.stale and not await self._look(state):
                return LOOK_RETRY
            if not state.authoritative and (state.pod is None or not state.offline):
                return None
            await self._save(state)
            await self._refresh(state)
            now = self._tools.now()
            self._expire(state, now)
            seen = state.picture(now)
            plan = decide(state.pod, seen, now)
            if state.resize.generation and resize.complete(self._tools, state, seen):
                seen = state.picture(now)
            if not plan.steps or any(isinstance(step, _TEARDOWN) for step in plan.steps):
                self._report(state, seen, now)  # before containers are removed, while there is something to say
            if not plan.steps:
                self._watch_probes(state, now)
                return None if state.stale else plan.wake
            failed = await self._carry_out(state, plan)
            if failed:
                now = self._tools.now()
                seen = state.picture(now)
                self._report(state, seen, now)
                self._watch_probes(state, now)
                wake = decide(state.pod, seen, now).wake
                return STEP_BACKOFF.base if wake is None else wake
        logger.error("a pod's plan does not end", extra={"uid": state.identity.uid})
        return STEP_BACKOFF.cap

    # --- looking

    async def _look(self, state: PodState) -> bool:
        state.stale = False
        try:
            listed = await self._tools.runtime.list_containers(state.identity.uid)
        except RuntimeFailure as error:
            state.stale = True
            logger.debug("cannot look at a pod's containers", extra={"uid": state.identity.uid, "error": error.message})
            return False
        state.absorb(listed, self._tools.now())
        return True

    async def _save(self, state: PodState) -> None:
        """Keep the local copy up to date; without it only a restart during an outage is worse off."""
        pod = state.pod
        if pod is None or not state.unsaved or state.cleaned:
            return
        state.unsaved = False
        try:
            await self._tools.checkpoints.save(pod)
        except OSError as error:
            logger.warning("cannot keep a local copy of a pod", extra={"pod": pod.key, "error": str(error)})

    async def _refresh(self, state: PodState) -> None:
        """Bring files of ConfigMaps and Secrets up to date; what cannot be had leaves them as they are."""
        pod = state.pod
        if pod is None or not state.refresh_due or state.cleaned:
            return
        state.refresh_due = False
        try:
            await self._tools.volumes.refresh(pod, REFRESH_AGE)
        except VolumeFailure as error:
            logger.info("a volume cannot be brought up to date", extra={"pod": pod.key, "error": str(error)})

    def _expire(self, state: PodState, now: Moment) -> None:
        """End a pod whose time is over."""
        pod = state.pod
        if pod is None or state.ending is not None or (left := active_seconds_left(pod, now)) is None:
            return
        if left <= 0 and not is_finished(pod, state.picture(now)):
            text = "Pod was active on the node longer than the specified deadline"
            grace = pod.spec.termination_grace_period_seconds
            state.ending = Ending("DeadlineExceeded", text, now.monotonic + grace)
            self._tools.events.normal(pod, "DeadlineExceeded", text)

    # --- doing

    async def _carry_out(self, state: PodState, plan: Plan) -> bool:
        """Whether a step failed."""
        held: set[str] = set()
        failed = False
        for step in plan.steps:
            container = _container_of(step)
            if container in held:
                continue
            try:
                if not await self._step(state, step):
                    held.add(container)
            except StepFailed as failure:
                failed = True
                self._failed(state, step, container, failure)
                if not container:
                    return True
                held.add(container)
        return failed

    async def _step(self, state: PodState, step: Step) -> bool:
        """Carry out one step; False when the later steps of its container have to wait."""
        work, pod = Work(self._tools, state), state.pod
        if isinstance(step, RemoveContainers):
            await teardown.remove_containers(work, step)
        elif isinstance(step, RemoveSandboxes):
            await teardown.remove_sandboxes(work, step)
        elif isinstance(step, CleanUp):
            await teardown.clean_up(work, step)
        elif pod is None:
            return True  # the object went away in the middle of the plan: the next decision begins anew
        elif isinstance(step, DeletePodObject):
            await teardown.delete_pod_object(work, step, pod)
        elif isinstance(step, PrepareVolumes):
            await sandbox.prepare_volumes(work, step, pod)
        elif isinstance(step, EnsureSandbox):
            await sandbox.ensure_sandbox(work, step, pod)
            self._clear(state, POD)
        elif isinstance(step, PublishPorts):
            await sandbox.publish_ports(work, step, pod)
        elif isinstance(step, StopContainers):
            await containers.stop_containers(work, step, pod)
        elif (container := find_container(pod, step.container)) is None:
            return False
        elif isinstance(step, EnsureImage):
            return await images.ensure_image(work, step, pod, container)
        elif isinstance(step, ResizeContainer):
            await resize.resize_container(work, step, pod, container)
        else:
            await containers.start_container(work, step, pod, container)
        return True

    def _failed(self, state: PodState, step: Step, container: str, failure: StepFailed) -> None:
        metrics.STEP_FAILURES.labels(type(step).__name__, failure.reason).inc()
        pod = state.pod
        key = container or (TEARDOWN if isinstance(step, _TEARDOWN) else POD)
        found = find_container(pod, container) if pod is not None and container else None
        subject = spec_hash(found) if found is not None else ""
        before = state.failures.get(key)
        again = before is not None and before.subject == subject and before.reason == failure.reason
        count = before.count + 1 if before is not None and again else 1
        now = self._tools.clock.monotonic()
        until = now + STEP_BACKOFF.delay(count - 1)
        state.failures[key] = Failure(failure.reason, failure.message, now, until, count, subject)
        logger.log(
            logging.INFO if count == 1 else logging.DEBUG,
            "a step of a pod failed",
            extra={
                "pod": f"{state.identity.namespace}/{state.identity.name}",
                "step": type(step).__name__,
                "reason": failure.reason,
                "error": failure.message,
            },
        )
        if pod is not None and failure.event:
            text = failure.message if failure.event != "Failed" else f"Error: {failure.message}"
            self._tools.events.warning(pod, failure.event, text, container)

    def _clear(self, state: PodState, key: str) -> None:
        state.failures.pop(key, None)

    # --- telling

    def _report(self, state: PodState, seen: Observed, now: Moment) -> None:
        pod = state.pod
        if pod is None or state.cleaned or not state.authoritative:
            return
        if pod.metadata.deletion_timestamp is not None and state.reported is not None and not state.containers:
            return  # removed already: what was said last stays
        status = pod_status(pod, seen, self._tools.node, now, state.reported)
        self._announce(state, pod, status)
        self._count(state, status)
        state.reported = status
        if not state.static:
            self._tools.reports.publish(pod, status)
        elif state.mirror is not None:
            self._tools.reports.publish(state.mirror, status)

    def _announce(self, state: PodState, pod: Pod, status: JSON) -> None:
        """A BackOff event for each container that begins to wait for its restart."""
        for told in (*status.get("initContainerStatuses", ()), *status["containerStatuses"]):
            waiting = told["state"].get("waiting")
            if not waiting or waiting["reason"] != "CrashLoopBackOff":
                continue
            latest = state.latest(told["name"])
            if latest is not None and latest.id not in state.announced:
                state.announced.add(latest.id)
                meta = pod.metadata
                where = f"{told['name']} in pod {meta.name}_{meta.namespace}({meta.uid})"
                text = f"Back-off restarting failed container {where}"
                self._tools.events.warning(pod, "BackOff", text, told["name"])

    def _count(self, state: PodState, status: JSON) -> None:
        running = any("running" in told["state"] for told in status["containerStatuses"])
        if running != state.counted_running:
            metrics.RUNNING_PODS.inc(1 if running else -1)
            state.counted_running = running
        if not state.started_once and all("running" in told["state"] for told in status["containerStatuses"]):
            state.started_once = True
            if state.first_seen:
                seconds = self._tools.clock.monotonic() - state.first_seen
                metrics.START_SECONDS.labels("running").observe(seconds)

    # --- probes

    def _watch_probes(self, state: PodState, now: Moment) -> None:
        """Have every running container probed, and no other."""
        pod, probes = state.pod, self._tools.probes
        uid = state.identity.uid
        if pod is None or pod.status.phase in (SUCCEEDED, FAILED):
            probes.stop_pod(uid)
            return
        running = {info.id: info for info in state.containers.values() if info.state is State.RUNNING}
        probes.stop_pod(uid, keep=set(running))
        address = self._tools.node.host_ip if pod.spec.host_network else state.address
        for info in running.values():
            container = find_container(pod, info.name)
            if container is not None and info.id not in state.stopping and info.id not in state.post_start:
                began = info.started_at or now.wall
                probes.watch(pod, container, info.id, address, max(0.0, (now.wall - began).total_seconds()))


def apply_verdict(state: PodState, verdict: Verdict) -> bool:
    """Take over what a probe says; whether it is news."""
    info = state.containers.get(verdict.container_id)
    if info is None or info.state is not State.RUNNING:
        return False
    before = state.health.get(verdict.container_id, Health())
    after = {
        ProbeKind.STARTUP: replace(before, startup=verdict.healthy),
        ProbeKind.LIVENESS: replace(before, liveness=verdict.healthy),
        ProbeKind.READINESS: replace(before, readiness=verdict.healthy),
    }[verdict.kind]
    state.health[verdict.container_id] = after
    return after != before


def _container_of(step: Step) -> str:
    return step.container if isinstance(step, EnsureImage | StartContainer) else ""
