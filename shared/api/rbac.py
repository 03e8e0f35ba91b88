"""rbac.authorization.k8s.io/v1: who may do what."""

from __future__ import annotations

from shared.api.meta import LabelSelector, Object, Struct


class PolicyRule(Struct, frozen=True, kw_only=True):
    """Verbs on resources, or on paths."""

    verbs: tuple[str, ...] = ()
    api_groups: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()
    resource_names: tuple[str, ...] = ()
    non_resource_urls: tuple[str, ...] = ()


class Role(Object, frozen=True, kw_only=True):
    rules: tuple[PolicyRule, ...] = ()


class AggregationRule(Struct, frozen=True, kw_only=True):
    cluster_role_selectors: tuple[LabelSelector, ...] = ()


class ClusterRole(Object, frozen=True, kw_only=True):
    """``aggregation_rule`` makes its rules those of the cluster roles that it selects."""

    rules: tuple[PolicyRule, ...] = ()
    aggregation_rule: AggregationRule | None = None


class RoleRef(Struct, frozen=True, kw_only=True):
    kind: str = ""
    name: str = ""
    api_group: str = ""


class Subject(Struct, frozen=True, kw_only=True):
    kind: str = ""
    name: str = ""
    namespace: str = ""
    api_group: str = ""


class RoleBinding(Object, frozen=True, kw_only=True):
    role_ref: RoleRef = RoleRef()
    subjects: tuple[Subject, ...] = ()


class ClusterRoleBinding(RoleBinding, frozen=True, kw_only=True):
    pass
