"""StatefulSet, DaemonSet, ReplicationController, ControllerRevision and PodTemplate: what is filled in and refused."""

from datetime import UTC, datetime
from typing import Any

import pytest

from controlplane.apiserver.admission import Context, admit_create, admit_update
from controlplane.apiserver.admission.workloads import TEMPLATE_GENERATION
from controlplane.apiserver.identity import User
from controlplane.apiserver.kinds.table import BY_GVK
from shared import codec
from shared.api.errors import BadRequest
from tests.kinds import short

CONTEXT = Context(User("admin"))
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
LABELS = {"a": "b"}
TEMPLATE: Any = {"metadata": {"labels": LABELS}, "spec": {"containers": [{"name": "c", "image": "i:1"}]}}
SELECTOR = {"matchLabels": LABELS}
CLAIM = {
    "metadata": {"name": "data"},
    "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
}


def row(kind: str) -> Any:
    group = "" if kind in ("ReplicationController", "PodTemplate") else "apps"
    return BY_GVK[group, "v1", kind]


def made(kind: str, **fields: Any) -> Any:
    obj = codec.copy({"metadata": {"name": "x", "namespace": "g"}, **fields})
    row(kind).default(obj)
    return obj


def refused(kind: str, **spec: Any) -> list[tuple[str, str]]:
    """The causes for a whole spec with these fields in place of its own."""
    whole = {"selector": LABELS if kind == "ReplicationController" else SELECTOR, "template": TEMPLATE, **spec}
    return short(row(kind).validate(made(kind, spec=whole), None))


def template(**spec: Any) -> Any:
    return {**TEMPLATE, "spec": {**TEMPLATE["spec"], **spec}}


def cells(kind: str, obj: Any) -> list[Any]:
    return [column.value(obj, NOW) for column in row(kind).columns]


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({}, []),
        ({"serviceName": "web"}, []),
        ({"serviceName": "a.b"}, [("Invalid", "spec.serviceName")]),
        ({"podManagementPolicy": "Random"}, [("Invalid", "spec.podManagementPolicy")]),
        ({"replicas": -1, "minReadySeconds": -1}, [("Invalid", "spec.replicas"), ("Invalid", "spec.minReadySeconds")]),
        ({"ordinals": {"start": -1}}, [("Invalid", "spec.ordinals.start")]),
        ({"updateStrategy": {"type": "Never"}}, [("Invalid", "spec.updateStrategy")]),
        (
            {"updateStrategy": {"type": "OnDelete", "rollingUpdate": {"partition": 1}}},
            [("Invalid", "spec.updateStrategy.rollingUpdate")],
        ),
        (
            {"updateStrategy": {"rollingUpdate": {"partition": -1}}},
            [("Invalid", "spec.updateStrategy.rollingUpdate.partition")],
        ),
        (
            {"updateStrategy": {"rollingUpdate": {"maxUnavailable": "0%"}}},
            [("Invalid", "spec.updateStrategy.rollingUpdate.maxUnavailable")],
        ),
        (
            {"persistentVolumeClaimRetentionPolicy": {"whenScaled": "Burn"}},
            [("NotSupported", "spec.persistentVolumeClaimRetentionPolicy.whenScaled")],
        ),
        ({"selector": None}, [("Required", "spec.selector"), ("Invalid", "spec.template.metadata.labels")]),
        ({"selector": {}}, [("Invalid", "spec.selector")]),
        ({"selector": {"matchLabels": {"a": "c"}}}, [("Invalid", "spec.template.metadata.labels")]),
        ({"template": template(restartPolicy="Never")}, [("NotSupported", "spec.template.spec.restartPolicy")]),
        (
            {"template": template(activeDeadlineSeconds=5)},
            [("Forbidden", "spec.template.spec.activeDeadlineSeconds")],
        ),
        ({"volumeClaimTemplates": [CLAIM]}, []),
        (
            {"volumeClaimTemplates": [{"metadata": {}, "spec": {"accessModes": ["Own"], "volumeMode": "Tape"}}]},
            [
                ("Required", "spec.volumeClaimTemplates[0].metadata.name"),
                ("NotSupported", "spec.volumeClaimTemplates[0].spec.accessModes"),
                ("Required", "spec.volumeClaimTemplates[0].spec.resources[storage]"),
                ("NotSupported", "spec.volumeClaimTemplates[0].spec.volumeMode"),
            ],
        ),
    ],
    ids=str,
)
def test_stateful_sets(spec: Any, expected: Any) -> None:
    assert refused("StatefulSet", **spec) == expected


