"""Nobody gives away what he has not: roles and bindings are checked against what their writer may do himself.

After k8s.io/kubernetes pkg/registry/rbac/{role,clusterrole,rolebinding,clusterrolebinding}/policybased: who may
``escalate`` a role or ``bind`` one may write what he likes, and so may system:masters. No I/O.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

import msgspec

from controlplane.apiserver.identity import Attributes, User
from controlplane.apiserver.rbac.authority import RbacAuthority
from controlplane.apiserver.rbac.rules import shown
from shared import rbac as coverage
from shared.api.errors import Forbidden, NotFound
from shared.api.kinds import RBAC
from shared.api.meta import JSON
from shared.api.rbac import PolicyRule, RoleRef

_ROLES, _BINDINGS = ("roles", "clusterroles"), ("rolebindings", "clusterrolebindings")
_EVERYTHING = (
    PolicyRule(verbs=("*",), api_groups=("*",), resources=("*",)), PolicyRule(verbs=("*",), non_resource_urls=("*",)),
)  # fmt: skip


class Allows(Protocol):
    """See ``authz.Authorizer.allowed``."""

    def allowed(self, user: User, attributes: Attributes) -> bool: ...


class Escalation:
    """``check`` is for every write of a role or binding over the API."""

    def __init__(self, rbac: RbacAuthority, authorizer: Allows) -> None:
        self._rbac, self._authorizer = rbac, authorizer

    def check(self, user: User, group: str, plural: str, new: JSON, old: JSON | None) -> None:
        """Whether ``user`` may write ``new`` over ``old`` (None: a creation). Raises Forbidden, NotFound."""
        if group != RBAC or "system:masters" in user.groups:
            return
        if plural in _ROLES:
            self._check_role(user, plural, new, old)
        elif plural in _BINDINGS:
            self._check_binding(user, plural, new, old)

    def _check_role(self, user: User, plural: str, new: JSON, old: JSON | None) -> None:
        namespace, name = new["metadata"].get("namespace", ""), new["metadata"].get("name", "")
        if old is not None and all(new.get(key) == old.get(key) for key in ("rules", "aggregationRule")):
            return
        if self._allowed(user, "escalate", plural, namespace, name):
            return
        held = self._rbac.rules_for(user, namespace)
        self._confirm(user, plural, name, held, msgspec.convert(new.get("rules") or [], list[PolicyRule]))
        aggregation = new.get("aggregationRule")
        changed = aggregation is not None and (old is None or aggregation != old.get("aggregationRule"))
        if changed and coverage.missing(held, _EVERYTHING):
            raise _forbidden(plural, name, "must have cluster-admin privileges to use the aggregationRule")

    def _check_binding(self, user: User, plural: str, new: JSON, old: JSON | None) -> None:
        namespace, name = new["metadata"].get("namespace", ""), new["metadata"].get("name", "")
        if old is not None and all(new.get(key) == old.get(key) for key in ("roleRef", "subjects")):
            return
        ref = msgspec.convert(new.get("roleRef") or {}, RoleRef)
        if self._allowed(user, "bind", f"{ref.kind.lower()}s", namespace, ref.name):
            return
        found = self._rbac.rules_of(ref, namespace)
        if found is None:
            what = f"{ref.kind.lower()}s"
            raise NotFound(f'{what}.{RBAC} "{ref.name}" not found', group=RBAC, kind=what, name=ref.name)
        self._confirm(user, plural, name, self._rbac.rules_for(user, namespace), found)

    def _allowed(self, user: User, verb: str, plural: str, namespace: str, name: str) -> bool:
        return self._authorizer.allowed(user, Attributes(verb, "", RBAC, "v1", plural, "", namespace, name))

    def _confirm(
        self, user: User, plural: str, name: str, held: Iterable[PolicyRule], wanted: Iterable[PolicyRule]
    ) -> None:
        lacking = coverage.missing(held, wanted)
        if lacking:
            groups = " ".join(f'"{group}"' for group in user.groups)
            listed = "\n".join(sorted(shown(rule) for rule in coverage.compact(lacking)))
            reason = (
                f'user "{user.name}" (groups=[{groups}]) is attempting to grant RBAC permissions not currently held:\n'
                f"{listed}"
            )
            raise _forbidden(plural, name, reason)


def _forbidden(plural: str, name: str, reason: str) -> Forbidden:
    return Forbidden(f'{plural}.{RBAC} "{name}" is forbidden: {reason}', group=RBAC, kind=plural, name=name)
