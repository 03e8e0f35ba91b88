"""The status that a pod's agent reports: ``pod_status(pod, seen, node, now)`` as a JSON tree. Pure.

Equal to what a kubelet of Kubernetes 1.36 reports about the same containers: phase, conditions with their reasons,
a status for each container (pkg/kubelet/kubelet_pods.go convertToAPIContainerStatuses, pkg/kubelet/status/generate.go).
Conditions that others own (PodScheduled, readiness gates) are not in it: it is sent as a strategic merge patch, which
keeps them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from agent.pods.observed import POD, Failure, Moment, Observed, PullState, Resize, is_sidecar, spec_hash
from agent.pods.phase import FAILED, SUCCEEDED, TERMINAL, phase
from agent.pods.resizes import told_resources
from agent.pods.resources import qos_class
from agent.pods.restarts import PULL_ERROR_SHOWN, waits, wants_restart
from agent.runtime.base import ContainerInfo, State
from shared.api.meta import JSON, timestamp
from shared.api.pod import Container, EphemeralContainer, Pod, VolumeMount
from shared.api.resizing import ERROR, RESIZE_IN_PROGRESS, RESIZE_PENDING

DISRUPTION_TARGET = "DisruptionTarget"
READY_TO_START, INITIALIZED, READY, CONTAINERS_READY = (
    "PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady",
)  # fmt: skip
EPOCH = datetime.fromtimestamp(0, UTC)
VANISHED_MESSAGE = "The container could not be located when the pod was terminated"


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """What pods need to know of their node. CPU in thousandths of a core, memory in bytes, both allocatable."""

    name: str
    host_ip: str
    cpu_milli: int = 0
    memory_bytes: int = 0
    recursive_read_only: bool = False
    """Whether its engine can make all mounts below a read-only one read-only."""


def pod_status(pod: Pod, seen: Observed, node: NodeFacts, now: Moment, previous: JSON | None = None) -> JSON:
    """The whole status apart from conditions that are others' to set.

    ``previous`` is what was reported last, which the object may not show yet: times that did not change are from it.
    """
    current = phase(pod, seen)
    inits = [_container_status(pod, c, seen, node, now, init=True) for c in pod.spec.init_containers]
    mains = [_container_status(pod, c, seen, node, now, init=False) for c in pod.spec.containers]
    status: JSON = {"phase": current, "conditions": _conditions(pod, seen, current, inits, mains, now, previous)}
    if seen.ending is not None:
        status |= {"reason": seen.ending.reason, "message": seen.ending.message}
    if pod.metadata.generation:
        status["observedGeneration"] = pod.metadata.generation
    status["hostIP"] = node.host_ip
    status["hostIPs"] = [{"ip": node.host_ip}]
    if address := _address(pod, seen, node):
        status["podIP"] = address
        status["podIPs"] = [{"ip": address}]
    before = previous["startTime"] if previous is not None else None
    status["startTime"] = before or timestamp(pod.status.start_time or now.wall)
    if inits:
        status["initContainerStatuses"] = inits
    status["containerStatuses"] = mains
    if ephemeral := [_ephemeral_status(pod, c, seen, node, now) for c in pod.spec.ephemeral_containers]:
        status["ephemeralContainerStatuses"] = ephemeral
    status["qosClass"] = qos_class(pod)
    return status


def is_ready(status: JSON) -> bool:
    """Whether the status says Ready."""
    return any(c["type"] == READY and c["status"] == "True" for c in status["conditions"])


def crash_message(pod: Pod, container: str, delay: float) -> str:
    """The kubelet's text of CrashLoopBackOff; the delay as Go prints a duration."""
    meta = pod.metadata
    return (
        f"back-off {go_duration(delay)} restarting failed container={container} "
        f"pod={meta.name}_{meta.namespace}({meta.uid})"
    )


def go_duration(seconds: float) -> str:
    """To the millisecond as Go prints it: ``40s``, ``1m20s``, ``5m0s``, ``1.234s``, ``82ms``."""
    millis = round(seconds * 1000)
    if 0 < millis < 1000:
        return f"{millis}ms"
    minutes, rest = divmod(millis, 60_000)
    text = f"{rest / 1000:.3f}".rstrip("0").rstrip(".") + "s"
    return f"{minutes}m{text}" if minutes else text


def _address(pod: Pod, seen: Observed, node: NodeFacts) -> str:
    if pod.spec.host_network:
        return node.host_ip
    if seen.address and seen.ready_sandbox() is not None:
        return seen.address
    return pod.status.pod_ip  # kept after the pod has ended, as the kubelet does


# --- containers ---------------------------------------------------------------------------------------------


