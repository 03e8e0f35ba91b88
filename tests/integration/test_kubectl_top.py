"""kubectl top and the resource metrics API, of containers that really run and work."""

import json

import pytest

from tests.cluster import eventually

BUSY = {"name": "busy", "command": ["sh", "-c", "while true; do :; done"]}
HOLDER = {
    "name": "holder",
    "command": ["sh", "-c", "x=$(head -c 30000000 /dev/zero | tr '\\0' x); sleep 1000000; echo over"],
}
API = "/apis/metrics.k8s.io/v1beta1"


@pytest.fixture(scope="module")
def host(docker_cluster):
    docker_cluster.run_pod("worker", BUSY, HOLDER)
    docker_cluster.run_pod("idle")
    docker_cluster.cluster.kubectl("label", "pod", "idle", "kind=idle")
    eventually(lambda: len(table(docker_cluster, "pod")) == 2, "both pods' metrics", 40)
    return docker_cluster


def table(host, *arguments):
    """The rows by name, without the header."""
    lines = host.cluster.kubectl("top", *arguments, "--no-headers", check=False).stdout.splitlines()
    return {line.split()[0]: line.split()[1:] for line in lines}


def test_pods(host):
    def shown():
        rows = table(host, "pod")
        return int(rows["worker"][0].removesuffix("m")) > 200 and int(rows["idle"][0].removesuffix("m")) < 100

    eventually(shown, "the busy pod uses the processor, the idle one does not", 30)
    assert int(table(host, "pod")["worker"][1].removesuffix("Mi")) >= 25


def test_containers(host):
    lines = host.cluster.kubectl("top", "pod", "worker", "--containers", "--no-headers").stdout.splitlines()
    rows = {line.split()[1]: line.split()[2:] for line in lines}
    assert set(rows) == {"busy", "holder"}
    assert int(rows["busy"][1].removesuffix("Mi")) < int(rows["holder"][1].removesuffix("Mi"))


def test_sorted_chosen_and_everywhere(host):
    kubectl = host.cluster.kubectl
    assert kubectl("top", "pod", "--sort-by=cpu", "--no-headers").stdout.split()[0] == "worker"
    assert set(table(host, "pod", "-l", "kind=idle")) == {"idle"}
    assert "idle" in kubectl("top", "pod", "-A").stdout
    assert "CPU(cores)" in kubectl("top", "pod", "--sum").stdout


def test_nodes(host):
    name, cpu, cpu_share, memory, memory_share = host.cluster.kubectl("top", "node", "--no-headers").stdout.split()
    assert name == "host-1"
    assert int(cpu.removesuffix("m")) > 200
    assert int(memory.removesuffix("Mi")) > 100
    assert (cpu_share[-1], memory_share[-1]) == ("%", "%")


def test_objects(host):
    pod = json.loads(host.cluster.kubectl("get", "--raw", f"{API}/namespaces/default/pods/idle").stdout)
    assert (pod["kind"], pod["metadata"]["labels"]) == ("PodMetrics", {"kind": "idle"})
    assert set(pod["containers"][0]["usage"]) == {"cpu", "memory"}
    assert float(pod["window"].removesuffix("s")) > 0
    nodes = json.loads(host.cluster.kubectl("get", "--raw", f"{API}/nodes").stdout)
    assert (nodes["kind"], [item["metadata"]["name"] for item in nodes["items"]]) == ("NodeMetricsList", ["host-1"])
    header, *_ = host.cluster.kubectl("get", "pods.metrics.k8s.io").stdout.splitlines()
    assert header.split() == ["NAME", "CPU", "MEMORY", "WINDOW"]
    assert (
        "usage"
        in host.cluster.kubectl("explain", "podmetrics.containers", "--api-version=metrics.k8s.io/v1beta1").stdout
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("top", "pod", "nobody"), 'podmetrics.metrics.k8s.io "default/nobody" not found'),
        (("delete", "pods.metrics.k8s.io", "idle"), "the server does not allow this method"),
        (("get", "pods.metrics.k8s.io", "--as=nobody"), "pods.metrics.k8s.io is forbidden"),
    ],
    ids=["no metrics", "nothing to delete", "no rights"],
)  # fmt: skip
def test_what_there_is_not(host, arguments, message):
    done = host.cluster.kubectl(*arguments, check=False)
    assert done.returncode == 1
    assert message in done.stderr


def test_who_may_view_may_look(host):
    host.cluster.kubectl("create", "clusterrolebinding", "viewer", "--clusterrole=view", "--user=viewer")
    assert host.cluster.kubectl("top", "pod", "--as=viewer").returncode == 0


def test_a_pod_that_has_gone_is_gone_here_too(host):
    host.run_pod("short")
    eventually(lambda: "short" in table(host, "pod"), "its metrics", 40)
    host.cluster.kubectl("delete", "pod", "short")
    assert "short" not in table(host, "pod")


def test_a_namespace_goes_although_its_metrics_cannot_be_deleted(host):
    host.cluster.kubectl("create", "namespace", "passing")
    assert host.cluster.kubectl("delete", "namespace", "passing", "--timeout=30s").returncode == 0
