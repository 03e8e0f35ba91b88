"""The real kubectl's typed commands, whose bodies are protobuf, against a real server process."""

import base64
import json

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.cluster import eventually


def signing_request(name):
    request = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "someone")]))
        .sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
    )
    return {
        "apiVersion": "certificates.k8s.io/v1",
        "kind": "CertificateSigningRequest",
        "metadata": {"name": name, "annotations": {"example.com/why": "ü"}},
        "spec": {
            "request": base64.b64encode(request.public_bytes(serialization.Encoding.PEM)).decode(),
            "signerName": "example.com/nobody",
            "usages": ["client auth"],
            "expirationSeconds": 3600,
        },
    }


@pytest.mark.parametrize(("verb", "condition"), [("approve", "Approved"), ("deny", "Denied")])
def test_certificate_commands_change_the_condition_only(cluster, verb, condition):
    cluster.apply(signing_request(verb))
    before = cluster.get("csr", verb)
    cluster.kubectl("certificate", verb, verb)
    after = cluster.get("csr", verb)
    [found] = after["status"]["conditions"]
    assert (found["type"], found["status"]) == (condition, "True")
    assert after["spec"] == before["spec"]
    assert after["metadata"]["annotations"] == before["metadata"]["annotations"]


def test_a_namespace_of_its_own_with_what_is_created_in_it(cluster):
    cluster.kubectl("create", "namespace", "typed")
    typed = ("--namespace", "typed")
    cluster.kubectl("create", "deployment", "d", "--image", "nginx:1", "--replicas", "0", *typed)
    assert cluster.get("deployment", "d", *typed)["spec"]["replicas"] == 0
    cluster.kubectl("scale", "deployment/d", "--replicas", "2", *typed)
    assert cluster.get("deployment", "d", *typed)["spec"]["replicas"] == 2
    cluster.kubectl("create", "secret", "generic", "s", "--from-literal", "a=ü", *typed)
    assert base64.b64decode(cluster.get("secret", "s", *typed)["data"]["a"]).decode() == "ü"
    cluster.kubectl("create", "service", "clusterip", "v", "--tcp", "80:http", *typed)
    [port] = cluster.get("service", "v", *typed)["spec"]["ports"]
    assert (port["port"], port["targetPort"]) == (80, "http")


def test_drain_deletes_with_the_grace_period_that_it_says(cluster):
    pod = {"containers": [{"name": "c", "image": "nginx:1"}], "nodeName": "m", "terminationGracePeriodSeconds": 60}
    cluster.apply(
        {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "m"}},
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": pod},
    )
    drain = ("drain", "m", "--force", "--disable-eviction", "--grace-period=7", "--timeout=2s")
    cluster.kubectl(*drain, check=False)  # nobody runs the pod, so nobody ends it
    meta = eventually(lambda: cluster.get("pod", "p")["metadata"], "the pod")
    assert meta["deletionGracePeriodSeconds"] == 7
    cluster.kubectl("delete", "pod", "p", "--force")
    assert json.loads(cluster.kubectl("get", "pods", "-o", "json").stdout)["items"] == []


def test_workloads_that_are_created_typed(cluster):
    cluster.kubectl("create", "namespace", "batch")
    typed = ("--namespace", "batch")
    cluster.kubectl("create", "job", "once", "--image", "busybox", *typed, "--", "true")
    assert cluster.get("job", "once", *typed)["spec"]["completionMode"] == "NonIndexed"
    cluster.kubectl("create", "cronjob", "hourly", "--image", "busybox", "--schedule", "@hourly", *typed)
    cluster.kubectl("create", "job", "now", "--from", "cronjob/hourly", *typed)
    (owner,) = cluster.get("job", "now", *typed)["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"]) == ("CronJob", "hourly")
    cluster.kubectl("create", "poddisruptionbudget", "some", "--selector", "app=x", "--min-available", "50%", *typed)
    assert cluster.get("pdb", "some", *typed)["spec"]["minAvailable"] == "50%"
    cluster.kubectl("create", "deployment", "d", "--image", "nginx:1", "--replicas", "0", *typed)
    cluster.kubectl("autoscale", "deployment", "d", "--min", "2", "--max", "5", "--cpu", "70%", *typed)
    spec = cluster.get("hpa", "d", *typed)["spec"]
    assert (spec["minReplicas"], spec["maxReplicas"]) == (2, 5)
    assert spec["metrics"][0]["resource"]["target"] == {"type": "Utilization", "averageUtilization": 70}
    for kind in ("job", "cronjob", "pdb", "hpa"):
        assert cluster.kubectl("describe", kind, *typed).stdout
    assert "Suspend" in cluster.kubectl("get", "cronjobs", "-o", "wide", *typed).stdout.title()
