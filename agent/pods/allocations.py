"""What this node sets aside for its pods: who asks for other resources is given them, or waits (KEP-1287).

Owns ``desired`` and ``resize.pending`` of the pods' states; a state's ``pod`` has the resources that are set aside, and
so has its local copy, which is written before any container is given them. Decisions are ``resizes``'. On the event
loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from agent.pods.events import PodEvents
from agent.pods.observed import Resize, resize_key
from agent.pods.phase import TERMINAL
from agent.pods.resizes import Amounts, hindrance, requested, summary, urgency, with_resources_of
from agent.pods.state import PodState
from agent.pods.status import NodeFacts
from shared.api.pod import Pod
from shared.api.resizing import ERROR, INFEASIBLE, RESIZE_IN_PROGRESS, RESIZE_PENDING

RETRY = 180.0
"""Seconds after which resizes that wait are looked at in any case (the kubelet's retryDelay)."""


class Allocations:
    """Over all ``states`` of the node."""

    def __init__(self, node: NodeFacts, events: PodEvents, states: Callable[[], Mapping[str, PodState]]) -> None:
        self._node = Amounts(node.cpu_milli, node.memory_bytes)
        self._events, self._states = events, states
        self._changed = asyncio.Event()

    def settle(self, state: PodState, pod: Pod) -> Pod:
        """What ``state.pod`` is to be, now that the server shows ``pod``: with the resources that are set aside."""
        if not state.authoritative:
            _learn(state, pod)
        held, state.desired = state.pod, None
        kept = pod if held is None else with_resources_of(pod, held)
        if kept is pod:
            state.resize = replace(state.resize, pending="", message="", pending_generation=0)
            return pod
        state.desired = pod
        if pod.metadata.deletion_timestamp is not None or state.ending is not None or _has_ended(state):
            return kept
        return pod if self._allocate(state, pod) else kept

    def something_changed(self) -> None:
        """A pod ended or takes less: there may be room for those that wait."""
        if any(state.desired is not None for state in self._states().values()):
            self._changed.set()

    async def run(self, wake: Callable[[str], None]) -> None:
        """Give those that wait what they want once there is room, until cancelled."""
        while True:
            try:
                async with asyncio.timeout(RETRY):
                    await self._changed.wait()
            except TimeoutError:
                pass  # in case something was missed
            self._changed.clear()
            for uid in list(self._retry()):
                wake(uid)

    def _retry(self) -> Iterator[str]:
        """The pods about whose resize there is something new."""
        waiting: list[tuple[tuple[bool, int, bool], str]] = []
        for uid, state in self._states().items():
            if state.desired is not None and state.pod is not None and state.resize.pending != INFEASIBLE:
                waiting.append((urgency(state.desired, state.pod), uid))
        for _, uid in sorted(waiting):
            state = self._states()[uid]
            before, desired = state.resize, state.desired
            if desired is None or state.ending is not None or _has_ended(state):
                continue
            if self._allocate(state, desired):
                state.pod, state.unsaved = desired, True
            if state.resize != before:
                yield uid

    def _allocate(self, state: PodState, pod: Pod) -> bool:
        """Set aside what the pod wants; False when that is not to be had now."""
        generation = pod.metadata.generation or 0
        others = Amounts()
        for other in self._states().values():
            if other is not state and other.pod is not None and not _has_ended(other):
                others = others + requested(other.pod)
        reason, message = hindrance(requested(pod), others, self._node)
        if not reason:
            state.desired, state.resize = None, Resize(generation=generation)
            for container in (*pod.spec.init_containers, *pod.spec.containers):
                state.failures.pop(resize_key(container.name), None)
            self._events.normal(pod, "ResizeStarted", summary("Pod resize started", pod, generation))
            self._changed.set()  # it may take less than before
            return True
        before = state.resize
        state.resize = replace(before, pending=reason, message=message, pending_generation=generation)
        if (before.pending, before.message) != (reason, message):
            self._events.warning(
                pod, f"Resize{reason}", summary(f"Pod resize {reason}", pod, generation, message)
            )  # fmt: skip
        return False


def _learn(state: PodState, pod: Pod) -> None:
    """What an earlier agent has told."""
    for condition in pod.status.conditions:
        if condition.type == RESIZE_PENDING:
            state.resize = replace(state.resize, pending=condition.reason, message=condition.message)
        elif condition.type == RESIZE_IN_PROGRESS:
            error = condition.message if condition.reason == ERROR else ""
            state.resize = replace(state.resize, generation=pod.metadata.generation or 0, error=error)


def _has_ended(state: PodState) -> bool:
    told = state.reported["phase"] if state.reported is not None else ""
    return told in TERMINAL or (state.pod is not None and state.pod.status.phase in TERMINAL)
