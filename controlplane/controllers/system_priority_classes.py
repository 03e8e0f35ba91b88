"""The two priority classes that every cluster has: system-cluster-critical and system-node-critical.

Creates those that are missing, at every start of a leader, and writes nothing else. After k8s.io/kubernetes
pkg/registry/scheduling/rest (AddSystemPriorityClasses).
"""

from __future__ import annotations

from collections.abc import Iterable

from controlplane.controllers.writes import Create, apply
from shared.api.kinds import PRIORITY_CLASSES
from shared.client.base import Client

CLASSES = (
    ("system-node-critical", 2_000_001_000, "Used for system critical pods that must not be moved from their current "
     "node."),
    ("system-cluster-critical", 2_000_000_000, "Used for system critical pods that must run in the cluster, but can "
     "be moved to another node if necessary."),
)  # fmt: skip


def decide(present: Iterable[str]) -> tuple[Create, ...]:
    """Creations of the classes that are not among ``present``."""
    have = set(present)
    return tuple(
        Create(
            PRIORITY_CLASSES,
            {
                "kind": "PriorityClass",
                "apiVersion": "scheduling.k8s.io/v1",
                "metadata": {"name": name},
                "value": value,
                "description": description,
            },
        )
        for name, value, description in CLASSES
        if name not in have
    )


async def ensure(client: Client) -> None:
    """Create what is missing; harmless when nothing is. Raises StatusError."""
    found = await client.list(PRIORITY_CLASSES)
    await apply(client, decide(each.metadata.name for each in found.items))
