"""What every namespace has: the ServiceAccount ``default`` and the ConfigMap ``kube-root-ca.crt``.

Writes these two objects of each active namespace: creates them when they are missing and sets the ConfigMap's data
right when it was changed. The rules are those of k8s.io/kubernetes pkg/controller/serviceaccount and
pkg/controller/certificates/rootcacertpublisher. One sync at a time for each namespace.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from controlplane.controllers.base import Context, Key, Watch
from controlplane.controllers.writes import Create, Patch, Write, apply
from shared.api.core import ConfigMap, Namespace, ServiceAccount
from shared.api.kinds import CONFIG_MAPS, NAMESPACES, SERVICE_ACCOUNTS
from shared.api.meta import JSON, Object

ACCOUNT, CA_CONFIG_MAP = "default", "kube-root-ca.crt"
_DESCRIPTION = {
    "kubernetes.io/description": "The CA bundle that the API server's certificate is verified with. It is kept up to "
    "date by the control plane.",
}


@dataclass(frozen=True, slots=True)
class View:
    """A namespace with what it has of the two objects."""

    namespace: Namespace
    account: ServiceAccount | None
    config_map: ConfigMap | None


def decide(view: View, ca_pem: str) -> tuple[Write, ...]:
    """What the namespace lacks; nothing while it is being deleted."""
    name = view.namespace.metadata.name
    if view.namespace.metadata.deletion_timestamp is not None or view.namespace.status.phase == "Terminating":
        return ()
    writes: list[Write] = []
    if view.account is None:
        account: JSON = {"kind": "ServiceAccount", "apiVersion": "v1", "metadata": {"name": ACCOUNT}}
        writes.append(Create(SERVICE_ACCOUNTS, account, name))
    data = {"ca.crt": ca_pem}
    if view.config_map is None:
        config_map: JSON = {
            "kind": "ConfigMap",
            "apiVersion": "v1",
            "metadata": {"name": CA_CONFIG_MAP, "annotations": _DESCRIPTION},
            "data": data,
        }
        writes.append(Create(CONFIG_MAPS, config_map, name))
    elif view.config_map.data != data:
        # A merge patch needs a null for each key that must go.
        patch = {"data": {**dict.fromkeys(view.config_map.data), **data}}
        writes.append(Patch(CONFIG_MAPS, CA_CONFIG_MAP, patch, name))
    return tuple(writes)


class ServiceAccountController:
    """See the module. ``ca_pem`` is the cluster CA's certificate."""

    name = "service-account"

    def __init__(self, context: Context, ca_pem: str) -> None:
        self._client, self._ca_pem = context.client, ca_pem
        self._namespaces = context.informers.cache(NAMESPACES)
        self._accounts = context.informers.cache(SERVICE_ACCOUNTS)
        self._config_maps = context.informers.cache(CONFIG_MAPS)

    def watches(self) -> Sequence[Watch]:
        return (
            Watch(NAMESPACES, _namespace),
            Watch(SERVICE_ACCOUNTS, _called(ACCOUNT)),
            Watch(CONFIG_MAPS, _called(CA_CONFIG_MAP)),
        )

    async def sync(self, key: Key) -> float | None:
        """See ``Controller.sync``; the key is a namespace's."""
        name = key[1]
        namespace = self._namespaces.get(name)
        if namespace is None:
            return None
        view = View(namespace, self._accounts.get(ACCOUNT, name), self._config_maps.get(CA_CONFIG_MAP, name))
        await apply(self._client, decide(view, self._ca_pem))
        return None


def _namespace(old: Object | None, new: Object | None) -> Iterable[Key]:
    return () if new is None else (("", new.metadata.name),)


class _called:
    """Keys of the namespaces whose object of that name changed or went."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __call__(self, old: Object | None, new: Object | None) -> Iterable[Key]:
        obj = new or old
        assert obj is not None
        # An addition is what this controller made itself, or found in place.
        if obj.metadata.name != self._name or old is None:
            return ()
        return (("", obj.metadata.namespace),)