def test_a_claim_template_is_a_volume_of_its_pods() -> None:
    container = {"name": "c", "image": "i:1", "volumeMounts": [{"name": "data", "mountPath": "/data"}]}
    pods = template(containers=[container])
    assert refused("StatefulSet", template=pods, volumeClaimTemplates=[CLAIM]) == []
    assert refused("StatefulSet", template=pods) == [
        ("NotFound", "spec.template.spec.containers[0].volumeMounts[0].name")
    ]


@pytest.mark.parametrize(
    ("change", "allowed"),
    [
        ({"replicas": 3}, True),
        ({"minReadySeconds": 3}, True),
        ({"revisionHistoryLimit": 3}, True),
        ({"ordinals": {"start": 2}}, True),
        ({"updateStrategy": {"type": "OnDelete"}}, True),
        ({"persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Delete"}}, True),
        ({"template": template(nodeName="n")}, True),
        ({"serviceName": "other"}, False),
        ({"podManagementPolicy": "Parallel"}, False),
        ({"volumeClaimTemplates": [CLAIM]}, False),
    ],
    ids=str,
)
def test_what_of_a_stateful_set_may_change(change: Any, allowed: bool) -> None:
    whole = {"selector": SELECTOR, "template": TEMPLATE, "serviceName": "web"}
    old, new = made("StatefulSet", spec=whole), made("StatefulSet", spec={**whole, **change})
    assert short(row("StatefulSet").validate(new, old)) == ([] if allowed else [("Forbidden", "spec")])


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({}, []),
        ({"selector": {}}, [("Invalid", "spec.selector")]),
        ({"updateStrategy": {"type": "Recreate"}}, [("NotSupported", "spec.updateStrategy")]),
        ({"updateStrategy": {"type": "OnDelete"}}, []),
        ({"updateStrategy": {"rollingUpdate": {"maxUnavailable": 0, "maxSurge": "10%"}}}, []),
        (
            {"updateStrategy": {"rollingUpdate": {"maxUnavailable": 1, "maxSurge": 1}}},
            [("Invalid", "spec.updateStrategy.rollingUpdate.maxSurge")],
        ),
        (
            {"updateStrategy": {"rollingUpdate": {"maxUnavailable": "0%"}}},
            [("Required", "spec.updateStrategy.rollingUpdate.maxUnavailable")],
        ),
        (
            {"updateStrategy": {"rollingUpdate": {"maxUnavailable": "101%"}}},
            [("Invalid", "spec.updateStrategy.rollingUpdate.maxUnavailable")],
        ),
        (
            {"minReadySeconds": -1, "revisionHistoryLimit": -1},
            [("Invalid", "spec.minReadySeconds"), ("Invalid", "spec.revisionHistoryLimit")],
        ),
        ({"template": template(restartPolicy="OnFailure")}, [("NotSupported", "spec.template.spec.restartPolicy")]),
    ],
    ids=str,
)
def test_daemon_sets(spec: Any, expected: Any) -> None:
    assert refused("DaemonSet", **spec) == expected


def test_a_daemon_sets_selector_never_changes() -> None:
    both = {"metadata": {"labels": {"a": "b", "c": "d"}}, "spec": TEMPLATE["spec"]}
    old = made("DaemonSet", spec={"selector": SELECTOR, "template": both})
    new = made("DaemonSet", spec={"selector": {"matchLabels": {"c": "d"}}, "template": both})
    assert short(row("DaemonSet").validate(new, old)) == [("Invalid", "spec.selector")]


def test_the_count_of_a_daemon_sets_templates() -> None:
    kind = row("DaemonSet")
    old = made("DaemonSet", spec={"selector": SELECTOR, "template": TEMPLATE})
    admit_create(CONTEXT, kind, old)
    assert old["metadata"]["annotations"] == {TEMPLATE_GENERATION: "1"}
    same, other = codec.copy(old), codec.copy(old)
    same["metadata"]["annotations"] = {TEMPLATE_GENERATION: "7"}
    admit_update(CONTEXT, kind, same, old)
    assert same["metadata"]["annotations"][TEMPLATE_GENERATION] == "1"
    other["spec"]["template"]["spec"]["containers"][0]["image"] = "i:2"
    admit_update(CONTEXT, kind, other, old)
    assert other["metadata"]["annotations"][TEMPLATE_GENERATION] == "2"
    other["metadata"]["annotations"][TEMPLATE_GENERATION] = "many"
    with pytest.raises(BadRequest):
        admit_update(CONTEXT, kind, other, old)


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({}, []),
        ({"selector": None}, []),
        ({"replicas": -1}, [("Invalid", "spec.replicas")]),
        ({"selector": {"a": "c"}}, [("Invalid", "spec.template.metadata.labels")]),
        ({"template": None}, [("Required", "spec.template")]),
        ({"template": template(restartPolicy="Never")}, [("NotSupported", "spec.template.spec.restartPolicy")]),
    ],
    ids=str,
)
def test_replication_controllers(spec: Any, expected: Any) -> None:
    assert refused("ReplicationController", **spec) == expected


