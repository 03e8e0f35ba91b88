"""Rollouts as kubectl drives them, on hollow nodes: history, undo, pause, restart, set and scale, with wrong input."""

import json

import pytest

from tests.cluster import deployment


@pytest.fixture(scope="module")
def cluster(hollow):
    return hollow


@pytest.fixture
def web(cluster):
    cluster.apply(deployment("web", 3))
    done(cluster)
    yield "deployment/web"
    cluster.kubectl("delete", "deployment/web", "--cascade=foreground", "--timeout=30s")


def done(cluster):
    cluster.kubectl("rollout", "status", "deployment/web", "--timeout=60s")


def update(cluster, version, cause=""):
    cluster.kubectl("set", "env", "deployment/web", f"VERSION={version}")
    if cause:
        cluster.kubectl("annotate", "deployment/web", f"kubernetes.io/change-cause={cause}", "--overwrite")
    done(cluster)


def history(cluster):
    lines = cluster.kubectl("rollout", "history", "deployment/web").stdout.splitlines()
    return {int(line.split(None, 1)[0]): line.split(None, 1)[1] for line in lines[2:] if line.strip()}


def version(cluster):
    return cluster.kubectl("set", "env", "deployment/web", "--list").stdout.partition("VERSION=")[2].strip()


def test_history_says_why(cluster, web):
    update(cluster, "2", "the second")
    update(cluster, "3", "the third")
    assert history(cluster) == {1: "<none>", 2: "the second", 3: "the third"}
    second = cluster.kubectl("rollout", "history", web, "--revision=2").stdout
    assert "deployment.apps/web with revision #2" in second
    assert "VERSION:\t2" in second
    missing = cluster.kubectl("rollout", "history", web, "--revision=9", check=False)
    assert "unable to find the specified revision" in missing.stderr


def test_undo_goes_back_and_brings_the_cause_along(cluster, web):
    update(cluster, "2", "the second")
    update(cluster, "3", "the third")
    dry = cluster.kubectl("rollout", "undo", web, "--dry-run=server").stdout
    assert "(server dry run)" in dry
    assert version(cluster) == "3"
    assert "rolled back" in cluster.kubectl("rollout", "undo", web).stdout
    done(cluster)
    assert version(cluster) == "2"
    assert history(cluster) == {1: "<none>", 3: "the third", 4: "the second"}
    assert "rolled back" in cluster.kubectl("rollout", "undo", web, "--to-revision=1").stdout
    done(cluster)
    assert version(cluster) == "1"
    same = cluster.kubectl("rollout", "undo", web, "--to-revision=5").stdout
    assert "skipped rollback (current template already matches revision 5)" in same
    gone = cluster.kubectl("rollout", "undo", web, "--to-revision=99", check=False).stderr
    assert "unable to find specified revision 99 in history" in gone


def test_nothing_to_undo(cluster, web):
    refused = cluster.kubectl("rollout", "undo", web, check=False)
    assert refused.returncode == 1
    assert 'no rollout history found for deployment "web"' in refused.stderr


def test_a_paused_rollout_refuses_what_would_change_it(cluster, web):
    update(cluster, "2")
    cluster.kubectl("rollout", "pause", web)
    for command, said in [
        (("pause", web), "is already paused"),
        (("restart", web), "can't restart paused deployment"),
        (("undo", web), "you cannot rollback a paused deployment"),
    ]:
        refused = cluster.kubectl("rollout", *command, check=False)
        assert (refused.returncode, said in refused.stderr) == (1, True), refused.stderr
    cluster.kubectl("set", "env", web, "VERSION=3")
    assert "Paused" in cluster.kubectl("describe", web).stdout
    cluster.kubectl("rollout", "resume", web)
    done(cluster)
    assert "is not paused" in cluster.kubectl("rollout", "resume", web, check=False).stderr
    assert max(history(cluster)) == 3


def test_restart_and_annotations_are_observed(cluster, web):
    before = cluster.get(web)
    cluster.kubectl("rollout", "restart", web)
    done(cluster)
    after = cluster.get(web)
    assert after["metadata"]["generation"] == before["metadata"]["generation"] + 1
    assert "kubectl.kubernetes.io/restartedAt" in json.dumps(after["spec"]["template"]["metadata"]["annotations"])
    cluster.kubectl("annotate", web, "note=x")
    done(cluster)
    now = cluster.get(web)
    assert now["metadata"]["generation"] == now["status"]["observedGeneration"] == after["metadata"]["generation"] + 1


@pytest.mark.parametrize(
    ("command", "said"),
    [
        pytest.param("rollout status deployment/nope", '"nope" not found', id="status of nothing"),
        pytest.param("rollout restart deployment/nope", '"nope" not found', id="restart of nothing"),
        pytest.param("set image deployment/web nope=x", 'unable to find container named "nope"', id="no container"),
        pytest.param("set image deployment/web web=", "image: Required value", id="no image"),
        pytest.param("set resources deployment/web --limits=cpu=1m --requests=cpu=2m",
                     "must be less than or equal to cpu limit", id="request over limit"),
        pytest.param("scale deployment/web --replicas=5 --current-replicas=9", "Expected replicas to be 9, was 3",
                     id="another size"),
        pytest.param("scale deployment/web --replicas=5 --resource-version=1", "Expected resource version to be 1",
                     id="another version"),
        pytest.param("scale deployment/web --replicas=-1", "must be greater than or equal to 0", id="below zero"),
        pytest.param("scale configmap/kube-root-ca.crt --replicas=1", "could not find the requested resource",
                     id="what has no size"),
    ],
)  # fmt: skip
def test_wrong_input_changes_nothing(cluster, web, command, said):
    before = cluster.get(web)["metadata"]["generation"]
    refused = cluster.kubectl(*command.split(), check=False)
    assert refused.returncode == 1
    assert said in refused.stderr
    assert cluster.get(web)["metadata"]["generation"] == before


def test_scale_in_every_form(cluster, web):
    cluster.kubectl("scale", web, "--replicas=1", "--current-replicas=3")
    cluster.kubectl("wait", web, "--for=jsonpath={.status.replicas}=1", "--timeout=30s")
    cluster.kubectl("patch", web, "--subresource=scale", "--type=merge", "-p", '{"spec":{"replicas":2}}')
    assert cluster.get(web)["spec"]["replicas"] == 2
    cluster.kubectl("wait", web, "--for=jsonpath={.status.replicas}=2", "--timeout=30s")
    header, row = cluster.kubectl("get", web, "--subresource=scale").stdout.splitlines()
    assert header.split() == ["NAME", "DESIRED", "AVAILABLE", "AGE"]
    assert row.split()[1:3] == ["2", "2"]
    cluster.kubectl("scale", "deployment", "--all", "--replicas=0")
    assert cluster.get(web)["spec"]["replicas"] == 0
