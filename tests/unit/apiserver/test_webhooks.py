"""Admission by webhooks: real HTTPS servers are asked about writes."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from controlplane.apiserver.api import ApiServer
from controlplane.apiserver.local_client import LocalClient
from controlplane.apiserver.lookups import Lookups
from controlplane.apiserver.reach.endpoints import Endpoints, Way
from controlplane.apiserver.streams.hub import TunnelHub
from shared import pki
from shared.api.errors import BadRequest, Forbidden, InternalError, Invalid, ServiceUnavailable
from shared.api.kinds import (
    CONFIG_MAPS,
    DEPLOYMENTS,
    ENDPOINT_SLICES,
    NAMESPACES,
    SERVICES,
    VALIDATING_WEBHOOK_CONFIGURATIONS,
)
from shared.client.base import PatchType
from tests.hooks import Answer, Hooks, allow, deny, mutating, put, validating

JSON_PATCH = PatchType.JSON


def config(**data: str) -> dict[str, Any]:
    return {"metadata": {"name": "c"}, "data": data}


async def test_validating_webhook_sees_create_update_and_delete(client: LocalClient, hooks: Hooks) -> None:
    await validating(client, hooks.hook("/look", allow))
    await client.create(CONFIG_MAPS, config(a="1"), "g")
    await client.patch(CONFIG_MAPS, "c", {"data": {"a": "2"}}, "g")
    await client.delete(CONFIG_MAPS, "c", "g")
    assert [(asked["operation"], asked["name"]) for asked in hooks.asked] == [
        ("CREATE", "c"), ("UPDATE", "c"), ("DELETE", "c"),
    ]  # fmt: skip
    created, updated, deleted = hooks.asked
    assert (created["object"]["data"], created["oldObject"]) == ({"a": "1"}, None)
    assert (updated["object"]["data"], updated["oldObject"]["data"]) == ({"a": "2"}, {"a": "1"})
    assert (deleted["object"], deleted["oldObject"]["data"]) == (None, {"a": "2"})


async def test_refusal_is_the_webhooks_and_nothing_is_written(client: LocalClient, hooks: Hooks) -> None:
    await validating(client, hooks.hook("/deny", deny))
    with pytest.raises(Forbidden, match=r'admission webhook "deny.example.com" denied the request: not here'):
        await client.create(CONFIG_MAPS, config(), "g")
    assert not [item for item in (await client.list(CONFIG_MAPS, "g")).items if item.metadata.name == "c"]


async def test_mutations_are_chained_then_validated(client: LocalClient, hooks: Hooks) -> None:
    first = hooks.hook("/first", put("/data/b", "2"))
    await mutating(client, first, hooks.hook("/second", put("/metadata/labels", {"x": "y"})))
    await validating(client, hooks.hook("/look", allow))
    made = await client.create(CONFIG_MAPS, config(a="1"), "g")
    assert made["data"] == {"a": "1", "b": "2"}
    assert made["metadata"]["labels"] == {"x": "y"}
    assert hooks.asked[-1]["object"]["data"] == {"a": "1", "b": "2"}


async def test_mutation_is_defaulted_and_validated(client: LocalClient, hooks: Hooks) -> None:
    await mutating(client, hooks.hook("/bad", put("/spec/replicas", -1)))
    spec = {"selector": {"matchLabels": {"a": "b"}},
            "template": {"metadata": {"labels": {"a": "b"}},
                         "spec": {"containers": [{"name": "c", "image": "i"}]}}}  # fmt: skip
    with pytest.raises(Invalid, match=r"spec\.replicas"):
        await client.create(DEPLOYMENTS, {"metadata": {"name": "d"}, "spec": spec}, "g")
    hooks.answers["/bad"] = put("/spec/template/spec/containers/-", {"name": "side", "image": "s"})
    made = await client.create(DEPLOYMENTS, {"metadata": {"name": "d"}, "spec": spec}, "g")
    assert made["spec"]["template"]["spec"]["containers"][1]["imagePullPolicy"] == "Always"


async def test_webhook_cannot_change_what_is_the_servers(client: LocalClient, hooks: Hooks) -> None:
    await mutating(client, hooks.hook("/uid", put("/metadata/uid", "mine")))
    made = await client.create(CONFIG_MAPS, config(), "g")
    assert made["metadata"]["uid"] != "mine"
    hooks.answers["/uid"] = put("/data", ["no map"])
    with pytest.raises(InternalError, match="admission made an object that is none"):
        await client.patch(CONFIG_MAPS, "c", {"data": {"a": "1"}}, "g")


async def test_reinvoked_when_others_changed_the_object_since(client: LocalClient, hooks: Hooks) -> None:
    first = hooks.hook("/again", allow, reinvocationPolicy="IfNeeded")
    await mutating(client, first, hooks.hook("/then", put("/data/b", "2")))
    await client.create(CONFIG_MAPS, config(), "g")
    assert [asked["path"] for asked in hooks.asked] == ["/again", "/then", "/again"]


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda request: {"body": "oops", "status": 500}, "answered 500: oops"),
        (lambda request: {"body": "no json"}, "no JSON"),
        (lambda request: {"uid": "other", "allowed": True}, "expected response.uid"),
        (lambda request: {"allowed": True, "after": 5}, "no answer within 1 s"),
    ],
    ids=["error", "no json", "another question's", "late"],
)
async def test_webhook_without_an_answer(client: LocalClient, hooks: Hooks, answer: Answer, words: str) -> None:
    await validating(client, hooks.hook("/bad", answer, timeoutSeconds=1))
    with pytest.raises(InternalError, match=words):
        await client.create(CONFIG_MAPS, config(), "g")
    await client.patch(
        VALIDATING_WEBHOOK_CONFIGURATIONS, "v",
        [{"op": "replace", "path": "/webhooks/0/failurePolicy", "value": "Ignore"}],
        type=JSON_PATCH,
    )  # fmt: skip
    assert await client.create(CONFIG_MAPS, config(), "g")


async def test_certificate_of_another_authority_is_not_trusted(client: LocalClient, hooks: Hooks) -> None:
    hook = hooks.hook("/look", allow)
    hook["clientConfig"]["caBundle"] = base64.b64encode(pki.create_ca().pem).decode()
    await validating(client, hook)
    with pytest.raises(InternalError, match=r"(?i)certificate verify failed"):
        await client.create(CONFIG_MAPS, config(), "g")


async def test_selectors_choose_namespaces_and_objects(client: LocalClient, hooks: Hooks) -> None:
    await client.patch(NAMESPACES, "g", {"metadata": {"labels": {"team": "x"}}})
    hook = hooks.hook("/deny", deny, namespaceSelector={"matchLabels": {"team": "x"}},
                      objectSelector={"matchLabels": {"checked": "yes"}})  # fmt: skip
    await validating(client, hook)
    labelled = {"metadata": {"name": "c", "labels": {"checked": "yes"}}}
    await client.create(CONFIG_MAPS, labelled, "other")
    await client.create(CONFIG_MAPS, config(), "g")
    with pytest.raises(Forbidden):
        await client.create(CONFIG_MAPS, labelled | {"metadata": labelled["metadata"] | {"name": "d"}}, "g")


async def test_match_conditions_choose_by_expression(client: LocalClient, hooks: Hooks) -> None:
    conditions = [
        {"name": "not-the-control-plane", "expression": "!request.userInfo.username.startsWith('nobody')"},
        {"name": "marked", "expression": "has(object.metadata.labels) && object.metadata.labels['x'] == 'y'"},
    ]
    await validating(client, hooks.hook("/deny", deny, matchConditions=conditions))
    await client.create(CONFIG_MAPS, config(), "g")
    with pytest.raises(Forbidden):
        await client.create(CONFIG_MAPS, {"metadata": {"name": "d", "labels": {"x": "y"}}}, "g")
    with pytest.raises(InternalError, match="match condition 'marked'"):
        await client.create(CONFIG_MAPS, {"metadata": {"name": "e", "labels": {"z": "y"}}}, "g")


async def test_service_that_stands_for_a_name(client: LocalClient, hooks: Hooks) -> None:
    hook = hooks.hook("/look", allow)
    service = {"namespace": "g", "name": "hook", "path": "/look", "port": hooks.server.port}
    hook["clientConfig"] = {"service": service, "caBundle": hooks.bundle}
    await validating(client, hook)
    with pytest.raises(InternalError, match='service "hook" not found'):
        await client.create(CONFIG_MAPS, config(), "g")
    external = {"type": "ExternalName", "externalName": "localhost"}
    await client.create(SERVICES, {"metadata": {"name": "hook"}, "spec": external}, "g")
    assert await client.create(CONFIG_MAPS, config(), "g")  # the certificate is the one of hook.g.svc


async def test_service_is_reached_at_a_ready_endpoint(api: ApiServer, client: LocalClient) -> None:
    endpoints = Endpoints(api, Lookups(api, lambda node: ()), TunnelHub())
    ports = [{"name": "web", "port": 80}, {"name": "hook", "port": 443}]
    await client.create(SERVICES, {"metadata": {"name": "hook"}, "spec": {"ports": ports}}, "g")
    with pytest.raises(ServiceUnavailable, match='no service port 8443 found for service "hook"'):
        endpoints.choose("g", "hook", 8443)
    with pytest.raises(ServiceUnavailable, match='no endpoints available for service "hook"'):
        endpoints.choose("g", "hook", 443)
    await client.create(ENDPOINT_SLICES, {
        "metadata": {"name": "hook-1", "labels": {"kubernetes.io/service-name": "hook"}}, "addressType": "IPv4",
        "endpoints": [{"addresses": ["10.0.0.8"], "conditions": {"ready": False}},
                      {"addresses": ["10.0.0.9"], "conditions": {"ready": True}}],
        "ports": [{"name": "web", "port": 8080}, {"name": "hook", "port": 9443}],
    }, "g")  # fmt: skip
    assert endpoints.choose("g", "hook", 443) == Way("10.0.0.9", 9443, "hook.g.svc")


async def test_configurations_themselves_are_never_sent(client: LocalClient, hooks: Hooks) -> None:
    everything = [{"operations": ["*"], "apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*"]}]
    await validating(client, hooks.hook("/deny", deny, rules=everything))
    await client.delete(VALIDATING_WEBHOOK_CONFIGURATIONS, "v")
    assert not hooks.asked


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"name": "short"}, "webhooks[0].name"),
        ({"sideEffects": "Unknown"}, "webhooks[0].sideEffects"),
        ({"sideEffects": None}, "webhooks[0].sideEffects"),
        ({"timeoutSeconds": 31}, "webhooks[0].timeoutSeconds"),
        ({"failurePolicy": "Maybe"}, "webhooks[0].failurePolicy"),
        ({"admissionReviewVersions": ["v2"]}, "webhooks[0].admissionReviewVersions"),
        ({"admissionReviewVersions": []}, "webhooks[0].admissionReviewVersions"),
        ({"clientConfig": {}}, "webhooks[0].clientConfig"),
        ({"clientConfig": {"url": "http://x/y"}}, "webhooks[0].clientConfig.url"),
        ({"clientConfig": {"url": "https://u@x/y"}}, "webhooks[0].clientConfig.url"),
        ({"clientConfig": {"url": "https://x/y?z"}}, "webhooks[0].clientConfig.url"),
        ({"clientConfig": {"service": {"name": "s"}}}, "webhooks[0].clientConfig.service.namespace"),
        ({"rules": [{"operations": ["GET"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["p"]}]},
         "webhooks[0].rules[0].operations[0]"),
        ({"rules": [{"operations": ["*", "CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["p"]}]},
         "webhooks[0].rules[0].operations"),
        ({"rules": [{"operations": ["*"], "apiGroups": [""], "apiVersions": ["v1"]}]},
         "webhooks[0].rules[0].resources"),
        ({"objectSelector": {"matchLabels": {"a b": "c"}}}, "webhooks[0].objectSelector.matchLabels"),
        ({"matchConditions": [{"name": "x", "expression": "1"}]}, "webhooks[0].matchConditions[0].expression"),
    ],
)  # fmt: skip
async def test_bad_configurations_are_refused_by_field(
    client: LocalClient, hooks: Hooks, fields: dict[str, Any], field: str
) -> None:
    with pytest.raises(Invalid) as refused:
        await validating(client, {**hooks.hook("/look", allow), **fields})
    assert field in [cause.field for cause in refused.value.causes]


async def test_unparsable_bundle(client: LocalClient, hooks: Hooks) -> None:
    hook = hooks.hook("/look", allow)
    hook["clientConfig"]["caBundle"] = base64.b64encode(b"nothing").decode()
    await validating(client, hook)
    with pytest.raises((InternalError, BadRequest), match="caBundle"):
        await client.create(CONFIG_MAPS, config(), "g")
