"""One lab and one cluster of three nodes for all end-to-end tests; each test leaves three Ready nodes behind."""

import os
from pathlib import Path

import pytest

from deploy.samples import image
from tests.cluster import Cluster, eventually
from tests.lab.lab import Lab

HOSTS = 3


@pytest.fixture(scope="session")
def lab():
    if os.geteuid() != 0:
        pytest.skip("the lab needs root: network namespaces, cgroups and containers")
    lab = Lab(Path(os.environ.get("LONGBOAT_LAB", "/var/tmp/longboat-lab")))
    lab.down()
    try:
        lab.up(HOSTS)
        yield lab
    finally:
        lab.down()


@pytest.fixture(scope="session")
def images(lab, tmp_path_factory):
    """The test image, on every host."""
    archive = tmp_path_factory.mktemp("images") / "test.tar"
    archive.write_bytes(image.archive("longboat/test:1", files={"www/index.html": b"hello from longboat\n"}))
    lab.load_image(archive, lab.hosts())
    return archive


@pytest.fixture(scope="session")
def whole_cluster(lab, images, tmp_path_factory):
    """A server and three nodes, joined with ``longboat node add``."""
    cluster = Cluster(tmp_path_factory.mktemp("cluster"), f"{lab.switch.gateway}:16443")
    cluster.start()
    try:
        hosts = [f"root@{host.address}" for host in lab.hosts()]
        cluster.longboat("node", "add", *hosts, "-i", str(lab.key), "--accept-new")
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture
def cluster(whole_cluster):
    """The cluster with all of its nodes Ready, and a clean default namespace afterwards."""
    wait_ready(whole_cluster)
    yield whole_cluster
    whole_cluster.kubectl("delete", "deployments,replicasets,pods,services,configmaps,secrets", "--all", "--wait=false")
    eventually(lambda: not whole_cluster.get("pods")["items"], "every pod of the test gone", timeout=90)


def wait_ready(cluster):
    names = [node["metadata"]["name"] for node in cluster.get("nodes")["items"]]
    assert len(names) == HOSTS
    eventually(lambda: all(cluster.node_ready(name) for name in names), "three Ready nodes", timeout=60)
