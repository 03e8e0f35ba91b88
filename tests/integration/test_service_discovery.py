"""Prometheus' service discovery (``kubernetes_sd_configs``) finds nodes, pods, services and endpoints with a service
account's token, and follows changes. Debian's Prometheus is built without it, so VictoriaMetrics' agent, which reads
the same configuration, does it here."""

import json
import subprocess
import urllib.request

import pytest

from tests.cluster import eventually, free_port
from tests.packages import program

ROLES = ("node", "pod", "service", "endpoints", "endpointslice", "ingress")

RIGHTS = """\
apiVersion: v1
kind: ServiceAccount
metadata: {name: discovery, namespace: default}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: discovery}
rules:
- {apiGroups: [""], resources: [nodes, pods, services, endpoints], verbs: [get, list, watch]}
- {apiGroups: [discovery.k8s.io], resources: [endpointslices], verbs: [get, list, watch]}
- {apiGroups: [networking.k8s.io], resources: [ingresses], verbs: [get, list, watch]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: discovery}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: discovery}
subjects: [{kind: ServiceAccount, name: discovery, namespace: default}]
"""

WORKLOAD = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: default}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}, annotations: {prometheus.io/scrape: "true"}}
    spec:
      containers: [{name: web, image: web:1, ports: [{name: metrics, containerPort: 9100}]}]
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: default}
spec:
  selector: {app: web}
  ports: [{name: metrics, port: 80, targetPort: metrics}]
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: web, namespace: default}
spec:
  rules:
  - host: web.example
    http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: web, port: {name: metrics}}}}]}
"""


@pytest.fixture(scope="module")
def cluster(hollow):
    hollow.kubectl("apply", "-f", "-", text=RIGHTS + "---\n" + WORKLOAD)
    hollow.kubectl("rollout", "status", "deployment/web", "--timeout=60s")
    return hollow


@pytest.fixture(scope="module")
def targets(cluster, tmp_path_factory):
    """What is discovered by a role now: the labels of each target."""
    folder = tmp_path_factory.mktemp("vmagent")
    token, ca = folder / "token", folder / "ca.crt"
    token.write_text(cluster.kubectl("create", "token", "discovery").stdout.strip())
    ca.write_text(cluster.get("configmap", "kube-root-ca.crt")["data"]["ca.crt"])
    found = {
        "api_server": f"https://{cluster.address}",
        "tls_config": {"ca_file": str(ca)},
        "authorization": {"credentials_file": str(token)},
    }
    jobs = [{"job_name": role, "kubernetes_sd_configs": [{"role": role, **found}]} for role in ROLES]
    (folder / "prometheus.yml").write_text(json.dumps({"scrape_configs": jobs}))
    address = f"127.0.0.1:{free_port()}"
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [program("victoria-metrics", "usr/bin/vmagent"), f"-promscrape.config={folder}/prometheus.yml",
             f"-httpListenAddr={address}", f"-remoteWrite.tmpDataPath={folder}/data",
             "-remoteWrite.url=http://127.0.0.1:9/write", "-promscrape.kubernetesSDCheckInterval=1s"],
            stdout=log, stderr=log, stdin=subprocess.DEVNULL,
        )  # fmt: skip

    def read(role):
        with urllib.request.urlopen(f"http://{address}/api/v1/targets?state=active", timeout=10) as answer:
            active = json.load(answer)["data"]["activeTargets"]
        return [each["discoveredLabels"] for each in active if each["discoveredLabels"]["job"] == role]

    def answers():
        try:
            return read("node") is not None
        except OSError:
            return False

    try:
        eventually(answers, "vmagent's answer")
        yield read
    finally:
        process.terminate()
        process.wait(30)


@pytest.mark.parametrize(
    ("role", "label", "expected"),
    [
        ("node", "node_name", ["hollow-0", "hollow-1"]),
        ("node", "node_label_kubernetes_io_hostname", ["hollow-0", "hollow-1"]),
        ("pod", "pod_container_port_name", ["metrics", "metrics"]),
        ("pod", "pod_annotation_prometheus_io_scrape", ["true", "true"]),
        ("pod", "pod_ready", ["true", "true"]),
        ("pod", "pod_controller_kind", ["ReplicaSet", "ReplicaSet"]),
        ("service", "service_port_name", ["metrics"]),
        ("endpoints", "endpoint_port_name", ["metrics", "metrics"]),
        ("endpoints", "endpoint_ready", ["true", "true"]),
        ("endpointslice", "endpointslice_port_name", ["metrics", "metrics"]),
        ("ingress", "ingress_host", ["web.example"]),
    ],
)
def test_roles_find_what_runs(targets, role, label, expected):
    def found():
        """The cluster's own Service may be there beside the test's."""
        return sorted(
            each.get(f"__meta_kubernetes_{label}", "")
            for each in targets(role)
            if each.get("__meta_kubernetes_service_name") != "kubernetes"
        )

    def matches():
        assert found() == expected
        return True

    eventually(matches, f"what the role {role} finds")


def test_changes_are_followed(cluster, targets):
    cluster.kubectl("scale", "deployment/web", "--replicas=3")
    addresses = lambda: [each["__address__"] for each in targets("pod")]  # noqa: E731
    eventually(lambda: len(set(addresses())) == 3, "three pods", 60)
    cluster.kubectl("scale", "deployment/web", "--replicas=2")
    eventually(lambda: len(set(addresses())) == 2, "two pods", 60)
