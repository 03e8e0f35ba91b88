"""What authentication, authorization, heartbeats and logs look up: pods, nodes and Secrets as the caches have them.

Reads only; every answer is of this moment, on the event loop.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import cast

from controlplane.apiserver.api import ApiServer
from shared import join
from shared.api.core import Endpoints, Node, Secret, Service, ServiceAccount
from shared.api.kinds import (
    ENDPOINTS,
    LEASES,
    NODE_LEASE_NAMESPACE,
    NODES,
    PERSISTENT_VOLUMES,
    PODS,
    SECRETS,
    SERVICE_ACCOUNTS,
    SERVICES,
)
from shared.api.pod import Pod
from shared.api.policies import PersistentVolume


class Lookups:
    """``pods_of_node`` comes from outside: the index that the controllers keep."""

    def __init__(self, api: ApiServer, pods_of_node: Callable[[str], Iterable[Pod]]) -> None:
        self._cache = api.cache
        self._nodes = api.cache.served(NODES)
        self._leases = api.cache.served(LEASES)
        self._pods = api.cache.served(PODS)
        self._secrets = api.cache.served(SECRETS)
        self._volumes = api.cache.served(PERSISTENT_VOLUMES)
        self._accounts = api.cache.served(SERVICE_ACCOUNTS)
        self._services = api.cache.served(SERVICES)
        self._endpoints = api.cache.served(ENDPOINTS)
        self._pods_of_node = pods_of_node

    def node(self, name: str) -> Node | None:
        entry = self._nodes.get("", name)
        return None if entry is None else cast(Node, entry.object)

    def node_count(self) -> int:
        return len(self._nodes)

    def lease_is_gone(self, name: str, revision: int) -> bool:
        """Whether the node's Lease object, written at ``revision``, was deleted since."""
        return self._cache.revision >= revision and self._leases.get(NODE_LEASE_NAMESPACE, name) is None

    def pod(self, namespace: str, name: str) -> Pod | None:
        entry = self._pods.get(namespace, name)
        return None if entry is None else cast(Pod, entry.object)

    def pods_of_node(self, node: str) -> Iterable[Pod]:
        return self._pods_of_node(node)

    def claim_of_volume(self, name: str) -> tuple[str, str] | None:
        """Namespace and name of the claim that a PersistentVolume is bound to."""
        entry = self._volumes.get("", name)
        reference = None if entry is None else cast(PersistentVolume, entry.object).spec.claim_ref
        return None if reference is None else (reference.namespace, reference.name)

    def secret(self, namespace: str, name: str) -> Secret | None:
        entry = self._secrets.get(namespace, name)
        return None if entry is None else cast(Secret, entry.object)

    def bootstrap_secret(self, name: str) -> Secret | None:
        """A Secret of kube-system, where bootstrap tokens are."""
        return self.secret(join.NAMESPACE, name)

    def service_account(self, namespace: str, name: str) -> ServiceAccount | None:
        entry = self._accounts.get(namespace, name)
        return None if entry is None else cast(ServiceAccount, entry.object)

    def service(self, namespace: str, name: str) -> Service | None:
        entry = self._services.get(namespace, name)
        return None if entry is None else cast(Service, entry.object)

    def endpoints(self, namespace: str, name: str) -> Endpoints | None:
        entry = self._endpoints.get(namespace, name)
        return None if entry is None else cast(Endpoints, entry.object)
