"""The audit log of a real application: what stands there of whom, and what never does."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from controlplane.apiserver.api import ApiServer
from controlplane.apiserver.app import build_app
from controlplane.apiserver.audit.auditor import Auditor
from controlplane.apiserver.audit.log import AuditLog
from controlplane.apiserver.audit.policy import parse
from controlplane.apiserver.identity import Attributes, User
from controlplane.apiserver.local_client import LocalClient
from shared.api.errors import Forbidden, Unauthorized
from shared.work.clock import FakeClock

SECRETS = "/api/v1/namespaces/g/secrets"
HIDDEN = "aHVudGVyMg=="


class ByHeader:
    """Who asks is in a header; who is called nobody is not let in, jane may do nothing but impersonate."""

    def authenticate(self, request: web.BaseRequest) -> User:
        if (name := request.headers.get("X-Name", "admin")) == "nobody":
            raise Unauthorized("Unauthorized")
        return User(name, ("system:authenticated",))

    def authorize(self, user: User, attributes: Attributes) -> str:
        if user.name == "jane" and attributes.verb != "impersonate":
            raise Forbidden("no")
        return "by x"


@pytest.fixture
def serve(api: ApiServer, client: LocalClient, clock: FakeClock, tmp_path: Path) -> Callable[..., Any]:
    """An application with such rules, and the events that it has written so far."""

    @asynccontextmanager
    async def serving(*rules: dict[str, Any], **more: Any) -> AsyncIterator[tuple[Any, Callable[[], list[Any]]]]:
        policy = parse({"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "rules": list(rules), **more}, "p")
        log = AuditLog(tmp_path / "audit.log", 1, 2)
        who = ByHeader()
        app = build_app(api, who, who, auditor=Auditor(policy, log, clock))
        async with TestClient(TestServer(app)) as http:
            yield http, lambda: [json.loads(line) for line in (tmp_path / "audit.log").read_text().splitlines()]
        log.close()

    return serving


def secret(name: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "data": {"password": HIDDEN}}


async def test_metadata_tells_who_did_what_and_no_value(serve: Any, tmp_path: Path) -> None:
    async with serve({"level": "Metadata"}) as (http, events):
        headers = {"User-Agent": "a-test", "Audit-ID": "mine"}
        async with http.post(SECRETS, json=secret("s"), headers=headers) as response:
            assert response.headers["Audit-Id"] == "mine"
        async with http.get(f"{SECRETS}/s") as response:
            assert response.status == 200
        received, complete, *_ = events()
    assert HIDDEN not in (tmp_path / "audit.log").read_text()
    assert (tmp_path / "audit.log").stat().st_mode & 0o777 == 0o600
    assert received == {
        "kind": "Event", "apiVersion": "audit.k8s.io/v1", "level": "Metadata", "auditID": "mine",
        "stage": "RequestReceived", "requestURI": SECRETS, "verb": "create",
        "user": {"username": "admin", "groups": ["system:authenticated"]}, "sourceIPs": ["127.0.0.1"],
        "userAgent": "a-test", "requestReceivedTimestamp": "2026-05-04T12:00:00.000000Z",
        "stageTimestamp": "2026-05-04T12:00:00.000000Z",
        "objectRef": {"resource": "secrets", "namespace": "g", "apiVersion": "v1"},
    }  # fmt: skip
    assert complete["stage"] == "ResponseComplete"
    assert complete["objectRef"]["name"] == "s"
    assert complete["responseStatus"] == {"metadata": {}, "code": 201}
    assert complete["annotations"] == {"authorization.k8s.io/decision": "allow", "authorization.k8s.io/reason": "by x"}


@pytest.mark.parametrize(
    ("level", "asked", "answered"),
    [("Metadata", False, False), ("Request", True, False), ("RequestResponse", True, True)],
)
async def test_bodies_by_level(serve: Any, level: str, asked: bool, answered: bool) -> None:
    async with serve({"level": level, "omitStages": ["RequestReceived"]}) as (http, events):
        await http.post(SECRETS, json=secret("s"))
        patch = {"metadata": {"labels": {"a": "b"}}}
        await http.patch(f"{SECRETS}/s", json=patch, headers={"Content-Type": "application/merge-patch+json"})
        created, patched = events()
    assert ("requestObject" in created, "responseObject" in created) == (asked, answered)
    if asked:
        assert created["requestObject"]["metadata"]["name"] == "s"
        assert patched["requestObject"] == patch
    if answered:
        assert created["responseObject"]["metadata"]["uid"]
        assert patched["responseObject"]["metadata"]["labels"] == {"a": "b"}


async def test_what_goes_to_a_pod_is_not_read_on_its_way(serve: Any) -> None:
    """It has no end that could be waited for, and is no object of the API."""
    async with serve({"level": "RequestResponse"}, omitStages=["RequestReceived"]) as (http, events):
        await http.post("/api/v1/namespaces/g/pods/p/proxy/", json={"kind": "Order"})
        [complete] = events()
    assert (complete["verb"], complete["objectRef"]["subresource"]) == ("create", "proxy")
    assert "requestObject" not in complete


async def test_refusals_are_logged_with_their_reason(serve: Any) -> None:
    async with serve({"level": "Metadata"}, omitStages=["RequestReceived"]) as (http, events):
        await http.get(f"{SECRETS}/none")
        await http.get(SECRETS, headers={"X-Name": "jane"})
        await http.get(SECRETS, headers={"X-Name": "nobody"})
        await http.post(SECRETS, data=b"{", headers={"Content-Type": "application/json"})
        missing, forbidden, unknown, broken = events()
    assert missing["responseStatus"]["message"] == 'secrets "none" not found'
    assert (forbidden["responseStatus"]["code"], forbidden["annotations"]) == (
        403, {"authorization.k8s.io/decision": "forbid", "authorization.k8s.io/reason": ""},
    )  # fmt: skip
    assert (unknown["responseStatus"]["code"], unknown["user"], "annotations" in unknown) == (401, {}, False)
    assert unknown["stage"] == "ResponseStarted"
    assert broken["responseStatus"]["reason"] == "BadRequest"


@pytest.mark.parametrize(
    ("headers", "query", "said"),
    [
        ({}, "", "no credentials provided"),
        ({"Authorization": f"Bearer {HIDDEN}"}, "", "attempted: bearer"),
        ({"Authorization": "bearer"}, "", "no credentials provided"),
        ({"Authorization": "Basic dTpw"}, "?access_token=x", "attempted: basic, access_token"),
        ({"Authorization": "Basic ?"}, "", "no credentials provided"),
    ],
)
async def test_a_failed_login_is_one_event_that_tells_how_it_was_tried(
    serve: Any, tmp_path: Path, headers: dict[str, str], query: str, said: str
) -> None:
    async with serve({"level": "RequestResponse"}) as (http, events):
        async with http.post(SECRETS + query, json=secret("s"), headers=headers | {"X-Name": "nobody"}) as response:
            assert response.status == 401
        [event] = events()
    assert event["stage"] == "ResponseStarted"
    assert event["responseStatus"] == {"metadata": {}, "message": f"Authentication failed, {said}", "code": 401}
    assert (event["verb"], event["objectRef"]["resource"], event["user"]) == ("create", "secrets", {})
    assert "requestObject" not in event
    assert HIDDEN not in (tmp_path / "audit.log").read_text()


async def test_failed_logins_are_left_out_where_the_policy_says_so(serve: Any) -> None:
    async with serve({"level": "None", "resources": [{"group": ""}]}, {"level": "Metadata"}) as (http, events):
        await http.get(SECRETS, headers={"X-Name": "nobody"})
        assert events() == []
    async with serve({"level": "Metadata"}, omitStages=["ResponseStarted"]) as (http, events):
        await http.get(SECRETS, headers={"X-Name": "nobody"})
        assert events() == []


async def test_who_impersonates_stands_beside_who_is_impersonated(serve: Any) -> None:
    async with serve({"level": "Metadata", "users": ["jane"]}, omitStages=["RequestReceived"]) as (http, events):
        headers = {"X-Name": "jane", "Impersonate-User": "joe", "Impersonate-Group": "developers"}
        async with http.get(SECRETS, headers=headers) as response:
            assert response.status == 200
        (event,) = events()
    assert event["user"]["username"] == "jane"
    assert event["impersonatedUser"] == {"username": "joe", "groups": ["developers", "system:authenticated"]}


async def test_a_watch_is_logged_when_it_begins_and_when_it_ends(serve: Any) -> None:
    async with serve({"level": "RequestResponse"}) as (http, events):
        async with http.get(f"{SECRETS}?watch=1&timeoutSeconds=1") as response:
            assert response.headers["Audit-Id"]
            assert [event["stage"] for event in events()] == ["RequestReceived", "ResponseStarted"]
            await response.read()
        assert [event["stage"] for event in events()] == ["RequestReceived", "ResponseStarted", "ResponseComplete"]


async def test_what_no_rule_wants_leaves_no_trace(serve: Any) -> None:
    async with serve({"level": "None", "resources": [{"group": "", "resources": ["secrets"]}]}) as (http, events):
        async with http.get(SECRETS) as response:
            assert "Audit-Id" not in response.headers
        assert events() == []


CONFIG = "/api/v1/namespaces/g/configmaps"
REVIEWS = "/apis/authentication.k8s.io/v1/tokenreviews"


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (SECRETS, secret("s")),
        (CONFIG, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"k": HIDDEN}}),
        (REVIEWS, {"spec": {"token": HIDDEN}}),
        ("/api/v1/namespaces/g/serviceaccounts/robot/token", {"spec": {"audiences": [HIDDEN]}}),
    ],
    ids=["secret", "config map", "token review", "token request"],
)
async def test_no_body_at_metadata(serve: Any, tmp_path: Path, path: str, body: Any) -> None:
    async with serve({"level": "Metadata"}) as (http, events):
        await http.post(path, json=body)
        await http.put(f"{path}/s", json=body)
        await http.patch(f"{path}/s", json=body, headers={"Content-Type": "application/merge-patch+json"})
        await http.get(f"{path}/s")
        await http.get(path)
        assert len(events()) == 10
    assert HIDDEN not in (tmp_path / "audit.log").read_text()


async def test_managed_fields_are_left_out_of_every_object(serve: Any) -> None:
    rule = {"level": "RequestResponse", "omitStages": ["RequestReceived"], "omitManagedFields": True}
    async with serve(rule) as (http, events):
        await http.post(CONFIG, json={"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {}})
        await http.get(CONFIG)
        table = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}
        await http.get(f"{CONFIG}?includeObject=Object", headers=table)
        await http.delete(CONFIG, json={"kind": "DeleteOptions", "apiVersion": "v1", "gracePeriodSeconds": 0})
        created, listed, tabled, emptied = events()
    assert created["responseObject"]["metadata"]["name"] == "c"
    assert [item["metadata"]["name"] for item in listed["responseObject"]["items"]] == ["c"]
    assert [row["object"]["metadata"]["name"] for row in tabled["responseObject"]["rows"]] == ["c"]
    assert "managedFields" not in json.dumps([created, listed, tabled])
    assert (emptied["verb"], emptied["requestObject"]["gracePeriodSeconds"]) == ("deletecollection", 0)


@pytest.mark.parametrize(
    ("headers", "told"),
    [
        ({}, ["127.0.0.1"]),
        ({"X-Forwarded-For": "10.0.0.1, 10.0.0.2"}, ["10.0.0.1", "10.0.0.2", "127.0.0.1"]),
        ({"X-Forwarded-For": "10.0.0.1,127.0.0.1"}, ["10.0.0.1", "127.0.0.1"]),
        ({"X-Forwarded-For": "10.0.0.1", "X-Real-Ip": "10.0.0.1"}, ["10.0.0.1", "127.0.0.1"]),
        ({"X-Real-Ip": "fd00::1"}, ["fd00::1", "127.0.0.1"]),
        ({"X-Forwarded-For": "unknown, <script>"}, ["127.0.0.1"]),
    ],
)
async def test_where_it_came_from(serve: Any, headers: dict[str, str], told: list[str]) -> None:
    async with serve({"level": "Metadata", "omitStages": ["RequestReceived"]}) as (http, events):
        await http.get(SECRETS, headers=headers)
        (event,) = events()
    assert event["sourceIPs"] == told


async def test_a_mistake_of_ours_is_a_panic(
    serve: Any, api: ApiServer, client: LocalClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("of ours")

    async with serve({"level": "Metadata"}) as (http, events):
        monkeypatch.setattr("controlplane.apiserver.pages.Pages.serve", broken)
        async with http.get("/version") as response:
            assert response.status == 500
        received, panic = events()
    assert (received["stage"], panic["stage"], panic["responseStatus"]["code"]) == ("RequestReceived", "Panic", 500)
    assert panic["auditID"] == received["auditID"]
    assert "objectRef" not in panic


@pytest.mark.parametrize("omitted", ["RequestReceived", "ResponseStarted", "ResponseComplete"])
async def test_stages_are_left_out(serve: Any, omitted: str) -> None:
    async with serve({"level": "Metadata"}, omitStages=[omitted]) as (http, events):
        async with http.get(f"{SECRETS}?watch=1&timeoutSeconds=1") as response:
            await response.read()
        stages = [event["stage"] for event in events()]
    assert stages == [s for s in ("RequestReceived", "ResponseStarted", "ResponseComplete") if s != omitted]


def test_a_log_is_rotated_by_size(tmp_path: Path) -> None:
    log = AuditLog(tmp_path / "audit.log", 1, 2)
    for number in range(40):
        log.write({"number": number, "filler": "x" * 100_000})
    log.close()
    files = sorted(path.name for path in tmp_path.iterdir())
    assert files == ["audit.log", "audit.log.1", "audit.log.2"]
    assert all(path.stat().st_size <= 1 << 20 for path in tmp_path.iterdir())
    assert json.loads((tmp_path / "audit.log").read_text().splitlines()[-1])["number"] == 39


def test_a_full_disk_stops_the_log_and_nothing_else(caplog: pytest.LogCaptureFixture) -> None:
    log = AuditLog(Path("/dev/full"), 1, 2)
    for _ in range(3):
        log.write({"a": "b"})
    assert [record.getMessage() for record in caplog.records] == ["the audit log cannot be written"]
