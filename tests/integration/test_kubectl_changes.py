"""Changing objects with kubectl, in every form and with wrong input: apply, edit, replace, patch, label, create."""

import json

import pytest

from tests.cluster import deployment

CONFIG = """\
apiVersion: v1
kind: ConfigMap
metadata:
  name: {name}
  labels: {{set: one}}
data:
  a: "{a}"
"""


@pytest.fixture(autouse=True)
def clean(cluster):
    yield
    cluster.kubectl("delete", "configmaps,deployments,secrets,services,serviceaccounts", "--all", "--wait")


@pytest.fixture
def config(cluster, tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text(CONFIG.format(name="c", a=1))
    cluster.kubectl("apply", "-f", str(path))
    return path


def refused(cluster, *arguments, code=1, **options):
    done = cluster.kubectl(*arguments, check=False, **options)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stderr


def data(cluster, name="c"):
    return cluster.get("configmap", name)["data"]


# --- apply, diff, replace


def test_diff_says_what_apply_would_change(cluster, config):
    assert cluster.kubectl("diff", "-f", str(config)).stdout == ""
    config.write_text(CONFIG.format(name="c", a=2))
    done = cluster.kubectl("diff", "-f", str(config), check=False)
    assert done.returncode == 1
    assert '-  a: "1"' in done.stdout
    assert '+  a: "2"' in done.stdout
    assert data(cluster) == {"a": "1"}


def test_apply_prunes_what_left_the_files(cluster, config):
    config.write_text(CONFIG.format(name="c", a=1) + "---\n" + CONFIG.format(name="d", a=1))
    prune = ("apply", "-f", str(config), "--prune", "-l", "set=one", "--prune-allowlist=core/v1/ConfigMap")
    assert "configmap/d created" in cluster.kubectl(*prune).stdout
    config.write_text(CONFIG.format(name="c", a=1))
    assert "configmap/d pruned" in cluster.kubectl(*prune).stdout


def test_last_applied(cluster, config):
    shown = cluster.kubectl("apply", "view-last-applied", "configmap", "c", "-o", "json").stdout
    assert json.loads(shown)["data"] == {"a": "1"}
    cluster.kubectl("patch", "configmap", "c", "-p", '{"data":{"b":"mine"}}')
    config.write_text(CONFIG.format(name="c", a=3))
    cluster.kubectl("apply", "-f", str(config))
    assert data(cluster) == {"a": "3", "b": "mine"}, "what others set stays"


def test_replace(cluster, config):
    uid = cluster.get("configmap", "c")["metadata"]["uid"]
    config.write_text(CONFIG.format(name="c", a=4))
    assert "replaced" in cluster.kubectl("replace", "-f", str(config)).stdout
    assert cluster.get("configmap", "c")["metadata"]["uid"] == uid
    cluster.kubectl("replace", "--force", "-f", str(config))
    assert cluster.get("configmap", "c")["metadata"]["uid"] != uid
    config.write_text(CONFIG.format(name="nope", a=4))
    assert 'configmaps "nope" not found' in refused(cluster, "replace", "-f", str(config))
    stale = CONFIG.format(name="c", a=5).replace("metadata:\n", 'metadata:\n  resourceVersion: "1"\n')
    assert "the object has been modified" in refused(cluster, "replace", "-f", "-", text=stale)


# --- edit


def edit(cluster, sed, *more, **options):
    return cluster.kubectl("edit", "configmap", "c", *more, environ={"KUBE_EDITOR": f"sed -i '{sed}'"}, **options)


def test_edit(cluster, config):
    assert "edited" in edit(cluster, "s/a: .1.$/a: seven/").stdout
    assert data(cluster) == {"a": "seven"}
    unchanged = cluster.kubectl("edit", "configmap", "c", environ={"KUBE_EDITOR": "true"})
    assert "no changes made" in unchanged.stdout + unchanged.stderr


def test_an_edit_that_makes_nonsense_is_kept_for_another_try(cluster, config):
    done = edit(cluster, "s/^data:/dat:/", check=False)
    assert done.returncode == 1
    assert "is invalid" in done.stderr
    assert "A copy of your changes has been stored" in done.stderr
    assert data(cluster) == {"a": "1"}


# --- patch


@pytest.mark.parametrize(
    ("type", "patch", "said"),
    [
        ("merge", '{"data":{"a":1}}', "cannot unmarshal number into Go struct field data.a of type string"),
        ("json", '[{"op":"replace","path":"/data/z","value":"1"}]', "path does not exist: /data/z"),
        ("json", '[{"op":"test","path":"/data/a","value":"9"}]', "testing value /data/a failed"),
        ("json", '{"op":"remove"}', "error decoding patch"),
        ("json", '[{"op":"frob","path":"/data/a"}]', "Unexpected kind: frob"),
        ("strategic", '{"metadata":{"labels":{"a b":"c"}}}', "metadata.labels"),
        ("merge", '{"metadata":{"name":"other"}}', "does not match"),
        ("merge", '{"metadata":{"resourceVersion":"1"}}', "the object has been modified"),
    ],
    ids=["wrong type", "no such path", "failed test", "no list", "no such operation", "bad label", "rename", "stale"],
)
def test_a_bad_patch_changes_nothing(cluster, config, type, patch, said):
    assert said in refused(cluster, "patch", "configmap", "c", f"--type={type}", "-p", patch)
    assert data(cluster) == {"a": "1"}


def test_a_patch_of_the_status_leaves_the_spec(cluster):
    cluster.apply(deployment("web", 0))
    both = '{"spec":{"replicas":5},"status":{"collisionCount":3}}'
    cluster.kubectl("patch", "deployment", "web", "--subresource=status", "--type=merge", "-p", both)
    assert cluster.get("deployment", "web")["spec"]["replicas"] == 0
    assert cluster.get("deployment", "web")["status"]["collisionCount"] == 3


def test_patch_warns_of_unknown_fields_and_says_when_nothing_changed(cluster, config):
    assert 'unknown field "dat"' in cluster.kubectl("patch", "configmap", "c", "-p", '{"dat":{}}').stderr
    same = cluster.kubectl("patch", "configmap", "c", "-p", 'data: {a: "1"}')
    assert "patched (no change)" in same.stdout


# --- labels and annotations


@pytest.mark.parametrize("command", ["label", "annotate"])
def test_labels_and_annotations(cluster, config, command):
    cluster.kubectl(command, "configmap", "c", "k=v")
    assert "--overwrite is false" in refused(cluster, command, "configmap", "c", "k=w")
    cluster.kubectl(command, "configmap", "c", "k=w", "--overwrite")
    assert "k=w" in cluster.kubectl(command, "configmap", "c", "--list").stdout.splitlines()
    cluster.kubectl(command, "configmap", "c", "k-")
    assert "k=w" not in cluster.kubectl(command, "configmap", "c", "--list").stdout
    stale = refused(cluster, command, "configmap", "c", "k=x", "--resource-version=1")
    assert "the object has been modified" in stale


# --- create


GENERATORS = [
    "configmap c --from-literal=a=b",
    "secret generic s --from-literal=a=b",
    "secret docker-registry s --docker-server=x --docker-username=u --docker-password=p",
    "serviceaccount s",
    "namespace n",
    "deployment d --image=i --replicas=2 --port=80",
    "service clusterip s --tcp=80:8080",
    "service nodeport s --tcp=80:8080 --node-port=30001",
    "service loadbalancer s --tcp=80",
    "service externalname s --external-name=x.example",
]


@pytest.mark.parametrize("where", ["client", "server"])
@pytest.mark.parametrize("generator", GENERATORS, ids=lambda generator: " ".join(generator.split()[:2]))
def test_a_dry_run_shows_what_would_be_and_makes_nothing(cluster, generator, where):
    shown = cluster.kubectl("create", *generator.split(), f"--dry-run={where}", "-o", "json").stdout
    made = json.loads(shown)
    assert bool(made["metadata"].get("uid")) == (where == "server")
    kind, name = made["kind"].lower(), made["metadata"]["name"]
    assert "not found" in refused(cluster, "get", kind, name)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: [", "error converting YAML to JSON"),
        ('{"kind":"Frob","apiVersion":"v1","metadata":{"name":"a"}}', 'no matches for kind "Frob" in version "v1"'),
        ('{"kind":"ConfigMap","apiVersion":"v9","metadata":{"name":"a"}}', 'no matches for kind "ConfigMap"'),
        ('{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"a"},"foo":1}', 'unknown field "foo"'),
        ('{"kind":"ConfigMap","apiVersion":"v1","metadata":{}}', "name or generateName is required"),
        ('{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"a","namespace":"no"}}', '"no" not found'),
    ],
    ids=["yaml", "kind", "version", "field", "no name", "namespace"],
)
def test_create_refuses(cluster, text, said):
    assert said in refused(cluster, "create", "-f", "-", text=text)