def test_a_replication_controller_without_a_selector_takes_its_templates_labels() -> None:
    obj = made("ReplicationController", spec={"template": TEMPLATE})
    assert obj["spec"]["selector"] == obj["metadata"]["labels"] == LABELS
    assert row("ReplicationController").selectable_fields({"status": {"replicas": 2}}) == {"status.replicas": "2"}


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (None, {"data": {"x": 1}, "revision": 1}, []),
        (None, {"revision": 1}, [("Required", "data")]),
        (None, {"data": {}, "revision": -1}, [("Invalid", "revision")]),
        ({"data": {"x": 1}}, {"data": {"x": 2}}, [("Invalid", "data")]),
        ({"data": {"x": 1}, "revision": 1}, {"data": {"x": 1}, "revision": 2}, []),
    ],
    ids=str,
)
def test_controller_revisions(old: Any, new: Any, expected: Any) -> None:
    before = None if old is None else made("ControllerRevision", **old)
    assert short(row("ControllerRevision").validate(made("ControllerRevision", **new), before)) == expected


def test_pod_templates() -> None:
    kind = row("PodTemplate")
    assert short(kind.validate(made("PodTemplate", template=TEMPLATE), None)) == []
    assert short(kind.validate(made("PodTemplate"), None)) == [("Required", "template.spec.containers")]
    assert kind.spec_fields == ("template",)


@pytest.mark.parametrize(
    ("kind", "status", "old", "expected"),
    [
        ("StatefulSet", {"replicas": 1, "readyReplicas": 1, "availableReplicas": 1}, {}, []),
        ("StatefulSet", {"replicas": 1, "currentReplicas": 2}, {}, [("Invalid", "status.currentReplicas")]),
        ("StatefulSet", {"collisionCount": 1}, {"collisionCount": 2}, [("Invalid", "status.collisionCount")]),
        ("DaemonSet", {"numberReady": -1}, {}, [("Invalid", "status.numberReady")]),
        ("DaemonSet", {"numberReady": 5, "desiredNumberScheduled": 5}, {}, []),
        ("ReplicationController", {"replicas": 1, "readyReplicas": 2}, {}, [("Invalid", "status.readyReplicas")]),
    ],
    ids=str,
)
def test_statuses(kind: str, status: Any, old: Any, expected: Any) -> None:
    assert short(row(kind).validate_status({"status": status}, {"status": old})) == expected


def test_what_tables_show() -> None:
    web = made(
        "StatefulSet", spec={"replicas": 3, "selector": SELECTOR, "template": TEMPLATE}, status={"readyReplicas": 2}
    )
    assert cells("StatefulSet", web) == ["x", "2/3", "<unknown>", "c", "i:1"]
    agent = made(
        "DaemonSet",
        spec={"selector": SELECTOR, "template": template(nodeSelector={"disk": "ssd"})},
        status={"desiredNumberScheduled": 4, "numberReady": 3},
    )
    assert cells("DaemonSet", agent) == ["x", 4, 0, 3, 0, 0, "disk=ssd", "<unknown>", "c", "i:1", "a=b"]
    old = made("ReplicationController", spec={"template": TEMPLATE}, status={"replicas": 1})
    assert cells("ReplicationController", old) == ["x", 1, 1, 0, "<unknown>", "c", "i:1", "a=b"]
    owner = {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "web", "controller": True}
    revision = made("ControllerRevision", data={}, revision=3)
    revision["metadata"]["ownerReferences"] = [owner]
    assert cells("ControllerRevision", revision) == ["x", "statefulset.apps/web", 3, "<unknown>"]
    assert cells("PodTemplate", made("PodTemplate", template=TEMPLATE)) == ["x", "c", "i:1", "a=b"]
