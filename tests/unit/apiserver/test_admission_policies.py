"""ValidatingAdmissionPolicies: what is refused, warned of and let pass."""

from __future__ import annotations

import json
from typing import Any

import pytest
from aiohttp.test_utils import TestClient

from controlplane.apiserver.api import ApiServer
from controlplane.apiserver.identity import User
from controlplane.apiserver.local_client import LocalClient
from controlplane.apiserver.policies.validating import AUDITED, ValidatingPolicies
from controlplane.apiserver.request import Request
from controlplane.apiserver.verbs import write
from shared.api.errors import Forbidden, Invalid, StatusError
from shared.api.kinds import (
    CONFIG_MAPS,
    DEPLOYMENTS,
    NAMESPACES,
    VALIDATING_ADMISSION_POLICIES,
    VALIDATING_ADMISSION_POLICY_BINDINGS,
)

EVERYTHING = {"operations": ["*"], "apiGroups": ["*"], "apiVersions": ["*"], "resources": ["configmaps", "deployments"]}


@pytest.fixture(autouse=True)
def admission(api: ApiServer) -> None:
    api.admission.append(ValidatingPolicies(api))


async def policy(client: LocalClient, *expressions: str | dict[str, Any], name: str = "p", **spec: Any) -> None:
    rules = [rule if isinstance(rule, dict) else {"expression": rule} for rule in expressions]
    body = {"matchConstraints": {"resourceRules": [EVERYTHING]}, "validations": rules} | spec
    await client.create(VALIDATING_ADMISSION_POLICIES, {"metadata": {"name": name}, "spec": body})


async def bind(client: LocalClient, name: str = "b", *, policy: str = "p", **spec: Any) -> None:
    body = {"policyName": policy, "validationActions": ["Deny"]} | spec
    await client.create(VALIDATING_ADMISSION_POLICY_BINDINGS, {"metadata": {"name": name}, "spec": body})


async def config(client: LocalClient, name: str = "c", namespace: str = "g", **fields: Any) -> Any:
    return await client.create(
        CONFIG_MAPS, {"metadata": {"name": name} | fields.pop("metadata", {}), **fields}, namespace
    )


async def test_refusal_names_policy_binding_and_rule(client: LocalClient) -> None:
    await policy(client, "object.spec.replicas <= 5")
    await bind(client)
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    spec = {"replicas": 6, "selector": {"matchLabels": {"a": "b"}}, "template": template}
    with pytest.raises(Invalid) as refused:
        await client.create(DEPLOYMENTS, {"metadata": {"name": "d"}, "spec": spec}, "g")
    denied = (
        "ValidatingAdmissionPolicy 'p' with binding 'b' denied request: failed expression: object.spec.replicas <= 5"
    )
    assert refused.value.message == f'deployments.apps "d" is forbidden: {denied}'
    assert [cause.message for cause in refused.value.causes] == [denied]
    assert await client.create(DEPLOYMENTS, {"metadata": {"name": "d"}, "spec": spec | {"replicas": 5}}, "g")


async def test_policy_without_binding_does_nothing(client: LocalClient) -> None:
    await policy(client, "false")
    assert await config(client)


@pytest.mark.parametrize(
    ("rule", "reason", "words"),
    [
        ({"expression": "false", "message": "not like this"}, Invalid, "not like this"),
        ({"expression": "false", "reason": "Forbidden"}, Forbidden, "failed expression: false"),
        ({"expression": "false", "messageExpression": "'name is ' + object.metadata.name"}, Invalid, "name is c"),
        ({"expression": "false", "messageExpression": "object.nope", "message": "plain"}, Invalid, "plain"),
    ],
    ids=["message", "reason", "worked out", "that fails"],
)
async def test_what_a_refusal_says(
    client: LocalClient, rule: dict[str, Any], reason: type[StatusError], words: str
) -> None:
    await policy(client, rule)
    await bind(client)
    with pytest.raises(reason, match=words):
        await config(client)


async def test_variables_build_on_each_other(client: LocalClient) -> None:
    variables = [
        {"name": "data", "expression": "has(object.data) ? object.data : {}"},
        {"name": "size", "expression": "size(variables.data)"},
        {"name": "broken", "expression": "object.nope"},
    ]
    await policy(client, "variables.size < 2", variables=variables)
    await bind(client)
    assert await config(client, data={"a": "1"})
    with pytest.raises(Invalid):
        await config(client, "d", data={"a": "1", "b": "2"})


