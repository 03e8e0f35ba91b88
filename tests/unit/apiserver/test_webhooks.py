"""Admission by webhooks: real HTTPS servers are asked about writes."""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from controlplane.apiserver.api import ApiServer
from controlplane.apiserver.app import build_app
from controlplane.apiserver.identity import Attributes, User
from controlplane.apiserver.local_client import LocalClient
from controlplane.apiserver.lookups import Lookups
from controlplane.apiserver.proxy.handler import ProxyHandler
from controlplane.apiserver.reach.endpoints import Endpoints, Way
from controlplane.apiserver.request import parse_path
from controlplane.apiserver.streams.hub import TunnelHub
from controlplane.apiserver.streams.port_forward import PortForwards
from controlplane.apiserver.streams.remote_command import RemoteCommands
from controlplane.apiserver.verbs import connect
from controlplane.apiserver.webhooks.admission import WebhookAdmission
from controlplane.apiserver.webhooks.caller import Caller
from shared import pki
from shared.api.errors import BadRequest, Forbidden, InternalError, Invalid, ServiceUnavailable
from shared.api.kinds import (
    CONFIG_MAPS,
    DEPLOYMENTS,
    ENDPOINT_SLICES,
    MUTATING_WEBHOOK_CONFIGURATIONS,
    NAMESPACES,
    PODS,
    SERVICES,
    VALIDATING_WEBHOOK_CONFIGURATIONS,
)
from shared.client.base import PatchType

JSON_PATCH = PatchType.JSON
Answer = Callable[[dict[str, Any]], dict[str, Any]]


class Anybody:
    """Lets an administrator in without credentials."""

    def authenticate(self, request: web.BaseRequest) -> User:
        return User("admin", ("system:masters", "system:authenticated"))

    def authorize(self, user: User, attributes: Attributes) -> None:
        return None


class Hooks:
    """A server of webhooks: a path each, and what was asked."""

    def __init__(self, folder: Path) -> None:
        self.asked: list[dict[str, Any]] = []
        self.answers: dict[str, Answer] = {}
        authority = pki.create_ca()
        made = pki.server_certificate(authority, ["127.0.0.1", "hook.g.svc"])
        self.bundle = base64.b64encode(authority.pem).decode()
        files = folder / "tls.crt", folder / "tls.key"
        for path, data in zip(files, (made.certificate, made.key), strict=True):
            path.write_bytes(data)
        self._context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._context.load_cert_chain(*files)
        app = web.Application()
        app.router.add_post("/{path:.*}", self._answer)
        self.server = TestServer(app, scheme="https")

    async def start(self) -> None:
        await self.server.start_server(ssl=self._context)

    async def _answer(self, request: web.Request) -> web.Response:
        review = await request.json()
        self.asked.append(review["request"] | {"path": request.path})
        response = self.answers[request.path](review["request"])
        if "body" in response:
            return web.Response(text=response["body"], status=response.get("status", 200))
        await asyncio.sleep(response.pop("after", 0))
        return web.json_response({
            "kind": "AdmissionReview", "apiVersion": review["apiVersion"],
            "response": {"uid": review["request"]["uid"]} | response,
        })  # fmt: skip

    def hook(self, path: str, answer: Answer, **fields: Any) -> dict[str, Any]:
        self.answers[path] = answer
        name = path.strip("/").replace("/", "-")
        return {
            "name": f"{name}.example.com", "admissionReviewVersions": ["v1"], "sideEffects": "None",
            "clientConfig": {"url": f"https://127.0.0.1:{self.server.port}{path}", "caBundle": self.bundle},
            "rules": [{"operations": ["*"], "apiGroups": ["*"], "apiVersions": ["*"], "resources": ["configmaps",
                      "deployments"]}],
        } | fields  # fmt: skip


@pytest.fixture
async def hooks(api: ApiServer, tmp_path: Path) -> AsyncIterator[Hooks]:
    served, caller = Hooks(tmp_path), Caller(Endpoints(api, Lookups(api, lambda node: ()), TunnelHub()))
    await served.start()
    api.admission.append(WebhookAdmission(api, caller))
    yield served
    await caller.close()
    await served.server.close()


def allow(request: dict[str, Any]) -> dict[str, Any]:
    return {"allowed": True, "warnings": ["looked at"]}


def deny(request: dict[str, Any]) -> dict[str, Any]:
    return {"allowed": False, "status": {"code": 403, "message": "not here", "reason": "Forbidden"}}


def put(path: str, value: Any) -> Answer:
    def answer(request: dict[str, Any]) -> dict[str, Any]:
        patch = json.dumps([{"op": "add", "path": path, "value": value}]).encode()
        return {"allowed": True, "patchType": "JSONPatch", "patch": base64.b64encode(patch).decode()}

    return answer


async def validating(client: LocalClient, *webhooks: dict[str, Any]) -> None:
    await client.create(VALIDATING_WEBHOOK_CONFIGURATIONS, {"metadata": {"name": "v"}, "webhooks": list(webhooks)})


async def mutating(client: LocalClient, *webhooks: dict[str, Any], name: str = "m") -> None:
    await client.create(MUTATING_WEBHOOK_CONFIGURATIONS, {"metadata": {"name": name}, "webhooks": list(webhooks)})


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


