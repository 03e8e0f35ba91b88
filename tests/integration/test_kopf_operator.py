"""An operator written with kopf looks after custom objects, and lets them go when their definition does."""

import os
import subprocess
import sys

import pytest
import yaml

from tests.cluster import eventually
from tests.custom import crontab, definition

OPERATOR = """\
import kopf

@kopf.on.create("stable.example.com", "v1", "crontabs")
def created(spec, **_):
    return {"saw": spec["cronSpec"]}

@kopf.on.update("stable.example.com", "v1", "crontabs")
def updated(spec, patch, **_):
    patch.status["replicas"] = spec["replicas"]

@kopf.on.delete("stable.example.com", "v1", "crontabs")
def deleted(name, **_):
    print("let go of", name, flush=True)
"""


@pytest.fixture
def operator(cluster, tmp_path):
    """The operator runs before there is anything for it to do; gives its log."""
    source, log = tmp_path / "operator.py", tmp_path / "operator.log"
    source.write_text(OPERATOR)
    command = [sys.executable, "-m", "kopf", "run", "--standalone", "--all-namespaces", str(source)]
    environ = os.environ | {"KUBECONFIG": str(cluster.kubeconfig)}
    with log.open("w") as out, subprocess.Popen(command, env=environ, stdout=out, stderr=out) as process:
        yield log
        process.terminate()
        process.wait(20)


def test_an_operator_reconciles(cluster, operator, tmp_path):
    def apply(obj):
        path = tmp_path / "manifest.yaml"
        path.write_text(yaml.safe_dump(obj))
        cluster.kubectl("apply", "-f", str(path))

    apply(definition())
    cluster.kubectl("wait", "--for=condition=Established", "crd/crontabs.stable.example.com", "--timeout=10s")
    apply(crontab())

    def seen():
        return cluster.get("crontab", "a").get("status", {})

    eventually(lambda: seen().get("created") == {"saw": "* * * * *"}, "the operator has seen it", 30)
    assert cluster.get("crontab", "a")["metadata"]["finalizers"] == ["kopf.zalando.org/KopfFinalizerMarker"]
    cluster.kubectl("scale", "crontab/a", "--replicas=4")
    eventually(lambda: seen().get("replicas") == 4, "the operator has followed the change", 30)
    cluster.kubectl("delete", "crd", "crontabs.stable.example.com", "--timeout=30s")
    assert "let go of a" in operator.read_text()