async def test_update_sees_the_old_object_and_delete_only_that(client: LocalClient) -> None:
    await policy(
        client,
        "request.operation != 'UPDATE' || object.data.a == oldObject.data.a",
        "request.operation != 'DELETE' || oldObject.metadata.name != 'kept'",
    )
    await bind(client)
    await config(client, "kept", data={"a": "1"})
    with pytest.raises(Invalid):
        await client.patch(CONFIG_MAPS, "kept", {"data": {"a": "2"}}, "g")
    await client.patch(CONFIG_MAPS, "kept", {"data": {"b": "2"}}, "g")
    with pytest.raises(Invalid):
        await client.delete(CONFIG_MAPS, "kept", "g")


async def test_namespace_and_request_are_seen(client: LocalClient) -> None:
    await client.patch(NAMESPACES, "g", {"metadata": {"labels": {"env": "prod"}}})
    await policy(
        client,
        "namespaceObject.metadata.labels['env'] == 'prod'",
        "request.namespace == object.metadata.__namespace__",
        "request.userInfo.username == 'system:longboat:control-plane'",
    )
    await bind(client)
    assert await config(client)
    with pytest.raises(Invalid):
        await config(client, namespace="other")


async def test_parameters(client: LocalClient) -> None:
    await config(client, "limits", data={"max": "2"})
    await policy(
        client, "size(object.data) <= int(params.data.max)", paramKind={"apiVersion": "v1", "kind": "ConfigMap"}
    )
    await bind(client, paramRef={"name": "limits", "parameterNotFoundAction": "Deny"})
    assert await config(client, data={"a": "1"})
    with pytest.raises(Invalid):
        await config(client, "d", data={"a": "1", "b": "2", "c": "3"})
    with pytest.raises(Invalid, match="no params found"):
        await config(client, namespace="other", data={"a": "1"})


async def test_every_selected_parameter_counts(client: LocalClient) -> None:
    for name, most in (("one", "1"), ("two", "2")):
        await config(client, name, metadata={"labels": {"limit": "yes"}}, data={"max": most})
    kind = {"apiVersion": "v1", "kind": "ConfigMap"}
    await policy(client, "size(object.data) <= int(params.data.max)", paramKind=kind)
    selector = {"matchLabels": {"limit": "yes"}}
    await bind(client, paramRef={"selector": selector, "parameterNotFoundAction": "Allow"})
    with pytest.raises(Invalid):
        await config(client, data={"a": "1", "b": "2"})
    assert await config(client, namespace="other", data={"a": "1", "b": "2", "c": "3"})


@pytest.mark.parametrize(("policy_", "refused"), [("Fail", True), ("Ignore", False)])
async def test_expression_that_fails(client: LocalClient, policy_: str, refused: bool) -> None:
    await policy(client, "object.data.missing == 'x'", failurePolicy=policy_)
    await bind(client)
    if not refused:
        assert await config(client)
        return
    with pytest.raises(Invalid, match="resulted in error: no such key: data"):
        await config(client)


async def test_match_conditions_and_resources(client: LocalClient) -> None:
    conditions = [{"name": "marked", "expression": "object.metadata.name.startsWith('x')"}]
    await policy(client, "false", matchConditions=conditions)
    await bind(client, matchResources={"excludeResourceRules": [EVERYTHING | {"resourceNames": ["xy"]}]})
    assert await config(client, "a")
    assert await config(client, "xy")
    with pytest.raises(Invalid):
        await config(client, "xz")


async def test_warning_lets_it_pass(http: TestClient, client: LocalClient) -> None:  # type: ignore[type-arg]
    await policy(client, {"expression": "false", "message": "better not"})
    await bind(client, validationActions=["Warn"])
    async with http.post("/api/v1/namespaces/g/configmaps", json={"metadata": {"name": "c"}}) as response:
        assert response.status == 201
        (warning,) = response.headers.getall("Warning")
    assert "Validation failed for ValidatingAdmissionPolicy 'p' with binding 'b': better not" in warning


