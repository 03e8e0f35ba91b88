"""The real kubectl with quotas, limits, classes, ingresses, claims and pod security, against a real server process."""

from tests.cluster import eventually


def test_typed_creations(cluster):
    cluster.kubectl("create", "quota", "q", "--hard=pods=1,requests.cpu=2,count/secrets=9")
    cluster.kubectl("create", "priorityclass", "high", "--value=1000", "--description=ü", "--preemption-policy=Never")
    cluster.kubectl("create", "ingress", "i", "--rule=h.example/a*=s:http,tls=secret", "--class=c")
    assert cluster.get("quota", "q")["spec"]["hard"] == {"pods": "1", "requests.cpu": "2", "count/secrets": "9"}
    high = cluster.get("priorityclass", "high")
    assert (high["value"], high["description"], high["preemptionPolicy"]) == (1000, "ü", "Never")
    [rule] = cluster.get("ingress", "i")["spec"]["rules"]
    assert rule["http"]["paths"][0]["backend"]["service"] == {"name": "s", "port": {"name": "http"}}


def test_a_quota_is_counted_described_and_held(cluster):
    cluster.kubectl("create", "namespace", "small")
    here = ("--namespace", "small")
    cluster.kubectl("create", "quota", "q", "--hard=pods=1", *here)
    eventually(lambda: cluster.get("quota", "q", *here).get("status", {}).get("used"), "the quota's status")
    cluster.kubectl("run", "a", "--image=i", *here)
    refused = cluster.kubectl("run", "b", "--image=i", *here, check=False)
    assert (
        'pods "b" is forbidden: exceeded quota: q, requested: pods=1, used: pods=1, limited: pods=1' in refused.stderr
    )
    described = cluster.kubectl("describe", "quota", "q", *here).stdout.split()
    assert described[-3:] == ["pods", "1", "1"]
    assert "pods: 1/1" in cluster.kubectl("get", "quota", *here).stdout


def test_every_cluster_has_its_priority_classes(cluster):
    listed = cluster.kubectl("get", "priorityclasses", "-o", "name").stdout.split()
    assert {f"priorityclass.scheduling.k8s.io/system-{name}-critical" for name in ("cluster", "node")} <= set(listed)


def test_a_namespace_with_pod_security(cluster):
    cluster.kubectl("create", "namespace", "strict")
    cluster.kubectl("label", "namespace", "strict", "pod-security.kubernetes.io/enforce=restricted")
    refused = cluster.kubectl("run", "a", "--image=i", "--namespace", "strict", check=False)
    assert 'violates PodSecurity "restricted:latest": allowPrivilegeEscalation != false' in refused.stderr


def test_a_claim_is_deleted_though_it_is_protected(cluster):
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    cluster.apply({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "c"}, "spec": spec})
    assert "Pending" in cluster.kubectl("get", "pvc").stdout
    cluster.kubectl("delete", "pvc", "c", "--timeout=20s")
