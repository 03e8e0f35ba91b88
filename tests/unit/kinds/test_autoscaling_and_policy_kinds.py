"""HorizontalPodAutoscaler and PodDisruptionBudget: what is filled in, refused and shown."""

from datetime import UTC, datetime
from typing import Any

import pytest

from controlplane.apiserver.kinds.table import BY_GVK
from shared import codec
from tests.kinds import short

HPA = BY_GVK["autoscaling", "v2", "HorizontalPodAutoscaler"]
PDB = BY_GVK["policy", "v1", "PodDisruptionBudget"]
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
TARGET = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}


def made(kind: Any, spec: Any, **status: Any) -> Any:
    obj = codec.copy({"metadata": {"name": "x", "namespace": "g"}, "spec": spec, "status": status})
    kind.default(obj)
    return obj


def hpa(**spec: Any) -> Any:
    return made(HPA, {"scaleTargetRef": TARGET, "maxReplicas": 5, **spec})


def cpu(**target: Any) -> Any:
    return {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", **target}}}


def source(kind: str, field: str, **target: Any) -> Any:
    return {"type": kind, field: {"metric": {"name": "m"}, "target": {"type": "Value", **target}}}


def test_defaults_of_an_autoscaler() -> None:
    assert hpa()["spec"] == {
        "scaleTargetRef": TARGET, "minReplicas": 1, "maxReplicas": 5, "metrics": [cpu(averageUtilization=80)],
    }  # fmt: skip


def test_behavior_is_filled_in_where_there_is_any() -> None:
    behavior = hpa(behavior={"scaleUp": {"selectPolicy": "Min", "tolerance": "0.10"}})["spec"]["behavior"]
    percent = {"type": "Percent", "value": 100, "periodSeconds": 15}
    assert behavior == {
        "scaleUp": {
            "stabilizationWindowSeconds": 0, "selectPolicy": "Min", "tolerance": "100m",
            "policies": [{"type": "Pods", "value": 4, "periodSeconds": 15}, percent],
        },
        "scaleDown": {"selectPolicy": "Max", "policies": [percent]},
    }  # fmt: skip


METRIC = "spec.metrics[0]"
UP = "spec.behavior.scaleUp"


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({}, []),
        ({"minReplicas": 0}, [("Invalid", "spec.minReplicas")]),
        ({"maxReplicas": 0}, [("Invalid", "spec.maxReplicas")] * 2),
        ({"minReplicas": 6}, [("Invalid", "spec.maxReplicas")]),
        (
            {"scaleTargetRef": {"kind": "a/b", "apiVersion": "apps/v1"}},
            [("Invalid", "spec.scaleTargetRef.kind"), ("Required", "spec.scaleTargetRef.name")],
        ),
        ({"scaleTargetRef": {"kind": "Deployment", "name": "x"}}, [("Invalid", "spec.scaleTargetRef.apiVersion")]),
        ({"scaleTargetRef": {"kind": "ReplicationController", "name": "x"}}, []),
        ({"scaleTargetRef": {**TARGET, "apiVersion": "a/b/c"}}, [("Invalid", "spec.scaleTargetRef.apiVersion")]),
        ({"metrics": [cpu()]}, [("Required", f"{METRIC}.resource.target.averageUtilization")]),
        ({"metrics": [cpu(averageUtilization=0)]}, [("Invalid", f"{METRIC}.resource.target.averageUtilization")]),
        (
            {"metrics": [cpu(averageUtilization=1, averageValue="1")]},
            [("Forbidden", f"{METRIC}.resource.target.averageValue")],
        ),
        ({"metrics": [source("Pods", "pods", averageValue="1")]}, []),
        ({"metrics": [source("Pods", "pods", value="1")]}, [("Required", f"{METRIC}.pods.target.averageValue")]),
        ({"metrics": [source("External", "external", value="1")]}, []),
        ({"metrics": [source("External", "external")]}, [("Required", f"{METRIC}.external.target.averageValue")]),
        (
            {"metrics": [source("External", "external", value="1", averageValue="1")]},
            [("Forbidden", f"{METRIC}.external.target.value")],
        ),
        (
            {"metrics": [source("Object", "object", value="0")]},
            [
                ("Required", f"{METRIC}.object.describedObject.kind"),
                ("Required", f"{METRIC}.object.describedObject.name"),
                ("Invalid", f"{METRIC}.object.target.value"),
            ],
        ),
        ({"metrics": [source("Pods", "external", value="1")]}, [("Required", f"{METRIC}.pods")]),
        (
            {"metrics": [{**cpu(averageUtilization=1), **source("Pods", "pods", averageValue="1")}]},
            [("Forbidden", f"{METRIC}.resource")],
        ),
        ({"metrics": [{"type": "Guess"}]}, [("NotSupported", f"{METRIC}.type")]),
        (
            {"metrics": [{"type": "ContainerResource", "containerResource": {"name": "cpu", "target": {}}}]},
            [
                ("Required", f"{METRIC}.containerResource.container"),
                ("Required", f"{METRIC}.containerResource.target.type"),
                ("Invalid", f"{METRIC}.containerResource.target.type"),
                ("Required", f"{METRIC}.containerResource.target.averageUtilization"),
            ],
        ),
        (
            {"behavior": {"scaleUp": {"stabilizationWindowSeconds": 3601, "selectPolicy": "Any", "policies": []}}},
            [
                ("Invalid", f"{UP}.stabilizationWindowSeconds"),
                ("NotSupported", f"{UP}.selectPolicy"),
                ("Required", f"{UP}.policies"),
            ],
        ),
        (
            {"behavior": {"scaleUp": {"policies": [{"type": "All", "value": 0, "periodSeconds": 1801}]}}},
            [
                ("NotSupported", f"{UP}.policies[0].type"),
                ("Invalid", f"{UP}.policies[0].value"),
                ("Invalid", f"{UP}.policies[0].periodSeconds"),
            ],
        ),
    ],
    ids=lambda value: str(value)[:80],
)
def test_autoscalers(spec: Any, expected: Any) -> None:
    assert short(HPA.validate(hpa(**spec), None)) == expected


