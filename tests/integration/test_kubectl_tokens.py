"""kubectl create token, and what such a token lets one do, against a server process."""

import json
import ssl
import time
from http.client import HTTPSConnection

import pytest

from shared.cluster_pki import load_cluster_ca
from tests.cluster import eventually
from tests.raw import Line

ACCOUNTS = "/api/v1/namespaces/default/serviceaccounts"


@pytest.fixture(scope="module")
def cluster(cluster):
    cluster.kubectl("create", "serviceaccount", "robot")
    return cluster


def create(cluster, *arguments):
    return cluster.kubectl("create", "token", "robot", *arguments).stdout.strip()


def asks(cluster, token, path):
    """Code and body of what ``token`` gets; no client certificate is shown."""
    host, _, port = cluster.address.rpartition(":")
    context = ssl.create_default_context(cadata=load_cluster_ca(cluster.directory / "data").pem.decode())
    connection = HTTPSConnection(host, int(port), context=context, timeout=60)
    connection.request("GET", path, headers={"Authorization": f"Bearer {token}"})
    response = connection.getresponse()
    found = response.status, json.loads(response.read())
    connection.close()
    return found


def test_a_token_is_the_account_that_it_was_made_for(cluster):
    code, status = asks(cluster, create(cluster), "/api/v1/namespaces/default/pods")
    assert code == 403
    assert 'User "system:serviceaccount:default:robot" cannot list resource "pods"' in status["message"]
    assert asks(cluster, "a.b.c", "/api/v1/namespaces/default/pods")[0] == 401


def test_others_can_verify_a_token(cluster):
    token = create(cluster, "--duration", "10m")
    code, found = asks(cluster, token, "/.well-known/openid-configuration")
    assert (code, found["jwks_uri"]) == (200, f"https://{cluster.address}/openid/v1/jwks")
    code, keys = asks(cluster, token, "/openid/v1/jwks")
    assert (code, [key["alg"] for key in keys["keys"]]) == (200, ["ES256"])
    with Line(cluster) as line:
        assert line.ask("GET", "/.well-known/openid-configuration").tree == found


def test_a_token_for_another_audience_is_not_for_us(cluster):
    assert asks(cluster, create(cluster, "--audience", "vault"), "/api")[0] == 401


def test_a_token_ends_with_the_secret_it_is_bound_to(cluster):
    cluster.kubectl("create", "secret", "generic", "bound")
    token = create(cluster, "--bound-object-kind", "Secret", "--bound-object-name", "bound")
    assert asks(cluster, token, "/api")[0] == 200
    cluster.kubectl("delete", "secret", "bound")
    eventually(lambda: asks(cluster, token, "/api")[0] == 401, "the token ends")


def test_others_can_ask_whose_a_token_is(cluster):
    def review(**spec):
        with Line(cluster) as line:
            reply = line.ask("POST", "/apis/authentication.k8s.io/v1/tokenreviews", {"spec": spec})
        assert reply.code == 201, reply
        return reply.tree["status"]

    token = create(cluster, "--audience", "vault")
    told = review(token=token, audiences=["vault", "other"])
    assert (told["authenticated"], told["audiences"]) == (True, ["vault"])
    assert told["user"]["username"] == "system:serviceaccount:default:robot"
    assert "system:authenticated" in told["user"]["groups"]
    assert review(token=token) == {"authenticated": False, "user": {}, "error": "invalid bearer token"}
    assert review(token="a.b.c")["authenticated"] is False
    joining = cluster.longboat("token", "create").stdout.strip().split(".")
    assert review(token=f"{joining[1]}.{joining[2]}")["user"]["username"] == f"system:bootstrap:{joining[1]}"
    with Line(cluster) as line:
        assert line.ask("POST", "/apis/authentication.k8s.io/v1/tokenreviews", {"spec": {}}).code == 400


def test_a_restart_keeps_tokens_alive(cluster):
    token = create(cluster)
    cluster.stop()
    cluster.start()
    assert asks(cluster, token, "/api")[0] == 200


@pytest.mark.parametrize(
    ("path", "body", "code", "said"),
    [
        ("robot/token", {"spec": {"expirationSeconds": 10}}, 422, "may not specify a duration less than 10 minutes"),
        ("robot/token", {"spec": {"expirationSeconds": 1 << 33}}, 422, "larger than 2^32 seconds"),
        ("robot/token", {"spec": {"expirationSeconds": "long"}}, 400, "expirationSeconds"),
        ("none/token", {"spec": {}}, 404, 'serviceaccounts "none" not found'),
        ("robot/token", {"metadata": {"name": "other"}, "spec": {}}, 400, "does not match the URL"),
        ("robot/token", {"kind": "Pod", "apiVersion": "v1"}, 400, "TokenRequest"),
        ("robot/token", {"spec": {"boundObjectRef": {"kind": "Pod", "apiVersion": "v1", "name": "p"}}}, 404, "pods"),
        ("robot/token", {"spec": {"boundObjectRef": {"kind": "Service", "apiVersion": "v1", "name": "p"}}}, 400,
         "cannot bind token to object of type v1, Kind=Service"),
        ("robot/token", [], 400, ""),
    ],
)  # fmt: skip
def test_bad_requests(cluster, path, body, code, said):
    with Line(cluster) as line:
        reply = line.ask("POST", f"{ACCOUNTS}/{path}", json.dumps(body))
    assert (reply.code, said in reply.message) == (code, True), reply


def test_the_answer_is_a_token_request(cluster):
    with Line(cluster) as line:
        reply = line.ask("POST", f"{ACCOUNTS}/robot/token", {"spec": {"audiences": ["a", "b"]}})
    assert reply.code == 201
    assert (reply.tree["kind"], reply.tree["apiVersion"]) == ("TokenRequest", "authentication.k8s.io/v1")
    assert reply.tree["spec"] == {"audiences": ["a", "b"], "expirationSeconds": 3600, "boundObjectRef": None}
    expires = reply.tree["status"]["expirationTimestamp"]
    assert expires > time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
