"""Requests made up from the served OpenAPI documents by schemathesis: whatever comes, no answer is a server's error,
none takes long, and each refusal is a Status."""

import base64
import warnings
from collections import Counter

import pytest
import requests
import yaml
from hypothesis import HealthCheck, Phase, given, settings

from tests.cluster import eventually
from tests.custom import definition

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    import schemathesis

EXAMPLES = 4
"""Of each operation: some 500 operations make about 2,000 requests."""

PATIENCE = 10
"""Seconds for one answer."""

FEW = 1
"""Of each operation of v2, which says the same in other words."""

TUNING = settings(
    max_examples=EXAMPLES, deadline=None, database=None, derandomize=True, phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)  # fmt: skip


@pytest.fixture(scope="module")
def session(cluster, tmp_path_factory):
    """The administrator's session."""
    folder = tmp_path_factory.mktemp("tls")
    config = yaml.safe_load(cluster.kubeconfig.read_text())
    user, where = config["users"][0]["user"], config["clusters"][0]["cluster"]

    def file(name, encoded):
        path = folder / name
        path.write_bytes(base64.b64decode(encoded))
        return str(path)

    with requests.Session() as session:
        session.trust_env = False
        session.verify = file("ca.crt", where["certificate-authority-data"])
        session.cert = (
            file("tls.crt", user["client-certificate-data"]), file("tls.key", user["client-key-data"]),
        )  # fmt: skip
        yield session


def fill(path):
    """Most names that are made up are no names: those of the path are real, so that what is behind them is reached."""
    return path.replace("{namespace}", "default").replace("{name}", "made-up")


def with_name(body, gvk):
    """A body of its kind, named as the path is, with the rest as it was made up."""
    if not isinstance(body, dict) or not gvk:
        return body
    meta = body.get("metadata") if isinstance(body.get("metadata"), dict) else {}
    kept = {key: value for key, value in meta.items() if key in ("labels", "annotations")}
    group = f"{gvk['group']}/" if gvk["group"] else ""
    return body | {
        "kind": gvk["kind"], "apiVersion": group + gvk["version"], "metadata": kept | {"name": "made-up"},
    }  # fmt: skip


def send(session, base, operation, case):
    """The answer to a case, watches and lists ended after a second."""
    sent = case.as_transport_kwargs(base_url=base)
    gvk = operation.definition.raw.get("x-kubernetes-group-version-kind")
    return session.request(
        operation.method.upper(), base + fill(operation.path), params={**(sent.get("params") or {}),
        "timeoutSeconds": 1}, json=with_name(sent.get("json"), gvk), data=sent.get("data"),
        headers=sent.get("headers"), timeout=PATIENCE,
    )  # fmt: skip


class Findings:
    """What was answered: how often each code, and what should not have been."""

    def __init__(self, tuning=TUNING):
        self.codes, self.wrong, self._tuning = Counter(), [], tuning

    def ask(self, session, base, operation):
        where = f"{operation.method} {operation.path}"

        @self._tuning
        @given(case=operation.as_strategy())
        def ask(case):
            try:
                answer = send(session, base, operation, case)
            except requests.Timeout:
                self.wrong.append(f"{where}: no answer")
                return
            self.codes[answer.status_code] += 1
            if answer.status_code >= 500:
                self.wrong.append(f"{where}: {answer.status_code} {answer.text[:300]}")
            elif answer.status_code >= 400 and answer.json().get("kind") != "Status":
                self.wrong.append(f"{where}: no Status in {answer.text[:300]}")

        ask()


@pytest.mark.timeout(600)
@pytest.mark.filterwarnings("ignore")
def test_no_request_is_too_much(cluster, session):
    base, found = f"https://{cluster.address}", Findings()
    for entry in session.get(f"{base}/openapi/v3", timeout=PATIENCE).json()["paths"].values():
        document = session.get(base + entry["serverRelativeURL"], timeout=PATIENCE).json()
        for operation in schemathesis.openapi.from_dict(document).get_all_operations():
            found.ask(session, base, operation.ok())
    assert not found.wrong, "\n".join(found.wrong[:20])
    assert sum(found.codes.values()) > 1500
    assert found.codes[200] > 200
    assert found.codes[422] + found.codes[400] > 200


@pytest.mark.timeout(600)
@pytest.mark.filterwarnings("ignore")
def test_nor_by_what_v2_says(cluster, session):
    cluster.apply(definition())
    base, found = f"https://{cluster.address}", Findings(settings(TUNING, max_examples=FEW))
    path = "/apis/stable.example.com/v1/namespaces/{namespace}/crontabs"
    document = eventually(lambda: with_path(session.get(f"{base}/openapi/v2", timeout=PATIENCE).json(), path), path)
    for operation in schemathesis.openapi.from_dict(document).get_all_operations():
        found.ask(session, base, operation.ok())
    assert not found.wrong, "\n".join(found.wrong[:20])
    assert sum(found.codes.values()) > 400
    assert found.codes[200] > 100


def with_path(document, path):
    """The document once the path is in it."""
    return document if path in document["paths"] else None
