"""Helm 4, which applies on the server's side, and Helm 3, which merges on its own: a release from install to end."""

import json

import pytest

from tests.helm import CHART, Helm


@pytest.fixture(scope="module")
def cluster(hollow):
    return hollow


@pytest.fixture(params=["4", "3"], ids=["helm 4", "helm 3"])
def helm(request, cluster, tmp_path):
    return Helm(request.param, cluster, tmp_path)


@pytest.fixture
def release(helm):
    helm("install", "shop", str(CHART), "--wait", "--timeout", "60s")
    yield "shop"
    helm("uninstall", "shop", "--ignore-not-found", "--wait")


def config(cluster, name="shop"):
    return cluster.get("configmap", name)["data"]


def test_install_waits_until_its_pods_run(cluster, helm, release):
    assert cluster.get("deployment", release)["status"]["readyReplicas"] == 2
    assert config(cluster, "shop-hook") == {"revision": "1"}
    (listed,) = json.loads(helm("list", "-o", "json").stdout)
    assert (listed["name"], listed["status"]) == (release, "deployed")


def test_upgrade_and_rollback(cluster, helm, release):
    helm("upgrade", release, str(CHART), "--set", "greeting=bye,replicas=1", "--wait", "--timeout", "60s")
    assert config(cluster) == {"greeting": "bye"}
    assert cluster.get("deployment", release)["spec"]["replicas"] == 1
    assert config(cluster, "shop-hook") == {"revision": "2"}
    helm("rollback", release, "1", "--wait", "--timeout", "60s")
    assert config(cluster) == {"greeting": "hello"}
    assert cluster.get("deployment", release)["spec"]["replicas"] == 2
    history = json.loads(helm("history", release, "-o", "json").stdout)
    assert [entry["status"] for entry in history] == ["superseded", "superseded", "deployed"]


def test_upgrade_mends_what_was_deleted(cluster, helm, release):
    cluster.kubectl("delete", "configmap", release)
    helm("upgrade", release, str(CHART), "--set", "greeting=again")
    assert config(cluster) == {"greeting": "again"}


def test_uninstall_leaves_nothing(cluster, helm, release):
    helm("uninstall", release, "--wait")
    kinds = "deployments,configmaps,services,serviceaccounts,roles,rolebindings,secrets"
    left = cluster.kubectl("get", kinds, "-o", "name").stdout.split()
    assert set(left) <= {
        "configmap/kube-root-ca.crt", "serviceaccount/default", "configmap/shop-hook", "service/kubernetes",
    }  # fmt: skip


def test_refusal_of_the_server_fails_the_release(cluster, helm):
    refused = helm("install", "bad", str(CHART), "--set", "replicas=-1", check=False)
    assert refused.returncode == 1
    assert "spec.replicas" in refused.stderr
    helm("uninstall", "bad", "--ignore-not-found")


def test_dry_run_against_the_server(cluster, helm):
    helm("install", "dry", str(CHART), "--dry-run=server")
    assert cluster.kubectl("get", "configmap", "dry", check=False).returncode == 1
