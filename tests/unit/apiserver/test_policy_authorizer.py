"""The variable ``authorizer`` in policies and match conditions, with RBAC to decide."""

from __future__ import annotations

from typing import Any

import pytest

from controlplane.apiserver.api import ApiServer
from controlplane.apiserver.authz import Authorizer, StaticRules
from controlplane.apiserver.cel.authorization import asking, variable
from controlplane.apiserver.cel.engine import Budget, CelError, compiled
from controlplane.apiserver.identity import Attributes, User
from controlplane.apiserver.local_client import LocalClient
from controlplane.apiserver.policies.validating import ValidatingPolicies
from controlplane.apiserver.rbac.authority import RbacAuthority
from controlplane.apiserver.request import Request
from controlplane.apiserver.verbs import write
from shared.api.errors import Invalid
from shared.api.kinds import (
    CONFIG_MAPS,
    ROLE_BINDINGS,
    ROLES,
    VALIDATING_ADMISSION_POLICIES,
    VALIDATING_ADMISSION_POLICY_BINDINGS,
)

JANE = User("jane", ("system:authenticated",))
OWN = Attributes("", "", "", "v1", "configmaps", "", "g", "c")


def decide(user: User, asked: Attributes) -> str | None:
    """Jane may get the configmap ``c`` and the path /healthz; the service account ``a`` of ``g`` may scale."""
    known = {
        ("jane", "get", "configmaps", "", "g", "c"): "jane may", ("jane", "get", "", "", "", ""): "",
        ("system:serviceaccount:g:a", "update", "deployments", "scale", "g", ""): "it may",
    }  # fmt: skip
    return known.get((user.name, asked.verb, asked.resource, asked.subresource, asked.namespace, asked.name))


def evaluate(expression: str) -> Any:
    with asking(decide, JANE):
        return compiled(expression, ("authorizer",)).evaluate({"authorizer": variable(OWN)}, Budget())


@pytest.mark.parametrize(
    "expression",
    [
        "authorizer.requestResource.check('get').allowed()",
        "!authorizer.requestResource.check('delete').allowed()",
        "authorizer.group('').resource('configmaps').namespace('g').name('c').check('get').reason() == 'jane may'",
        "!authorizer.group('').resource('configmaps').namespace('g').check('get').allowed()",
        "authorizer.path('/healthz').check('get').allowed() && !authorizer.path('/healthz').check('post').allowed()",
        "authorizer.serviceAccount('g', 'a').group('apps').resource('deployments').subresource('scale').namespace('g')"
        ".check('update').allowed()",
        "!authorizer.group('apps').resource('deployments').subresource('scale').namespace('g').check('update').allowed()",
        "!authorizer.requestResource.check('get').errored() && authorizer.requestResource.check('get').error() == ''",
        "authorizer.group('').resource('configmaps').namespace('g').name('c').fieldSelector('a=b').labelSelector('c=d')"
        ".check('get').allowed()",
    ],
)
def test_what_an_expression_may_ask(expression: str) -> None:
    assert evaluate(expression) is True


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        ("authorizer.path(' ')", "path must not be empty"),
        ("authorizer.group('').resource('')", "resource must not be empty"),
        ("authorizer.serviceAccount('not@valid', 'a')", "Invalid service account namespace"),
        ("authorizer.serviceAccount('g', 'no_name')", "Invalid service account name"),
        ("authorizer.check('get')", "resourceCheck is wanted"),
        ("authorizer.serviceAccount('g', 'a').requestResource", "no such key"),
    ],
)
def test_what_it_may_not(expression: str, text: str) -> None:
    with pytest.raises(CelError, match=text):
        evaluate(expression)


@pytest.fixture
def rbac(api: ApiServer) -> None:
    authority = RbacAuthority(api)
    authorizer = Authorizer(StaticRules(), authority)
    api.decide = lambda user, asked: (authority.why(user, asked) or "") if authorizer.allowed(user, asked) else None
    api.admission.append(ValidatingPolicies(api))


async def configured(client: LocalClient, **spec: Any) -> None:
    rule = {"operations": ["*"], "apiGroups": [""], "apiVersions": ["*"], "resources": ["configmaps"]}
    body = {"matchConstraints": {"resourceRules": [rule]}, "validations": [{"expression": "false"}]} | spec
    await client.create(VALIDATING_ADMISSION_POLICIES, {"metadata": {"name": "p"}, "spec": body})
    bound = {"policyName": "p", "validationActions": ["Deny"]}
    await client.create(VALIDATING_ADMISSION_POLICY_BINDINGS, {"metadata": {"name": "b"}, "spec": bound})


@pytest.mark.parametrize("where", ["validation", "condition", "variable"])
async def test_policy_lets_pass_whom_rbac_allows(api: ApiServer, client: LocalClient, rbac: None, where: str) -> None:
    asks = "authorizer.requestResource.check('skip').allowed()"
    specs: dict[str, dict[str, Any]] = {
        "validation": {"validations": [{"expression": asks}]},
        "condition": {"matchConditions": [{"name": "not-skipped", "expression": f"!{asks}"}]},
        "variable": {
            "variables": [{"name": "skips", "expression": asks}],
            "validations": [{"expression": "variables.skips"}],
        },
    }
    await configured(client, **specs[where])
    request = Request(JANE, api.kinds.find("", "v1", "configmaps"), "g")  # type: ignore[arg-type]
    with pytest.raises(Invalid, match="denied request"):
        await write.create(api, request, {"metadata": {"name": "c"}})
    rules = [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["skip"]}]
    await client.create(ROLES, {"metadata": {"name": "r"}, "rules": rules}, "g")
    subject = {"kind": "User", "name": "jane", "apiGroup": "rbac.authorization.k8s.io"}
    ref = {"kind": "Role", "name": "r", "apiGroup": "rbac.authorization.k8s.io"}
    await client.create(ROLE_BINDINGS, {"metadata": {"name": "rb"}, "subjects": [subject], "roleRef": ref}, "g")
    await write.create(api, request, {"metadata": {"name": "c"}})
    assert await client.get(CONFIG_MAPS, "c", "g")


async def test_message_may_not_ask(client: LocalClient, rbac: None) -> None:
    told = "authorizer.requestResource.check('get').reason()"
    with pytest.raises(Invalid, match="undeclared reference to 'authorizer"):
        await configured(client, validations=[{"expression": "false", "messageExpression": told}])
    await configured(client, validations=[{"expression": "false", "messageExpression": "'said by ' + object.kind"}])
    with pytest.raises(Invalid, match="said by ConfigMap"):
        await client.create(CONFIG_MAPS, {"metadata": {"name": "c"}}, "g")
