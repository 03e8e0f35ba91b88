"""What is HTTP's own: content types, errors, limits, health, compression, authentication before everything."""

from __future__ import annotations

import io
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from controlplane.apiserver.api import ApiServer
from controlplane.apiserver.app import build_app
from controlplane.apiserver.authn import Authenticator
from controlplane.apiserver.authz import Authorizer, StaticRules
from controlplane.apiserver.guard import CALL, MAX_BODY
from controlplane.apiserver.identity import Attributes, User
from controlplane.apiserver.local_client import LocalClient
from controlplane.apiserver.negotiation import PLAIN, Format, accept, accepts_discovery
from controlplane.apiserver.request import parse_path, verb_of
from shared.api.errors import NotAcceptable
from shared.api.kinds import CONFIG_MAPS

CMS = "/api/v1/namespaces/g/configmaps"
Http = TestClient  # type: ignore[type-arg]
TABLE = (
    "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json"
)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/api/v1/pods", ("", "v1", "", "pods", "", "")),
        ("/api/v1/namespaces", ("", "v1", "", "namespaces", "", "")),
        ("/api/v1/namespaces/g", ("", "v1", "g", "namespaces", "g", "")),
        ("/api/v1/namespaces/g/status", ("", "v1", "g", "namespaces", "g", "status")),
        ("/api/v1/namespaces/g/finalize", ("", "v1", "g", "namespaces", "g", "finalize")),
        ("/api/v1/namespaces/g/pods", ("", "v1", "g", "pods", "", "")),
        ("/api/v1/namespaces/g/pods/p/log", ("", "v1", "g", "pods", "p", "log")),
        ("/api/v1/nodes/n/", ("", "v1", "", "nodes", "n", "")),
        ("/apis/apps/v1/namespaces/g/deployments/d/scale", ("apps", "v1", "g", "deployments", "d", "scale")),
        ("/apis/longboat.dev/v1/nodes/n/heartbeat", ("longboat.dev", "v1", "", "nodes", "n", "heartbeat")),
        ("/apis/apps/v1", ("", "", "", "", "", "")), ("/api/", ("", "", "", "", "", "")),
        ("/version/", ("", "", "", "", "", "")), ("/", ("", "", "", "", "", "")),
    ],
)  # fmt: skip
def test_paths(path: str, expected: tuple[str, ...]) -> None:
    target = parse_path(path)
    assert (
        target.group, target.version, target.namespace, target.resource, target.name, target.subresource,
    ) == expected  # fmt: skip


@pytest.mark.parametrize(
    ("method", "path", "query", "verb"),
    [
        ("GET", "/api/v1/pods", {}, "list"), ("GET", "/api/v1/pods", {"watch": "true"}, "watch"),
        ("GET", "/api/v1/pods", {"watch": "0"}, "list"), ("GET", "/api/v1/nodes/n", {}, "get"),
        ("GET", "/api/v1/pods", {"watch": "False"}, "list"), ("GET", "/api/v1/pods", {"watch": ""}, "watch"),
        ("GET", "/api/v1/pods", {"watch": "maybe"}, "watch"),
        ("HEAD", "/api/v1/nodes/n", {}, "get"), ("POST", "/api/v1/nodes", {}, "create"),
        ("PUT", "/api/v1/nodes/n", {}, "update"), ("PATCH", "/api/v1/nodes/n", {}, "patch"),
        ("DELETE", "/api/v1/nodes/n", {}, "delete"), ("DELETE", "/api/v1/nodes", {}, "deletecollection"),
        ("GET", "/healthz", {}, "get"), ("POST", "/version", {}, "post"),
    ],
)  # fmt: skip
def test_verbs_of_methods(method: str, path: str, query: dict[str, str], verb: str) -> None:
    assert verb_of(method, parse_path(path), query) == verb


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("", PLAIN), ("*/*", PLAIN), ("application/*", PLAIN), ("application/json, */*", PLAIN),
        ("application/vnd.kubernetes.protobuf,application/json", PLAIN),
        ("application/cbor, application/json;q=0.5", PLAIN), ("application/yaml", Format("application/yaml")),
        ("application/json;q=0.1, application/yaml;q=0.9", Format("application/yaml")),
        (TABLE, Format(shape="Table")), ("application/json;stream=watch", PLAIN),
        ("application/json;as=Table;v=v1;g=nope, application/json", PLAIN),
        ("application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1", Format(shape="PartialObjectMetadata")),
        ("application/vnd.kubernetes.protobuf", None), ("text/html", None), ("application/json;as=Nope", None),
    ],
)  # fmt: skip
def test_accept_headers(header: str, expected: Format | None) -> None:
    if expected is None:
        with pytest.raises(NotAcceptable):
            accept(header)
    else:
        assert accept(header) == expected


