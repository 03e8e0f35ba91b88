"""autoscaling/v1 and v2 are two views of the same autoscalers."""

from __future__ import annotations

from typing import Any

import pytest

from controlplane.apiserver.kinds.autoscaler_v1 import METRICS, from_v2, to_v2
from shared import codec

META = {"name": "a", "namespace": "g", "annotations": {"mine": "1"}}


def utilization(name: str, share: int) -> Any:
    return {
        "type": "Resource",
        "resource": {"name": name, "target": {"type": "Utilization", "averageUtilization": share}},
    }


CPU, MEMORY = utilization("cpu", 50), utilization("memory", 60)
PODS = {"type": "Pods", "pods": {"metric": {"name": "rps", "selector": {"matchLabels": {"a": "b"}}},
                                 "target": {"type": "AverageValue", "averageValue": "10"}}}  # fmt: skip
OBJECT = {"type": "Object", "object": {
    "describedObject": {"kind": "Service", "name": "s", "apiVersion": "v1"}, "metric": {"name": "rps"},
    "target": {"type": "Value", "value": "5"}}}  # fmt: skip
EXTERNAL = {"type": "External", "external": {"metric": {"name": "q", "selector": {"matchLabels": {"a": "b"}}},
                                             "target": {"type": "AverageValue", "averageValue": "3"}}}  # fmt: skip
CONTAINER = {"type": "ContainerResource", "containerResource": {
    "name": "cpu", "container": "c", "target": {"type": "Utilization", "averageUtilization": 70}}}  # fmt: skip
BEHAVIOR = {
    "scaleUp": {"selectPolicy": "Max", "stabilizationWindowSeconds": 1,
                "policies": [{"type": "Pods", "value": 1, "periodSeconds": 15}]},
    "scaleDown": {"selectPolicy": "Max", "policies": [{"type": "Pods", "value": 1, "periodSeconds": 15}]},
}  # fmt: skip


@pytest.mark.parametrize(
    "spec",
    [
        {"metrics": [CPU]}, {"metrics": [MEMORY]}, {"metrics": [CPU, MEMORY, PODS, OBJECT, EXTERNAL, CONTAINER]},
        {"metrics": [CPU], "behavior": BEHAVIOR},
    ],
    ids=["cpu", "memory", "all kinds of metrics", "behavior"],
)  # fmt: skip
def test_nothing_is_lost_on_the_way_to_v1_and_back(spec: Any) -> None:
    target = {"kind": "Deployment", "name": "d", "apiVersion": "apps/v1"}
    status = {
        "currentReplicas": 2, "desiredReplicas": 3, "conditions": [{"type": "AbleToScale", "status": "True"}],
        "currentMetrics": [{"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": 12}}}],
    }  # fmt: skip
    stored = {
        "metadata": META,
        "spec": {"scaleTargetRef": target, "minReplicas": 1, "maxReplicas": 5, **spec},
        "status": status,
    }
    shown = from_v2(codec.copy(stored))
    assert "metrics" not in shown["spec"]
    assert shown["status"]["currentCPUUtilizationPercentage"] == 12
    assert to_v2(shown) == stored


def test_cpu_has_a_field_and_the_others_an_annotation() -> None:
    shown = from_v2({"metadata": META, "spec": {"maxReplicas": 3, "metrics": [CPU, MEMORY]}})
    assert shown["spec"] == {"maxReplicas": 3, "targetCPUUtilizationPercentage": 50}
    kept = codec.decode(shown["metadata"]["annotations"][METRICS])
    assert kept == [{"type": "Resource", "resource": {"name": "memory", "targetAverageUtilization": 60}}]


@pytest.mark.parametrize("text", ["", "nonsense", "{}", "[1]", "null"])
def test_an_annotation_that_makes_no_sense_is_no_crash(text: str) -> None:
    obj = {"metadata": {**META, "annotations": {METRICS: text}}, "spec": {"maxReplicas": 3}}
    assert to_v2(obj)["metadata"] == {"name": "a", "namespace": "g"}
