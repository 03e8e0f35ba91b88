"""The system's own namespaces: default, kube-system, kube-public, kube-node-lease exist.

Creates those that are missing and writes nothing else. ``ensure`` is for the start, before anything runs;
the controller brings back one that was deleted. One sync at a time for each.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from controlplane.controllers.base import Context, Key, Watch
from controlplane.controllers.writes import Create, apply
from shared.api.core import Namespace
from shared.api.kinds import NAMESPACES, NODE_LEASE_NAMESPACE
from shared.client.base import Client

NAMES = ("default", "kube-system", "kube-public", NODE_LEASE_NAMESPACE)


def decide(present: Iterable[str]) -> tuple[Create, ...]:
    """Creations of the system namespaces that are not among ``present``."""
    missing = set(NAMES) - set(present)
    return tuple(
        Create(NAMESPACES, {"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": name}})
        for name in NAMES
        if name in missing
    )


async def ensure(client: Client) -> None:
    """Create what is missing; harmless when nothing is. Raises StatusError."""
    namespaces = await client.list(NAMESPACES)
    await apply(client, decide(namespace.metadata.name for namespace in namespaces.items))


class SystemNamespacesController:
    """See the module."""

    name = "system-namespaces"

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._namespaces = context.informers.cache(NAMESPACES)

    def watches(self) -> Sequence[Watch]:
        return (Watch(NAMESPACES, self._keys),)

    def _keys(self, old: Namespace | None, new: Namespace | None) -> Iterable[Key]:
        return (("", old.metadata.name),) if new is None and old is not None and old.metadata.name in NAMES else ()

    async def sync(self, key: Key) -> float | None:
        """See ``Controller.sync``; the key is a namespace's."""
        await apply(self._client, decide(namespace.metadata.name for namespace in self._namespaces))
        return None
