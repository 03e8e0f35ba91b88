"""Further ranges of service addresses, as kubectl makes and removes them."""

from tests.cluster import eventually

RANGE = {
    "apiVersion": "networking.k8s.io/v1", "kind": "ServiceCIDR", "metadata": {"name": "more"},
    "spec": {"cidrs": ["10.99.0.0/24"]},
}  # fmt: skip


def service(name, **spec):
    metadata = {"name": name, "namespace": "default"}
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": {"ports": [{"port": 80}], **spec}}


def ready(cluster):
    conditions = cluster.get("servicecidr", "more").get("status", {}).get("conditions", [])
    return {c["type"]: (c["status"], c.get("reason", "")) for c in conditions}.get("Ready")


def test_a_range_lives_as_long_as_its_addresses(cluster):
    cluster.apply(RANGE)
    eventually(lambda: ready(cluster) == ("True", ""), "the range is ready")
    finalizers = cluster.get("servicecidr", "more")["metadata"]["finalizers"]
    assert finalizers == ["networking.k8s.io/service-cidr-finalizer"]
    cluster.apply(service("inside", clusterIP="10.99.0.5"))
    cluster.kubectl("delete", "servicecidr", "more", "--wait=false")
    eventually(lambda: ready(cluster) == ("False", "Terminating"), "its address holds it")
    cluster.stop()
    cluster.start()
    assert cluster.get("service", "inside")["spec"]["clusterIP"] == "10.99.0.5"
    assert cluster.get("ipaddress", "10.99.0.5")["spec"]["parentRef"]["name"] == "inside"
    refused = cluster.kubectl(
        "create", "service", "clusterip", "late", "--clusterip=10.99.0.6", "--tcp=80", check=False
    )
    assert "not in the valid range" in refused.stderr
    assert ready(cluster) == ("False", "Terminating")
    cluster.kubectl("delete", "service", "inside")
    eventually(lambda: cluster.kubectl("get", "servicecidr", "more", check=False).returncode == 1, "the range is gone")


def test_the_clusters_own_range_is_held_by_its_own_service(cluster):
    cluster.kubectl("delete", "servicecidr", "kubernetes", "--wait=false")

    def held():
        conditions = cluster.get("servicecidr", "kubernetes")["status"].get("conditions", [])
        return [(c["status"], c["reason"]) for c in conditions] == [("False", "Terminating")]

    eventually(held, "it is held")
    cluster.kubectl("delete", "service", "kubernetes")

    def is_back():
        conditions = cluster.get("servicecidr", "kubernetes")["status"].get("conditions", [])
        assert [c["status"] for c in conditions] == ["True"]
        return cluster.get("service", "kubernetes")["spec"]["clusterIP"] == "10.43.0.1"

    eventually(is_back, "both are back")