def test_a_pod_without_a_node_says_so(cluster):
    cluster.kubectl("run", "p", "--image=i")
    assert "pod p does not have a host assigned" in refused(cluster, "exec", "p", "--", "ls")
    cluster.kubectl("delete", "pod", "p", "--now")


def test_resources_are_changed_through_their_subresource(cluster):
    made = {"name": "c", "image": "i", "resources": {"requests": {"cpu": "1"}}}
    cluster.apply({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "r"}, "spec": {"containers": [made]}})
    patch = '{"spec":{"containers":[{"name":"c","resources":{"requests":{"cpu":"%s"}}}]}}'
    cluster.kubectl("patch", "pod", "r", "--subresource=resize", "-p", patch % "1500m")
    found = cluster.get("pod", "r", "--subresource=resize")
    assert found["spec"]["containers"][0]["resources"] == {"requests": {"cpu": "1500m"}}
    assert found["metadata"]["generation"] == 2
    editor = {"KUBE_EDITOR": "sed -i 's/cpu: 1500m/cpu: 700m/'"}
    cluster.kubectl("edit", "pod", "r", "--subresource=resize", environ=editor)
    assert cluster.get("pod", "r")["spec"]["containers"][0]["resources"] == {"requests": {"cpu": "700m"}}
    assert "pod updates may not change fields other than" in refused(cluster, "patch", "pod", "r", "-p", patch % "2")
    cluster.kubectl("delete", "pod", "r", "--now")


def test_acting_as_somebody_else(cluster):
    assert 'User "bob" cannot list resource "pods"' in refused(cluster, "get", "pods", "--as=bob")
    cluster.kubectl("get", "pods", "--as=bob", "--as-group=system:masters")
