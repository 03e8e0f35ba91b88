"""What the engine tells of pods: its events, and full looks at everything where events may have been missed.

Pure bookkeeping on the pods' states: it marks what has to be looked at and says whom to wake. No I/O; one event loop.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from agent.pods.observed import Moment
from agent.pods.state import PodState
from agent.runtime.base import ContainerInfo, EngineEvent, PodIdentity, Sandbox, State


def apply_event(states: Mapping[str, PodState], event: EngineEvent) -> PodState | None:
    """The state that has something new to look at; None when the event is no news."""
    state = states.get(event.pod_uid) or _owner_of_sandbox(states, event.container_id)
    if state is None:
        return None
    if state.sandbox is not None and state.sandbox.id == event.container_id:
        if event.action in ("die", "destroy") and state.sandbox.running:
            state.sandbox = replace(state.sandbox, running=False, process_id=0)
            return state
        return None
    info = state.containers.get(event.container_id)
    if info is None or info.id in state.vanished:
        return None  # not ours to know, or being removed by us
    if event.action == "start":
        news = info.state is not State.RUNNING and info.id not in state.starting
    elif event.action == "die":
        news = info.state is not State.EXITED
    else:
        news = event.action == "destroy"
    if not news:
        return None
    state.stale = True
    return state


def _owner_of_sandbox(states: Mapping[str, PodState], sandbox_id: str) -> PodState | None:
    return next((s for s in states.values() if s.sandbox is not None and s.sandbox.id == sandbox_id), None)


def compare(
    states: Mapping[str, PodState], sandboxes: Sequence[Sandbox], containers: Sequence[ContainerInfo]
) -> list[PodState]:
    """The states that a full look contradicts, marked."""
    running = {sandbox.id for sandbox in sandboxes if sandbox.running}
    by_pod = group(containers)
    news = []
    for uid, state in states.items():
        changed = False
        if state.sandbox is not None and state.sandbox.running and state.sandbox.id not in running:
            state.sandbox = replace(state.sandbox, running=False, process_id=0)
            changed = True
        if state.differs(by_pod.get(uid, [])):
            state.stale = changed = True
        if changed:
            news.append(state)
    return news


def orphans(
    states: Mapping[str, PodState], sandboxes: Sequence[Sandbox], containers: Sequence[ContainerInfo], now: Moment
) -> list[PodState]:
    """States for what runs here of pods that nobody knows."""
    found: dict[str, PodState] = {}
    for identity in [*(s.pod for s in sandboxes if s.pod is not None), *(c.pod for c in containers)]:
        if identity.uid not in states:
            found.setdefault(identity.uid, PodState(identity))
    populate(found, sandboxes, containers, now)
    return list(found.values())


def populate(
    states: Mapping[str, PodState], sandboxes: Sequence[Sandbox], containers: Sequence[ContainerInfo], now: Moment
) -> None:
    """Give states, for the first time, what the engine has of their pods."""
    by_pod = group(containers)
    for uid, state in states.items():
        own = sorted((s for s in sandboxes if s.pod is not None and s.pod.uid == uid), key=lambda s: s.created_at)
        if own:
            state.sandbox, state.old_sandboxes = own[-1], own[:-1]
        state.adopt(by_pod.get(uid, []), now)
        # Containers are made after volumes, so where there are containers there are volumes.
        state.volumes_ready = bool(state.containers)


def identities(sandboxes: Sequence[Sandbox], containers: Sequence[ContainerInfo]) -> dict[str, PodIdentity]:
    """Every pod that the engine has something of, by uid."""
    return {
        identity.uid: identity
        for identity in [*(s.pod for s in sandboxes if s.pod is not None), *(c.pod for c in containers)]
    }


def group(containers: Sequence[ContainerInfo]) -> dict[str, list[ContainerInfo]]:
    """Containers by the uid of their pod."""
    by_pod: dict[str, list[ContainerInfo]] = {}
    for info in containers:
        by_pod.setdefault(info.pod.uid, []).append(info)
    return by_pod
