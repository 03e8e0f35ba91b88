"""APIServices with a real API server behind them: through the agent of a pod, and at an address that is no pod's."""

from __future__ import annotations

import base64
import json
import ssl
import stat
import subprocess
from http.client import HTTPSConnection

import pytest

from shared.client import kubeconfig
from tests.aggregated import GROUP, ROOT, VERSION, DemoServer
from tests.cluster import eventually
from tests.raw import Line

API = f"{VERSION}.{GROUP}"
TRUST = ("configmap", "extension-apiserver-authentication", "-n", "kube-system")
HOST_ADDRESS = "192.0.2.1"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """Of both services' names, signed by itself."""
    place = tmp_path_factory.mktemp("certificate")
    names = ",".join(f"DNS:{name}.default.svc" for name in ("through-pod", "outside"))
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-days",
        "2",
    ]
    command += ["-subj", "/CN=demo", "-addext", f"subjectAltName={names}"]
    subprocess.run([*command, "-keyout", place / "key", "-out", place / "cert"], check=True, capture_output=True)
    return place


@pytest.fixture(scope="module")
def host(docker_cluster):
    eventually(lambda: docker_cluster.cluster.get(*TRUST)["data"], "the front proxy's CA is published")
    return docker_cluster


@pytest.fixture(scope="module")
def demo(host, certificate):
    server = DemoServer()
    ca = host.cluster.get(*TRUST)["data"]["requestheader-client-ca-file"]
    with server.running(certificate / "cert", certificate / "key", ca):
        yield server


def api_service(certificate, service, **spec):
    bundle = base64.b64encode((certificate / "cert").read_bytes()).decode()
    return {
        "apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "metadata": {"name": API},
        "spec": {
            "group": GROUP, "version": VERSION, "groupPriorityMinimum": 1000, "versionPriority": 15,
            "service": {"namespace": "default", "name": service}, "caBundle": bundle, **spec,
        },
    }  # fmt: skip


def condition(host):
    conditions = host.cluster.get("apiservice", API).get("status", {}).get("conditions", [])
    return next(((each["status"], each["reason"], each["message"]) for each in conditions), ("", "", ""))


