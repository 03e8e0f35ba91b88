"""What admission policies see of subresources: the object that is sent, under its own kind."""

from __future__ import annotations

from typing import Any

import pytest
from aiohttp.test_utils import TestClient

from controlplane.apiserver.api import ApiServer
from controlplane.apiserver.identity import User
from controlplane.apiserver.local_client import LocalClient
from controlplane.apiserver.policies.validating import ValidatingPolicies
from controlplane.apiserver.request import Request, parse_path
from controlplane.apiserver.verbs import connect
from controlplane.apiserver.verbs.bind import bind_many
from shared.api.errors import BadRequest, Invalid
from shared.api.kinds import PODS, VALIDATING_ADMISSION_POLICIES, VALIDATING_ADMISSION_POLICY_BINDINGS
from shared.client.base import Binding

Http = TestClient  # type: ignore[type-arg]
POD = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}


@pytest.fixture(autouse=True)
async def pod(api: ApiServer, client: LocalClient) -> None:
    await client.create(PODS, POD, "g")
    api.admission.append(ValidatingPolicies(api))


async def refuse(client: LocalClient, resource: str, operation: str, condition: str) -> None:
    """Refuse what holds ``condition``."""
    rule = {"operations": [operation], "apiGroups": [""], "apiVersions": ["v1"], "resources": [resource]}
    validations = [{"expression": f"!({condition})", "message": "not this"}]
    spec = {"matchConstraints": {"resourceRules": [rule]}, "validations": validations}
    await client.create(VALIDATING_ADMISSION_POLICIES, {"metadata": {"name": "p"}, "spec": spec})
    bound = {"policyName": "p", "validationActions": ["Deny"]}
    await client.create(VALIDATING_ADMISSION_POLICY_BINDINGS, {"metadata": {"name": "b"}, "spec": bound})


BINDING = {"metadata": {"name": "p"}, "target": {"kind": "Node", "name": "n"}}


@pytest.mark.parametrize(
    ("subresource", "condition", "body"),
    [
        ("binding", "request.kind.kind == 'Binding' && object.target.name == 'n'", BINDING),
        ("eviction", "request.kind.kind == 'Eviction' && request.kind.group == 'policy'", {}),
    ],
)
async def test_what_is_created_in_a_pod(
    http: Http, client: LocalClient, subresource: str, condition: str, body: dict[str, Any]
) -> None:
    asks = f"{condition} && request.subResource == '{subresource}' && request.name == 'p' && oldObject == null"
    await refuse(client, f"pods/{subresource}", "CREATE", asks)
    async with http.post(f"/api/v1/namespaces/g/pods/p/{subresource}", json=body) as response:
        assert (response.status, "not this" in (await response.json())["message"]) == (422, True)
    found = await client.get(PODS, "p", "g")
    assert (found.spec.node_name, found.metadata.deletion_timestamp) == ("", None)


async def test_an_eviction_is_no_deletion(http: Http, client: LocalClient) -> None:
    await refuse(client, "*/*", "DELETE", "true")
    async with http.post("/api/v1/namespaces/g/pods/p/eviction", json={}) as response:
        assert response.status == 201


async def test_status_is_seen_as_the_object(http: Http, client: LocalClient) -> None:
    await refuse(client, "pods/status", "UPDATE", "request.kind.kind == 'Pod' && object.status.phase == 'Failed'")
    merge = {"Content-Type": "application/merge-patch+json"}
    path = "/api/v1/namespaces/g/pods/p/status"
    for phase, code in (("Running", 200), ("Failed", 422)):
        async with http.patch(path, json={"status": {"phase": phase}}, headers=merge) as response:
            assert response.status == code


async def test_the_schedulers_bindings_are_asked_about_too(api: ApiServer, client: LocalClient) -> None:
    await refuse(client, "pods/binding", "CREATE", "object.target.name == 'n'")
    row = api.kinds.find("", "v1", "pods")
    assert row is not None
    uid = (await client.get(PODS, "p", "g")).metadata.uid

    async def bound(node: str) -> Any:
        return (await bind_many(api, Request(User("s"), row), [Binding("g", "p", uid, node)]))[0]

    assert isinstance(await bound("n"), Invalid)
    assert await bound("m") is None


@pytest.mark.parametrize(
    ("plural", "subresource", "query", "path", "condition"),
    [
        ("pods", "exec", [("command", "sh"), ("command", "-c")], "", "object.command == ['sh', '-c']"),
        ("pods", "attach", [("stdin", ""), ("stdout", "0"), ("stderr", "False")], "",
         "object.stdin && !has(object.stdout) && !has(object.stderr) && object.kind == 'PodAttachOptions'"),
        ("pods", "portforward", [("ports", "80,81"), ("ports", "82")], "", "object.ports == [80, 81, 82]"),
        ("pods", "proxy", [], "a/b", "object.path == '/a/b' && request.kind.kind == 'PodProxyOptions'"),
        ("nodes", "proxy", [], "", "!has(object.path) && request.kind.kind == 'NodeProxyOptions'"),
        ("services", "proxy", [], "/", "object.path == '/' && request.kind.kind == 'ServiceProxyOptions'"),
    ],
)  # fmt: skip
async def test_connecting_shows_its_options(
    api: ApiServer, client: LocalClient, plural: str, subresource: str, query: Any, path: str, condition: str
) -> None:
    await refuse(client, f"{plural}/{subresource}", "CONNECT", f"({condition}) && request.options == null")
    where = "" if plural == "nodes" else "namespaces/g/"
    target = parse_path(f"/api/v1/{where}{plural}/p/{subresource}")
    with pytest.raises(Invalid, match="not this"):
        await connect.admitted(api, User("jane"), target, query, path)


def test_ports_must_be_numbers() -> None:
    with pytest.raises(BadRequest, match="invalid syntax"):
        connect.options("PodPortForwardOptions", [("ports", "http")])


async def test_containers_that_are_added_to_a_pod(http: Http, client: LocalClient) -> None:
    spies = "object.spec.ephemeralContainers.exists(c, c.image == 'spy') && !has(oldObject.spec.ephemeralContainers)"
    await refuse(client, "pods/ephemeralcontainers", "UPDATE", f"request.kind.kind == 'Pod' && {spies}")
    merge = {"Content-Type": "application/strategic-merge-patch+json"}
    path = "/api/v1/namespaces/g/pods/p/ephemeralcontainers"
    for image, code in (("spy", 422), ("busybox", 200)):
        body = {"spec": {"ephemeralContainers": [{"name": "d", "image": image}]}}
        async with http.patch(path, json=body, headers=merge) as response:
            assert response.status == code, await response.text()
