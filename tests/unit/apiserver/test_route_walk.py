"""Every path that a server has, found in its router and its kinds, walked by who has no rights and by who is nobody.

The application is the one that a server process wires; nothing is listed here but what everybody may ask.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from ipaddress import IPv4Network
from pathlib import Path

import pytest
from aiohttp.test_utils import TestClient, TestServer
from yarl import URL

from controlplane import server as process
from controlplane.apiserver.accounts.keys import SigningKeys
from controlplane.apiserver.accounts.tokens import AccountTokens
from controlplane.apiserver.api import ApiServer
from controlplane.apiserver.kinds.base import Kind
from controlplane.apiserver.local_client import LocalClient
from controlplane.apiserver.lookups import Lookups
from controlplane.controllers.kubernetes_service import Address
from controlplane.leader import Leader
from controlplane.settings import ServerSettings
from shared.api.kinds import SERVICE_ACCOUNTS
from shared.cluster_pki import ensure_cluster_pki
from shared.work.clock import FakeClock
from shared.work.supervisor import Supervisor
from tests.custom import controllers, define, definition

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND")

ANYBODYS = {(method, path) for method in ("GET", "HEAD") for path in ("/healthz", "/livez", "/readyz", "/version")}
"""Of who shows nothing."""

EVERYBODYS = {
    ("POST", f"/apis/{review}")
    for review in (
        "authentication.k8s.io/v1/selfsubjectreviews", "authorization.k8s.io/v1/selfsubjectaccessreviews",
        "authorization.k8s.io/v1/selfsubjectrulesreviews",
    )
}  # fmt: skip
"""Of who is known: what he is and may. RBAC's system:basic-user; without the default roles not even that."""

ISSUER = ("/.well-known/openid-configuration", "/openid/v1/jwks")
OTHERS = (
    "/", "/apiz", "/apisx/v1", "/metrics", "/metrics/slis", "/logs", "/debug/pprof", "/healthz/ping", "/readyz/store",
    "/livez/", "/favicon.ico", "/.well-known/", "/openid", "/api/v1/watch/pods", "/api/v2/pods",
    "/api/v1/nonsense", "/api/v1/pods/a/b/c/d", "/apis/nobody.example/v1/things", "/apis/apps/v9/deployments",
    "/api/v1/namespaces/default/services/a/proxy/x/y", "/api/v1/nodes/a/proxy/metrics", "//api/v1/pods",
    "/api//v1/pods", "/api/v1/pods/", "/%61pi/v1/pods", "/api/v1/%70ods", "/api/v1/namespaces/default/pods/a%2Fb",
    "/apis/longboat.dev/v1/nodes", "/apis/longboat.dev/v1/nodes/a/made-up",
)  # fmt: skip


@pytest.fixture
async def everything(api: ApiServer, client: LocalClient, clock: FakeClock, tmp_path: Path) -> AsyncIterator[TestClient]:  # type: ignore[type-arg] # fmt: skip # noqa: E501
    """A server's whole application, with a custom kind."""
    certificates = ensure_cluster_pki(tmp_path, "127.0.0.1", clock)
    keys = SigningKeys(tmp_path, clock)
    settings = ServerSettings(data_dir=tmp_path)
    async with Supervisor() as supervisor:
        supervisor.spawn("controllers", controllers(api))
        await define(api, definition())
        address = Address(IPv4Network(settings.service_cidr), "", 6443)
        leader = Leader(client, certificates.ca, supervisor, clock, cluster_cidr=settings.cluster_cidr, address=address)
        app, _ = process._wire(
            settings, api, leader, keys, "https://127.0.0.1", clock, None, (), certificates.ca_pem, {}
        )
        await client.create(SERVICE_ACCOUNTS, {"metadata": {"name": "nobody"}}, "g")
        lookups = Lookups(api, lambda node: ())
        account = lookups.service_account("g", "nobody")
        assert account is not None
        issued = AccountTokens(keys, lookups, settings.service_account_issuer, clock).issue(
            account, [settings.service_account_issuer], 3600
        )
        async with TestClient(TestServer(app), headers={"X-Token": issued.token}) as http:
            yield http
        supervisor.stop()


