"""Helm on containers that really run: a chart with definitions, whose test pod comes to its end."""

import pytest

from tests.cluster import eventually
from tests.helm import CHART, Helm


@pytest.fixture(params=["4", "3"], ids=["helm 4", "helm 3"])
def helm(request, docker_cluster, tmp_path):
    return Helm(request.param, docker_cluster.cluster, tmp_path)


def test_a_release_is_tested(docker_cluster, helm):
    cluster = docker_cluster.cluster
    try:
        helm("install", "shop", str(CHART), "--wait", "--timeout", "90s")
        assert cluster.get("greeter", "shop")["spec"] == {"greeting": "hello", "loud": False}
        done = helm("test", "shop", "--logs", "--timeout", "60s").stdout
        assert "Phase:          Succeeded" in done
        assert "greeted" in done
        helm("upgrade", "shop", str(CHART), "--set", "greeting=bye", "--wait", "--timeout", "90s")
        assert cluster.get("greeter", "shop")["spec"]["greeting"] == "bye"
        cluster.kubectl("patch", "configmap", "shop", "-p", '{"data":{"greeting":"else"}}')
        failed = helm("test", "shop", "--timeout", "60s", check=False)
        assert failed.returncode == 1
        assert "Failed" in failed.stdout + failed.stderr
    finally:
        helm("uninstall", "shop", "--ignore-not-found", "--wait")
    assert cluster.kubectl("get", "greeter", "shop", check=False).returncode == 1
    assert cluster.kubectl("get", "crd", "greeters.web.example.com").returncode == 0, "definitions outlive their charts"
    eventually(lambda: not cluster.pods("app=shop"), "its pods gone")
