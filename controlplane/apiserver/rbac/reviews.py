"""Who may do what, asked over the API: the reviews of authorization.k8s.io, and who one is (authentication.k8s.io).

Nothing is stored: each is a create that answers with what was asked and a status
(pkg/registry/authorization, pkg/registry/authentication/selfsubjectreview).
"""

from __future__ import annotations

from typing import Protocol

import msgspec
from aiohttp import web

from controlplane.apiserver.identity import Attributes, User
from controlplane.apiserver.kinds.causes import invalid as invalid_value
from controlplane.apiserver.kinds.causes import refusal, required
from controlplane.apiserver.rbac.authority import RbacAuthority
from controlplane.apiserver.virtual import review_handler
from shared.api.errors import BadRequest, Cause
from shared.api.meta import JSON
from shared.api.rbac import PolicyRule

AUTHORIZATION, AUTHENTICATION = "authorization.k8s.io", "authentication.k8s.io"


class Decides(Protocol):
    """See ``authz.Authorizer``."""

    def why(self, user: User, attributes: Attributes) -> str | None: ...

    def refusal(self, user: User, attributes: Attributes) -> str: ...


class Reviews:
    """The handlers."""

    def __init__(self, authorizer: Decides, rbac: RbacAuthority) -> None:
        self._authorizer, self._rbac = authorizer, rbac

    def add_routes(self, app: web.Application) -> None:
        root = f"/apis/{AUTHORIZATION}/v1"
        for path, group, kind, answer in (
            (f"{root}/selfsubjectaccessreviews", AUTHORIZATION, "SelfSubjectAccessReview", self._own_access),
            (f"{root}/subjectaccessreviews", AUTHORIZATION, "SubjectAccessReview", self._access),
            (f"{root}/namespaces/{{namespace}}/localsubjectaccessreviews", AUTHORIZATION, "LocalSubjectAccessReview",
             self._local_access),
            (f"{root}/selfsubjectrulesreviews", AUTHORIZATION, "SelfSubjectRulesReview", self._own_rules),
            (f"/apis/{AUTHENTICATION}/v1/selfsubjectreviews", AUTHENTICATION, "SelfSubjectReview", _who),
        ):  # fmt: skip
            app.router.add_post(path, review_handler(group, kind, answer))

    def _own_access(self, user: User, namespace: str, spec: JSON) -> JSON:
        return self._decide(user, spec)

    def _access(self, user: User, namespace: str, spec: JSON) -> JSON:
        groups = tuple(spec.get("groups") or ())
        name = spec.get("user") or ""
        if not name and not groups:
            raise _refused(
                "SubjectAccessReview", required("spec.user", "at least one of user or group must be specified")
            )
        return self._decide(User(name, groups, spec.get("uid") or ""), spec)

    def _local_access(self, user: User, namespace: str, spec: JSON) -> JSON:
        asked = (spec.get("resourceAttributes") or {}).get("namespace") or ""
        if asked != namespace:
            detail = "must match metadata.namespace"
            raise _refused(
                "LocalSubjectAccessReview", invalid_value("spec.resourceAttributes.namespace", asked, detail)
            )
        return self._access(user, namespace, spec)

    def _decide(self, user: User, spec: JSON) -> JSON:
        resource, path = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
        if (resource is None) == (path is None):
            detail = "exactly one of nonResourceAttributes or resourceAttributes must be specified"
            raise _refused("SubjectAccessReview", invalid_value("spec.resourceAttributes", None, detail))
        if resource is not None:
            attributes = Attributes(
                resource.get("verb") or "", "", resource.get("group") or "", resource.get("version") or "",
                resource.get("resource") or "", resource.get("subresource") or "", resource.get("namespace") or "",
                resource.get("name") or "",
            )  # fmt: skip
        else:
            assert path is not None
            attributes = Attributes(path.get("verb") or "", path.get("path") or "")
        reason = self._authorizer.why(user, attributes)
        allowed = reason is not None
        told = reason if allowed else self._authorizer.refusal(user, attributes)
        return {"allowed": allowed} | ({"reason": told} if told else {})

    def _own_rules(self, user: User, namespace: str, spec: JSON) -> JSON:
        if not (asked := spec.get("namespace") or ""):
            raise BadRequest("no namespace on request")
        found = dict.fromkeys(self._rbac.rules_for(user, asked))
        # Agents are let in by what is bound to them, which no list of rules can say.
        incomplete = "system:nodes" in user.groups
        resources = [_tree(rule) for rule in found if not rule.non_resource_urls]
        paths = [_tree(rule) for rule in found if rule.non_resource_urls]
        errors = ["node authorizer does not support user rule resolution"] if incomplete else []
        errors += self._rbac.missing_roles(user, asked)
        told = errors[0] if len(errors) == 1 else f"[{', '.join(errors)}]"
        more = {"evaluationError": told} if errors else {}
        return {"resourceRules": resources, "nonResourceRules": paths, "incomplete": incomplete} | more


def _who(user: User, namespace: str, spec: JSON) -> JSON:
    info = {"username": user.name, "groups": list(user.groups)} | ({"uid": user.uid} if user.uid else {})
    return {"userInfo": info | ({"extra": user.extras} if user.extra else {})}


def _refused(kind: str, cause: Cause) -> Exception:
    return refusal(AUTHORIZATION, kind, "", [cause])


def _tree(rule: PolicyRule) -> JSON:
    found: JSON = msgspec.to_builtins(rule)
    return found