def test_plain_discovery_when_it_comes_first() -> None:
    assert not accepts_discovery(
        "application/json, application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
    )


async def test_yaml_in_and_out(http: Http) -> None:
    body = "metadata:\n  name: a\n  annotations: {when: 2001-01-01}\ndata:\n  k: |\n    two\n    lines\n"
    async with http.post(CMS, data=body, headers={"Content-Type": "application/yaml"}) as response:
        assert response.status == 201, await response.text()
    async with http.get(f"{CMS}/a", headers={"Accept": "application/yaml"}) as response:
        assert response.headers["Content-Type"] == "application/yaml"
        tree = yaml.safe_load(await response.text())
    assert tree["data"] == {"k": "two\nlines\n"}
    assert tree["metadata"]["annotations"] == {"when": "2001-01-01"}


@pytest.mark.parametrize("path", ["/healthz", "/version", CMS, f"{CMS}?watch=1&timeoutSeconds=1", "/nothing"])
async def test_no_answer_tells_the_servers_software(http: Http, path: str) -> None:
    async with http.get(path) as response:
        assert "Server" not in response.headers


async def test_tables_have_kubernetes_form(http: Http, client: LocalClient) -> None:
    await client.create(CONFIG_MAPS, {"metadata": {"name": "a", "labels": {"x": "y"}}, "data": {"k": "v"}}, "g")
    for url in (CMS, f"{CMS}/a"):
        async with http.get(url, headers={"Accept": TABLE}) as response:
            table = await response.json(content_type=None)
        assert (table["kind"], table["apiVersion"]) == ("Table", "meta.k8s.io/v1")
        assert [column["name"] for column in table["columnDefinitions"]] == ["Name", "Data", "Age"]
        [row] = table["rows"]
        assert row["cells"] == ["a", 1, "0s"]
        assert row["object"]["kind"] == "PartialObjectMetadata"
        assert row["object"]["metadata"]["labels"] == {"x": "y"}
    for include, kind in (("Object", "ConfigMap"), ("None", None)):
        async with http.get(f"{CMS}?includeObject={include}", headers={"Accept": TABLE}) as response:
            [row] = (await response.json(content_type=None))["rows"]
        assert (row["object"] or {}).get("kind") == kind
    async with http.get(f"{CMS}?includeObject=Nope", headers={"Accept": TABLE}) as response:
        assert response.status == 400


