"""The real, unmodified kubectl against a real server process: what a user types, without any node."""

import json

import pytest

from tests.cluster import deployment, eventually

CONFIG = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"a": "1", "b": "2"}}


@pytest.fixture(autouse=True)
def clean(cluster):
    yield
    cluster.kubectl("delete", "deployments,replicasets,pods,configmaps,secrets,services", "--all", "--force", "--wait")


def names(output):
    return {line.split()[0] for line in output.splitlines() if line.strip()}


def test_discovery(cluster):
    resources = cluster.kubectl("api-resources", "--no-headers").stdout
    assert {"pods", "nodes", "namespaces", "deployments", "replicasets", "services", "endpointslices", "leases",
            "certificatesigningrequests", "configmaps", "secrets", "events"} <= names(resources)  # fmt: skip
    assert "apps/v1" in cluster.kubectl("api-versions").stdout.split()
    version = json.loads(cluster.kubectl("version", "-o", "json").stdout)["serverVersion"]
    assert (version["major"], version["minor"]) == ("1", "36")
    assert "+longboat" in version["gitVersion"]
    assert "is running at" in cluster.kubectl("cluster-info").stdout


def test_system_namespaces(cluster):
    eventually(
        lambda: (
            {"default", "kube-system", "kube-public", "kube-node-lease"}
            <= names(cluster.kubectl("get", "ns", "--no-headers").stdout)
        ),
        "the system's namespaces",
    )


def test_apply_creates_changes_and_prunes(cluster):
    assert "created" in cluster.kubectl("apply", "-f", "-", text=json.dumps(CONFIG)).stdout
    assert "unchanged" in cluster.kubectl("apply", "-f", "-", text=json.dumps(CONFIG)).stdout
    changed = CONFIG | {"data": {"a": "3"}}
    assert "configured" in cluster.kubectl("apply", "-f", "-", text=json.dumps(changed)).stdout
    assert cluster.get("configmap", "c")["data"] == {"a": "3"}


def test_apply_removes_a_field_of_a_deployment(cluster):
    first = deployment("web", 0, nodeSelector={"disk": "ssd"})
    cluster.apply(first)
    assert cluster.get("deployment", "web")["spec"]["template"]["spec"]["nodeSelector"] == {"disk": "ssd"}
    cluster.apply(deployment("web", 0))
    assert "nodeSelector" not in cluster.get("deployment", "web")["spec"]["template"]["spec"]


@pytest.mark.parametrize(
    ("kind", "patch"),
    [
        ("merge", '{"data":{"a":"9","b":null}}'),
        ("json", '[{"op":"replace","path":"/data/a","value":"9"},{"op":"remove","path":"/data/b"}]'),
        ("strategic", '{"data":{"a":"9","b":null}}'),
    ],
)
def test_patch_types(cluster, kind, patch):
    cluster.apply(CONFIG)
    cluster.kubectl("patch", "configmap", "c", f"--type={kind}", "-p", patch)
    assert cluster.get("configmap", "c")["data"] == {"a": "9"}


def test_create_replace_edit(cluster):
    cluster.kubectl("create", "-f", "-", text=json.dumps(CONFIG))
    again = cluster.kubectl("create", "-f", "-", text=json.dumps(CONFIG), check=False)
    assert again.returncode == 1
    assert "AlreadyExists" in again.stderr
    cluster.kubectl("replace", "-f", "-", text=json.dumps(CONFIG | {"data": {"z": "1"}}))
    assert cluster.get("configmap", "c")["data"] == {"z": "1"}
    environ = {"KUBE_EDITOR": "sed -i s/z:/w:/"}
    cluster.kubectl("edit", "configmap", "c", environ=environ)
    assert cluster.get("configmap", "c")["data"] == {"w": "1"}


def test_outputs_and_selectors(cluster):
    cluster.apply(CONFIG, CONFIG | {"metadata": {"name": "d", "labels": {"k": "v"}}})
    assert names(cluster.kubectl("get", "cm", "-l", "k=v", "--no-headers").stdout) == {"d"}
    assert names(cluster.kubectl("get", "cm", "--field-selector=metadata.name=c", "--no-headers").stdout) == {"c"}
    assert cluster.kubectl("get", "cm", "c", "-o", "name").stdout == "configmap/c\n"
    assert cluster.kubectl("get", "cm", "c", "-o", "jsonpath={.data.a}").stdout == "1"
    columns = cluster.kubectl("get", "cm", "c", "-o", "custom-columns=N:.metadata.name,A:.data.a").stdout
    assert columns.split() == ["N", "A", "c", "1"]
    assert "kind: ConfigMap" in cluster.kubectl("get", "cm", "c", "-o", "yaml").stdout
    everywhere = cluster.kubectl("get", "cm", "-A").stdout
    assert everywhere.splitlines()[0].split() == ["NAMESPACE", "NAME", "DATA", "AGE"]


