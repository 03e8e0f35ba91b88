"""Where the logs of a pod's container are: the door of the tunnel to the engine's logs. Reads only."""

from __future__ import annotations

from collections.abc import AsyncIterator

from agent.pods.finding import States, find_pod
from agent.runtime.base import ContainerInfo, Runtime, State
from agent.tunnel import PodLogOptions
from shared.api.errors import BadRequest


class PodLogs:
    """Finds the container of a pod; ``states`` gives the pods of this node by uid."""

    def __init__(self, runtime: Runtime, states: States) -> None:
        self._runtime, self._states = runtime, states

    def logs(self, namespace: str, name: str, uid: str, container: str, options: PodLogOptions) -> AsyncIterator[bytes]:
        """The log of a container's latest instance, or of the one before. Raises NotFound, BadRequest."""
        return self._runtime.logs(self.find(namespace, name, uid, container, previous=options.previous).id, options)

    def find(self, namespace: str, name: str, uid: str, container: str, *, previous: bool = False) -> ContainerInfo:
        """The instance that ``kubectl logs`` means. Raises NotFound, BadRequest with the kubelet's words."""
        state = find_pod(self._states(), namespace, name, uid)
        instances = sorted(
            (i for i in state.containers.values() if i.name == container and i.id not in state.vanished),
            key=lambda info: (info.attempt, info.created_at),
            reverse=True,
        )
        if previous:
            ended = [info for info in instances if info.state is State.EXITED]
            # while the latest instance waits for its restart it is the previous one that people mean
            found = next((info for info in ended if info is not instances[0]), ended[0] if ended else None)
            if found is None:
                raise BadRequest(f'previous terminated container "{container}" in pod "{name}" not found')
            return found
        started = [info for info in instances if info.state is not State.CREATED]
        if not started:
            raise BadRequest(f'container "{container}" in pod "{name}" is waiting to start: ContainerCreating')
        return started[0]
