"""Which objects count against which resources of a quota, and for how much.

Pure. After pkg/quota/v1/evaluator/core and k8s.io/apiserver/pkg/quota/v1/generic.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

from shared.api import quantity
from shared.api.core import Service
from shared.api.kinds import EVENTS, PERSISTENT_VOLUME_CLAIMS, PODS, SERVICES, Resource
from shared.api.policies import PersistentVolumeClaim, ResourceQuota, ScopeTerm
from shared.quota import pods
from shared.quota.amounts import Amounts

_ALIASES = ("configmaps", "resourcequotas", "replicationcontrollers", "secrets")
"""Kinds of the core group that a quota may count under their bare names too."""

_ITSELF = frozenset({""})
_CLASS = ".storageclass.storage.k8s.io/"
_OF_CLAIMS = ("persistentvolumeclaims", "requests.storage")
_OF_SERVICES = ("count/services", "services", "services.nodeports", "services.loadbalancers")


@dataclass(frozen=True, slots=True)
class Evaluator:
    """How one kind counts."""

    names: Callable[[Iterable[str]], list[str]]
    """Those of a quota's resources that the kind counts against."""

    usage: Callable[[Any, datetime], Amounts]
    """What one object counts as, at a time."""

    in_scope: Callable[[ScopeTerm, Any], bool]
    changes: frozenset[str] = frozenset()
    """Subresources through which an update can change what an object counts as; "" is the object itself."""

    missing: Callable[[Iterable[str], Any], str] = lambda names, obj: ""
    """What an object must say because the quota limits ``names``."""


@lru_cache(maxsize=1024)
def evaluator(resource: Resource[Any]) -> Evaluator | None:
    """How ``resource`` counts; None of what no quota limits: cluster-scoped kinds and Events."""
    if not resource.namespaced or resource.plural == EVENTS.plural:
        return None
    return _OWN.get((resource.group, resource.plural)) or _counted(resource)


def scopes(quota: ResourceQuota) -> list[ScopeTerm]:
    """A quota's scopes of either form."""
    selector = quota.spec.scope_selector
    plain = [ScopeTerm(scope_name=name, operator="Exists") for name in quota.spec.scopes]
    return [*plain, *(selector.match_expressions if selector is not None else ())]


def matches(quota: ResourceQuota, how: Evaluator, obj: Any) -> bool:
    """Whether all scopes of the quota take the object in."""
    return all(how.in_scope(term, obj) for term in scopes(quota))


# --- kinds


def _counted(resource: Resource[Any]) -> Evaluator:
    own = [f"count/{resource.group_resource}"]
    if not resource.group and resource.plural in _ALIASES:
        own.append(resource.plural)
    used: Amounts = dict.fromkeys(own, "1")
    return Evaluator(
        names=lambda hard: [name for name in hard if name in used],
        usage=lambda obj, now: dict(used),
        in_scope=_never,
    )


def _never(term: ScopeTerm, obj: Any) -> bool:
    return False


def _service_names(hard: Iterable[str]) -> list[str]:
    return [name for name in hard if name in _OF_SERVICES]


def _service_usage(service: Service, now: datetime) -> Amounts:
    spec = service.spec
    node_ports = 0
    if spec.type == "NodePort" or (spec.type == "LoadBalancer" and spec.allocate_load_balancer_node_ports is not False):
        node_ports = len(spec.ports)
    elif spec.type == "LoadBalancer":
        node_ports = sum(1 for port in spec.ports if port.node_port)
    return {
        "count/services": "1",
        "services": "1",
        "services.nodeports": str(node_ports),
        "services.loadbalancers": "1" if spec.type == "LoadBalancer" else "0",
    }


def _claim_names(hard: Iterable[str]) -> list[str]:
    ends = tuple(_CLASS + name for name in _OF_CLAIMS)
    return [
        name
        for name in hard
        if name == "count/persistentvolumeclaims" or name in _OF_CLAIMS or name.endswith(ends)
    ]  # fmt: skip


def _claim_usage(claim: PersistentVolumeClaim, now: datetime) -> Amounts:
    used: Amounts = {"count/persistentvolumeclaims": "1", "persistentvolumeclaims": "1"}
    wanted = claim.spec.resources.requests.get("storage")
    allocated = claim.status.allocated_resources.get("storage")
    if wanted is not None and allocated is not None and quantity.parse(allocated) > quantity.parse(wanted):
        wanted = allocated
    if wanted is not None:
        exact = quantity.parse(wanted)
        used["requests.storage"] = wanted if exact == exact.to_integral_value() else str(quantity.value(wanted))
    if name := claim.storage_class:
        used |= {f"{name}{_CLASS}{resource}": used[resource] for resource in _OF_CLAIMS if resource in used}
    return used


def _claim_in_scope(term: ScopeTerm, claim: PersistentVolumeClaim) -> bool:
    if term.scope_name != "VolumeAttributesClass":
        return False
    modified = claim.status.modify_volume_status
    named = (
        claim.spec.volume_attributes_class_name,
        claim.status.current_volume_attributes_class_name,
        modified.target_volume_attributes_class_name if modified is not None else "",
    )
    classes = {name for name in named if name} or {""}
    return any(pods.selects(term, name) for name in classes)


_OWN: dict[tuple[str, str], Evaluator] = {
    (PODS.group, PODS.plural): Evaluator(
        pods.names, pods.usage, pods.in_scope, changes=frozenset({"resize"}), missing=pods.missing
    ),
    (SERVICES.group, SERVICES.plural): Evaluator(_service_names, _service_usage, _never, changes=_ITSELF),
    (PERSISTENT_VOLUME_CLAIMS.group, PERSISTENT_VOLUME_CLAIMS.plural): Evaluator(
        _claim_names, _claim_usage, _claim_in_scope, changes=_ITSELF
    ),
}
