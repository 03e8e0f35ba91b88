"""An operator that others wrote and run: Dask's, from its own Helm chart, whose definitions hold whole pod specs
(900 KB of them), to clusters that it makes, scales and takes down."""

import os
import subprocess
import sys
from importlib.resources import files

import pytest

from tests.cluster import eventually, free_port
from tests.helm import Helm
from tests.hollow import hollow_cluster

CHART = files("dask_kubernetes") / "operator/deployment/helm/dask-kubernetes-operator"

DASK_CLUSTER = """\
apiVersion: kubernetes.dask.org/v1
kind: DaskCluster
metadata: {name: sums, namespace: default}
spec:
  worker:
    replicas: 2
    spec: {containers: [{name: worker, image: "dask:1", args: [dask-worker]}]}
  scheduler:
    spec:
      containers:
      - name: scheduler
        image: dask:1
        args: [dask-scheduler]
        ports: [{name: tcp-comm, containerPort: 8786, protocol: TCP}]
    service:
      type: ClusterIP
      selector: {dask.org/cluster-name: sums, dask.org/component: scheduler}
      ports: [{name: tcp-comm, protocol: TCP, port: 8786, targetPort: tcp-comm}]
"""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dask")
    with hollow_cluster(folder) as cluster:
        helm = Helm("4", cluster, folder)
        helm("install", "dask", str(CHART), "--wait", "--timeout", "60s")
        yield cluster


@pytest.fixture
def operator(cluster, tmp_path):
    """The program that the chart's pod would run: hollow nodes run none."""
    command = [sys.executable, "-m", "kopf", "run", "--all-namespaces", "-m", "dask_kubernetes.operator.controller",
               f"--liveness=http://127.0.0.1:{free_port()}/healthz"]  # fmt: skip
    environ = os.environ | {
        "KUBECONFIG": str(cluster.kubeconfig), "HOME": str(tmp_path)
    }  # fmt: skip
    log = tmp_path / "operator.log"
    with log.open("w") as out, subprocess.Popen(command, env=environ, stdout=out, stderr=out) as process:
        yield log
        process.terminate()
        process.wait(30)


def test_definitions_are_explained(cluster):
    explained = cluster.kubectl("explain", "daskclusters.spec.worker.spec.containers.securityContext")
    assert "runAsNonRoot" in explained.stdout


def test_operator_makes_scales_and_ends_a_cluster(cluster, operator):
    def pods(component):
        return cluster.ready_pods(f"dask.org/component={component}")

    cluster.kubectl("apply", "-f", "-", text=DASK_CLUSTER)
    cluster.kubectl("wait", "daskcluster/sums", "--for=jsonpath={.status.phase}=Running", "--timeout=60s")
    eventually(lambda: len(pods("worker")) == 2 and len(pods("scheduler")) == 1, f"its pods (see {operator})")
    cluster.kubectl("scale", "daskworkergroup/sums-default", "--replicas=3")
    eventually(lambda: len(pods("worker")) == 3, "three workers")
    cluster.kubectl("delete", "daskcluster", "sums", "--timeout=60s")
    owned = ("daskworkergroups,deployments,services,pods", "-l", "dask.org/cluster-name=sums")
    eventually(lambda: not cluster.get(*owned)["items"], "everything that belonged to it gone")
