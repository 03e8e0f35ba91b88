"""Webhooks are asked about subresources: what is sent to them, what connects to them, what is added by them."""

from __future__ import annotations

import json
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
from controlplane.apiserver.request import parse_path
from controlplane.apiserver.streams.hub import TunnelHub
from controlplane.apiserver.streams.port_forward import PortForwards
from controlplane.apiserver.streams.remote_command import RemoteCommands
from controlplane.apiserver.verbs import connect
from shared.api.errors import Forbidden
from shared.api.kinds import (
    DEPLOYMENTS,
    PODS,
)
from tests.hooks import Answer, Hooks, allow, deny, mutating, put, rules, validating


class Anybody:
    """Lets an administrator in without credentials."""

    def authenticate(self, request: web.BaseRequest) -> User:
        return User("admin", ("system:masters", "system:authenticated"))

    def authorize(self, user: User, attributes: Attributes) -> None:
        return None


def config(**data: str) -> dict[str, Any]:
    return {"metadata": {"name": "c"}, "data": data}


TEMPLATE = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}


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


POD = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
EPHEMERAL = "/api/v1/namespaces/g/pods/p/ephemeralcontainers"
DEBUGGER = {"name": "debugger", "image": "busybox"}


async def added(http: TestClient, client: LocalClient, method: str) -> tuple[int, Any]:  # type: ignore[type-arg]
    """Add a debugger to the pod in one of the ways of clients."""
    if method == "put":
        async with http.get("/api/v1/namespaces/g/pods/p") as response:
            pod = await response.json()
        pod["spec"]["ephemeralContainers"] = [DEBUGGER]
        pod["spec"]["containers"][0]["image"] = "other"  # not what the subresource is for
        async with http.put(EPHEMERAL, json=pod) as response:
            return response.status, await response.json()
    kind = {"patch": "strategic-merge-patch+json", "apply": "apply-patch+yaml"}[method]
    body = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {"ephemeralContainers": [DEBUGGER]}}
    headers = {"Content-Type": f"application/{kind}"}
    query = "?fieldManager=me" if method == "apply" else ""
    async with http.patch(EPHEMERAL + query, data=json.dumps(body), headers=headers) as response:
        return response.status, await response.json()


@pytest.mark.parametrize("method", ["put", "patch", "apply"])
async def test_containers_that_are_added_are_seen_and_may_be_refused(
    client: LocalClient,
    hooks: Hooks,
    http: TestClient,  # type: ignore[type-arg]
    method: str,
) -> None:
    await client.create(PODS, POD, "g")
    await validating(
        client,
        hooks.hook("/pods", deny, rules=rules("pods")),  # another resource as far as rules go
        hooks.hook("/look", deny, rules=rules("pods/ephemeralcontainers")),
    )
    code, answer = await added(http, client, method)
    assert (code, answer["message"].rpartition(": ")[2]) == (403, "not here")
    [asked] = hooks.asked
    assert (asked["path"], asked["operation"], asked["subResource"]) == ("/look", "UPDATE", "ephemeralcontainers")
    assert (asked["kind"]["kind"], asked["resource"]["resource"], asked["name"]) == ("Pod", "pods", "p")
    assert asked["object"]["spec"]["containers"][0]["image"] == "i"
    assert [each["name"] for each in asked["object"]["spec"]["ephemeralContainers"]] == ["debugger"]
    assert "ephemeralContainers" not in asked["oldObject"]["spec"]
    assert not (await client.get(PODS, "p", "g")).spec.ephemeral_containers


async def test_a_webhook_may_change_containers_that_are_added_and_nothing_else(
    client: LocalClient,
    hooks: Hooks,
    http: TestClient,  # type: ignore[type-arg]
) -> None:
    await client.create(PODS, POD, "g")
    only = rules("pods/ephemeralcontainers")
    await mutating(
        client,
        hooks.hook("/image", put("/spec/ephemeralContainers/0/image", "checked"), rules=only),
        hooks.hook("/more", put("/spec/ephemeralContainers/-", {"name": "more", "image": "m"}), rules=only),
    )
    code, answer = await added(http, client, "patch")
    assert code == 200, answer
    assert [(each["name"], each["image"]) for each in answer["spec"]["ephemeralContainers"]] == [
        ("debugger", "checked"), ("more", "m"),
    ]  # fmt: skip
    assert answer["spec"]["ephemeralContainers"][1]["imagePullPolicy"] == "Always"
    hooks.answers["/image"] = put("/spec/containers/0/image", "not mine to change")
    hooks.answers["/more"] = allow
    again = {"spec": {"ephemeralContainers": [*answer["spec"]["ephemeralContainers"], DEBUGGER | {"name": "third"}]}}
    headers = {"Content-Type": "application/merge-patch+json"}
    async with http.patch(EPHEMERAL, json=again, headers=headers) as response:
        answer = await response.json()
    assert answer["spec"]["containers"][0]["image"] == "i", answer


async def test_a_webhook_changes_nothing_but_the_status_through_the_status(
    client: LocalClient,
    hooks: Hooks,
    http: TestClient,  # type: ignore[type-arg]
) -> None:
    await client.create(PODS, POD, "g")
    only = rules("pods/status")
    await mutating(
        client,
        hooks.hook("/spec", put("/spec/containers/0/image", "not mine to change"), rules=only),
        hooks.hook("/status", put("/status/message", "mine"), rules=only),
    )
    headers = {"Content-Type": "application/merge-patch+json"}
    body = {"status": {"phase": "Running"}}
    async with http.patch("/api/v1/namespaces/g/pods/p/status", json=body, headers=headers) as response:
        answer = await response.json()
    assert (answer["status"]["phase"], answer["status"]["message"]) == ("Running", "mine")
    assert answer["spec"]["containers"][0]["image"] == "i"
