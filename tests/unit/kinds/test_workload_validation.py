"""What is wrong with StatefulSets, DaemonSets, Jobs, CronJobs, autoscalers and budgets, by field."""

from __future__ import annotations

from typing import Any

import pytest

from controlplane.apiserver.admission import Context, workloads
from controlplane.apiserver.identity import User
from controlplane.apiserver.kinds.table import BY_GVK
from shared import codec

CONTEXT = Context(User("admin"))
POD = {"containers": [{"name": "c", "image": "i"}]}
LABELS = {"a": "b"}
TEMPLATE = {"metadata": {"labels": LABELS}, "spec": POD}
SELECTED = {"selector": {"matchLabels": LABELS}, "template": TEMPLATE}
GVKS = {
    "StatefulSet": ("apps", "v1"), "DaemonSet": ("apps", "v1"), "Job": ("batch", "v1"), "CronJob": ("batch", "v1"),
    "HorizontalPodAutoscaler": ("autoscaling", "v2"), "PodDisruptionBudget": ("policy", "v1"),
    "ReplicationController": ("", "v1"), "PodTemplate": ("", "v1"), "ControllerRevision": ("apps", "v1"),
}  # fmt: skip


def made(kind: str, **spec: Any) -> dict[str, Any]:
    group, version = GVKS[kind]
    obj = {"apiVersion": f"{group}/{version}".lstrip("/"), "kind": kind, "metadata": {"name": "x"}}
    obj |= {"spec": codec.copy(BASE[kind] | spec)}
    BY_GVK[group, version, kind].default(obj)
    if kind == "Job":
        obj["metadata"]["uid"] = "c0ffee"
        workloads.generate_selector(CONTEXT, obj)
    return obj


def wrong(obj: dict[str, Any], old: dict[str, Any] | None = None) -> list[str]:
    group, version = GVKS[obj["kind"]]
    return [cause.field for cause in BY_GVK[group, version, obj["kind"]].validate(obj, old)]


NEVER = {"template": {"spec": POD | {"restartPolicy": "Never"}}}
BASE: dict[str, dict[str, Any]] = {
    "StatefulSet": SELECTED | {"serviceName": "x"},
    "DaemonSet": SELECTED,
    "ReplicationController": {"selector": LABELS, "template": TEMPLATE},
    "Job": NEVER,
    "CronJob": {"schedule": "*/5 * * * *", "jobTemplate": {"spec": NEVER}},
    "HorizontalPodAutoscaler": {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"}, "maxReplicas": 3,
    },
    "PodDisruptionBudget": {"minAvailable": 1, "selector": {"matchLabels": LABELS}},
}  # fmt: skip


@pytest.mark.parametrize("kind", BASE)
def test_the_plain_ones_are_right(kind: str) -> None:
    assert wrong(made(kind)) == []


