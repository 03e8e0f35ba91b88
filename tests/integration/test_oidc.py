"""Users whom an OpenID Connect provider vouches for, against a server process and a real provider over HTTPS."""

import json
import ssl
from http.client import HTTPSConnection

import pytest

from shared.cluster_pki import load_cluster_ca
from tests.cluster import Cluster, eventually
from tests.issuer import AUDIENCE, OidcIssuer
from tests.raw import Line


def asks(cluster, token, path, method="GET", body=None):
    """Code and body of what ``token`` gets; no client certificate is shown."""
    host, _, port = cluster.address.rpartition(":")
    context = ssl.create_default_context(cadata=load_cluster_ca(cluster.directory / "data").pem.decode())
    connection = HTTPSConnection(host, int(port), context=context, timeout=60)
    connection.request(method, path, body, headers={"Authorization": f"Bearer {token}"})
    response = connection.getresponse()
    found = response.status, json.loads(response.read())
    connection.close()
    return found


def whoami(cluster, token):
    code, found = asks(cluster, token, "/apis/authentication.k8s.io/v1/selfsubjectreviews", "POST", "{}")
    return found["status"]["userInfo"] if code == 201 else code


@pytest.fixture(scope="module")
def issuer(tmp_path_factory):
    issuer = OidcIssuer(tmp_path_factory.mktemp("issuer"))
    yield issuer
    issuer.stop()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory, issuer):
    """The provider is down when the server starts, and comes later."""
    options = (
        "--oidc-issuer-url", issuer.url, "--oidc-client-id", AUDIENCE, "--oidc-username-claim", "email",
        "--oidc-username-prefix", "oidc:", "--oidc-groups-claim", "roles", "--oidc-groups-prefix", "oidc:",
        "--oidc-required-claim", "hd=example.com", "--oidc-ca-file", str(issuer.ca_file),
    )  # fmt: skip
    cluster = Cluster(tmp_path_factory.mktemp("oidc"), options=options)
    cluster.start()
    try:
        token = issuer.token(email="jane@example.com", hd="example.com")
        assert whoami(cluster, token) == 401
        assert cluster.kubectl("get", "namespaces").returncode == 0
        issuer.start()
        eventually(lambda: whoami(cluster, token) != 401, "the provider's tokens are accepted")
        yield cluster
    finally:
        cluster.stop()


def test_a_token_is_its_user_with_groups(cluster, issuer):
    token = issuer.token(email="jane@example.com", email_verified=True, roles=["dev"], hd="example.com")
    assert whoami(cluster, token) == {
        "username": "oidc:jane@example.com",
        "groups": ["oidc:dev", "system:authenticated"],
    }
    code, status = asks(cluster, token, "/api/v1/namespaces/default/pods")
    assert (code, 'User "oidc:jane@example.com" cannot list' in status["message"]) == (403, True)
    cluster.kubectl("create", "rolebinding", "devs", "--clusterrole=view", "--group=oidc:dev")
    eventually(lambda: asks(cluster, token, "/api/v1/namespaces/default/pods")[0] == 200, "its group's rights count")


@pytest.mark.parametrize(
    "claims",
    [
        {"hd": "other.example"}, {"email_verified": False}, {"aud": "other"}, {"exp": 1}, {"email": None},
        {"iss": "https://other.example"}, {"roles": 7},
    ],
    ids=lambda claims: next(iter(claims)),
)  # fmt: skip
def test_what_does_not_hold_is_refused(cluster, issuer, claims):
    token = issuer.token(**({"email": "jane@example.com", "hd": "example.com"} | claims))
    assert whoami(cluster, token) == 401


def test_others_can_ask_whose_a_token_is(cluster, issuer):
    token = issuer.token(email="joe@example.com", hd="example.com")
    with Line(cluster) as line:
        told = line.ask("POST", "/apis/authentication.k8s.io/v1/tokenreviews", {"spec": {"token": token}}).tree
    assert told["status"]["user"]["username"] == "oidc:joe@example.com"


def test_the_first_token_of_a_new_key_is_accepted(cluster, issuer):
    issuer.rotate("second")
    assert whoami(cluster, issuer.token(email="jane@example.com", hd="example.com"))["username"] == (
        "oidc:jane@example.com"
    )


def test_a_file_that_cannot_be_is_told_at_the_start(cluster, tmp_path):
    path = tmp_path / "auth.yaml"
    path.write_text(
        "apiVersion: apiserver.config.k8s.io/v1\nkind: AuthenticationConfiguration\n"
        "jwt: [{issuer: {url: https://x.example, audiences: [a]}, claimMappings: {username: {expression: claims.sub}}}]"
    )
    done = cluster.longboat(
        "server", "--data-dir", str(tmp_path / "data"), "--authentication-config", str(path), check=False
    )
    assert done.returncode != 0
    assert "--authentication-config: " in done.stderr
    assert "jwt[0].claimMappings.username.expression: CEL is not supported" in done.stderr
    assert "Traceback" not in done.stderr
