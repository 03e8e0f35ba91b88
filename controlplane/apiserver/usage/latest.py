"""The newest that each agent has told of what its node and pods use. In memory only; one event loop.

Each server knows the agents that are connected to it. What is older than ``STALE`` is not told.
"""

from __future__ import annotations

from shared.usage import STALE, NodeUsage, PodUsage
from shared.work.clock import Clock


class LatestUsage:
    """By node."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._nodes: dict[str, tuple[float, NodeUsage]] = {}

    def take(self, node: str, usage: NodeUsage) -> None:
        """What the agent of ``node`` has just told; only of pods of its own is it believed, see ``Metrics``."""
        self._nodes[node] = self._clock.monotonic(), usage

    def nodes(self) -> dict[str, NodeUsage]:
        """Of every node that has told something lately."""
        oldest = self._clock.monotonic() - STALE
        for node in [node for node, (at, _) in self._nodes.items() if at < oldest]:
            del self._nodes[node]
        return {node: usage for node, (_, usage) in self._nodes.items()}

    def pods(self) -> dict[tuple[str, str, str], tuple[str, PodUsage]]:
        """Node and usage by namespace, name and uid."""
        return {
            (pod.namespace, pod.name, pod.uid): (node, pod)
            for node, usage in self.nodes().items()
            for pod in usage.pods
        }