TEMPLATE = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}


def rules(*resources: str) -> list[dict[str, Any]]:
    return [{"operations": ["*"], "apiGroups": ["*"], "apiVersions": ["*"], "resources": list(resources)}]


async def test_scale_is_sent_and_changed_as_a_scale(
    client: LocalClient,
    hooks: Hooks,
    http: TestClient,  # type: ignore[type-arg]
) -> None:
    spec = {"replicas": 1, "selector": {"matchLabels": {"a": "b"}}, "template": TEMPLATE}
    await client.create(DEPLOYMENTS, {"metadata": {"name": "d"}, "spec": spec}, "g")
    await mutating(client, hooks.hook("/scale", put("/spec/replicas", 3), rules=rules("deployments/scale")))
    path = "/apis/apps/v1/namespaces/g/deployments/d/scale"
    merge = {"Content-Type": "application/merge-patch+json"}
    async with http.patch(path, json={"spec": {"replicas": 5}}, headers=merge) as response:
        assert (await response.json())["spec"] == {"replicas": 3}
    [asked] = hooks.asked
    assert (asked["kind"], asked["resource"]["resource"], asked["subResource"], asked["operation"]) == (
        {"group": "autoscaling", "version": "v1", "kind": "Scale"}, "deployments", "scale", "UPDATE",
    )  # fmt: skip
    assert (asked["object"]["spec"], asked["oldObject"]["spec"]) == ({"replicas": 5}, {"replicas": 1})
    assert (await client.get(DEPLOYMENTS, "d", "g")).spec.replicas == 3


async def test_connecting_is_asked_about_and_its_options_may_be_changed(
    api: ApiServer, client: LocalClient, hooks: Hooks
) -> None:
    query = [("command", "ls"), ("command", "-l"), ("stdin", "true"), ("tty", "false"), ("container", "c")]
    target = parse_path("/api/v1/namespaces/g/pods/p/exec")
    selects = {"matchLabels": {"a": "b"}}
    await mutating(
        client,
        hooks.hook("/exec", put("/container", "other"), rules=rules("pods/exec")),
        hooks.hook("/none", deny, rules=rules("pods/exec"), objectSelector=selects),  # options have no labels
    )
    options = await connect.admitted(api, User("jane"), target, query)
    given = {"kind": "PodExecOptions", "apiVersion": "v1", "stdin": True, "container": "c", "command": ["ls", "-l"]}
    assert options == given | {"container": "other"}
    [asked] = hooks.asked
    assert asked["kind"] == {"group": "", "version": "v1", "kind": "PodExecOptions"}
    assert (asked["operation"], asked["name"], asked["namespace"], asked["subResource"]) == (
        "CONNECT",
        "p",
        "g",
        "exec",
    )
    assert (asked["object"], asked["oldObject"], asked["options"], asked["dryRun"]) == (given, None, None, False)
    await validating(client, hooks.hook("/deny", deny, rules=rules("pods/exec")))
    with pytest.raises(Forbidden, match="denied the request: not here"):
        await connect.admitted(api, User("jane"), target, query)


def warn_and_deny(request: dict[str, Any]) -> dict[str, Any]:
    return deny(request) | {"warnings": ["not wise"]}


async def test_a_refusal_tells_the_webhooks_warnings_too(client: LocalClient, hooks: Hooks, http: TestClient) -> None:  # type: ignore[type-arg] # fmt: skip
    await validating(client, hooks.hook("/deny", warn_and_deny))
    async with http.post("/api/v1/namespaces/g/configmaps", json=config()) as response:
        assert (response.status, response.headers.getall("Warning")) == (403, ['299 - "not wise"'])


@pytest.mark.parametrize(
    ("answer", "subresource", "told"),
    [(allow, "exec", "looked at"), (allow, "attach", "looked at"), (allow, "portforward", "looked at"),
     (allow, "proxy/", "looked at"), (warn_and_deny, "exec", "not wise"), (warn_and_deny, "proxy/", "not wise")],
)  # fmt: skip
async def test_what_a_webhook_warns_of_before_a_connection(
    api: ApiServer, client: LocalClient, hooks: Hooks, answer: Answer, subresource: str, told: str
) -> None:
    """The pod is on no node, so that the answer is an error in each case: what was warned of stands in it once."""
    anybody, lookups, hub = Anybody(), Lookups(api, lambda node: ()), TunnelHub()
    served = (
        RemoteCommands(api, lookups, hub, anybody).add_routes,
        PortForwards(api, lookups, hub, anybody).add_routes,
        ProxyHandler(api, lookups, hub).add_routes,
    )
    await client.create(PODS, {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}, "g")
    name = subresource.rstrip("/")
    await validating(client, hooks.hook("/look", answer, rules=rules(f"pods/{name}")))
    async with TestClient(TestServer(build_app(api, anybody, anybody, served))) as http:
        path = f"/api/v1/namespaces/g/pods/p/{subresource}"
        async with http.get(path, params={"command": "x"} if name == "exec" else {}) as response:
            assert response.status >= 400
            assert response.headers.getall("Warning") == [f'299 - "{told}"']
