"""Roles and bindings: defaults, validation, columns.

Pure. Rules and texts are those of pkg/apis/rbac.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from controlplane.apiserver.kinds.base import Column, Kind
from controlplane.apiserver.kinds.causes import all_invalid, invalid, not_supported, required
from controlplane.apiserver.kinds.cells import age_column, at, name_column
from controlplane.apiserver.kinds.podspec.scheduling import validate_label_selector
from shared.api import kinds, names
from shared.api.errors import Cause
from shared.api.kinds import RBAC
from shared.api.meta import JSON

_SUBJECTS = ("ServiceAccount", "User", "Group")


# --- roles


def _validate_rules(obj: JSON, namespaced: bool) -> Iterator[Cause]:
    for index, rule in enumerate(obj.get("rules") or ()):
        path = f"rules[{index}]"
        if not rule.get("verbs"):
            yield required(f"{path}.verbs", "verbs must contain at least one value")
        if urls := rule.get("nonResourceURLs"):
            if namespaced:
                yield invalid(f"{path}.nonResourceURLs", urls, "namespaced rules cannot apply to non-resource URLs")
            if any(rule.get(field) for field in ("apiGroups", "resources", "resourceNames")):
                detail = "rules cannot apply to both regular resources and non-resource URLs"
                yield invalid(f"{path}.nonResourceURLs", urls, detail)
            continue
        if not rule.get("apiGroups"):
            yield required(f"{path}.apiGroups", "resource rules must supply at least one api group")
        if not rule.get("resources"):
            yield required(f"{path}.resources", "resource rules must supply at least one resource")


def validate_role(obj: JSON, old: JSON | None) -> Iterable[Cause]:
    yield from _validate_rules(obj, namespaced=True)


def validate_cluster_role(obj: JSON, old: JSON | None) -> Iterable[Cause]:
    yield from _validate_rules(obj, namespaced=False)
    aggregation = obj.get("aggregationRule")
    if aggregation is None:
        return
    path = "aggregationRule.clusterRoleSelectors"
    selectors = aggregation.get("clusterRoleSelectors") or ()
    if not selectors:
        yield required(path, "at least one clusterRoleSelector required if aggregationRule is non-nil")
    for index, selector in enumerate(selectors):
        yield from validate_label_selector(selector, f"{path}[{index}]")


# --- bindings


def default_binding(obj: JSON) -> None:
    ref = obj.get("roleRef")
    if isinstance(ref, dict) and not ref.get("apiGroup"):
        ref["apiGroup"] = RBAC
    for subject in obj.get("subjects") or ():
        if not subject.get("apiGroup") and subject.get("kind") in ("User", "Group"):
            subject["apiGroup"] = RBAC


def _validate_binding(obj: JSON, old: JSON | None, namespaced: bool) -> Iterator[Cause]:
    ref: JSON = obj.get("roleRef") or {}
    if ref.get("apiGroup") != RBAC:
        yield not_supported("roleRef.apiGroup", ref.get("apiGroup") or "", [RBAC])
    allowed = ("Role", "ClusterRole") if namespaced else ("ClusterRole",)
    if ref.get("kind") not in allowed:
        yield not_supported("roleRef.kind", ref.get("kind") or "", sorted(allowed))
    if not (name := ref.get("name")):
        yield required("roleRef.name")
    else:
        yield from all_invalid("roleRef.name", name, names.path_segment(name))
    for index, subject in enumerate(obj.get("subjects") or ()):
        yield from _validate_subject(subject, f"subjects[{index}]", namespaced)
    if old is not None and ref != (old.get("roleRef") or {}):
        yield invalid("roleRef", ref, "cannot change roleRef")


def _validate_subject(subject: JSON, path: str, namespaced: bool) -> Iterator[Cause]:
    kind, name, group = subject.get("kind") or "", subject.get("name") or "", subject.get("apiGroup") or ""
    if not name:
        yield required(f"{path}.name")
    if kind == "ServiceAccount":
        if name:
            yield from all_invalid(f"{path}.name", name, names.dns_subdomain(name))
        if group:
            yield not_supported(f"{path}.apiGroup", group, [""])
        if not namespaced and not subject.get("namespace"):
            yield required(f"{path}.namespace")
    elif kind in ("User", "Group"):
        if group != RBAC:
            yield not_supported(f"{path}.apiGroup", group, [RBAC])
    else:
        yield not_supported(f"{path}.kind", kind, sorted(_SUBJECTS))


def validate_role_binding(obj: JSON, old: JSON | None) -> Iterable[Cause]:
    return _validate_binding(obj, old, namespaced=True)


def validate_cluster_role_binding(obj: JSON, old: JSON | None) -> Iterable[Cause]:
    return _validate_binding(obj, old, namespaced=False)


# --- columns


def _created(obj: JSON) -> Any:
    return obj["metadata"].get("creationTimestamp") or "0001-01-01T00:00:00Z"


def _role(obj: JSON) -> str:
    return f"{at(obj, 'roleRef', 'kind', default='')}/{at(obj, 'roleRef', 'name', default='')}"


def _subjects(kind: str) -> Column:
    def cell(obj: JSON) -> str:
        found = (subject for subject in obj.get("subjects") or () if subject.get("kind") == kind)
        if kind == "ServiceAccount":
            return ", ".join(f"{subject.get('namespace', '')}/{subject.get('name', '')}" for subject in found)
        return ", ".join(subject.get("name", "") for subject in found)

    return Column(f"{kind}s", "string", f"{kind}s that the role is bound to.", cell, priority=1)


_ROLE_COLUMNS = (name_column(), Column("Created At", "date", "When the object was created.", _created))
_BINDING_COLUMNS = (
    name_column(),
    Column("Role", "string", "The role that is bound.", _role),
    age_column(),
    _subjects("User"), _subjects("Group"), _subjects("ServiceAccount"),
)  # fmt: skip

ROLE = Kind(
    resource=kinds.ROLES, singular="role", columns=_ROLE_COLUMNS, validate=validate_role, name_rule="path-segment",
)  # fmt: skip
CLUSTER_ROLE = Kind(
    resource=kinds.CLUSTER_ROLES, singular="clusterrole", columns=_ROLE_COLUMNS, validate=validate_cluster_role,
    name_rule="path-segment",
)  # fmt: skip
ROLE_BINDING = Kind(
    resource=kinds.ROLE_BINDINGS, singular="rolebinding", columns=_BINDING_COLUMNS, default=default_binding,
    validate=validate_role_binding, name_rule="path-segment",
)  # fmt: skip
CLUSTER_ROLE_BINDING = Kind(
    resource=kinds.CLUSTER_ROLE_BINDINGS, singular="clusterrolebinding", columns=_BINDING_COLUMNS,
    default=default_binding, validate=validate_cluster_role_binding, name_rule="path-segment",
)  # fmt: skip