def _container_status(
    pod: Pod, container: Container, seen: Observed, node: NodeFacts, now: Moment, *, init: bool
) -> JSON:
    instances = seen.instances(container.name)
    latest = instances[0] if instances else None
    waiting = _waiting(pod, container, latest, seen, now)
    status: JSON = {"name": container.name}
    if waiting is not None:
        status["state"] = {"waiting": waiting}
        if latest is not None and seen.has_ended(latest):
            last: ContainerInfo | None = latest
        else:
            last = next((info for info in instances[1:] if seen.has_ended(info)), None)
    else:
        assert latest is not None
        status["state"] = _state(latest, seen)
        last = next((info for info in instances[1:] if seen.has_ended(info)), None)
    status["lastState"] = _state(last, seen) if last is not None else {}
    running = waiting is None and latest is not None and latest.state is State.RUNNING
    health = seen.health.get(latest.id) if latest is not None else None
    started = running and (container.startup_probe is None or (health is not None and health.startup is True))
    if init and not is_sidecar(container):
        ready = waiting is None and latest is not None and seen.has_ended(latest) and seen.exit_code(latest) == 0
    else:
        ready = started and (container.readiness_probe is None or (health is not None and health.readiness is True))
    status["ready"] = ready
    status["restartCount"] = latest.attempt if latest is not None else 0
    status["image"] = latest.image if latest is not None else container.image
    status["imageID"] = _image_id(container, latest, seen)
    if latest is not None:
        status["containerID"] = f"docker://{latest.id}"
        status["resources"] = told_resources(container, latest, seen)
        if container.resources.requests:
            status["allocatedResources"] = dict(container.resources.requests)
        if (user := latest.user) is not None:
            groups = {"supplementalGroups": list(user.groups)} if user.groups else {}
            status["user"] = {"linux": {"uid": user.uid, "gid": user.gid, **groups}}
    if mounts := [_mount_status(mount, node) for mount in container.volume_mounts]:
        status["volumeMounts"] = mounts
    status["started"] = started
    return status


def _ephemeral_status(pod: Pod, container: EphemeralContainer, seen: Observed, node: NodeFacts, now: Moment) -> JSON:
    """Nothing probes it, and no readiness waits for it."""
    status = _container_status(pod, container, seen, node, now, init=False)
    del status["started"]
    return status | {"ready": False}


def _mount_status(mount: VolumeMount, node: NodeFacts) -> JSON:
    """Whether what is mounted below it is read-only too is told of read-only mounts (KEP-3857)."""
    told: JSON = {"name": mount.name, "mountPath": mount.mount_path}
    if mount.read_only:
        wanted = mount.recursive_read_only
        strict = wanted == "Enabled" or (wanted == "IfPossible" and node.recursive_read_only)
        told |= {"readOnly": True, "recursiveReadOnly": "Enabled" if strict else "Disabled"}
    return told


def _image_id(container: Container, latest: ContainerInfo | None, seen: Observed) -> str:
    if latest is None:
        return ""
    pull = seen.pulls.get(container.name)
    known = pull.image_id if pull is not None and pull.state is PullState.READY else ""
    identity = latest.image_id or known
    return f"docker://{identity}" if identity and "://" not in identity else identity


def _state(info: ContainerInfo, seen: Observed) -> JSON:
    if info.state is State.RUNNING:
        return {"running": {"startedAt": _time(info.started_at or info.created_at)}}
    code = seen.exit_code(info)
    began, over = info.started_at, info.finished_at
    reason, message = ("Completed" if code == 0 else "Error"), ""
    if info.id in seen.vanished:
        reason, message = "ContainerStatusUnknown", VANISHED_MESSAGE
    elif info.state is State.CREATED:
        reason, message = "StartError", seen.start_errors.get(info.id, info.error)
        began, over = EPOCH, info.created_at  # as with containerd, whose reason this is
    elif info.oom_killed:
        reason = "OOMKilled"
    terminated: JSON = {"exitCode": code, "reason": reason}
    if message:
        terminated["message"] = message
    terminated["startedAt"] = _time(began)
    terminated["finishedAt"] = _time(over)
    terminated["containerID"] = f"docker://{info.id}"
    return {"terminated": terminated}


def _time(when: datetime | None) -> str | None:
    return timestamp(when) if when is not None else None


def _waiting(pod: Pod, container: Container, latest: ContainerInfo | None, seen: Observed, now: Moment) -> JSON | None:
    """Why the container waits; None when its latest instance is to be shown."""
    if latest is not None and seen.runs(latest):
        return None
    ended = latest is not None and seen.has_ended(latest)
    terminating = pod.metadata.deletion_timestamp is not None or pod.status.phase in TERMINAL
    restarts = latest is not None and ended and not terminating and wants_restart(pod, container, latest, seen)
    if ended and not restarts:
        return None
    failure = seen.failures.get(container.name)
    if failure is not None and failure.subject == spec_hash(container) and not terminating:
        return _failure(container, failure, now)
    if latest is not None and restarts:
        if waits(seen, latest, now) > 0:
            delay = seen.backoffs[container.name].delay
            return {"reason": "CrashLoopBackOff", "message": crash_message(pod, container.name, delay)}
        return None
    return {"reason": "PodInitializing" if pod.spec.init_containers else "ContainerCreating"}