@pytest.mark.parametrize(
    ("method", "path", "body", "content_type", "code", "reason"),
    [
        ("POST", CMS, b"{nope", "application/json", 400, "BadRequest"),
        ("POST", CMS, b"", "application/json", 400, "BadRequest"),
        ("POST", CMS, b"[1]", "application/json", 400, "BadRequest"),
        ("POST", CMS, b"a: [", "application/yaml", 400, "BadRequest"),
        ("POST", CMS, b"x", "application/cbor", 415, "UnsupportedMediaType"),
        ("PATCH", f"{CMS}/a", b"{}", "application/apply-patch+json", 415, "UnsupportedMediaType"),
        ("PATCH", f"{CMS}/a", b"{}", "application/json", 415, "UnsupportedMediaType"),
        ("PATCH", f"{CMS}/a", b"{", "application/merge-patch+json", 400, "BadRequest"),
        ("PATCH", f"{CMS}/a", b"{}", "application/merge-patch+json", 404, "NotFound"),
        ("POST", CMS, b"{" + b" " * MAX_BODY + b"}", "application/json", 413, "RequestEntityTooLarge"),
        ("POST", f"{CMS}/a", b"{}", "application/json", 405, "MethodNotAllowed"),
        ("PUT", CMS, b"{}", "application/json", 405, "MethodNotAllowed"),
        ("POST", "/api/v1/pods", b"{}", "application/json", 405, "MethodNotAllowed"),
        ("DELETE", "/api/v1/namespaces", b"", "", 405, "MethodNotAllowed"),
        ("GET", f"{CMS}/a/status", b"", "", 404, "NotFound"),
        ("GET", "/api/v1/namespaces/g/nodes", b"", "", 404, "NotFound"),
        ("GET", "/api/v1/configmaps/a", b"", "", 404, "NotFound"),
        ("GET", "/api/v2/configmaps", b"", "", 404, "NotFound"),
        ("GET", "/apis/nope.io/v1/things", b"", "", 404, "NotFound"),
        ("GET", "/nowhere", b"", "", 404, "NotFound"),
        ("POST", "/version", b"{}", "application/json", 405, "MethodNotAllowed"),
        ("GET", f"{CMS}?limit=many", b"", "", 400, "BadRequest"),
        ("POST", f"{CMS}?dryRun=Some", b'{"metadata":{"name":"a"}}', "application/json", 422, "Invalid"),
        ("POST", f"{CMS}?fieldValidation=No", b'{"metadata":{"name":"a"}}', "application/json", 422, "Invalid"),
        ("DELETE", f"{CMS}/a", b'{"kind":"Pod"}', "application/json", 400, "BadRequest"),
        ("DELETE", f"{CMS}/a?propagationPolicy=Maybe", b"", "", 422, "Invalid"),
        ("DELETE", f"{CMS}/a?gracePeriodSeconds=soon", b"", "", 400, "BadRequest"),
    ],
)  # fmt: skip
async def test_refusals_are_statuses(
    http: Http, method: str, path: str, body: bytes, content_type: str, code: int, reason: str
) -> None:
    headers = {"Content-Type": content_type} if content_type else {}
    async with http.request(method, path, data=_sent(body), headers=headers) as response:
        status = await response.json()
    assert (response.status, status["code"], status["reason"]) == (code, code, reason), status
    assert (status["kind"], status["apiVersion"], status["status"]) == ("Status", "v1", "Failure")
    assert status["message"]


def _sent(body: bytes) -> io.BytesIO | None:
    return io.BytesIO(body) if body else None


async def test_doubled_members_warn_or_are_refused(http: Http) -> None:
    body = b'{"metadata":{"name":"a","labels":{"x":"1","x":"2"}}}'
    headers = {"Content-Type": "application/json"}
    async with http.post(f"{CMS}?fieldValidation=Strict", data=body, headers=headers) as response:
        assert response.status == 400
        assert 'duplicate field "metadata.labels.x"' in (await response.json())["message"]
    async with http.post(CMS, data=body, headers=headers) as response:
        assert response.status == 201
        assert response.headers.getall("Warning") == ['299 - "duplicate field \\"metadata.labels.x\\""']


async def test_delete_options_in_the_query_or_the_body(http: Http, client: LocalClient) -> None:
    for name in ("a", "b"):
        await client.create(CONFIG_MAPS, {"metadata": {"name": name}}, "g")
    async with http.delete(f"{CMS}/a?propagationPolicy=Foreground&gracePeriodSeconds=0") as response:
        assert (await response.json())["metadata"]["finalizers"] == ["foregroundDeletion"]
    options = {"kind": "DeleteOptions", "apiVersion": "v1", "preconditions": {"uid": "x"}}
    async with http.delete(f"{CMS}/b", json=options) as response:
        assert response.status == 409


async def test_a_big_list_is_compressed_for_who_takes_it(http: Http, client: LocalClient) -> None:
    for index in range(3):
        await client.create(CONFIG_MAPS, {"metadata": {"name": f"a{index}"}, "data": {"k": "x" * 60_000}}, "g")
    async with http.get(CMS, headers={"Accept-Encoding": "gzip"}) as response:
        assert response.headers["Content-Encoding"] == "gzip"
        assert int(response.headers["Content-Length"]) < 10_000
        assert len((await response.json())["items"]) == 3
    async with http.get(CMS, headers={"Accept-Encoding": "identity"}) as response:
        assert "Content-Encoding" not in response.headers