def test_a_target_that_was_there_may_stay() -> None:
    old = hpa(scaleTargetRef={"kind": "Deployment", "name": "x"})
    assert short(HPA.validate({**old, "spec": {**old["spec"], "maxReplicas": 9}}, old)) == []
    assert short(HPA.validate_status({"status": {"currentReplicas": -1}}, old)) == [
        ("Invalid", "status.currentReplicas")
    ]


def shown(kind: Any, obj: Any) -> list[Any]:
    return [column.value(obj, NOW) for column in kind.columns]


@pytest.mark.parametrize(
    ("metrics", "current", "expected"),
    [
        ([], [], "cpu: <unknown>/80%"),
        ([cpu(averageUtilization=50)], [{"type": "Resource", "resource": {"current": {"averageUtilization": 7}}}],
         "cpu: 7%/50%"),
        ([cpu(averageValue="500m")], [{"type": "Resource", "resource": {"current": {"averageValue": "20m"}}}],
         "cpu: 20m/500m"),
        ([source("External", "external", averageValue="2")], [], "<unknown>/2 (avg)"),
        ([source("Pods", "pods", averageValue="2")] * 4, [], "<unknown>/2, <unknown>/2 + 2 more..."),
    ],
    ids=str,
)  # fmt: skip
def test_what_tables_show_of_autoscalers(metrics: Any, current: Any, expected: str) -> None:
    obj = hpa(metrics=metrics)
    obj["status"] |= {"currentMetrics": current, "currentReplicas": 2}
    assert shown(HPA, obj) == ["x", "Deployment/web", expected, "1", 5, 2, "<unknown>"]


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({}, []),
        ({"minAvailable": 1, "selector": {"matchLabels": {"a": "b"}}}, []),
        ({"maxUnavailable": "50%", "unhealthyPodEvictionPolicy": "AlwaysAllow"}, []),
        ({"minAvailable": 1, "maxUnavailable": 1}, [("Invalid", "spec")]),
        ({"minAvailable": -1}, [("Invalid", "spec.minAvailable")]),
        ({"maxUnavailable": "101%"}, [("Invalid", "spec.maxUnavailable")]),
        ({"maxUnavailable": "half"}, [("Invalid", "spec.maxUnavailable")]),
        ({"selector": {"matchLabels": {"a b": "c"}}}, [("Invalid", "spec.selector.matchLabels")]),
        ({"unhealthyPodEvictionPolicy": "Never"}, [("NotSupported", "spec.unhealthyPodEvictionPolicy")]),
    ],
    ids=str,
)
def test_budgets(spec: Any, expected: Any) -> None:
    assert short(PDB.validate(made(PDB, spec), None)) == expected


CONDITION = {
    "type": "DisruptionAllowed", "status": "True", "reason": "SufficientPods", "message": "",
    "lastTransitionTime": "2026-11-23T12:00:00Z", "observedGeneration": 1,
}  # fmt: skip
AT = "status.conditions[0]"


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ({"conditions": [CONDITION], "disruptionsAllowed": 1}, []),
        ({"disruptionsAllowed": -1}, [("Invalid", "status.disruptionsAllowed")]),
        ({"conditions": [CONDITION, CONDITION]}, [("Duplicate", "status.conditions[1].type")]),
        ({"conditions": [{**CONDITION, "reason": "not one"}]}, [("Invalid", f"{AT}.reason")]),
        (
            {"conditions": [{"type": "A", "status": "Perhaps"}]},
            [("NotSupported", f"{AT}.status"), ("Required", f"{AT}.lastTransitionTime"), ("Required", f"{AT}.reason")],
        ),
    ],
    ids=str,
)
def test_statuses_of_budgets(status: Any, expected: Any) -> None:
    assert short(PDB.validate_status({"status": status}, None)) == expected


def test_what_tables_show_of_budgets() -> None:
    assert shown(PDB, made(PDB, {"maxUnavailable": 0}, disruptionsAllowed=2)) == ["x", "N/A", "0", 2, "<unknown>"]
    assert shown(PDB, made(PDB, {"minAvailable": "30%"})) == ["x", "30%", "N/A", 0, "<unknown>"]
