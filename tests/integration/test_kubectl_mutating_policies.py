"""The real kubectl with MutatingAdmissionPolicies, against a real server process."""

import pytest

from tests.cluster import Cluster

POLICY = """
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingAdmissionPolicy
metadata: {name: sidecar}
spec:
  matchConstraints:
    resourceRules:
    - {apiGroups: [""], apiVersions: [v1], operations: [CREATE], resources: [pods]}
  matchConditions:
  - name: no-sidecar-yet
    expression: "!object.spec.?initContainers.orValue([]).exists(c, c.name == 'mesh-proxy')"
  variables:
  - name: image
    expression: params.data.image
  paramKind: {apiVersion: v1, kind: ConfigMap}
  failurePolicy: Fail
  reinvocationPolicy: IfNeeded
  mutations:
  - patchType: ApplyConfiguration
    applyConfiguration:
      expression: >
        Object{
          spec: Object.spec{
            initContainers: [
              Object.spec.initContainers{
                name: "mesh-proxy",
                image: variables.image,
                restartPolicy: "Always"
              }
            ]
          }
        }
  - patchType: JSONPatch
    jsonPatch:
      expression: >
        [
          JSONPatch{op: "test", path: "/spec/restartPolicy", value: "Always"},
          JSONPatch{op: "add", path: "/metadata/annotations/" + jsonpatch.escapeKey("example.com/mesh"), value: "on"}
        ]
---
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingAdmissionPolicyBinding
metadata: {name: sidecar}
spec:
  policyName: sidecar
  paramRef: {name: mesh, namespace: default, parameterNotFoundAction: Deny}
  matchResources:
    objectSelector: {matchLabels: {mesh: "yes"}}
"""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    cluster = Cluster(tmp_path_factory.mktemp("server"))
    cluster.start()
    yield cluster
    cluster.stop()


def test_a_sidecar_is_put_into_selected_pods(cluster):
    cluster.kubectl("apply", "-f", "-", text=POLICY)
    table = cluster.kubectl("get", "mutatingadmissionpolicies").stdout.split()
    assert table[:7] == ["NAME", "MUTATIONS", "PARAMKIND", "AGE", "sidecar", "2", "v1/ConfigMap"]
    assert "default/mesh" in cluster.kubectl("get", "mutatingadmissionpolicybindings").stdout
    run = ("run", "p", "--image=i", "--labels=mesh=yes", "--annotations=a=b")
    refused = cluster.kubectl(*run, check=False)
    assert "policy 'sidecar' with binding 'sidecar' denied request: failed to configure binding: no params" in (
        refused.stderr
    )
    cluster.kubectl("create", "configmap", "mesh", "--from-literal=image=mesh:1")
    cluster.kubectl(*run)
    pod = cluster.get("pod", "p")
    [mesh] = pod["spec"]["initContainers"]
    assert (mesh["image"], mesh["restartPolicy"], mesh["imagePullPolicy"]) == ("mesh:1", "Always", "IfNotPresent")
    assert pod["metadata"]["annotations"] == {"a": "b", "example.com/mesh": "on"}
    cluster.kubectl("run", "plain", "--image=i")
    assert "initContainers" not in cluster.get("pod", "plain")["spec"]
    once = cluster.kubectl("run", "once", "--image=i", "--labels=mesh=yes", "--annotations=a=b", "--restart=Never")
    assert "created" in once.stdout
    assert cluster.get("pod", "once")["metadata"]["annotations"] == {"a": "b"}


def test_what_cannot_work_is_refused_when_it_is_written(cluster):
    broken = (
        POLICY.partition("---")[0]
        .replace("Object.spec{\n", "Object.spec{1:\n")
        .replace("name: sidecar", "name: broken")
    )
    refused = cluster.kubectl("apply", "-f", "-", text=broken, check=False)
    assert "spec.mutations[0].applyConfiguration.expression: Invalid value" in refused.stderr
    assert "takes fields as `name: value`" in refused.stderr


def test_what_the_policy_made_is_gone_with_it(cluster):
    cluster.kubectl("delete", "mutatingadmissionpolicybinding", "sidecar")
    cluster.kubectl("run", "after", "--image=i", "--labels=mesh=yes")
    assert "initContainers" not in cluster.get("pod", "after")["spec"]
