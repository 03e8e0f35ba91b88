"""The cluster roles and bindings that every Kubernetes cluster has, such as ``cluster-admin`` and ``view``.

Creates those that are missing and gives back rules and subjects that were taken away, at every start of a leader; adds
nothing to an object that says ``rbac.authorization.kubernetes.io/autoupdate: "false"``, and takes nothing away. The
rules are those of k8s.io/kubernetes pkg/registry/rbac/reconciliation; the roles are data (``bootstrap_rbac.json``):
those of Kubernetes' plugin/pkg/auth/authorizer/rbac/bootstrappolicy.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from controlplane.controllers.writes import Create, Delete, Patch, Write, apply, tree_of
from shared.api.kinds import CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, RBAC, Resource
from shared.api.meta import JSON
from shared.api.rbac import ClusterRole, ClusterRoleBinding
from shared.client.base import Client

AUTOUPDATE = "rbac.authorization.kubernetes.io/autoupdate"
_DATA = Path(__file__).with_name("bootstrap_rbac.json")


def wanted() -> tuple[list[JSON], list[JSON]]:
    """The roles and the bindings, as objects to create."""
    data = json.loads(_DATA.read_text())
    roles = [_object(CLUSTER_ROLES, row) for row in data["clusterRoles"]]
    return roles, [_object(CLUSTER_ROLE_BINDINGS, row) for row in data["clusterRoleBindings"]]


def _object(resource: Resource[Any], row: JSON) -> JSON:
    rest = {key: value for key, value in row.items() if key not in ("name", "labels")}
    metadata = {"name": row["name"], "labels": row["labels"], "annotations": {AUTOUPDATE: "true"}}
    return {"kind": resource.kind, "apiVersion": f"{RBAC}/v1", "metadata": metadata, **rest}


def decide_roles(roles: Iterable[JSON], existing: Mapping[str, ClusterRole]) -> tuple[Write, ...]:
    """What is missing of ``roles``; ``existing`` by name."""
    writes: list[Write] = []
    for role in roles:
        name = role["metadata"]["name"]
        found = existing.get(name)
        if found is None:
            writes.append(Create(CLUSTER_ROLES, role))
            continue
        patch: JSON = {}
        if "aggregationRule" in role:
            if found.aggregation_rule is None:
                patch["aggregationRule"] = role["aggregationRule"]
        else:
            held = [tree_of(rule) for rule in found.rules]
            lacking = [rule for rule in role["rules"] if rule not in held]
            if lacking:
                patch["rules"] = [*held, *lacking]
        if patch and found.metadata.annotations.get(AUTOUPDATE) != "false":
            version = {"metadata": {"resourceVersion": found.metadata.resource_version}}
            writes.append(Patch(CLUSTER_ROLES, name, version | patch))
    return tuple(writes)


def decide_bindings(bindings: Iterable[JSON], existing: Mapping[str, ClusterRoleBinding]) -> tuple[Write, ...]:
    """What is missing of ``bindings``. One that binds another role is made anew: a binding's role cannot change."""
    writes: list[Write] = []
    for binding in bindings:
        name = binding["metadata"]["name"]
        found = existing.get(name)
        if found is None:
            writes.append(Create(CLUSTER_ROLE_BINDINGS, binding))
            continue
        if found.metadata.annotations.get(AUTOUPDATE) == "false":
            continue
        if (found.role_ref.kind, found.role_ref.name) != (binding["roleRef"]["kind"], binding["roleRef"]["name"]):
            writes.append(Delete(CLUSTER_ROLE_BINDINGS, name, uid=found.metadata.uid))
            continue  # and made by the next look
        held = [tree_of(subject) for subject in found.subjects]
        lacking = [subject for subject in binding.get("subjects") or () if subject not in held]
        if lacking:
            version = {"metadata": {"resourceVersion": found.metadata.resource_version}}
            writes.append(Patch(CLUSTER_ROLE_BINDINGS, name, version | {"subjects": [*held, *lacking]}))
    return tuple(writes)


async def ensure(client: Client) -> None:
    """Bring all of them about; harmless when nothing is missing. Raises StatusError."""
    roles, bindings = wanted()
    for _ in range(2):  # the second look makes what the first had to delete
        have_roles = await client.list(CLUSTER_ROLES)
        have_bindings = await client.list(CLUSTER_ROLE_BINDINGS)
        writes = (
            *decide_roles(roles, {role.metadata.name: role for role in have_roles.items}),
            *decide_bindings(bindings, {binding.metadata.name: binding for binding in have_bindings.items}),
        )
        if not writes:
            return
        await apply(client, writes)