CASES: list[tuple[str, dict[str, Any], str]] = [
    ("StatefulSet", {"podManagementPolicy": "Sometimes"}, "spec.podManagementPolicy"),
    ("StatefulSet", {"updateStrategy": {"type": "OnDelete", "rollingUpdate": {}}}, "spec.updateStrategy.rollingUpdate"),
    ("StatefulSet", {"ordinals": {"start": -1}}, "spec.ordinals.start"),
    ("StatefulSet", {"volumeClaimTemplates": [{"metadata": {"name": "d"}, "spec": {}}]},
     "spec.volumeClaimTemplates[0].spec.accessModes"),
    ("StatefulSet", {"selector": {"matchLabels": {"a": "c"}}}, "spec.template.metadata.labels"),
    ("DaemonSet", {"updateStrategy": {"type": "Recreate"}}, "spec.updateStrategy"),
    ("DaemonSet", {"updateStrategy": {"rollingUpdate": {"maxUnavailable": 0}}},
     "spec.updateStrategy.rollingUpdate.maxUnavailable"),
    ("DaemonSet", {"template": TEMPLATE | {"spec": POD | {"restartPolicy": "Never"}}},
     "spec.template.spec.restartPolicy"),
    ("ReplicationController", {"selector": {}, "template": {"spec": POD}}, "spec.selector"),
    ("Job", {"template": {"spec": POD}}, "spec.template.spec.restartPolicy"),
    ("Job", {"parallelism": -1}, "spec.parallelism"),
    ("Job", {"completionMode": "Counted"}, "spec.completionMode"),
    ("Job", {"completionMode": "Indexed", "parallelism": 2}, "spec.completions"),
    ("Job", {"completionMode": "Indexed", "completions": 200_000, "parallelism": 200_000}, "spec.parallelism"),
    ("Job", {"backoffLimitPerIndex": 1}, "spec.backoffLimitPerIndex"),
    ("Job", {"podFailurePolicy": {"rules": [{"action": "Shrug", "onExitCodes": {"operator": "In", "values": [1]}}]}},
     "spec.podFailurePolicy.rules[0].action"),
    ("Job", {"podFailurePolicy": {"rules": [{"action": "FailJob", "onExitCodes": {"operator": "In", "values": [0]}}]}},
     "spec.podFailurePolicy.rules[0].onExitCodes.values[0]"),
    ("Job", {"manualSelector": True}, "spec.selector"),
    ("CronJob", {"schedule": ""}, "spec.schedule"),
    ("CronJob", {"schedule": "61 * * * *"}, "spec.schedule"),
    ("CronJob", {"schedule": "* * * *"}, "spec.schedule"),
    ("CronJob", {"schedule": "* * * * * *"}, "spec.schedule"),
    ("CronJob", {"schedule": "0 0 L * *"}, "spec.schedule"),
    ("CronJob", {"schedule": "0 0 * * 7"}, "spec.schedule"),
    ("CronJob", {"schedule": "@every soon"}, "spec.schedule"),
    ("CronJob", {"schedule": "TZ=UTC 0 0 * * *"}, "spec.schedule"),
    ("CronJob", {"timeZone": "Mars/Olympus"}, "spec.timeZone"),
    ("CronJob", {"timeZone": "Local"}, "spec.timeZone"),
    ("CronJob", {"timeZone": "../../etc/passwd"}, "spec.timeZone"),
    ("CronJob", {"concurrencyPolicy": "Race"}, "spec.concurrencyPolicy"),
    ("CronJob", {"jobTemplate": {"spec": {"template": {"spec": POD}}}},
     "spec.jobTemplate.spec.template.spec.restartPolicy"),
    ("HorizontalPodAutoscaler", {"minReplicas": 0}, "spec.minReplicas"),
    ("HorizontalPodAutoscaler", {"minReplicas": 5}, "spec.maxReplicas"),
    ("HorizontalPodAutoscaler", {"maxReplicas": 0}, "spec.maxReplicas"),
    ("HorizontalPodAutoscaler", {"scaleTargetRef": {"kind": "Deployment"}}, "spec.scaleTargetRef.name"),
    ("HorizontalPodAutoscaler", {"metrics": [{"type": "Vibes"}]}, "spec.metrics[0].type"),
    ("HorizontalPodAutoscaler", {"metrics": [{"type": "Resource"}]}, "spec.metrics[0].resource"),
    ("HorizontalPodAutoscaler", {"metrics": [{"type": "Resource", "resource": {"name": "cpu", "target":
     {"type": "Utilization", "averageUtilization": 0}}}]}, "spec.metrics[0].resource.target.averageUtilization"),
    ("HorizontalPodAutoscaler", {"behavior": {"scaleDown": {"stabilizationWindowSeconds": 4000}}},
     "spec.behavior.scaleDown.stabilizationWindowSeconds"),
    ("PodDisruptionBudget", {"maxUnavailable": 1}, "spec"),
    ("PodDisruptionBudget", {"minAvailable": "101%"}, "spec.minAvailable"),
    ("PodDisruptionBudget", {"minAvailable": -1}, "spec.minAvailable"),
    ("PodDisruptionBudget", {"unhealthyPodEvictionPolicy": "Maybe"}, "spec.unhealthyPodEvictionPolicy"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "spec", "field"), CASES, ids=[f"{kind} {field}" for kind, _, field in CASES])
