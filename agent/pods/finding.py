"""Which of this node's pods a stream is about. Reads only."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from agent.pods.state import PodState
from agent.streams.dial import PodPlace
from shared.api.errors import NotFound

States = Callable[[], Mapping[str, PodState]]
"""The pods of this node by uid."""


def find_pod(states: Mapping[str, PodState], namespace: str, name: str, uid: str) -> PodState:
    """By uid, or by name where no uid is said. Raises NotFound."""
    state = states.get(uid)
    if state is None and not uid:
        state = next((each for each in states.values() if _is_named(each, namespace, name)), None)
    elif state is None:
        state = next((each for each in states.values() if each.mirror and each.mirror.metadata.uid == uid), None)
    if state is None:
        raise NotFound(f'pod "{name}" not found on this node', kind="pods", name=name)
    return state


def _is_named(state: PodState, namespace: str, name: str) -> bool:
    return state.pod is not None and (state.identity.namespace, state.identity.name) == (namespace, name)


class PodPlaces:
    """Where pods can be reached. ``host_ip`` is the address of those on the host's network."""

    def __init__(self, states: States, host_ip: str) -> None:
        self._states, self._host_ip = states, host_ip

    def find(self, namespace: str, name: str, uid: str) -> PodPlace:
        """Raises NotFound."""
        state = find_pod(self._states(), namespace, name, uid)
        sandbox = state.sandbox
        if sandbox is None:
            return PodPlace("", 0)
        return PodPlace(self._host_ip if sandbox.host_network else state.address, sandbox.process_id)
