"""The roles and bindings that every Kubernetes cluster has, such as ``cluster-admin``, ``view`` and kube-system's
``extension-apiserver-authentication-reader``.

Creates those that are missing and gives back rules, subjects, labels and annotations that were taken away, at every
start of a leader; writes nothing to an object that says ``rbac.authorization.kubernetes.io/autoupdate: "false"``, and
takes nothing away. The rules are those of k8s.io/component-helpers auth/rbac/reconciliation; the roles are data
(``bootstrap_rbac.json``): those of Kubernetes' plugin/pkg/auth/authorizer/rbac/bootstrappolicy with 1.36's feature
gates as they are by default.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from controlplane.controllers.writes import Create, Delete, Patch, Write, apply, tree_of
from shared import rbac
from shared.api.kinds import CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, RBAC, ROLE_BINDINGS, ROLES, Resource
from shared.api.meta import JSON, Object
from shared.api.rbac import ClusterRole, PolicyRule, Role, RoleBinding
from shared.client.base import Client

AUTOUPDATE = "rbac.authorization.kubernetes.io/autoupdate"
_LABELS = {"kubernetes.io/bootstrapping": "rbac-defaults"}
_DATA = Path(__file__).with_name("bootstrap_rbac.json")

Name = tuple[str, str]
"""Namespace ("" for cluster roles) and name."""


@dataclass(frozen=True, slots=True)
class Defaults:
    """Objects to have, by kind."""

    cluster_roles: list[JSON]
    roles: list[JSON]
    cluster_role_bindings: list[JSON]
    role_bindings: list[JSON]


def wanted() -> Defaults:
    data = json.loads(_DATA.read_text())
    return Defaults(
        [_object(CLUSTER_ROLES, row) for row in data["clusterRoles"]],
        [_object(ROLES, row) for row in data["roles"]],
        [_object(CLUSTER_ROLE_BINDINGS, row) for row in data["clusterRoleBindings"]],
        [_object(ROLE_BINDINGS, row) for row in data["roleBindings"]],
    )


def _object(resource: Resource[Any], row: JSON) -> JSON:
    rest = {key: value for key, value in row.items() if key not in ("name", "namespace", "labels")}
    metadata: JSON = {key: row[key] for key in ("name", "namespace") if key in row}
    metadata |= {"labels": _LABELS | row.get("labels", {}), "annotations": {AUTOUPDATE: "true"}}
    return {"kind": resource.kind, "apiVersion": f"{RBAC}/v1", "metadata": metadata, **rest}


def name_of(tree: JSON) -> Name:
    return tree["metadata"].get("namespace", ""), tree["metadata"]["name"]


def decide_roles(
    resource: Resource[Any], roles: Iterable[JSON], existing: Mapping[Name, Role | ClusterRole]
) -> tuple[Write, ...]:
    """What is missing of ``roles``."""
    writes: list[Write] = []
    for role in roles:
        namespace, name = name_of(role)
        found = existing.get((namespace, name))
        if found is None:
            writes.append(Create(resource, role, namespace))
            continue
        patch: JSON = {}
        if "aggregationRule" in role:
            patch |= _selectors(role, found)
        elif lacking := rbac.missing(found.rules, msgspec.convert(role["rules"], list[PolicyRule])):
            patch["rules"] = [tree_of(rule) for rule in (*found.rules, *rbac.compact(lacking))]
        writes += _patched(resource, role, found, patch)
    return tuple(writes)


def _selectors(role: JSON, found: Role | ClusterRole) -> JSON:
    rule = found.aggregation_rule if isinstance(found, ClusterRole) else None
    held = [] if rule is None else [tree_of(selector) for selector in rule.cluster_role_selectors]
    wanted = role["aggregationRule"]["clusterRoleSelectors"]
    lacking = [selector for selector in wanted if selector not in held]
    return {"aggregationRule": {"clusterRoleSelectors": [*held, *lacking]}} if lacking else {}


def decide_bindings(
    resource: Resource[Any], bindings: Iterable[JSON], existing: Mapping[Name, RoleBinding]
) -> tuple[Write, ...]:
    """What is missing of ``bindings``. One that binds another role is made anew: a binding's role cannot change."""
    writes: list[Write] = []
    for binding in bindings:
        namespace, name = name_of(binding)
        found = existing.get((namespace, name))
        if found is None:
            writes.append(Create(resource, binding, namespace))
            continue
        ref = found.role_ref
        if (ref.kind, ref.name) != (binding["roleRef"]["kind"], binding["roleRef"]["name"]):
            if found.metadata.annotations.get(AUTOUPDATE) != "false":
                writes.append(Delete(resource, name, namespace, uid=found.metadata.uid))
            continue  # and made by the next look
        held = [tree_of(subject) for subject in found.subjects]
        lacking = [subject for subject in binding.get("subjects") or () if subject not in held]
        writes += _patched(resource, binding, found, {"subjects": [*held, *lacking]} if lacking else {})
    return tuple(writes)


def _patched(resource: Resource[Any], wanted: JSON, found: Object, patch: JSON) -> list[Write]:
    """The patch, with labels and annotations that are missing; nothing where there is nothing to do or none is
    wanted. Values that somebody has set stay."""
    meta = found.metadata
    if meta.annotations.get(AUTOUPDATE) == "false":
        return []
    metadata: JSON = {}
    for field, held in (("labels", meta.labels), ("annotations", meta.annotations)):
        if lacking := {key: value for key, value in wanted["metadata"][field].items() if key not in held}:
            metadata[field] = lacking
    if not patch and not metadata:
        return []
    metadata["resourceVersion"] = meta.resource_version
    return [Patch(resource, meta.name, {"metadata": metadata, **patch}, meta.namespace)]


async def ensure(client: Client) -> None:
    """Bring all of them about; harmless when nothing is missing. Raises StatusError."""
    defaults = wanted()
    for _ in range(2):  # the second look makes what the first had to delete
        writes: list[Write] = []
        writes += decide_roles(CLUSTER_ROLES, defaults.cluster_roles, await _existing(client, CLUSTER_ROLES))
        writes += decide_roles(ROLES, defaults.roles, await _existing(client, ROLES))
        for resource, bindings in _bindings(defaults):
            writes += decide_bindings(resource, bindings, await _existing(client, resource))
        if not writes:
            return
        await apply(client, writes)


def _bindings(defaults: Defaults) -> Iterable[tuple[Resource[Any], list[JSON]]]:
    yield CLUSTER_ROLE_BINDINGS, defaults.cluster_role_bindings
    yield ROLE_BINDINGS, defaults.role_bindings


async def _existing(client: Client, resource: Resource[Any]) -> dict[Name, Any]:
    found = await client.list(resource)
    return {(obj.metadata.namespace, obj.metadata.name): obj for obj in found.items}
