"""EndpointSlices: the addresses behind each service, in slices of at most a hundred, as every node's proxy and DNS
read them.

Writes the slices that carry its managed-by label, which are owned by their service; slices of other makers are left
alone. What is listed and how it is packed is decided in ``slices``. The rules are those of k8s.io/kubernetes
pkg/controller/endpointslice. One sync at a time for each service; ``expectations`` keeps a late cache from making
slices twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from controlplane.controllers import ownership
from controlplane.controllers.base import Context, Key, Watch
from controlplane.controllers.expectations import Expectations
from controlplane.controllers.pace import Pace
from controlplane.controllers.service_pods import has_endpoints, keys_of_change, selects
from controlplane.controllers.slices import CONTROLLER, MANAGED_BY, SERVICE_NAME, decide, desired
from controlplane.controllers.writes import Delete, apply
from controlplane.controllers.zones import ZONE
from shared.api.apps import EndpointSlice
from shared.api.core import Service
from shared.api.kinds import ENDPOINT_SLICES, NODES, PODS, SERVICES

_SERVICE = "service"
"""Index of our slices by namespace/name of their service."""


class EndpointSliceController:
    """See the module."""

    name = "endpoint-slices"

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._services = context.informers.cache(SERVICES)
        self._pods = context.informers.cache(PODS)
        self._nodes = context.informers.cache(NODES)
        self._slices = context.informers.cache(ENDPOINT_SLICES)
        ownership.add_indexes(self._services)
        ownership.add_indexes(self._pods)
        self._slices.add_index(_SERVICE, _service)
        self._expectations = Expectations(context.clock)
        self._pace = Pace(context.clock)

    # --- watches

    def watches(self) -> Sequence[Watch]:
        return (
            Watch(SERVICES, self._keys_of_service),
            Watch(PODS, lambda old, new: keys_of_change(self._services, old, new)),
            Watch(ENDPOINT_SLICES, self._keys_of_slice),
        )

    def _keys_of_service(self, old: Service | None, new: Service | None) -> Iterable[Key]:
        service = new or old
        assert service is not None
        return ((service.metadata.namespace, service.metadata.name),)

    def _keys_of_slice(self, old: EndpointSlice | None, new: EndpointSlice | None) -> Iterable[Key]:
        return dict.fromkeys(
            (slice_.metadata.namespace, slice_.metadata.labels[SERVICE_NAME])
            for slice_ in (old, new)
            if slice_ is not None and _is_ours(slice_)
        )

    # --- sync

    async def sync(self, key: Key) -> float | None:
        """See ``Controller.sync``; the key is a service's."""
        namespace, name = key
        service = self._services.get(name, namespace)
        if service is None:
            # Its slices go with it: the garbage collector sees to that.
            self._expectations.forget(key)
            self._pace.forget(key)
            return None
        wait = self._expectations.wait(key) or self._pace.wait(key)
        if wait is not None:
            return wait
        existing = self._slices.by_index(_SERVICE, f"{namespace}/{name}")
        if service.spec.type == "ExternalName":
            await apply(
                self._client,
                [Delete(ENDPOINT_SLICES, s.metadata.name, namespace, uid=s.metadata.uid) for s in existing],
            )
            return None
        if not has_endpoints(service):
            return None
        selected = [pod for pod in self._pods.by_index(ownership.NAMESPACE, namespace) if selects(service, pod)]
        self._pace.looked(key, len(selected))
        names = {pod.spec.node_name for pod in selected}
        zones = {n: node.metadata.labels.get(ZONE, "") for n in names if (node := self._nodes.get(n)) is not None}
        await apply(
            self._client,
            decide(service, existing, desired(service, selected, zones)),
            wrote=lambda answer: self._expectations.wrote(key, self._slices, answer),
        )
        return None


def _is_ours(slice_: EndpointSlice) -> bool:
    labels = slice_.metadata.labels
    return labels.get(MANAGED_BY) == CONTROLLER and bool(labels.get(SERVICE_NAME))


def _service(slice_: EndpointSlice) -> Iterable[str]:
    """Index function of our slices: whoever takes the label off one takes it over."""
    if not _is_ours(slice_):
        return ()
    return (f"{slice_.metadata.namespace}/{slice_.metadata.labels[SERVICE_NAME]}",)
