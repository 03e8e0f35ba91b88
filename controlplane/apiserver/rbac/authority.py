"""Roles and their bindings as an authority: who has which rules, read off the watch cache.

Keeps an index of rules by subject and namespace, made anew when one of the four kinds has changed since; between two
changes a question costs some look-ups. On the event loop; no I/O. After k8s.io/kubernetes
plugin/pkg/auth/authorizer/rbac and pkg/registry/rbac/validation/rule.go.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

from controlplane.apiserver.api import ApiServer
from controlplane.apiserver.identity import Attributes, User
from controlplane.apiserver.rbac import rules
from shared.api.kinds import CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, RBAC, ROLE_BINDINGS, ROLES
from shared.api.rbac import ClusterRole, PolicyRule, Role, RoleBinding, RoleRef, Subject

ACCOUNT = "system:serviceaccount:"
_Key = tuple[str, str, str]
"""Kind of subject (User or Group), its name, namespace ("" for everywhere)."""


@dataclass(frozen=True, slots=True)
class Grant:
    """The rules that one binding gives to one subject."""

    rules: tuple[PolicyRule, ...]
    binding: RoleBinding
    subject: Subject

    def reason(self) -> str:
        """Why something is allowed, in Kubernetes' words."""
        meta, ref, subject = self.binding.metadata, self.binding.role_ref, self.subject
        kind, name = ("RoleBinding", f"{meta.name}/{meta.namespace}") if meta.namespace else ("ClusterRoleBinding",
                                                                                             meta.name)  # fmt: skip
        who = f"{subject.name}/{subject.namespace}" if subject.kind == "ServiceAccount" else subject.name
        return f'RBAC: allowed by {kind} "{name}" of {ref.kind} "{ref.name}" to {subject.kind} "{who}"'


class RbacAuthority:
    """See the module."""

    def __init__(self, api: ApiServer) -> None:
        self._roles, self._cluster_roles = api.cache.served(ROLES), api.cache.served(CLUSTER_ROLES)
        self._bindings, self._cluster_bindings = (
            api.cache.served(ROLE_BINDINGS),
            api.cache.served(CLUSTER_ROLE_BINDINGS),
        )
        self._indexed: tuple[int, ...] | None = None
        self._index: dict[_Key, list[Grant]] = {}
        self._broken: dict[_Key, list[str]] = {}
        """Roles that bindings name and that are not there, in words."""

    def allows(self, user: User, attributes: Attributes) -> bool:
        return self.why(user, attributes) is not None

    def why(self, user: User, attributes: Attributes) -> str | None:
        """The grant that allows it, in words; None when nothing does."""
        for grant in self._grants(user, attributes.namespace):
            if any(rules.allows(rule, attributes) for rule in grant.rules):
                return grant.reason()
        return None

    def refusal(self, user: User, attributes: Attributes) -> str:
        """Which roles that the user is bound to are missing (rbac.go, RuleResolver): ``RBAC: ... not found``."""
        missing = self.missing_roles(user, attributes.namespace)
        if not missing:
            return ""
        return f"RBAC: {missing[0]}" if len(missing) == 1 else f"RBAC: [{', '.join(missing)}]"

    def missing_roles(self, user: User, namespace: str) -> list[str]:
        """Every role that the user is bound to in ``namespace`` or everywhere and that is not there, in words."""
        self._refresh()
        return list(dict.fromkeys(text for key in _keys(user, namespace) for text in self._broken.get(key, ())))

    def rules_for(self, user: User, namespace: str) -> list[PolicyRule]:
        """All that the user may do in ``namespace``, and everywhere."""
        return [rule for grant in self._grants(user, namespace) for rule in grant.rules]

    def rules_of(self, ref: RoleRef, namespace: str) -> tuple[PolicyRule, ...] | None:
        """The rules of the role that a binding in ``namespace`` refers to; None when there is none."""
        if ref.kind == "ClusterRole":
            entry = self._cluster_roles.get("", ref.name)
            return None if entry is None else cast(ClusterRole, entry.object).rules
        entry = self._roles.get(namespace, ref.name) if ref.kind == "Role" and namespace else None
        return None if entry is None else cast(Role, entry.object).rules

    def _grants(self, user: User, namespace: str) -> Iterator[Grant]:
        self._refresh()
        for key in _keys(user, namespace):
            yield from self._index.get(key, ())

    def _refresh(self) -> None:
        caches = (self._roles, self._cluster_roles, self._bindings, self._cluster_bindings)
        state = tuple(cache.changed for cache in caches)
        if state == self._indexed:
            return
        self._indexed, self._index, self._broken = state, {}, {}
        for cache in (self._cluster_bindings, self._bindings):
            for entry in cache.entries():
                binding = cast(RoleBinding, entry.object)
                namespace = binding.metadata.namespace
                ref = binding.role_ref
                found = self.rules_of(ref, namespace)
                for subject in binding.subjects:
                    if (key := _key(subject, namespace)) is None:
                        continue
                    if found is None:
                        text = f'{ref.kind.lower()}.{RBAC} "{ref.name}" not found'
                        self._broken.setdefault(key, []).append(text)
                    elif found:
                        self._index.setdefault(key, []).append(Grant(found, binding, subject))


def _keys(user: User, namespace: str) -> Iterator[_Key]:
    for where in ("", namespace) if namespace else ("",):
        yield "User", user.name, where
        for group in user.groups:
            yield "Group", group, where


def _key(subject: Subject, namespace: str) -> _Key | None:
    if subject.kind == "ServiceAccount":
        of = subject.namespace or namespace
        return ("User", f"{ACCOUNT}{of}:{subject.name}", namespace) if of else None
    return (subject.kind, subject.name, namespace) if subject.kind in ("User", "Group") else None
