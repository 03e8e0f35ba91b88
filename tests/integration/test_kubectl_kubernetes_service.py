"""The Service ``kubernetes``, as kubectl shows it and as it comes back."""

import ssl

import pytest

from tests.cluster import Cluster, eventually, free_port


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """A server that others could reach."""
    port = free_port()
    made = Cluster(tmp_path_factory.mktemp("server"), f"127.0.0.1:{port}", ("--listen", f"0.0.0.0:{port}"))
    try:
        made.start()
        yield made
    finally:
        made.stop()


def test_it_is_there(cluster):
    eventually(lambda: cluster.kubectl("get", "service", "kubernetes", check=False).returncode == 0, "the service")
    _, row = cluster.kubectl("get", "service", "kubernetes").stdout.splitlines()
    assert row.split()[:5] == ["kubernetes", "ClusterIP", "10.43.0.1", "<none>", "443/TCP"]
    shown = cluster.kubectl("get", "servicecidr", "kubernetes").stdout
    assert "10.43.0.0/16" in shown
    described = cluster.kubectl("describe", "service", "kubernetes").stdout
    port = cluster.address.rpartition(":")[2]
    assert f":{port}" in next(line for line in described.splitlines() if line.startswith("Endpoints:"))
    slices = cluster.get("endpointslices", "-l", "kubernetes.io/service-name=kubernetes")["items"]
    assert len(slices) == 1


def test_it_comes_back(cluster):
    uid = cluster.get("service", "kubernetes")["metadata"]["uid"]
    cluster.kubectl("delete", "service,endpointslice", "kubernetes", "--wait=false")  # its Endpoints go with it

    def is_back():
        found = [cluster.get(kind, "kubernetes") for kind in ("service", "endpointslice", "endpoints")]
        return found[0]["metadata"]["uid"] != uid

    eventually(is_back, "all is back")
    assert cluster.get("service", "kubernetes")["spec"]["clusterIP"] == "10.43.0.1"


def test_the_certificate_is_for_it(cluster):
    host, _, port = cluster.address.rpartition(":")
    pem = ssl.get_server_certificate((host, int(port)))
    path = cluster.directory / "server.pem"
    path.write_text(pem)
    names = ssl._ssl._test_decode_cert(str(path))["subjectAltName"]  # type: ignore[attr-defined]
    assert {("DNS", "kubernetes.default.svc"), ("IP Address", "10.43.0.1")} <= set(names)


def test_nothing_is_left_of_an_address_where_nobody_listens(cluster):
    """Started again, on loopback only. The last of this file: the server stays as it is."""
    assert cluster.endpoints("kubernetes", 1)
    cluster.stop()
    cluster.options = ()
    cluster.start()
    eventually(lambda: cluster.endpoints("kubernetes", 0) is not None, "no address in the slice")
    eventually(lambda: not cluster.get("endpoints", "kubernetes").get("subsets"), "no address in the Endpoints")
    assert cluster.get("service", "kubernetes")["spec"]["clusterIP"] == "10.43.0.1"
