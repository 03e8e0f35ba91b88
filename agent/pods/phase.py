"""The phase of a pod, from its containers. Pure. The rules are the kubelet's getPhase (pkg/kubelet/kubelet_pods.go)."""

from __future__ import annotations

from agent.pods.observed import Observed, is_sidecar
from agent.pods.restarts import wants_restart
from agent.runtime.base import State
from shared.api.pod import Pod

PENDING, RUNNING, SUCCEEDED, FAILED = "Pending", "Running", "Succeeded", "Failed"
TERMINAL = (SUCCEEDED, FAILED)


def phase(pod: Pod, seen: Observed) -> str:
    """Pending, Running, Succeeded or Failed. A pod that has once Succeeded or Failed stays so."""
    if pod.status.phase in TERMINAL:
        return pod.status.phase
    if seen.ending is not None:
        stopping = any(info.state is State.RUNNING for info in seen.containers)
        return (pod.status.phase or PENDING) if stopping else FAILED
    never = pod.spec.restart_policy == "Never"
    running = succeeded = failed = waiting = 0
    for container in pod.spec.containers:
        latest = seen.latest(container.name)
        if latest is None or (latest.state is State.CREATED and not seen.has_ended(latest)):
            if latest is not None and latest.attempt > 0:
                running += 1  # about to run again
            else:
                waiting += 1
        elif latest.state is State.RUNNING:
            if seen.runs(latest) or latest.attempt > 0:
                running += 1
            else:
                waiting += 1  # for its postStart hook
        elif wants_restart(pod, container, latest, seen):
            running += 1  # it will run again, so the pod is not over
        elif seen.exit_code(latest) == 0:
            succeeded += 1
        else:
            failed += 1
    for container in pod.spec.init_containers:
        if is_sidecar(container):
            continue
        latest = seen.latest(container.name)
        if latest is not None and seen.has_ended(latest) and seen.exit_code(latest) != 0:
            if never:
                return FAILED
            if running == succeeded == failed == 0:
                return PENDING
    if waiting:
        return PENDING
    if running:
        return RUNNING
    return FAILED if failed else SUCCEEDED


def is_finished(pod: Pod, seen: Observed) -> bool:
    """Whether the pod has Succeeded or Failed, or is about to: nothing of it will be started again."""
    return seen.ending is not None or phase(pod, seen) in TERMINAL
