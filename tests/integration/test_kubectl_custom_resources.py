"""kubectl with a CustomResourceDefinition: apply it and its objects at once, look at them, scale, explain, delete."""

import json
import subprocess
import time

import pytest
import yaml

from tests.cluster import eventually
from tests.custom import crontab, definition

CRD = "crd/crontabs.stable.example.com"


def manifest(tmp_path, *objects):
    path = tmp_path / "manifest.yaml"
    path.write_text(yaml.safe_dump_all(objects))
    return str(path)


@pytest.fixture
def crontabs(cluster, tmp_path):
    """The definition is there, and one object at once after it."""
    began = time.monotonic()
    cluster.kubectl("apply", "-f", manifest(tmp_path, definition()))
    cluster.kubectl("wait", "--for=condition=Established", CRD, "--timeout=10s")
    assert (
        "crontab.stable.example.com/a created" in cluster.kubectl("apply", "-f", manifest(tmp_path, crontab())).stdout
    )
    assert time.monotonic() - began < 30
    yield cluster
    cluster.kubectl("delete", CRD, "--wait", "--timeout=20s")
    assert "NotFound" in cluster.kubectl("get", CRD, check=False).stderr


def test_get_shows_the_columns(crontabs):
    lines = crontabs.kubectl("get", "ct").stdout.splitlines()
    assert lines[0].split() == ["NAME", "SPEC", "READY", "AGE"]
    assert lines[1].split()[:2] == ["a", "*"]
    assert "REPLICAS" in crontabs.kubectl("get", "crontab", "-o", "wide").stdout.splitlines()[0]
    assert "crontab.stable.example.com/a" in crontabs.kubectl("get", "all", "-o", "name").stdout
    assert (
        "a" in crontabs.kubectl("get", "crontabs.v1.stable.example.com", "--field-selector=spec.image=busybox").stdout
    )
    assert crontabs.kubectl("get", "crd").stdout.splitlines()[0].split() == ["NAME", "CREATED", "AT"]


def test_explain_and_resources_and_describe(crontabs):
    shown = crontabs.kubectl("explain", "crontab.spec.cronSpec").stdout
    assert "When it runs." in shown
    assert "<string>" in shown
    assert "replicas" in crontabs.kubectl("explain", "ct.spec").stdout
    listed = crontabs.kubectl("api-resources", "--api-group=stable.example.com").stdout
    assert listed.splitlines()[1].split() == ["crontabs", "ct", "stable.example.com/v1", "true", "CronTab"]
    assert "Cron Spec:" in crontabs.kubectl("describe", "ct", "a").stdout
    assert "Established" in crontabs.kubectl("describe", CRD).stdout


def test_apply_edit_patch_and_scale(crontabs, tmp_path):
    changed = manifest(tmp_path, crontab(replicas=2, env=[{"name": "x", "value": "1"}]))
    assert "configured" in crontabs.kubectl("apply", "-f", changed).stdout
    assert "unchanged" in crontabs.kubectl("apply", "-f", changed).stdout
    crontabs.kubectl("scale", "ct/a", "--replicas=3")
    assert crontabs.kubectl("get", "ct", "a", "-o", "jsonpath={.spec.replicas}").stdout == "3"
    crontabs.kubectl("patch", "ct", "a", "--type=merge", "-p", json.dumps({"metadata": {"labels": {"a": "b"}}}))
    assert "a" in crontabs.kubectl("get", "ct", "-l", "a=b", "-o", "name").stdout
    assert "serverside-applied" in crontabs.kubectl(
        "apply", "--server-side", "--force-conflicts", "-f", changed
    ).stdout  # fmt: skip
    crontabs.kubectl(
        "patch", "ct", "a", "--subresource=status", "--type=merge", "-p",
        json.dumps({"status": {"conditions": [{"type": "Ready", "status": "True"}]}}),
    )  # fmt: skip
    crontabs.kubectl("wait", "--for=condition=Ready", "ct/a", "--timeout=10s")


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ({"cronSpec": "x"}, "spec.cronSpec in body should match"),
        ({"replicas": 7, "port": "http"}, "too many for a port"),
        ({"colour": "red"}, 'unknown field "spec.colour"'),
    ],
    ids=["pattern", "rule", "unknown field"],
)
def test_what_is_wrong_is_said(crontabs, tmp_path, spec, says):
    done = crontabs.kubectl("apply", "-f", manifest(tmp_path, crontab("bad", **spec)), check=False)
    assert done.returncode
    assert says in done.stderr


def test_a_definition_that_is_wrong_is_refused(cluster, tmp_path):
    crd = definition()
    del crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["type"]
    done = cluster.kubectl("apply", "-f", manifest(tmp_path, crd), check=False)
    assert "openAPIV3Schema.properties[spec].type: Required value: must not be empty for specified object fields" in (
        done.stderr
    )
    rules = definition()
    rules["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["x-kubernetes-validations"] = [{"rule": "self.a +"}]
    done = cluster.kubectl("apply", "-f", manifest(tmp_path, rules), check=False)
    assert "x-kubernetes-validations[0].rule" in done.stderr
    assert "Syntax error" in done.stderr


def test_a_watch_follows_and_objects_survive_a_restart(crontabs, tmp_path):
    cache = f"--cache-dir={crontabs.directory / 'cache'}"
    command = ["kubectl", f"--kubeconfig={crontabs.kubeconfig}", cache, "get", "ct", "--watch", "-o", "name"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as watch:
        assert watch.stdout.readline().strip() == "crontab.stable.example.com/a"
        crontabs.kubectl("apply", "-f", manifest(tmp_path, crontab("late")))
        assert watch.stdout.readline().strip() == "crontab.stable.example.com/late"
        watch.terminate()
    crontabs.stop()
    crontabs.start()
    assert eventually(lambda: crontabs.kubectl("get", "ct", "-o", "name").stdout.split(), "objects are listed") == [
        "crontab.stable.example.com/a", "crontab.stable.example.com/late",
    ]  # fmt: skip