def test_field_that_is_wrong(kind: str, spec: dict[str, Any], field: str) -> None:
    assert field in wrong(made(kind, **spec))


@pytest.mark.parametrize("schedule", ["@daily", "@every 1h30m", "0 9-17/2 * * MON-FRI", "15 14 1 * ?", "0 0 * * 0"])
def test_schedules_that_kubernetes_takes(schedule: str) -> None:
    assert wrong(made("CronJob", schedule=schedule)) == []


CHANGES: list[tuple[str, dict[str, Any], str]] = [
    ("StatefulSet", {"serviceName": "y"}, "spec"),
    ("DaemonSet", {"selector": {"matchLabels": {"a": "b", "c": "d"}}}, "spec.selector"),
    ("Job", {"completions": 5}, "spec.completions"),
    ("Job", {"completionMode": "Indexed"}, "spec.completionMode"),
    ("Job", {"template": {"spec": POD | {"restartPolicy": "OnFailure"}}}, "spec.template"),
]


@pytest.mark.parametrize(("kind", "spec", "field"), CHANGES, ids=[f"{kind} {field}" for kind, _, field in CHANGES])
def test_change_that_is_not_allowed(kind: str, spec: dict[str, Any], field: str) -> None:
    assert field in wrong(made(kind, **spec), made(kind))


def test_suspended_job_may_be_placed_anew() -> None:
    placed = {"template": {"spec": NEVER["template"]["spec"] | {"nodeSelector": {"disk": "ssd"}}}}
    assert wrong(made("Job", suspend=True, **placed), made("Job", suspend=True)) == []
    assert wrong(made("Job", **placed), made("Job")) == ["spec.template"]


def test_job_selects_the_pods_that_carry_its_uid() -> None:
    job = made("Job")
    labels = job["spec"]["template"]["metadata"]["labels"]
    assert job["spec"]["selector"] == {"matchLabels": {"batch.kubernetes.io/controller-uid": "c0ffee"}}
    assert labels == job["metadata"]["labels"] == {
        "job-name": "x", "batch.kubernetes.io/job-name": "x", "controller-uid": "c0ffee",
        "batch.kubernetes.io/controller-uid": "c0ffee",
    }  # fmt: skip


def test_daemon_set_counts_the_changes_of_its_template() -> None:
    first = made("DaemonSet")
    workloads.start_template_generation(CONTEXT, first)
    second = made("DaemonSet", template=TEMPLATE | {"spec": {"containers": [{"name": "c", "image": "j"}]}})
    workloads.count_template_generation(CONTEXT, second, first)
    third = codec.copy(second)
    workloads.count_template_generation(CONTEXT, third, second)
    counts = [obj["metadata"]["annotations"][workloads.TEMPLATE_GENERATION] for obj in (first, second, third)]
    assert counts == ["1", "2", "2"]


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ({}, ["<unknown>/80%", "cpu: "]),
        ({"currentMetrics": [{"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": 7}}}]},
         ["7%/80%", "cpu: "]),
    ],
)  # fmt: skip
def test_targets_of_an_autoscaler(status: dict[str, Any], expected: list[str]) -> None:
    hpa = made("HorizontalPodAutoscaler") | {"status": status}
    column = next(c for c in BY_GVK["autoscaling", "v2", "HorizontalPodAutoscaler"].columns if c.name == "Targets")
    assert column.cell(hpa) == expected[1] + expected[0]


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        ([], "Running"),
        ([{"type": "Complete", "status": "True"}], "Complete"),
        ([{"type": "Failed", "status": "True"}], "Failed"),
        ([{"type": "Suspended", "status": "True"}], "Suspended"),
        ([{"type": "Suspended", "status": "False"}], "Running"),
    ],
)
def test_state_of_a_job(conditions: list[dict[str, str]], expected: str) -> None:
    job = made("Job") | {"status": {"conditions": conditions, "startTime": "2026-05-04T12:00:00Z"}}
    column = next(c for c in BY_GVK["batch", "v1", "Job"].columns if c.name == "Status")
    assert column.cell(job) == expected