@pytest.fixture(params=["through-pod", "outside"])
def served(request, host, demo, certificate):
    """The demo's group version, through a pod's agent or at an address."""
    apply, name = host.cluster.apply, request.param
    port = {"name": "https", "port": 443, "targetPort": demo.port}
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": {"ports": [port]}}
    if name == "through-pod":
        container = {"name": "c", "image": "longboat-test/busybox:1", "command": ["sleep", "1000000"]}
        spec = {"hostNetwork": True, "terminationGracePeriodSeconds": 0, "containers": [container]}
        meta = {"name": "api", "labels": {"app": "api"}}
        apply({"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec})
        service["spec"]["selector"] = {"app": "api"}
        apply(service)
    else:
        apply(
            service,
            {
                "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
                "metadata": {"name": "outside-1", "labels": {"kubernetes.io/service-name": "outside"}},
                "endpoints": [{"addresses": [HOST_ADDRESS], "conditions": {"ready": True}}],
                "ports": [{"name": "https", "port": demo.port, "protocol": "TCP"}],
            },
        )  # fmt: skip
    apply(api_service(certificate, name))
    eventually(lambda: condition(host)[:2] == ("True", "Passed"), "the APIService is available", interval=0.1)
    demo.widgets.clear()
    demo.asked.clear()
    yield demo
    host.cluster.kubectl("delete", "apiservice", API)


def widget(name, size):
    return {"apiVersion": f"{GROUP}/{VERSION}", "kind": "Widget", "metadata": {"name": name}, "size": size}


def test_kubectl_uses_it_as_its_own(host, served):
    kubectl = host.cluster.kubectl
    listed = kubectl("api-resources", f"--api-group={GROUP}", "--cached=false").stdout
    assert listed.splitlines()[1].split() == ["widgets", "wd", f"{GROUP}/{VERSION}", "true", "Widget"]
    kubectl("create", "-f", "-", text=json.dumps(widget("first", 3)))
    assert host.cluster.get("widget", "first")["size"] == 3
    assert kubectl("get", "wd", "-A", "-o", "name").stdout.split() == [f"widget.{GROUP}/first"]
    assert "How large it is." in kubectl("explain", "widget.size").stdout
    kubectl("delete", "widget", "first", "--wait=false")
    assert "NotFound" in kubectl("get", "widget", "first", check=False).stderr
    row = kubectl("get", "apiservice", API).stdout.splitlines()[1].split()
    assert row[:3] == [API, row[1], "True"]
    assert row[1].startswith("default/")


def test_a_watch_streams(host, served):
    """The first event is here before there is a second."""
    host.cluster.kubectl("create", "-f", "-", text=json.dumps(widget("watched", 1)))
    address, _, port = host.cluster.address.rpartition(":")
    context = kubeconfig.load(host.cluster.kubeconfig).ssl_context()
    connection = HTTPSConnection(address, int(port), context=context, timeout=20)
    connection.request("GET", f"{ROOT}/namespaces/default/widgets?watch=1")
    answer = connection.getresponse()
    assert json.loads(answer.readline())["type"] == "ADDED"
    host.cluster.kubectl("create", "-f", "-", text=json.dumps(widget("other", 2)))
    assert json.loads(answer.readline())["type"] == "MODIFIED"
    connection.close()


def test_who_asks_is_told_and_allowed_here(host, served):
    cluster = host.cluster
    cluster.kubectl("delete", "serviceaccount,role,rolebinding", "reader", "--ignore-not-found")
    cluster.kubectl("create", "serviceaccount", "reader")
    cluster.apply(
        {
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "reader"},
            "rules": [{"apiGroups": [GROUP], "resources": ["widgets"], "verbs": ["list"]}],
        }
    )  # fmt: skip
    cluster.kubectl("create", "rolebinding", "reader", "--role=reader", "--serviceaccount=default:reader")
    token = cluster.kubectl("create", "token", "reader").stdout.strip()
    context = ssl.create_default_context(cadata=kubeconfig.load(cluster.kubeconfig).ca_pem.decode())
    with Line(cluster, context) as line:
        forged = {"Authorization": f"Bearer {token}", "X-Remote-User": "root", "X-Remote-Group": "system:masters"}
        forged["X-Remote-Extra-Scopes"] = "all"
        served.asked.clear()
        assert line.ask("GET", f"{ROOT}/namespaces/default/widgets", **forged).code == 200
        assert list(served.extra) == ["X-Remote-Extra-authentication.kubernetes.io%2Fcredential-id"]
        assert next(iter(served.extra.values())).startswith("JTI=")
        assert line.ask("GET", f"{ROOT}/namespaces/default/widgets/x", **forged).code == 403
        assert line.ask("GET", f"{ROOT}/namespaces/default/widgets/../../kube-system/widgets", **forged).code in (
            403,
            404,
        )
    asked = [each for each in served.asked if each[1] != "system:kube-aggregator"]
    [(path, user, groups)] = asked
    assert (path, user) == (f"{ROOT}/namespaces/default/widgets", "system:serviceaccount:default:reader")
    assert groups == ["system:serviceaccounts", "system:serviceaccounts:default", "system:authenticated"]


def test_what_it_has_goes_with_its_namespace(host, served):
    """A namespace stays until that is certain: while its server cannot be asked, that is what the namespace says."""
    cluster, kubectl = host.cluster, host.cluster.kubectl
    for name in ("going", "waiting"):
        kubectl("create", "namespace", name)
        kubectl("create", "-n", name, "-f", "-", text=json.dumps(widget("w", 1)))
    kubectl("create", "-n", "default", "-f", "-", text=json.dumps(widget("stays", 1)))
    kubectl("delete", "namespace", "going", "--timeout=30s")
    assert sorted(served.widgets) == [("default", "stays"), ("waiting", "w")]
    service = cluster.get("apiservice", API)["spec"]["service"]
    away = {"spec": {"service": service | {"name": "nowhere"}}}
    kubectl("patch", "apiservice", API, "--type=merge", "-p", json.dumps(away))
    eventually(lambda: condition(host)[0] == "False", "the APIService is not available", interval=0.1)
    kubectl("delete", "namespace", "waiting", "--wait=false")

    def failure():
        said = cluster.get("namespace", "waiting")["status"].get("conditions", [])
        return next((each for each in said if each["type"] == "NamespaceDeletionDiscoveryFailure"), {})

    eventually(lambda: failure().get("status") == "True", "the namespace says what is missing", interval=0.1)
    assert f"{GROUP}/{VERSION}: stale GroupVersion discovery" in failure()["message"]
    kubectl("patch", "apiservice", API, "--type=merge", "-p", json.dumps({"spec": {"service": service}}))
    kubectl("wait", "--for=delete", "namespace/waiting", "--timeout=30s")
    assert sorted(served.widgets) == [("default", "stays")]


def test_a_server_that_goes_is_told_and_all_else_goes_on(host, served):
    cluster = host.cluster
    stale = json.loads(json.dumps(cluster.get("apiservice", API)))
    stale["spec"]["service"]["name"] = "nowhere"
    cluster.kubectl("replace", "-f", "-", text=json.dumps(stale))
    eventually(lambda: condition(host)[0] == "False", "the APIService is not available", interval=0.1)
    assert condition(host)[1:] == ("ServiceNotFound", 'service/nowhere in "default" is not present')
    assert "ServiceUnavailable" in cluster.kubectl("get", "--raw", f"{ROOT}/widgets", check=False).stderr
    assert "False (ServiceNotFound)" in cluster.kubectl("get", "apiservice", API).stdout
    assert cluster.kubectl("get", "pods", "--cache-dir=/nonexistent", check=False).returncode == 0
    items = json.loads(
        cluster.kubectl("get", "--raw", "/apis").stdout
    )  # the plain form: the group is there, whatever its server does
    assert GROUP in {group["name"] for group in items["groups"]}


@pytest.mark.parametrize(
    ("service", "reason", "words"),
    [
        ({"spec": {"ports": [{"port": 80}]}}, "ServicePortError", "is not listening on port 443"),
        ({"spec": {"ports": [{"port": 443}]}}, "EndpointsNotFound", "cannot find endpointslices for service/broken"),
        (
            {"spec": {"ports": [{"port": 443, "name": "x"}], "selector": {"app": "nobody"}}},
            "MissingEndpoints",
            'have no addresses with port name "x"',
        ),
    ],
)
def test_why_a_server_cannot_be_asked(host, certificate, service, reason, words):
    cluster = host.cluster
    cluster.apply({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "broken"}, **service})
    cluster.apply(api_service(certificate, "broken"))
    try:
        eventually(lambda: condition(host)[1] == reason, reason, timeout=20, interval=0.1)
        assert words in condition(host)[2]
    finally:
        cluster.kubectl("delete", "apiservice", API)
        cluster.kubectl("delete", "service", "broken")


