"""A kubectl of 2021 (Debian's kubernetes-client, 1.20), which is many versions behind the API."""

import os
import subprocess

import pytest

from tests.cluster import deployment
from tests.custom import definition
from tests.packages import program

MANIFEST = """\
apiVersion: v1
kind: ConfigMap
metadata: {name: old}
data: {a: "1"}
"""


@pytest.fixture(scope="module")
def cluster(hollow):
    hollow.apply(deployment("web", 2))
    hollow.kubectl("rollout", "status", "deployment/web", "--timeout=60s")
    return hollow


@pytest.fixture(scope="module")
def kubectl(cluster):
    path = program("kubernetes-client", "usr/bin/kubectl")
    environ = {"KUBECONFIG": str(cluster.kubeconfig), "HOME": str(cluster.directory), "PATH": os.environ["PATH"]}

    def run(*arguments, text=None, check=True):
        done = subprocess.run(
            [str(path), *arguments], env=environ, input=text, capture_output=True, text=True, timeout=120
        )
        assert not check or done.returncode == 0, f"kubectl {' '.join(arguments)}: {done.stderr}"
        return done.stdout

    return run


def test_it_is_old(kubectl):
    assert '"v1.20' in kubectl("version")


def test_reads(kubectl):
    assert "deployments" in kubectl("api-resources")
    assert "apps/v1" in kubectl("api-versions")
    assert "hollow-0" in kubectl("get", "nodes", "-o", "wide")
    assert "2/2" in kubectl("get", "deployment,replicaset,pod", "-A")
    assert "RollingUpdate" in kubectl("describe", "deployment", "web")
    assert "Node:" in kubectl("describe", "pod", "-l", "app=web")
    assert kubectl("get", "deployment", "web", "-o", "jsonpath={.spec.replicas}") == "2"
    assert kubectl("auth", "can-i", "get", "pods").strip() == "yes"


def test_changes(cluster, kubectl):
    assert "created" in kubectl("apply", "-f", "-", text=MANIFEST)
    assert "unchanged" in kubectl("apply", "-f", "-", text=MANIFEST)
    assert "serverside-applied" in kubectl(
        "apply", "--server-side", "--force-conflicts", "-f", "-", text=MANIFEST.replace('"1"', '"2"')
    )
    kubectl("label", "configmap", "old", "x=y")
    kubectl("patch", "configmap", "old", "-p", '{"data":{"b":"3"}}')
    assert cluster.get("configmap", "old")["data"] == {"a": "2", "b": "3"}
    kubectl("delete", "configmap", "old")
    kubectl("create", "secret", "generic", "s", "--from-literal=a=b")
    kubectl("create", "job", "once", "--image=busybox:1")
    kubectl("delete", "secret/s", "job/once")


def test_schemas(cluster, kubectl):
    """All of them in one document, which it asks for in protobuf."""
    assert "List of containers belonging to the pod" in kubectl("explain", "pod.spec.containers")
    assert "terminationGracePeriodSeconds" in kubectl("explain", "deployments", "--recursive")
    cluster.apply(definition())
    cluster.kubectl("wait", "--for=condition=Established", "crd/crontabs.stable.example.com", "--timeout=10s")
    assert "cronSpec" in kubectl("explain", "crontabs.spec")


def test_bodies_are_checked_before_they_are_sent(kubectl):
    wrong = MANIFEST.replace("data:", "date:")
    assert kubectl("apply", "--dry-run=client", "-f", "-", text=wrong, check=False) == ""
    assert "created" in kubectl("apply", "--dry-run=client", "-f", "-", text=MANIFEST)


def test_diff(kubectl):
    kubectl("apply", "-f", "-", text=MANIFEST)
    shown = kubectl("diff", "-f", "-", text=MANIFEST.replace('"1"', '"5"'), check=False)
    assert '-  a: "1"' in shown
    assert '+  a: "5"' in shown
    kubectl("delete", "configmap", "old")


def test_rollouts(kubectl):
    kubectl("set", "image", "deployment/web", "web=hollow/web:2")
    kubectl("rollout", "status", "deployment/web", "--timeout=60s")
    assert "2" in kubectl("rollout", "history", "deployment/web")
    kubectl("rollout", "undo", "deployment/web")
    kubectl("scale", "deployment", "web", "--replicas=3")
    kubectl("wait", "--for=condition=Available", "deployment/web", "--timeout=60s")


def test_drain(kubectl):
    kubectl("drain", "hollow-1", "--ignore-daemonsets", "--force", "--delete-emptydir-data", "--timeout=90s")
    assert "SchedulingDisabled" in kubectl("get", "node", "hollow-1")
    kubectl("uncordon", "hollow-1")
