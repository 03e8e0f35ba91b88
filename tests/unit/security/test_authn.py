"""Who asks: certificates before tokens, nobody without either but on public paths."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from controlplane.apiserver.authn import Authenticator
from controlplane.apiserver.identity import ANONYMOUS
from shared import join
from shared.api.errors import Unauthorized
from shared.work.clock import FakeClock

NOW = datetime(2026, 3, 1, tzinfo=UTC)
SECRET = join.token_secret("abcdef", "0123456789abcdef", NOW + timedelta(hours=1))
BEARER = "Bearer abcdef.0123456789abcdef"


def peer(cn="system:node:n1", orgs=("system:nodes",), end="Mar  1 01:00:00 2026 GMT"):
    names = [(("organizationName", org),) for org in orgs] + ([(("commonName", cn),)] if cn else [])
    return {"subject": tuple(names), "notAfter": end}


@pytest.fixture
def authenticator():
    return Authenticator({"bootstrap-token-abcdef": SECRET}.get, FakeClock(NOW))


def test_a_certificate_is_its_cn_and_os(authenticator):
    user = authenticator.identify(peer(orgs=("a", "b")), "", "/api")
    assert (user.name, user.groups) == ("system:node:n1", ("a", "b", "system:authenticated"))


def test_a_certificate_goes_before_a_token(authenticator):
    assert authenticator.identify(peer(), BEARER, "/api").name == "system:node:n1"


@pytest.mark.parametrize("scheme", ["Bearer", "bearer"])
def test_a_token_is_its_bootstrap_user(authenticator, scheme):
    user = authenticator.identify(None, f"{scheme} abcdef.0123456789abcdef", "/api")
    assert (user.name, user.groups) == ("system:bootstrap:abcdef", ("system:bootstrappers", "system:authenticated"))


@pytest.mark.parametrize("path", ["/healthz", "/livez", "/readyz", "/version", "/version/"])
def test_health_and_version_are_anybodys(authenticator, path):
    assert authenticator.identify(None, "", path) is ANONYMOUS


@pytest.mark.parametrize(
    ("certificate", "authorization", "path"),
    [
        (None, "", "/api"),
        (None, "", "/"),
        (None, "", "/healthz/etcd"),
        (None, "", "/versions"),
        ({}, "", "/api/v1/pods"),
        (None, "Bearer ", "/api"),
        (None, "Bearer wrong", "/healthz"),
        (None, "Basic YWRtaW46YWRtaW4=", "/api"),
        (peer(end="Feb 28 23:59:59 2026 GMT"), "", "/api"),
        (peer(end="Feb 28 23:59:59 2026 GMT"), BEARER, "/api"),
        (peer(cn=""), "", "/api"),
    ],
    ids=[
        "nothing", "root", "below-health", "like-version", "no-certificate", "empty-bearer", "bad-token-on-public",
        "basic", "expired", "expired-with-token", "no-cn",
    ],
)  # fmt: skip
def test_everybody_else_is_refused(authenticator, certificate, authorization, path):
    with pytest.raises(Unauthorized):
        authenticator.identify(certificate, authorization, path)