def test_a_deployment_makes_pods_that_fit_nowhere(cluster):
    cluster.apply(deployment("web", 3))
    eventually(lambda: len(cluster.pods("app=web")) == 3, "three pods")
    table = cluster.kubectl("get", "deploy", "-o", "wide").stdout.splitlines()
    assert table[0].split()[:5] == ["NAME", "READY", "UP-TO-DATE", "AVAILABLE", "AGE"]
    eventually(lambda: "0/3" in cluster.kubectl("get", "deploy").stdout, "0/3 ready")
    pod = cluster.pods("app=web")[0]["metadata"]["name"]
    eventually(
        lambda: (
            "no nodes available to schedule pods" in cluster.kubectl("describe", "pod", pod).stdout
            or "0/0 nodes are available" in cluster.kubectl("describe", "pod", pod).stdout
        ),
        "FailedScheduling",
    )
    assert "ScalingReplicaSet" in cluster.kubectl("describe", "deployment", "web").stdout
    cluster.kubectl("scale", "deployment/web", "--replicas=1")
    eventually(lambda: len(cluster.pods("app=web")) == 1, "one pod")


def test_delete_by_label_and_propagation(cluster):
    cluster.apply(deployment("web", 2))
    eventually(lambda: len(cluster.pods("app=web")) == 2, "two pods")
    cluster.kubectl("delete", "deployment", "-l", "none=such")
    cluster.kubectl("delete", "deployment", "web", "--cascade=orphan")
    assert len(cluster.get("rs")["items"]) == 1
    eventually(lambda: "ownerReferences" not in cluster.get("rs")["items"][0]["metadata"], "the set is an orphan")
    cluster.kubectl("delete", "rs", "--all", "--cascade=foreground", "--timeout=30s")
    eventually(lambda: not cluster.get("pods")["items"], "no pods")


def test_label_annotate_and_wait(cluster):
    cluster.apply(CONFIG)
    cluster.kubectl("label", "cm", "c", "team=a")
    cluster.kubectl("annotate", "cm", "c", "note=hello")
    meta = cluster.get("cm", "c")["metadata"]
    assert (meta["labels"]["team"], meta["annotations"]["note"]) == ("a", "hello")
    cluster.kubectl("wait", "cm/c", "--for=jsonpath={.data.a}=1", "--timeout=10s")
    cluster.kubectl("delete", "cm", "c", "--wait=false")
    cluster.kubectl("wait", "cm/c", "--for=delete", "--timeout=10s")


def test_namespaces_go_with_what_is_in_them(cluster):
    cluster.kubectl("create", "namespace", "short")
    cluster.kubectl("-n", "short", "create", "configmap", "x", "--from-literal=a=b")
    cluster.kubectl("delete", "namespace", "short", "--timeout=60s")
    assert cluster.kubectl("get", "ns", "short", check=False).returncode == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{nope", "error parsing"),
        (json.dumps(CONFIG | {"kind": "Widget"}), 'no matches for kind "Widget"'),
        (json.dumps(deployment("web", 1) | {"spec": {"replicas": "x"}}), "spec.replicas"),
        (json.dumps(CONFIG | {"metadata": {"name": "Bad_Name"}}), "metadata.name"),
        (json.dumps(CONFIG | {"dota": {}}), 'unknown field "dota"'),
    ],
    ids=["broken", "kind", "type", "name", "field"],
)
def test_bad_input_names_the_field(cluster, text, message):
    done = cluster.kubectl("apply", "-f", "-", text=text, check=False)
    assert done.returncode == 1
    assert message in done.stderr


def test_selector_and_template_must_match(cluster):
    bad = deployment("web", 1)
    bad["spec"]["selector"]["matchLabels"] = {"app": "other"}
    done = cluster.kubectl("apply", "-f", "-", text=json.dumps(bad), check=False)
    assert "spec.template.metadata.labels" in done.stderr
    cluster.apply(deployment("web", 0))
    done = cluster.kubectl(
        "patch", "deployment", "web", "-p", '{"spec":{"selector":{"matchLabels":{"z":"z"}}}}', check=False
    )
    assert "field is immutable" in done.stderr


def test_tokens(cluster):
    token = cluster.longboat("token", "create", "--ttl", "1h", "--description", "by hand").stdout.strip()
    kind, id, secret, digest = token.split(".")
    assert (kind, len(id), len(secret), len(digest)) == ("lb1", 6, 16, 64)
    listed = cluster.longboat("token", "list").stdout
    assert id in listed
    assert "by hand" in listed
    assert secret not in listed
    cluster.longboat("token", "revoke", id)
    assert id not in cluster.longboat("token", "list").stdout
    gone = cluster.longboat("token", "revoke", id, check=False)
    assert gone.returncode == 1
    assert "there is no token" in gone.stderr


def test_the_official_python_client(cluster):
    from kubernetes import client, config

    api = client.CoreV1Api(config.new_client_from_config(str(cluster.kubeconfig)))
    body = client.V1ConfigMap(metadata=client.V1ObjectMeta(name="typed"), data={"a": "b"})
    created = api.create_namespaced_config_map("default", body)
    assert created.metadata.uid
    assert api.read_namespaced_config_map("typed", "default").data == {"a": "b"}
    assert "typed" in [item.metadata.name for item in api.list_namespaced_config_map("default").items]
    with pytest.raises(client.ApiException) as error:
        api.read_namespaced_config_map("none", "default")
    assert error.value.status == 404
    api.delete_namespaced_config_map("typed", "default")
    api.api_client.close()