def routed(http: TestClient) -> Iterator[str]:  # type: ignore[type-arg]
    """The paths that handlers of their own are at."""
    assert http.app is not None
    for resource in http.app.router.resources():
        path = resource.canonical
        if path != "/{path}":  # that is everything else, which the dispatcher and the pages take apart
            yield path.format(namespace="g", ns="g", name="a-name", stream="s", rest="x")


def served(kinds: list[Kind]) -> Iterator[str]:
    """The paths of all kinds: lists, objects, subresources, and one that there is none of."""
    for kind in kinds:
        resource = kind.resource
        root = f"/apis/{resource.group}/{resource.version}" if resource.group else f"/api/{resource.version}"
        lists = [f"{root}/{resource.plural}"]
        if resource.namespaced:
            lists.append(f"{root}/namespaces/g/{resource.plural}")
        for each in lists:
            yield from (each, f"{each}?watch=1", f"{each}?fieldSelector=metadata.name%3Da", f"{each}/a-name")
            for subresource in (*(s.name for s in kind.subresources), "status", "scale", "made-up"):
                yield f"{each}/a-name/{subresource}"


def every_path(http: TestClient, api: ApiServer) -> list[str]:  # type: ignore[type-arg]
    known = [*routed(http), *served(list(api.kinds)), *ISSUER, *OTHERS]
    return list(dict.fromkeys(known))


async def asked(http: TestClient, method: str, path: str, token: str = "") -> int:  # type: ignore[type-arg]
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    body = b"{}" if method in ("POST", "PUT", "PATCH") else None
    if body is not None:
        headers["Content-Type"] = "application/json"
    url = URL(str(http.make_url("/")).rstrip("/") + path, encoded=True)
    async with http.session.request(method, url, data=body, headers=headers) as response:
        return response.status


async def test_the_walk_finds_what_there_is(everything: TestClient, api: ApiServer) -> None:  # type: ignore[type-arg]
    found = every_path(everything, api)
    for path in (
        "/apis/longboat.dev/v1/nodes/a-name/heartbeat",
        "/apis/longboat.dev/v1/nodes/a-name/tunnel",
        "/apis/longboat.dev/v1/nodes/a-name/streams/s",
        "/api/v1/namespaces/g/serviceaccounts/a-name/token",
        "/api/v1/namespaces/g/pods/a-name/log",
        "/api/v1/namespaces/g/pods/a-name/eviction",
        "/apis/authentication.k8s.io/v1/tokenreviews",
        "/apis/stable.example.com/v1/namespaces/g/crontabs/a-name/scale",
        *ISSUER,
    ):
        assert path in found
    assert len(found) > 500


async def test_who_shows_nothing_is_asked_who_he_is(everything: TestClient, api: ApiServer) -> None:  # type: ignore[type-arg]
    wrong = {}
    for path in every_path(everything, api):
        for method in METHODS:
            code = await asked(everything, method, path)
            if code != 401:
                wrong[method, path.rstrip("/")] = code
    assert {key for key, code in wrong.items() if code == 200} <= ANYBODYS
    assert {code for key, code in wrong.items() if key not in ANYBODYS} <= {403}  # nobody may POST to /version either


async def test_who_has_no_rights_gets_nothing_anywhere(everything: TestClient, api: ApiServer) -> None:  # type: ignore[type-arg]
    """A service account that nothing is bound to: discovery, health and the issuer's documents are all it sees."""
    token = everything.session.headers["X-Token"]
    allowed = {}
    for path in every_path(everything, api):
        for method in METHODS:
            code = await asked(everything, method, path, token)
            if code != 403:
                allowed[method, path] = code
    reads = (
        {("GET", path) for path in ISSUER}
        | {("HEAD", path) for path in ISSUER}
        | ANYBODYS
        | {(method, path) for method in ("GET", "HEAD") for path in ("/livez/", "/version/")}
    )
    assert set(allowed) <= reads | EVERYBODYS, {key: allowed[key] for key in set(allowed) - reads - EVERYBODYS}
