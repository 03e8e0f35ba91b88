"""A real Prometheus scrapes the server with a service account's token and RBAC's rights. Debian's build has no
kubernetes_sd (test_service_discovery.py has one that does), so it is told where the server is."""

import json
import subprocess
import urllib.error
import urllib.request

import pytest

from tests.cluster import eventually, free_port
from tests.packages import program

ACCOUNT = """\
apiVersion: v1
kind: ServiceAccount
metadata: {name: prometheus, namespace: default}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: prometheus}
rules:
- {nonResourceURLs: [/metrics], verbs: [get]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: prometheus}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: prometheus}
subjects: [{kind: ServiceAccount, name: prometheus, namespace: default}]
"""

CONFIG = """\
global: {{scrape_interval: 1s}}
scrape_configs:
- job_name: server
  scheme: https
  static_configs: [{{targets: ['{address}']}}]
  tls_config: {{ca_file: {ca}}}
  authorization: {{credentials_file: {token}}}
"""


@pytest.fixture(scope="module")
def cluster(cluster):
    cluster.kubectl("apply", "-f", "-", text=ACCOUNT)
    return cluster


@pytest.fixture(scope="module")
def prometheus(cluster, tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    token, ca = folder / "token", folder / "ca.crt"
    token.write_text(cluster.kubectl("create", "token", "prometheus").stdout.strip())
    ca.write_text(cluster.get("configmap", "kube-root-ca.crt")["data"]["ca.crt"])
    config = folder / "prometheus.yml"
    config.write_text(CONFIG.format(address=cluster.address, ca=ca, token=token))
    address = f"127.0.0.1:{free_port()}"
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [program("prometheus", "usr/bin/prometheus"), f"--config.file={config}",
             f"--storage.tsdb.path={folder}/data", f"--web.listen-address={address}", "--web.enable-lifecycle"],
            stdout=log, stderr=log, stdin=subprocess.DEVNULL,
        )  # fmt: skip
    yield lambda path: _read(f"http://{address}/api/v1/{path}")
    process.terminate()
    process.wait(30)


def _read(url):
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return json.load(answer)["data"]
    except urllib.error.URLError as error:
        raise AssertionError(f"{url}: {error}") from error


def test_server_is_scraped_with_a_token(prometheus):
    up = lambda: prometheus("query?query=up%7Bjob%3D%22server%22%7D")["result"][0]["value"][1] == "1"  # noqa: E731
    eventually(lambda: prometheus("query?query=up")["result"] and up(), "the server's metrics", 60)
    counted = prometheus("query?query=apiserver_request_total")["result"]
    assert {"verb", "resource", "code"} <= set(counted[0]["metric"])
