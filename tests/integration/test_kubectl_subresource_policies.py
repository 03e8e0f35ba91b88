"""The real kubectl against policies about subresources: what connects, scales or takes a token is asked about."""

import pytest

from tests.cluster import Cluster, eventually

GROUP = "admissionregistration.k8s.io/v1"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    cluster = Cluster(tmp_path_factory.mktemp("server"))
    cluster.start()
    yield cluster
    cluster.stop()


def refuse(cluster, name, operation, resource, allowed, group=""):
    rule = {"operations": [operation], "apiGroups": [group], "apiVersions": ["v1"], "resources": [resource]}
    validations = [{"expression": allowed, "message": f"the policy {name} says no"}]
    spec = {"matchConstraints": {"resourceRules": [rule]}, "validations": validations}
    bound = {"policyName": name, "validationActions": ["Deny"]}
    for kind, body in (("", spec), ("Binding", bound)):
        cluster.apply(
            {"apiVersion": GROUP, "kind": f"ValidatingAdmissionPolicy{kind}", "metadata": {"name": name}, "spec": body}
        )


def test_connecting(cluster):
    cluster.kubectl("run", "p", "--image=i")
    refuse(cluster, "no-shell", "CONNECT", "pods/exec", "object.command[0] != 'sh'")
    refuse(cluster, "no-forward", "CONNECT", "pods/portforward", "false")
    refuse(cluster, "no-proxy", "CONNECT", "pods/proxy", "!object.path.startsWith('/secret')")
    refused = cluster.kubectl("exec", "p", "--", "sh", check=False)
    assert "the policy no-shell says no" in refused.stderr
    passed = cluster.kubectl("exec", "p", "--", "ls", check=False)
    assert "does not have a host assigned" in passed.stderr
    raw = "/api/v1/namespaces/default/pods/p/proxy"
    assert "the policy no-proxy says no" in cluster.kubectl("get", "--raw", f"{raw}/secret/x", check=False).stderr
    assert "says no" not in cluster.kubectl("get", "--raw", f"{raw}/public", check=False).stderr
    forwarded = cluster.kubectl("create", "--raw", "/api/v1/namespaces/default/pods/p/portforward", "-f", "-",
                                text="{}", check=False)  # fmt: skip
    assert "the policy no-forward says no" in forwarded.stderr


def test_scaling(cluster):
    cluster.kubectl("create", "deployment", "d", "--image=i")
    refuse(cluster, "small", "UPDATE", "deployments/scale", "object.spec.replicas <= 3", "apps")
    cluster.kubectl("scale", "deployment", "d", "--replicas=3")
    refused = cluster.kubectl("scale", "deployment", "d", "--replicas=4", check=False)
    assert "the policy small says no" in refused.stderr
    assert cluster.get("deployment", "d")["spec"]["replicas"] == 3


def test_tokens_for_whom_the_authorizer_allows(cluster):
    cluster.kubectl("create", "serviceaccount", "robot")
    asks = "authorizer.serviceAccount('default', object.metadata.?name.orValue(request.name))"
    refuse(cluster, "active", "CREATE", "serviceaccounts/token",
           f"{asks}.group('').resource('pods').namespace('default').check('list').allowed()")  # fmt: skip
    refused = cluster.kubectl("create", "token", "robot", check=False)
    assert "the policy active says no" in refused.stderr
    cluster.kubectl("create", "rolebinding", "r", "--clusterrole=view", "--serviceaccount=default:robot")

    def given():
        return cluster.kubectl("create", "token", "robot", check=False).returncode == 0

    eventually(given, "the role is there")