async def test_audit_log_is_told(api: ApiServer, client: LocalClient) -> None:
    told = [{"key": "size", "valueExpression": "'has ' + string(size(object.data))"}]
    await policy(client, {"expression": "size(object.data) < 2", "message": "too many"}, auditAnnotations=told)
    await bind(client, validationActions=["Audit"])
    kind = api.kind("", "v1", "configmaps")
    assert kind is not None
    request = Request(User("u"), kind, "g")
    await write.create(api, request, {"metadata": {"name": "c"}, "data": {"a": "1", "b": "2"}})
    assert request.annotations["p/size"] == "has 2"
    (noted,) = json.loads(request.annotations[AUDITED])
    assert noted == {
        "message": "too many", "policy": "p", "binding": "b", "expressionIndex": 0, "validationActions": ["Audit"],
    }  # fmt: skip


async def test_policies_themselves_are_never_asked_about(client: LocalClient) -> None:
    everything = {"resourceRules": [EVERYTHING | {"resources": ["*"]}]}
    await policy(client, "false", matchConstraints=everything)
    await bind(client)
    await client.delete(VALIDATING_ADMISSION_POLICY_BINDINGS, "b")
    assert await config(client)


POLICIES: list[tuple[dict[str, Any], str]] = [
    ({"validations": [{"expression": "object.x +"}]}, "spec.validations[0].expression"),
    ({"validations": [{"expression": "'text'"}]}, "spec.validations[0].expression"),
    ({"validations": [{"expression": "unknown == 1"}]}, "spec.validations[0].expression"),
    (
        {"validations": [{"expression": "requester.name == 'jane'"}]},
        "spec.validations[0].expression",
    ),
    ({"validations": []}, "spec.validations"),
    ({"validations": [{"expression": "true", "message": "a\nb"}]}, "spec.validations[0].message"),
    ({"validations": [{"expression": "true", "messageExpression": "1"}]}, "spec.validations[0].messageExpression"),
    ({"validations": [{"expression": "true", "reason": "Because"}]}, "spec.validations[0].reason"),
    ({"variables": [{"name": "a b", "expression": "1"}]}, "spec.variables[0].name"),
    ({"matchConditions": [{"name": "x", "expression": "1"}]}, "spec.matchConditions[0].expression"),
    ({"matchConstraints": None}, "spec.matchConstraints"),
    ({"matchConstraints": {}}, "spec.matchConstraints.resourceRules"),
    ({"failurePolicy": "Maybe"}, "spec.failurePolicy"),
    ({"paramKind": {"kind": "X"}}, "spec.paramKind.apiVersion"),
    ({"auditAnnotations": [{"key": "a b", "valueExpression": "'v'"}]}, "spec.auditAnnotations[0].key"),
    ({"auditAnnotations": [{"key": "k", "valueExpression": "1"}]}, "spec.auditAnnotations[0].valueExpression"),
]


@pytest.mark.parametrize(("spec", "field"), POLICIES, ids=[str(number) for number in range(len(POLICIES))])
async def test_bad_policies_are_refused_by_field(client: LocalClient, spec: dict[str, Any], field: str) -> None:
    with pytest.raises(Invalid) as refused:
        await policy(client, "true", **spec)
    assert field in [cause.field for cause in refused.value.causes]


BINDINGS: list[tuple[dict[str, Any], str]] = [
    ({"policyName": ""}, "spec.policyName"),
    ({"validationActions": []}, "spec.validationActions"),
    ({"validationActions": ["Deny", "Warn"]}, "spec.validationActions"),
    ({"validationActions": ["Shout"]}, "spec.validationActions[0]"),
    ({"paramRef": {"parameterNotFoundAction": "Deny"}}, "spec.paramRef"),
    ({"paramRef": {"name": "x"}}, "spec.paramRef.parameterNotFoundAction"),
    ({"paramRef": {"name": "x", "selector": {}, "parameterNotFoundAction": "Deny"}}, "spec.paramRef.name"),
]


@pytest.mark.parametrize(("spec", "field"), BINDINGS, ids=[str(number) for number in range(len(BINDINGS))])
async def test_bad_bindings_are_refused_by_field(client: LocalClient, spec: dict[str, Any], field: str) -> None:
    with pytest.raises(Invalid) as refused:
        await bind(client, **spec)
    assert field in [cause.field for cause in refused.value.causes]
