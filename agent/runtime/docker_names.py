"""How Longboat's containers are named and labelled in Docker, and how they are read back. Pure.

A sandbox's *name* says which pod it serves, since it serves one after another and labels cannot change; an app
container's *labels* say all, its name makes creation idempotent. Only containers with our node's label are ours:
several agents may share a daemon.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from agent.runtime.base import ContainerInfo, ContainerSpec, PodIdentity, ProcessUser, Resources, Sandbox, State
from agent.runtime.docker_errors import clean_message
from agent.runtime.docker_users import first_user

NODE = "dev.longboat.node"
POD_UID = "dev.longboat.pod.uid"
POD_NAMESPACE = "dev.longboat.pod.namespace"
POD_NAME = "dev.longboat.pod.name"
CONTAINER = "dev.longboat.container"
ATTEMPT = "dev.longboat.attempt"
SANDBOX = "dev.longboat.sandbox"
"""On a sandbox ``true``; on an app container the id of its sandbox."""
SPEC_HASH = "dev.longboat.spec-hash"
INIT = "dev.longboat.init"

_POD, _WARM, _CONTAINER = "longboat.pod.", "longboat.warm.", "longboat.ctr."
_NEVER = "0001-01-01T00:00:00Z"


def pod_sandbox_name(pod: PodIdentity) -> str:
    """``longboat.pod.<uid>.<namespace>.<name>``: a uid and a namespace have no dots, so it can be taken apart."""
    return f"{_POD}{pod.uid}.{pod.namespace}.{pod.name}"


def warm_sandbox_name(token: str) -> str:
    return f"{_WARM}{token}"


def container_name(pod_uid: str, container: str, attempt: int) -> str:
    return f"{_CONTAINER}{pod_uid}.{container}.{attempt}"


def pod_of(name: str) -> PodIdentity | None:
    """The pod that a sandbox with this name serves, None for a warm one."""
    name = name.lstrip("/")
    if not name.startswith(_POD):
        return None
    uid, _, rest = name.removeprefix(_POD).partition(".")
    namespace, _, pod = rest.partition(".")
    return PodIdentity(uid, namespace, pod) if uid and namespace and pod else None


def is_warm(name: str) -> bool:
    return name.lstrip("/").startswith(_WARM)


def sandbox_labels(node: str) -> dict[str, str]:
    """Nothing of its pod, which may be another one tomorrow."""
    return {NODE: node, SANDBOX: "true"}


def pod_labels(pod: PodIdentity) -> dict[str, str]:
    return {POD_UID: pod.uid, POD_NAMESPACE: pod.namespace, POD_NAME: pod.name}


def container_labels(node: str, spec: ContainerSpec) -> dict[str, str]:
    return {
        **spec.labels,
        **pod_labels(spec.pod),
        NODE: node,
        CONTAINER: spec.name,
        ATTEMPT: str(spec.attempt),
        SANDBOX: spec.sandbox_id,
        SPEC_HASH: spec.spec_hash,
        INIT: "true" if spec.init else "false",
    }


def event_pod_uid(attributes: Mapping[str, str]) -> str:
    """The pod's uid out of an event: its label, or for a sandbox its name."""
    if uid := attributes.get(POD_UID):
        return uid
    pod = pod_of(attributes.get("name", ""))
    return pod.uid if pod else ""


def parse_time(text: str | None) -> datetime | None:
    """Docker's RFC 3339 time with nanoseconds, cut to microseconds; None for its zero time."""
    if not text or text == _NEVER:
        return None
    return datetime.fromisoformat(text).astimezone(UTC)


def read_security_options(listed: Iterable[str]) -> tuple[str, ...]:
    """Names out of the engine's list, such as ``name=seccomp,profile=default``; old engines leave ``name=`` out."""
    return tuple(option.partition(",")[0].removeprefix("name=") for option in listed)


def read_sandbox(inspected: Mapping[str, Any]) -> Sandbox:
    """From the answer of an inspect."""
    state = inspected["State"]
    running = bool(state.get("Running"))
    return Sandbox(
        id=inspected["Id"],
        pod=pod_of(inspected["Name"]),
        running=running,
        process_id=int(state.get("Pid") or 0) if running else 0,
        created_at=parse_time(inspected["Created"]) or datetime.fromtimestamp(0, UTC),
        hostname=inspected["Config"].get("Hostname") or "",
        host_network=inspected["HostConfig"].get("NetworkMode") == "host",
    )


def read_container(inspected: Mapping[str, Any], user: ProcessUser | None = None) -> ContainerInfo:
    """From the answer of an inspect. ``user`` is who its first process is now, if it runs.

    A container whose start failed stays ``created`` in Docker, with an exit code (126, 127, 128) and the error;
    here it has exited, else it would be started again and again under one attempt.
    """
    labels: Mapping[str, str] = inspected["Config"].get("Labels") or {}
    state = inspected["State"]
    status = state.get("Status", "")
    error, code = state.get("Error") or "", int(state.get("ExitCode") or 0)
    created = parse_time(inspected["Created"]) or datetime.fromtimestamp(0, UTC)
    started, finished = parse_time(state.get("StartedAt")), parse_time(state.get("FinishedAt"))
    if state.get("Running") or status in ("running", "paused", "restarting"):
        phase = State.RUNNING
    elif status == "created" and not error and code == 0:
        phase = State.CREATED
    else:
        phase = State.EXITED
        finished = finished or created
        if started is not None:  # the daemon notes it when it gets to it, which may be after a short life
            started = min(started, finished)
    return ContainerInfo(
        id=inspected["Id"],
        pod=PodIdentity(labels.get(POD_UID, ""), labels.get(POD_NAMESPACE, ""), labels.get(POD_NAME, "")),
        name=labels.get(CONTAINER, ""),
        attempt=int(labels.get(ATTEMPT, "0")),
        sandbox_id=labels.get(SANDBOX, ""),
        state=phase,
        image=inspected["Config"].get("Image") or "",
        image_id=inspected.get("Image") or "",
        created_at=created,
        started_at=started,
        finished_at=finished if phase is State.EXITED else None,
        exit_code=code if phase is State.EXITED else 0,
        oom_killed=bool(state.get("OOMKilled")),
        error=clean_message(error) if error else "",
        spec_hash=labels.get(SPEC_HASH, ""),
        init=labels.get(INIT) == "true",
        resources=_read_resources(inspected["HostConfig"]),
        user=first_user(inspected["Config"].get("User") or "", inspected["HostConfig"].get("GroupAdd") or (), user),
    )


def _read_resources(config: Mapping[str, Any]) -> Resources:
    return Resources(
        int(config.get("CpuShares") or 0), int(config.get("CpuQuota") or 0), int(config.get("Memory") or 0)
    )
