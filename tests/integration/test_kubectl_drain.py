"""kubectl drain against a budget: the node empties as far as the budget lets it, and no further."""

import pytest

from tests.cluster import deployment, eventually


@pytest.fixture(scope="module")
def cluster(hollow):
    return hollow


def where(cluster):
    pods = cluster.get("pods", "-l", "app=web")["items"]
    return [pod["spec"].get("nodeName") for pod in pods if not pod["metadata"].get("deletionTimestamp")]


def test_drain_waits_for_the_budget(cluster):
    cluster.apply(deployment("web", 4))
    cluster.kubectl("rollout", "status", "deployment/web", "--timeout=60s")
    cluster.kubectl("create", "poddisruptionbudget", "web", "--selector", "app=web", "--min-available", "100%")
    allowed = lambda: cluster.get("pdb", "web")["status"].get("disruptionsAllowed")  # noqa: E731
    eventually(lambda: cluster.get("pdb", "web")["status"].get("expectedPods") == 4, "the budget is worked out")
    assert allowed() == 0
    refused = cluster.kubectl(
        "drain", "hollow-0", "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=8s", check=False
    )
    assert refused.returncode == 1
    assert "violate the pod's disruption budget" in refused.stderr
    assert where(cluster).count("hollow-0") > 0
    cluster.kubectl("patch", "pdb", "web", "--type=merge", "-p", '{"spec":{"minAvailable":"50%"}}')
    cluster.kubectl("drain", "hollow-0", "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=90s")
    assert set(where(cluster)) == {"hollow-1"}
    cluster.kubectl("uncordon", "hollow-0")
    shown = cluster.kubectl("describe", "pdb", "web").stdout
    assert "Allowed disruptions:" in shown