async def test_a_mistake_of_ours_is_told_without_its_insides(
    http: Http, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(*_: Any) -> None:
        raise RuntimeError("secret inside")

    monkeypatch.setattr("controlplane.apiserver.verbs.read.list_", broken)
    async with http.get(CMS) as response:
        status = await response.json()
    assert (response.status, status["reason"]) == (500, "InternalError")
    assert "secret inside" not in status["message"]
    [record] = [record for record in caplog.records if record.message == "request failed"]
    assert record.__dict__["error_id"] in status["message"]


@pytest.mark.parametrize(
    ("path", "text"),
    [("/healthz", "ok"), ("/readyz", "ok"), ("/livez", "ok"), ("/readyz/watch-cache", "ok"),
     ("/readyz?verbose", "[+]ping ok\n[+]watch-cache ok\nreadyz check passed\n")],
)  # fmt: skip
async def test_health(http: Http, path: str, text: str) -> None:
    async with http.get(path) as response:
        assert (response.status, await response.text()) == (200, text)


async def test_a_failing_check_fails_readiness_but_not_life(http: Http, api: ApiServer) -> None:
    api.health.add("disk", lambda: "full of secrets")
    async with http.get("/readyz") as response:
        assert response.status == 500
        assert "[-]disk failed: reason withheld" in await response.text()
    async with http.get("/readyz?exclude=disk") as response:
        assert response.status == 200
    async with http.get("/livez") as response:
        assert response.status == 200


async def test_requests_are_counted(http: Http) -> None:
    async with http.get(CMS) as response:
        assert response.status == 200
    async with http.get("/metrics") as response:
        text = await response.text()
    assert 'apiserver_request_total{code="200",resource="configmaps",subresource="",verb="list"}' in text
    assert 'apiserver_request_duration_seconds_count{resource="configmaps",subresource="",verb="list"}' in text


async def test_refused_requests_are_counted_by_resource_but_only_of_known_ones(http: Http) -> None:
    for path in (f"{CMS}/nope", "/api/v1/namespaces/g/made-up-7f3a", f"{CMS}/x/made-up-7f3a"):
        async with http.get(path) as response:
            assert response.status == 404
    async with http.get("/metrics") as response:
        text = await response.text()
    assert 'apiserver_request_total{code="404",resource="configmaps",subresource="",verb="get"}' in text
    assert "made-up-7f3a" not in text


async def test_a_subresource_that_is_not_served(http: Http) -> None:
    async with http.post("/api/v1/namespaces/g/pods/p/nonsense") as response:
        assert response.status == 404
        status = await response.json()
    assert (status["message"], status["details"]) == ("the server could not find the requested resource", {})


@pytest.mark.parametrize("query", ["", "/e", "?watch=1&timeoutSeconds=1"], ids=["list", "get", "watch"])
async def test_a_deprecated_kind_says_so(http: Http, query: str) -> None:
    path = "/api/v1/namespaces/g/endpoints"
    said = '299 - "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice"'
    async with http.post(path, json={"metadata": {"name": "e"}}) as response:
        assert response.headers.getall("Warning") == [said]
    async with http.get(path + query) as response:
        assert response.status == 200
        assert response.headers.getall("Warning") == [said]


async def test_somebody_who_may_can_act_as_another(api: ApiServer, client: LocalClient) -> None:
    class Administrator:
        def authenticate(self, request: web.BaseRequest) -> User:
            return User("root", (request.headers["X-Group"],))

    app = build_app(api, Administrator(), Authorizer(StaticRules()))
    async with TestClient(TestServer(app)) as session:
        admin = {"X-Group": "system:masters"}
        async with session.get(CMS, headers=admin) as response:
            assert response.status == 200
        async with session.get(CMS, headers=admin | {"Impersonate-User": "bob"}) as response:
            assert response.status == 403
            assert 'User "bob" cannot list resource "configmaps"' in (await response.json())["message"]
        as_master = admin | {"Impersonate-User": "bob", "Impersonate-Group": "system:masters"}
        async with session.get(CMS, headers=as_master) as response:
            assert response.status == 200
        async with session.get("/api", headers={"X-Group": "dev", "Impersonate-User": "bob"}) as response:
            assert response.status == 403
            assert 'cannot impersonate resource "users"' in (await response.json())["message"]
        async with session.get(CMS, headers=admin | {"Impersonate-Group": "dev"}) as response:
            assert response.status == 400


@pytest.fixture
async def guarded(api: ApiServer, client: LocalClient) -> AsyncIterator[Http]:
    """The real authenticator and authorizer, and a route of another part."""

    async def whoami(request: web.Request) -> web.Response:
        call = CALL.get()
        return web.json_response({"user": call.user.name, "verb": call.verb, "name": call.target.name})

    def extra(app: web.Application) -> None:
        app.router.add_post("/apis/longboat.dev/v1/nodes/{name}/heartbeat", whoami)

    app = build_app(api, Authenticator(lambda name: None), Authorizer(StaticRules()), [extra])
    async with TestClient(TestServer(app)) as session:
        yield session


@pytest.mark.parametrize("path", ["/healthz", "/livez", "/readyz", "/version", "/version/"])
async def test_anybody_may_ask_for_health_and_version(guarded: Http, path: str) -> None:
    async with guarded.get(path) as response:
        assert response.status == 200


@pytest.mark.parametrize("path", ["/api", "/apis", CMS, "/metrics", "/openapi/v3", "/nowhere", "/readyz/watch-cache"])
async def test_nobody_else_is_anonymous(guarded: Http, path: str) -> None:
    async with guarded.get(path) as response:
        assert response.status == 401
        assert (await response.json())["reason"] == "Unauthorized"
    headers = {"Authorization": "Bearer abcdef.0123456789abcdef"}
    async with guarded.get(path, headers=headers) as response:
        assert response.status == 401
    async with guarded.post("/apis/longboat.dev/v1/nodes/n/heartbeat") as response:
        assert response.status == 401


async def test_other_parts_routes_stand_behind_the_same_guard(api: ApiServer, client: LocalClient) -> None:
    asked: list[Attributes] = []

    class Recorder:
        def authenticate(self, request: web.BaseRequest) -> User:
            return User("u")

        def authorize(self, user: User, attributes: Attributes) -> None:
            asked.append(attributes)

    async def whoami(request: web.Request) -> web.Response:
        return web.json_response({"user": CALL.get().user.name})

    def extra(app: web.Application) -> None:
        app.router.add_post("/apis/longboat.dev/v1/nodes/{name}/heartbeat", whoami)

    async with TestClient(TestServer(build_app(api, Recorder(), Recorder(), [extra]))) as session:
        async with session.post("/apis/longboat.dev/v1/nodes/n/heartbeat") as response:
            assert await response.json() == {"user": "u"}
        async with session.get(f"{CMS}?fieldSelector=metadata.name%3Da&labelSelector=x") as response:
            assert response.status == 200
    heartbeat, listed = asked
    assert (heartbeat.verb, heartbeat.resource, heartbeat.name, heartbeat.subresource) == (
        "create", "nodes", "n", "heartbeat",
    )  # fmt: skip
    assert (listed.verb, listed.name, listed.label_selector) == ("list", "a", "x")


GOLDEN = json.loads((Path(__file__).parents[2] / "golden" / "refusals.json").read_text())
SERVED = [
    case for case in GOLDEN if not case["path"].startswith(("/apis/batch", "/apis/networking", "/apis/autoscaling"))
]


@pytest.mark.parametrize("case", SERVED, ids=[case["case"] for case in SERVED])
async def test_golden_refusals_over_http(http: Http, case: dict[str, Any]) -> None:
    request = case["request"]
    if case["case"] == "oversize":
        request = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "p"}, "data": {"k": "x" * 1_100_000}}
    body = request if isinstance(request, str) else json.dumps(request)
    headers = {"Content-Type": "application/json"}
    async with http.post(f"{case['path']}?dryRun=All", data=_sent(body.encode()), headers=headers) as response:
        answer = await response.json()
    assert response.status == case["code"], answer
    expected = case["response"]
    if expected["kind"] != "Status":
        assert answer["kind"] == expected["kind"]
        return
    assert answer["reason"] == expected["reason"]
    theirs, ours = expected.get("details") or {}, answer.get("details") or {}
    assert (ours.get("name"), ours.get("kind")) == (theirs.get("name"), theirs.get("kind"))
    assert {(c["reason"], c.get("field")) for c in theirs.get("causes", ())} <= {
        (c["reason"], c.get("field")) for c in ours.get("causes", ())
    }
