"""kubectl get and describe of the workloads that are stored before anything acts on them, on a real server process."""

import json

import pytest

TEMPLATE = {"metadata": {"labels": {"app": "w"}}, "spec": {"containers": [{"name": "c", "image": "i:1"}]}}
SELECTED = {"selector": {"matchLabels": {"app": "w"}}, "template": TEMPLATE}
ONCE = {"template": {"spec": {**TEMPLATE["spec"], "restartPolicy": "Never"}}}
CLAIM = {
    "metadata": {"name": "data"},
    "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
}
TARGET = {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "w"}
OBJECTS = {
    "statefulset": ("apps/v1", "StatefulSet", {"spec": {**SELECTED, "volumeClaimTemplates": [CLAIM]}}),
    "daemonset": ("apps/v1", "DaemonSet", {"spec": SELECTED}),
    "replicationcontroller": ("v1", "ReplicationController", {"spec": {"template": TEMPLATE}}),
    "controllerrevision": ("apps/v1", "ControllerRevision", {"data": {"x": 1}, "revision": 2}),
    "podtemplate": ("v1", "PodTemplate", {"template": TEMPLATE}),
    "job": ("batch/v1", "Job", {"spec": {**ONCE, "completions": 3}}),
    "cronjob": ("batch/v1", "CronJob", {"spec": {"schedule": "0 3 * * *", "jobTemplate": {"spec": ONCE}}}),
    "hpa": ("autoscaling/v2", "HorizontalPodAutoscaler", {"spec": {"scaleTargetRef": TARGET, "maxReplicas": 4}}),
    "pdb": ("policy/v1", "PodDisruptionBudget", {"spec": {"minAvailable": 1, "selector": SELECTED["selector"]}}),
}


@pytest.fixture(scope="module")
def cluster(cluster):
    cluster.apply(
        *({"apiVersion": version, "kind": kind, "metadata": {"name": "w"}, **rest}
          for version, kind, rest in OBJECTS.values())
    )  # fmt: skip
    return cluster


SHOWN = {
    "statefulset": (["NAME", "READY", "AGE"], ["w", "0/1"]),
    "daemonset": (
        ["NAME", "DESIRED", "CURRENT", "READY", "UP-TO-DATE", "AVAILABLE", "NODE", "SELECTOR", "AGE"],
        ["w", "0", "0", "0", "0", "0", "<none>"],
    ),
    "replicationcontroller": (["NAME", "DESIRED", "CURRENT", "READY", "AGE"], ["w", "1", "0", "0"]),
    "controllerrevision": (["NAME", "CONTROLLER", "REVISION", "AGE"], ["w", "<none>", "2"]),
    "podtemplate": (["NAME", "CONTAINERS", "IMAGES", "POD", "LABELS"], ["w", "c", "i:1", "app=w"]),
    "job": (["NAME", "STATUS", "COMPLETIONS", "DURATION", "AGE"], ["w", "Running", "0/3"]),
    "cronjob": (
        ["NAME", "SCHEDULE", "TIMEZONE", "SUSPEND", "ACTIVE", "LAST", "SCHEDULE", "AGE"],
        ["w", "0", "3", "*", "*", "*", "<none>", "False", "0", "<none>"],
    ),
    "hpa": (
        ["NAME", "REFERENCE", "TARGETS", "MINPODS", "MAXPODS", "REPLICAS", "AGE"],
        ["w", "StatefulSet/w", "cpu:", "<unknown>/80%", "1", "4", "0"],
    ),
    "pdb": (
        ["NAME", "MIN", "AVAILABLE", "MAX", "UNAVAILABLE", "ALLOWED", "DISRUPTIONS", "AGE"], ["w", "1", "N/A", "0"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", OBJECTS)
def test_get(cluster, kind):
    header, row = (line.split() for line in cluster.kubectl("get", kind, "w").stdout.splitlines())
    columns, begin = SHOWN[kind]
    assert header == columns
    assert row[: len(begin)] == begin


@pytest.mark.parametrize("kind", OBJECTS)
def test_describe(cluster, kind):
    said = cluster.kubectl("describe", kind, "w").stdout
    assert said.splitlines()[0].split() == ["Name:", "w"]


def test_explain_knows_them(cluster):
    for path in ("statefulset.spec.volumeClaimTemplates", "job.spec.podFailurePolicy.rules", "pdb.spec.minAvailable"):
        assert "DESCRIPTION" in cluster.kubectl("explain", path).stdout


@pytest.mark.parametrize("name", OBJECTS)
def test_an_apply_that_changes_nothing_writes_nothing(cluster, name):
    """kubectl says "configured" of a StatefulSet with claims, since its list has defaults: the object is the same."""
    version, kind, rest = OBJECTS[name]
    body = json.dumps({"apiVersion": version, "kind": kind, "metadata": {"name": "w"}, **rest})
    before = cluster.get(name, "w")["metadata"]["resourceVersion"]
    cluster.kubectl("apply", "-f", "-", text=body)
    assert cluster.get(name, "w")["metadata"]["resourceVersion"] == before


def test_refusals_read_as_in_kubernetes(cluster):
    bad = {"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "bad"}}
    spec = {"schedule": "61 * * * *", "timeZone": "Europe/Pariss", "jobTemplate": {"spec": ONCE}}
    refused = cluster.kubectl("apply", "-f", "-", text=json.dumps({**bad, "spec": spec}), check=False).stderr
    assert 'spec.schedule: Invalid value: "61 * * * *": end of range (61) above maximum (59): 61' in refused
    assert 'spec.timeZone: Invalid value: "Europe/Pariss": unknown time zone Europe/Pariss' in refused
