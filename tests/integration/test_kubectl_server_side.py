"""kubectl apply --server-side, with and without an object that client-side apply has made."""

import json

import pytest

DEPLOYMENT = """\
apiVersion: apps/v1
kind: Deployment
metadata: {{name: web, labels: {{app: web}}}}
spec:
  {replicas}
  selector: {{matchLabels: {{app: web}}}}
  template:
    metadata: {{labels: {{app: web}}}}
    spec:
      containers:
      - name: web
        image: {image}
        ports: [{{containerPort: 80}}]
"""


@pytest.fixture(autouse=True)
def clean(cluster):
    yield
    cluster.kubectl("delete", "deployments,configmaps", "--all", "--wait")


@pytest.fixture
def apply(cluster, tmp_path):
    path = tmp_path / "web.yaml"

    def run(*options, replicas="replicas: 0", image="a:1", check=True):
        path.write_text(DEPLOYMENT.format(replicas=replicas, image=image))
        return cluster.kubectl("apply", "-f", str(path), *options, check=check)

    return run


def owners(cluster):
    shown = cluster.kubectl("get", "deployment", "web", "-o", "json", "--show-managed-fields").stdout
    return {(entry["manager"], entry["operation"]) for entry in json.loads(shown)["metadata"]["managedFields"]}


def test_create_change_and_diff(cluster, apply):
    assert "web serverside-applied" in apply("--server-side").stdout
    apply("--server-side", image="a:2")
    assert cluster.get("deployment", "web")["spec"]["template"]["spec"]["containers"][0]["image"] == "a:2"
    assert ("kubectl", "Apply") in owners(cluster)
    assert "managedFields" not in cluster.kubectl("get", "deployment", "web", "-o", "yaml").stdout


def test_conflict_is_told_and_may_be_forced_or_given_up(cluster, apply):
    apply("--server-side")
    cluster.kubectl("scale", "deployment", "web", "--replicas=2")
    refused = apply("--server-side", check=False)
    assert refused.returncode == 1
    assert 'conflict with "kubectl" with subresource "scale" using apps/v1' in refused.stderr
    assert ".spec.replicas" in refused.stderr
    apply("--server-side", replicas="")
    assert cluster.get("deployment", "web")["spec"]["replicas"] == 2
    apply("--server-side", "--force-conflicts")
    assert cluster.get("deployment", "web")["spec"]["replicas"] == 0


def test_object_of_client_side_apply_is_taken_over(cluster, apply):
    apply()
    assert ("kubectl-client-side-apply", "Update") in owners(cluster)
    apply("--server-side", image="a:2")
    assert ("kubectl-client-side-apply", "Update") not in owners(cluster)
    apply("--server-side", replicas="", image="a:2")
    assert cluster.get("deployment", "web")["spec"]["replicas"] == 1, "what is no longer applied gets its default"


def test_two_managers_share_one_object(cluster, apply):
    apply("--server-side", replicas="")
    labels = '{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"web","labels":{"team":"x"}}}'
    cluster.kubectl("apply", "--server-side", "--field-manager=labels", "-f", "-", text=labels)
    apply("--server-side", replicas="", image="a:3")
    assert cluster.get("deployment", "web")["metadata"]["labels"] == {"app": "web", "team": "x"}
    cluster.kubectl(
        "apply", "--server-side", "--field-manager=labels", "-f", "-", text=labels.replace(',"labels":{"team":"x"}', "")
    )
    assert cluster.get("deployment", "web")["metadata"]["labels"] == {"app": "web"}


def test_applying_the_same_writes_nothing(cluster, apply):
    apply("--server-side")
    before = cluster.get("deployment", "web")["metadata"]["resourceVersion"]
    apply("--server-side")
    assert cluster.get("deployment", "web")["metadata"]["resourceVersion"] == before


def test_unknown_field_is_refused_by_name(cluster, apply):
    refused = apply("--server-side", "--validate=false", replicas="replica: 1", check=False)
    assert refused.returncode == 1
    assert ".spec.replica: field not declared in schema" in refused.stderr


def test_dry_run_and_diff(cluster, apply, tmp_path):
    apply("--server-side")
    assert "serverside-applied (server dry run)" in apply("--server-side", "--dry-run=server", image="a:9").stdout
    path = tmp_path / "web.yaml"
    differs = cluster.kubectl("diff", "--server-side", "-f", str(path), check=False)
    assert differs.returncode == 1, differs.stderr
    assert "+        image: a:9" in differs.stdout or "+      - image: a:9" in differs.stdout
