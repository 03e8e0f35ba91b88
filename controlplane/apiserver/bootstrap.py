"""What every cluster has from its first start: the namespaces that Kubernetes makes.

Runs before requests are served; what is there already stays as it is.
"""

from __future__ import annotations

from controlplane.apiserver.api import ApiServer
from controlplane.apiserver.local_client import LocalClient
from shared.api.errors import AlreadyExists
from shared.api.kinds import NAMESPACES

SYSTEM_NAMESPACES = ("default", "kube-system", "kube-public", "kube-node-lease")


async def ensure_namespaces(api: ApiServer) -> None:
    """Create the system namespaces that are missing. ``api`` must be ready."""
    client = LocalClient(api)
    for name in SYSTEM_NAMESPACES:
        if api.cache.of(client.kind_of(NAMESPACES)).get("", name) is None:
            try:
                await client.create(NAMESPACES, {"metadata": {"name": name}})
            except AlreadyExists:
                continue  # another server was faster
