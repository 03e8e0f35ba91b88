"""MutatingAdmissionPolicies: what they make of objects, in which order, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from controlplane.apiserver.api import ApiServer
from controlplane.apiserver.local_client import LocalClient
from controlplane.apiserver.policies.mutating import MutatingPolicies
from controlplane.apiserver.policies.validating import ValidatingPolicies
from controlplane.controllers.custom_resources import resource_of
from shared.api.errors import Forbidden, Invalid
from shared.api.kinds import (
    CONFIG_MAPS,
    CUSTOM_RESOURCE_DEFINITIONS,
    DEPLOYMENTS,
    MUTATING_ADMISSION_POLICIES,
    MUTATING_ADMISSION_POLICY_BINDINGS,
    PODS,
    VALIDATING_ADMISSION_POLICIES,
    VALIDATING_ADMISSION_POLICY_BINDINGS,
)
from shared.client.base import PatchType
from shared.work.supervisor import Supervisor
from tests.custom import controllers, crontab, define, definition
from tests.hooks import Hooks, mutating, put

ALL = {"operations": ["*"], "apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*", "*/scale", "pods/exec"]}


@pytest.fixture(autouse=True)
def admission(api: ApiServer) -> None:
    api.admission[:0] = [MutatingPolicies(api), ValidatingPolicies(api)]


def applies(expression: str) -> dict[str, Any]:
    return {"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": expression}}


def patches(expression: str) -> dict[str, Any]:
    return {"patchType": "JSONPatch", "jsonPatch": {"expression": expression}}


def label(name: str, value: str = "'x'") -> dict[str, Any]:
    return applies(f"Object{{metadata: Object.metadata{{labels: {{'{name}': {value}}}}}}}")


async def policy(
    client: LocalClient, *mutations: dict[str, Any], name: str = "p", binding: dict[str, Any] | None = None, **spec: Any
) -> None:
    body = {
        "matchConstraints": {"resourceRules": [ALL]}, "mutations": list(mutations), "reinvocationPolicy": "Never",
    } | spec  # fmt: skip
    await client.create(MUTATING_ADMISSION_POLICIES, {"metadata": {"name": name}, "spec": body})
    bound = {"policyName": name} | (binding or {})
    await client.create(MUTATING_ADMISSION_POLICY_BINDINGS, {"metadata": {"name": name}, "spec": bound})


async def config(client: LocalClient, name: str = "c", namespace: str = "g", **fields: Any) -> Any:
    meta = {"name": name} | fields.pop("metadata", {})
    return await client.create(CONFIG_MAPS, {"metadata": meta, **fields}, namespace)


def pod(*names: str) -> dict[str, Any]:
    return {"containers": [{"name": name, "image": "i"} for name in names]}


async def test_what_is_applied_is_merged_as_by_server_side_apply(client: LocalClient) -> None:
    sidecar = "Object.spec.initContainers{name: 'mesh', image: 'mesh:1', restartPolicy: 'Always'}"
    env = "Object.spec.containers.env{name: 'K', value: object.metadata.name}"
    second = f"Object.spec.containers{{name: 'b', env: [{env}]}}"
    await policy(client, applies(f"Object{{spec: Object.spec{{initContainers: [{sidecar}], containers: [{second}]}}}}"))
    made = await client.create(PODS, {"metadata": {"name": "p"}, "spec": pod("a", "b")}, "g")
    containers, (mesh,) = made["spec"]["containers"], made["spec"]["initContainers"]
    assert [each["name"] for each in containers] == ["a", "b"]
    assert (containers[1]["env"], containers[1]["image"]) == ([{"name": "K", "value": "p"}], "i")
    assert (mesh["image"], mesh["terminationMessagePolicy"]) == ("mesh:1", "File")


async def test_json_patches(client: LocalClient) -> None:
    key = "jsonpatch.escapeKey('example.com/team')"
    await policy(
        client,
        patches("has(object.metadata.labels) ? []"
                " : [JSONPatch{op: 'add', path: '/metadata/labels', value: {'a': 'b'}}]"),
        patches(f"[JSONPatch{{op: 'add', path: '/metadata/labels/' + {key}, value: 'red'}},"
                " JSONPatch{op: 'copy', from: '/data/x', path: '/data/y'}]"),
        patches("[JSONPatch{op: 'test', path: '/data/x', value: 'other'}, JSONPatch{op: 'remove', path: '/data/x'}]"),
        patches("[JSONPatch{op: 'test', path: '/data/z', value: 'other'}, JSONPatch{op: 'remove', path: '/data/x'}]"),
    )  # fmt: skip
    made = await config(client, data={"x": "1"})
    assert made["metadata"]["labels"] == {"a": "b", "example.com/team": "red"}
    assert made["data"] == {"x": "1", "y": "1"}


async def test_what_has_a_reserved_name_is_copied_once(client: LocalClient) -> None:
    rule = {"resourceRules": [ALL | {"resources": ["pods"]}]}
    source = "[JSONPatch{op: 'add', path: '/spec/containers/-', value: Object.spec.containers{name: 'copy', image: 'i',"
    env = "env: [Object.spec.containers.env{name: 'N', valueFrom: object.spec.containers[0].env[0].valueFrom}]}}]"
    await policy(client, patches(f"{source} {env}"), matchConstraints=rule)
    field = {"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}
    spec = {"containers": [{"name": "c", "image": "i", "env": [{"name": "N", "valueFrom": field}]}]}
    made = await client.create(PODS, {"metadata": {"name": "p"}, "spec": spec}, "g")
    assert made["spec"]["containers"][1]["env"] == [{"name": "N", "valueFrom": field}]


async def test_policies_see_what_those_before_them_made(client: LocalClient) -> None:
    await policy(client, label("one"), label("two", "object.metadata.labels.one + 'y'"), name="a")
    conditions = [{"name": "two", "expression": "object.metadata.labels.two == 'xy'"}]
    variables = [{"name": "three", "expression": "Object.metadata{labels: {'three': object.metadata.labels.two}}"}]
    await policy(client, applies("Object{metadata: variables.three}"), name="b",
                 matchConditions=conditions, variables=variables)  # fmt: skip
    assert (await config(client))["metadata"]["labels"] == {"one": "x", "two": "xy", "three": "xy"}


async def test_updates_and_what_is_not_theirs_to_change(client: LocalClient) -> None:
    source = (
        "Object{metadata: Object.metadata{name: 'other', uid: 'mine', annotations: {'old': string(oldObject != null)}}}"
    )
    await policy(client, applies(source))
    made = await config(client)
    assert (made["metadata"]["name"], made["metadata"]["annotations"]) == ("c", {"old": "false"})
    changed = await client.patch(CONFIG_MAPS, "c", {"data": {"a": "b"}}, "g")
    assert changed["metadata"]["annotations"] == {"old": "true"}
    assert changed["metadata"]["uid"] == made["metadata"]["uid"] != "mine"


async def test_parameters(client: LocalClient) -> None:
    for name in ("one", "two"):
        await config(client, name, metadata={"labels": {"team": "yes"}}, data={"key": name})
    await policy(
        client, label("k", "'x'"), applies("Object{metadata: Object.metadata{annotations: {params.data.key: 'set'}}}"),
        paramKind={"apiVersion": "v1", "kind": "ConfigMap"},
        matchConditions=[{"name": "others", "expression": "!has(object.data)"}],
        binding={"paramRef": {"selector": {"matchLabels": {"team": "yes"}}, "parameterNotFoundAction": "Deny"}},
    )  # fmt: skip
    assert (await config(client))["metadata"]["annotations"] == {"one": "set", "two": "set"}
    with pytest.raises(Forbidden) as refused:
        await config(client, namespace="other")
    assert refused.value.message == (
        "policy 'p' with binding 'p' denied request: failed to configure binding: no params found for policy binding "
        "with `Deny` parameterNotFoundAction"
    )


async def test_parameters_that_may_be_missing(client: LocalClient) -> None:
    kind = {"apiVersion": "v1", "kind": "ConfigMap"}
    ref = {"paramRef": {"name": "nope", "parameterNotFoundAction": "Allow"}}
    await policy(client, label("a"), name="a", paramKind=kind, binding=ref)
    await policy(client, label("b", "string(params == null)"), name="b", paramKind=kind)
    assert (await config(client))["metadata"]["labels"] == {"b": "true"}


@pytest.mark.parametrize(
    ("mutation", "words"),
    [
        (label("a", "object.data.nope"), "no such key: data"),
        (applies("Object{spec: Object.spec{a: 1}}"), ".spec: field not declared in schema"),
        (applies("Object{data: Object.data{a: 1}}"), "cannot unmarshal number into Go struct field data.a of"),
        (applies("Object{data: Object.other{}}"), "type mismatch: unexpected type name \"Object.other\""),
        (patches("[JSONPatch{op: 'remove', path: '/data/nope'}]"), "JSONPatch: path does not exist: /data"),
        (patches("[JSONPatch{op: 'nope', path: '/data'}]"), "JSONPatch: Unexpected kind: nope"),
        (patches("[JSONPatch{op: 'add', path: '/nope', value: 1}]"), ".nope: field not declared in schema"),
        (patches("[JSONPatch{op: 'replace', path: '', value: 1}]"), "the result is no object"),
        (patches("[JSONPatch{op: 'add', path: '/data', value: {'a': 1.0 / 0.0}}]"), "inf cannot be written as JSON"),
        (patches("dyn(['a']).map(x, x == 'b' ? JSONPatch{} : JSONPatch{op: 'test'})"), "has no value"),
    ],
)  # fmt: skip
async def test_what_cannot_be_done_is_refused_or_left_out(
    client: LocalClient, mutation: dict[str, Any], words: str
) -> None:
    await policy(client, mutation)
    with pytest.raises(Invalid) as refused:
        await config(client)
    assert refused.value.message.startswith("policy 'p' with binding 'p' denied request: ")
    assert words in refused.value.message
    ignored = [{"op": "replace", "path": "/spec/failurePolicy", "value": "Ignore"},
               {"op": "add", "path": "/spec/mutations/-", "value": label("still")}]  # fmt: skip
    await client.patch(MUTATING_ADMISSION_POLICIES, "p", ignored, type=PatchType.JSON)
    assert (await config(client))["metadata"]["labels"] == {"still": "x"}


@pytest.mark.parametrize(
    ("spec", "path"),
    [
        ("containers: [Object.spec.containers{name: 'a', args: ['x']}]", ".spec.containers[0].args"),
        ("nodeSelector: {'a': 'b'}", ".spec.nodeSelector"),
        ("tolerations: [Object.spec.tolerations{key: 'a'}]", ".spec.tolerations"),
        ("containers: [Object.spec.containers{name: 'a', env: [Object.spec.containers.env{name: 'e', valueFrom:"
         " Object.spec.containers.env.valueFrom{fieldRef: Object.spec.containers.env.valueFrom.fieldRef{"
         "fieldPath: 'x'}}}]}]", ".spec.containers[0].env[0].valueFrom.fieldRef"),
    ],
    ids=["list", "map", "list of structs", "struct"],
)  # fmt: skip
async def test_atomic_values_are_not_applied(client: LocalClient, spec: str, path: str) -> None:
    await policy(client, applies(f"Object{{spec: Object.spec{{{spec}}}}}"))
    with pytest.raises(Invalid, match="may not mutate atomic arrays, maps or structs: ") as refused:
        await client.create(PODS, {"metadata": {"name": "p"}, "spec": pod("a")}, "g")
    assert refused.value.message.endswith(f": {path}")


async def test_items_that_cannot_be_told_apart_are_not_applied(client: LocalClient) -> None:
    await policy(client, applies("Object{spec: Object.spec{containers: [Object.spec.containers{image: 'x'}]}}"))
    with pytest.raises(Invalid, match='omits key field "name"'):
        await client.create(PODS, {"metadata": {"name": "p"}, "spec": pod("a")}, "g")


async def test_custom_kinds(api: ApiServer, client: LocalClient) -> None:
    async with Supervisor() as supervisor:
        supervisor.service("controllers", controllers(api))
        await define(api, definition())
        supervisor.stop()
    tabs = resource_of(await client.get(CUSTOM_RESOURCE_DEFINITIONS, "crontabs.stable.example.com"))
    assert tabs is not None
    entry = "Object.spec.env{name: 'added', value: object.spec.image}"
    await policy(client, applies(f"Object{{spec: Object.spec{{env: [{entry}], replicas: 3}}}}"))
    made = await client.create(tabs, crontab("a"), "g")
    assert (made["spec"]["env"], made["spec"]["replicas"]) == ([{"name": "added", "value": "busybox"}], 3)


async def test_what_is_sent_to_subresources(client: LocalClient) -> None:
    template = {"metadata": {"labels": {"a": "b"}}, "spec": pod("c")}
    spec = {"replicas": 1, "selector": {"matchLabels": {"a": "b"}}, "template": template}
    await client.create(DEPLOYMENTS, {"metadata": {"name": "d"}, "spec": spec}, "g")
    least = "Object{spec: Object.spec{replicas: object.spec.?replicas.orValue(0) < 2 ? 2 : object.spec.replicas}}"
    rules = {"resourceRules": [ALL | {"resources": ["deployments/scale"]}]}
    await policy(client, applies(least), matchConstraints=rules)
    await client.patch(DEPLOYMENTS, "d", {"spec": {"replicas": 0}}, "g", subresource="scale")
    (stored,) = (await client.list(DEPLOYMENTS, "g")).items
    assert stored.spec.replicas == 2


async def test_they_come_before_webhooks_and_validation(client: LocalClient, hooks: Hooks) -> None:
    await mutating(client, hooks.hook("/add", put("/metadata/labels/hook", "yes")))
    await policy(client, label("again", "'seen-' + object.metadata.?labels[?'hook'].orValue('nothing')"), name="a",
                 reinvocationPolicy="IfNeeded")  # fmt: skip
    await policy(client, label("once", "'seen-' + object.metadata.?labels[?'hook'].orValue('nothing')"), name="b")
    check = {"matchConstraints": {"resourceRules": [ALL]},
             "validations": [{"expression": "object.metadata.labels.again == 'seen-yes'"}]}  # fmt: skip
    await client.create(VALIDATING_ADMISSION_POLICIES, {"metadata": {"name": "v"}, "spec": check})
    bound = {"policyName": "v", "validationActions": ["Deny"]}
    await client.create(VALIDATING_ADMISSION_POLICY_BINDINGS, {"metadata": {"name": "v"}, "spec": bound})
    labels = (await config(client))["metadata"]["labels"]
    assert labels == {"again": "seen-yes", "once": "seen-nothing", "hook": "yes"}
    (asked,) = hooks.asked
    assert asked["object"]["metadata"]["labels"] == {"again": "seen-nothing", "once": "seen-nothing"}


async def test_reinvoked_only_where_others_changed_the_object(client: LocalClient) -> None:
    count = "string(int(object.metadata.?annotations[?'n'].orValue('0')) + 1)"
    counting = applies(f"Object{{metadata: Object.metadata{{annotations: {{'n': {count}}}}}}}")
    await policy(client, counting, name="a", reinvocationPolicy="IfNeeded")
    assert (await config(client, "alone"))["metadata"]["annotations"] == {"n": "1"}
    await policy(client, label("b"), name="b")
    assert (await config(client))["metadata"]["annotations"] == {"n": "2"}


async def test_bindings_narrow_what_is_matched(client: LocalClient) -> None:
    selected = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "g"}},
                "objectSelector": {"matchLabels": {"wanted": "yes"}}}  # fmt: skip
    await policy(client, label("a"), binding={"matchResources": selected})
    wanted = {"labels": {"wanted": "yes"}}
    assert (await config(client, metadata=wanted))["metadata"]["labels"] == {"wanted": "yes", "a": "x"}
    assert "labels" not in (await config(client, "plain"))["metadata"]
    assert (await config(client, namespace="other", metadata=wanted))["metadata"]["labels"] == {"wanted": "yes"}


OBJECT = applies("Object{}")
APPLY, PATCH = "spec.mutations[0].applyConfiguration.expression", "spec.mutations[0].jsonPatch.expression"
POLICIES: list[tuple[dict[str, Any], str, str]] = [
    ({"mutations": []}, "spec.mutations", "mutations must contain at least one item"),
    ({"mutations": [{"patchType": "Merge"}]}, "spec.mutations[0].patchType", "Unsupported value"),
    ({"mutations": [{"patchType": "JSONPatch"}]}, "spec.mutations[0].jsonPatch", "must be specified"),
    ({"mutations": [OBJECT | {"jsonPatch": {"expression": "[]"}}]}, "spec.mutations[0].jsonPatch", "must not be"),
    ({"mutations": [OBJECT, applies(" ")]}, "spec.mutations[1].applyConfiguration.expression", "is not specified"),
    ({"mutations": [applies("{'a': 1}")]}, APPLY, "must evaluate to Object"),
    ({"mutations": [applies("Object.spec{}")]}, APPLY, "must evaluate to"),
    ({"mutations": [applies("Object{a 1}")]}, APPLY, "takes fields as"),
    ({"mutations": [patches("Object{}")]}, PATCH, "must evaluate to list(JSONPatch)"),
    ({"mutations": [patches("[JSONPatch{what: 1}]")]}, PATCH, "undefined field 'what'"),
    ({"mutations": [patches("[JSONPatch{op: 1}]")]}, PATCH, "no matching overload"),
    ({"mutations": [patches("[nope]")]}, PATCH, "undeclared reference"),
    ({"matchConditions": [{"name": "x", "expression": "Object{}"}]}, "spec.matchConditions[0].expression", "Object"),
    ({"variables": [{"name": "v", "expression": "Object{"}]}, "spec.variables[0].expression", "Syntax error"),
    ({"reinvocationPolicy": ""}, "spec.reinvocationPolicy", "Required value"),
    ({"reinvocationPolicy": "Always"}, "spec.reinvocationPolicy", "Unsupported value"),
    ({"failurePolicy": "Maybe"}, "spec.failurePolicy", "Unsupported value"),
    ({"matchConstraints": {}}, "spec.matchConstraints.resourceRules", "Required value"),
]  # fmt: skip


@pytest.mark.parametrize(("spec", "field", "words"), POLICIES, ids=[str(number) for number in range(len(POLICIES))])
async def test_bad_policies_are_refused_by_field(
    client: LocalClient, spec: dict[str, Any], field: str, words: str
) -> None:
    with pytest.raises(Invalid) as refused:
        await policy(client, **({"mutations": [OBJECT]} | spec))
    assert words in next(cause.message for cause in refused.value.causes if cause.field == field)


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"policyName": ""}, "spec.policyName"), ({"policyName": "A b"}, "spec.policyName"),
        ({"policyName": "p", "paramRef": {"name": "x"}}, "spec.paramRef.parameterNotFoundAction"),
        ({"policyName": "p", "matchResources": {"matchPolicy": "No"}}, "spec.matchResources.matchPolicy"),
    ],
)  # fmt: skip
async def test_bad_bindings_are_refused_by_field(client: LocalClient, spec: dict[str, Any], field: str) -> None:
    with pytest.raises(Invalid) as refused:
        await client.create(MUTATING_ADMISSION_POLICY_BINDINGS, {"metadata": {"name": "b"}, "spec": spec})
    assert field in [cause.field for cause in refused.value.causes]