def test_a_server_that_nobody_vouches_for_is_not_asked(host, served, certificate, tmp_path):
    """The looks at it do not verify, as upstream; requests do."""
    other = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-subj",
        "/CN=x",
    ]
    subprocess.run([*other, "-keyout", tmp_path / "key", "-out", tmp_path / "cert"], check=True, capture_output=True)
    changed = host.cluster.get("apiservice", API)
    changed["spec"]["caBundle"] = base64.b64encode((tmp_path / "cert").read_bytes()).decode()
    host.cluster.kubectl("replace", "-f", "-", text=json.dumps(changed))
    refused = host.cluster.kubectl("get", "--raw", f"{ROOT}/widgets", check=False)
    assert "error trying to reach service" in refused.stderr
    del changed["spec"]["caBundle"]
    changed["spec"]["insecureSkipTLSVerify"] = True
    del changed["metadata"]["resourceVersion"]
    host.cluster.kubectl("replace", "-f", "-", text=json.dumps(changed))
    assert host.cluster.kubectl("get", "--raw", f"{ROOT}/widgets").returncode == 0


# --- our own


def test_every_group_version_of_ours_is_listed(host):
    rows = {
        line.split()[0]: line.split()[1:3] for line in host.cluster.kubectl("get", "apiservices").stdout.splitlines()
    }
    assert {"v1.", "v1.apps", "v2.autoscaling", "v1.rbac.authorization.k8s.io"} <= rows.keys()
    assert rows["v1."] == rows["v1.apps"] == ["Local", "True"]
    assert rows["NAME"] == ["SERVICE", "AVAILABLE"]


def test_a_custom_group_has_one_as_long_as_it_is_served(host):
    definition = {
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "boats.own.example"},
        "spec": {
            "group": "own.example", "scope": "Namespaced",
            "names": {"plural": "boats", "singular": "boat", "kind": "Boat"},
            "versions": [{"name": "v1alpha1", "served": True, "storage": True,
                          "schema": {"openAPIV3Schema": {"type": "object"}}}],
        },
    }  # fmt: skip
    cluster, name = host.cluster, "v1alpha1.own.example"
    cluster.apply(definition)
    eventually(lambda: cluster.kubectl("get", "apiservice", name, check=False).returncode == 0, f"{name} is there")
    away = {"spec": {"service": {"namespace": "default", "name": "x"}, "insecureSkipTLSVerify": True}}
    cluster.kubectl("patch", "apiservice", name, "--type=merge", "-p", json.dumps(away))
    eventually(lambda: "service" not in cluster.get("apiservice", name)["spec"], "it is local again", interval=0.1)
    cluster.kubectl("delete", "crd", "boats.own.example")
    eventually(lambda: cluster.kubectl("get", "apiservice", name, check=False).returncode != 0, f"{name} is gone")


def test_what_others_trust_comes_back_and_has_its_readers(host):
    cluster = host.cluster
    before = cluster.get(*TRUST)["data"]
    assert json.loads(before["requestheader-allowed-names"]) == ["front-proxy-client"]
    cluster.kubectl("delete", *TRUST)
    eventually(lambda: cluster.get(*TRUST)["data"] == before, "the ConfigMap is back", interval=0.1)
    cluster.kubectl("create", "serviceaccount", "extension", "-n", "default")
    cluster.kubectl(
        "create", "rolebinding", "extension", "-n", "kube-system", "--serviceaccount=default:extension",
        "--role=extension-apiserver-authentication-reader",
    )  # fmt: skip
    who = "--as=system:serviceaccount:default:extension"
    assert cluster.kubectl("get", *TRUST, who, "-o", "name").stdout.strip() == f"configmap/{TRUST[1]}"


def test_keys_are_the_servers_own(host):
    pki = host.cluster.directory / "data/pki"
    for name in ("front-proxy-ca.key", "front-proxy-client.key"):
        assert stat.S_IMODE((pki / name).stat().st_mode) == 0o600
