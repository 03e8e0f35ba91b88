"""Aggregated cluster roles: one with an ``aggregationRule`` has the rules of all that it selects.

Writes the rules of such roles and nothing else. After k8s.io/kubernetes pkg/controller/clusterroleaggregation. One
sync at a time for each role.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from controlplane.controllers.base import Context, Key, Watch
from controlplane.controllers.writes import Patch, apply, tree_of
from shared.api.kinds import CLUSTER_ROLES
from shared.api.rbac import ClusterRole, PolicyRule
from shared.api.selectors import from_label_selector


def decide(role: ClusterRole, others: Iterable[ClusterRole]) -> Patch | None:
    """The rules that ``role`` shall have, if they are not those that it has."""
    if role.aggregation_rule is None:
        return None
    selectors = [from_label_selector(selector) for selector in role.aggregation_rule.cluster_role_selectors]
    wanted: dict[PolicyRule, None] = {}
    for other in sorted(others, key=lambda found: found.metadata.name):
        if other.metadata.name == role.metadata.name:
            continue
        if any(selector.matches(other.metadata.labels) for selector in selectors):
            wanted |= dict.fromkeys(other.rules)
    if tuple(wanted) == role.rules:
        return None
    patch = {
        "metadata": {"resourceVersion": role.metadata.resource_version},
        "rules": [tree_of(rule) for rule in wanted],
    }
    return Patch(CLUSTER_ROLES, role.metadata.name, patch)


class ClusterRoleAggregation:
    """See the module."""

    name = "clusterrole-aggregation"

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._roles = context.informers.cache(CLUSTER_ROLES)

    def watches(self) -> Sequence[Watch]:
        return (Watch(CLUSTER_ROLES, self._keys),)

    def _keys(self, old: ClusterRole | None, new: ClusterRole | None) -> Iterable[Key]:
        if old is not None and new is not None and _seen(old) == _seen(new):
            return
        for role in self._roles:
            if role.aggregation_rule is not None:
                yield ("", role.metadata.name)

    async def sync(self, key: Key) -> float | None:
        """See ``Controller.sync``; the key is a cluster role's."""
        role = self._roles.get(key[1])
        if role is not None and (write := decide(role, self._roles)) is not None:
            await apply(self._client, [write])
        return None


def _seen(role: ClusterRole) -> tuple[object, ...]:
    return role.metadata.labels, role.rules, role.aggregation_rule