def _failure(container: Container, failure: Failure, now: Moment) -> JSON:
    if failure.reason == "ErrImagePull" and now.monotonic >= failure.since + PULL_ERROR_SHOWN:
        message = f'Back-off pulling image "{container.image}": ErrImagePull: {failure.message}'
        return {"reason": "ImagePullBackOff", "message": message}
    return {"reason": failure.reason, "message": failure.message}


# --- conditions ---------------------------------------------------------------------------------------------


def _conditions(
    pod: Pod,
    seen: Observed,
    current: str,
    inits: list[JSON],
    mains: list[JSON],
    now: Moment,
    previous: JSON | None,
) -> list[JSON]:
    sandbox_up = seen.ready_sandbox() is not None and (bool(seen.address) or pod.spec.host_network)
    containers_ready = _containers_ready(pod, current, inits, mains)
    wanted = [
        (READY_TO_START, sandbox_up, "", ""),
        (INITIALIZED, *_initialized(pod, seen, current, inits)),
        (READY, *_ready(pod, containers_ready)),
        (CONTAINERS_READY, *containers_ready),
    ]
    wanted += _resize_conditions(seen.resize)
    if seen.ending is not None and seen.ending.disruption:
        wanted.append((DISRUPTION_TARGET, True, "TerminationByKubelet", seen.ending.message))
    known: dict[str, tuple[str, str]] = {}
    for before in pod.status.conditions:
        if before.last_transition_time is not None:
            known[before.type] = (before.status, timestamp(before.last_transition_time))
    for told in previous["conditions"] if previous is not None else ():
        if "status" in told:
            known[told["type"]] = (told["status"], told["lastTransitionTime"])
    generations = {RESIZE_PENDING: seen.resize.pending_generation, RESIZE_IN_PROGRESS: seen.resize.generation}
    conditions = []
    for kind, holds, reason, message in wanted:
        value = "True" if holds else "False"
        status, since = known.get(kind, ("", ""))
        changed = since if status == value else timestamp(now.wall)
        condition: JSON = {"type": kind}
        if generation := generations.get(kind) or pod.metadata.generation:
            condition["observedGeneration"] = generation
        condition |= {"status": value, "lastProbeTime": None, "lastTransitionTime": changed}
        # null takes away what an earlier status said
        condition |= {"reason": reason or None, "message": message or None}
        conditions.append(condition)
    shown = known.keys() | {before.type for before in pod.status.conditions}
    gone = generations.keys() & shown - {kind for kind, *_ in wanted}
    return conditions + [{"type": kind, "$patch": "delete"} for kind in sorted(gone)]


def _resize_conditions(resize: Resize) -> Iterable[tuple[str, bool, str, str]]:
    """Only while there is something to say; SetPodResizePendingCondition and the like in pkg/kubelet/status."""
    if resize.pending:
        yield RESIZE_PENDING, True, resize.pending, resize.message
    if resize.generation:
        yield RESIZE_IN_PROGRESS, True, ERROR if resize.error else "", resize.error


Verdict = tuple[bool, str, str]
"""Whether a condition holds, its reason, its message."""


def _containers_ready(pod: Pod, current: str, inits: list[JSON], mains: list[JSON]) -> Verdict:
    if current in TERMINAL:
        return False, "PodFailed" if current == FAILED else "PodCompleted", ""
    sidecars = {container.name for container in pod.spec.init_containers if is_sidecar(container)}
    checked = [status for status in inits if status["name"] in sidecars] + mains
    unready = [status["name"] for status in checked if not status["ready"]]
    if unready:
        return False, "ContainersNotReady", f"containers with unready status: [{' '.join(unready)}]"
    return True, "", ""


def _ready(pod: Pod, containers_ready: Verdict) -> Verdict:
    if not containers_ready[0]:
        return containers_ready
    known = {condition.type: condition.status for condition in pod.status.conditions}
    missing = []
    for gate in pod.spec.readiness_gates:
        name = gate.condition_type
        if name not in known:
            missing.append(f'corresponding condition of pod readiness gate "{name}" does not exist.')
        elif known[name] != "True":
            missing.append(f'the status of pod readiness gate "{name}" is not "True", but {known[name]}')
    return (False, "ReadinessGatesNotReady", ", ".join(missing)) if missing else (True, "", "")


def _initialized(pod: Pod, seen: Observed, current: str, inits: list[JSON]) -> Verdict:
    if current == SUCCEEDED:
        return True, "PodCompleted", ""
    mains = {container.name for container in pod.spec.containers}
    if any(info.name in mains and info.started_at is not None for info in seen.containers):
        return True, "", ""
    incomplete = [
        status["name"]
        for container, status in zip(pod.spec.init_containers, inits, strict=True)
        if not (status["started"] if is_sidecar(container) else status["ready"])
    ]
    if incomplete:
        return False, "ContainersNotInitialized", f"containers with incomplete status: [{' '.join(incomplete)}]"
    return True, "", ""


def pod_message(seen: Observed) -> str:
    """Why the pod as a whole does not get on (sandbox, volumes), or an empty string."""
    failure = seen.failures.get(POD)
    return failure.message if failure is not None else ""
