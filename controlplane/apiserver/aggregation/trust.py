"""What other API servers read to trust this one's word for who asks: a ConfigMap, and the Role to read it with.

Owns ``kube-system/extension-apiserver-authentication`` and the Role of its readers. Sources: pkg/controlplane/
controller/clusterauthenticationtrust, and namespace policies of plugin/pkg/auth/authorizer/rbac/bootstrappolicy.
"""

from __future__ import annotations

import asyncio
from typing import Any

from controlplane.apiserver.aggregation.certificates import CLIENT_NAME, FrontProxy
from controlplane.apiserver.cache import WatchCache
from shared import codec
from shared.api.kinds import CONFIG_MAPS, ROLES, Resource
from shared.api.meta import JSON
from shared.client.base import Client

NAME = "extension-apiserver-authentication"
READER = f"{NAME}-reader"
NAMESPACE = "kube-system"


class Trust:
    """``client_ca`` is the PEM that clients' certificates are held against."""

    def __init__(self, cache: WatchCache, client: Client, front_proxy: FrontProxy, client_ca: bytes) -> None:
        self._cache = cache
        self._client, self._front_proxy, self._client_ca = client, front_proxy, client_ca

    @property
    def missing(self) -> bool:
        """Whether somebody has deleted it."""
        return not (self._has(CONFIG_MAPS, NAME) and self._has(ROLES, READER))

    async def publish(self) -> None:
        """Make it true. Raises StatusError, OSError."""
        ca = await asyncio.to_thread(lambda: self._front_proxy.ca_pem)
        data = {
            "client-ca-file": self._client_ca.decode(),
            "requestheader-allowed-names": codec.encode([CLIENT_NAME]).decode(),
            "requestheader-client-ca-file": ca.decode(),
            "requestheader-extra-headers-prefix": '["X-Remote-Extra-"]',
            "requestheader-group-headers": '["X-Remote-Group"]',
            "requestheader-uid-headers": '["X-Remote-Uid"]',
            "requestheader-username-headers": '["X-Remote-User"]',
        }
        await self._put(CONFIG_MAPS, NAME, {"data": data})
        rule = {"verbs": ["get", "list", "watch"], "apiGroups": [""], "resources": ["configmaps"],
                "resourceNames": [NAME]}  # fmt: skip
        labels = {"kubernetes.io/bootstrapping": "rbac-defaults"}
        await self._put(ROLES, READER, {"metadata": {"labels": labels}, "rules": [rule]})

    def _has(self, resource: Resource[Any], name: str) -> bool:
        return self._cache.served(resource).get(NAMESPACE, name) is not None

    async def _put(self, resource: Resource[Any], name: str, fields: JSON) -> None:
        if self._has(resource, name):
            await self._client.patch(resource, name, fields, NAMESPACE)
            return
        metadata = {**fields.get("metadata", {}), "name": name, "namespace": NAMESPACE}
        made = {**fields, "kind": resource.kind, "apiVersion": resource.api_version, "metadata": metadata}
        await self._client.create(resource, made, NAMESPACE)
