"""Quotas, limits, classes of priority and runtime: what is filled in, what is refused, what a table shows."""

from typing import Any

import pytest

from controlplane.apiserver.kinds.metadata import validate_metadata
from shared import codec
from tests.kinds import NOW, ROWS, check, short


def limits(**item: Any) -> Any:
    return {"spec": {"limits": [{"type": "Container", **item}]}}


ITEM = "spec.limits[0]"


@pytest.mark.parametrize(
    ("obj", "expected"),
    [
        (limits(max={"cpu": "1"}, min={"cpu": "100m"}, maxLimitRequestRatio={"cpu": "10"}), []),
        (limits(max={"cpu": "1"}, min={"cpu": "2"}, default={"cpu": "2"}, defaultRequest={"cpu": "2"}),
         [("Invalid", f"{ITEM}.min[cpu]"), ("Invalid", f"{ITEM}.defaultRequest[cpu]"),
          ("Invalid", f"{ITEM}.default[cpu]")]),
        (limits(default={"cpu": "1"}, defaultRequest={"cpu": "2"}), [("Invalid", f"{ITEM}.defaultRequest[cpu]")]),
        (limits(min={"cpu": "2"}, default={"cpu": "1"}, defaultRequest={"cpu": "1"}),
         [("Invalid", f"{ITEM}.defaultRequest[cpu]"), ("Invalid", f"{ITEM}.default[cpu]")]),
        (limits(max={"storage": "1"}), [("Invalid", f"{ITEM}.max[storage]"), ("Invalid", f"{ITEM}.default[storage]"),
                                        ("Invalid", f"{ITEM}.defaultRequest[storage]")]),
        (limits(max={"bogus": "1"}, type="Pod"), [("Invalid", f"{ITEM}.max[bogus]")] * 2),
        (limits(type="Pod", default={"cpu": "1"}, defaultRequest={"cpu": "1"}),
         [("Forbidden", f"{ITEM}.default"), ("Forbidden", f"{ITEM}.defaultRequest")]),
        (limits(type="PersistentVolumeClaim"), [("Required", f"{ITEM}.limits")]),
        (limits(type="PersistentVolumeClaim", max={"storage": "1Gi"}), []),
        (limits(type="Other"), [("Invalid", f"{ITEM}.type")]),
        (limits(type="example.com/other"), []),
        (limits(maxLimitRequestRatio={"cpu": "500m"}), [("Invalid", f"{ITEM}.maxLimitRequestRatio[cpu]")]),
        (limits(maxLimitRequestRatio={"cpu": "11"}, min={"cpu": "100m"}, max={"cpu": "1"}),
         [("Invalid", f"{ITEM}.maxLimitRequestRatio[cpu]")]),
        (limits(default={"hugepages-2Mi": "4Mi"}, defaultRequest={"hugepages-2Mi": "2Mi"}),
         [("Invalid", f"{ITEM}.defaultRequest[hugepages-2Mi]")]),
        ({"spec": {"limits": [{"type": "Pod"}, {"type": "Pod"}]}}, [("Duplicate", "spec.limits[1].type")]),
    ],
    ids=str,
)  # fmt: skip
def test_limit_ranges(obj: Any, expected: Any) -> None:
    assert check("LimitRange", obj) == expected


@pytest.mark.parametrize(
    ("given", "default", "request_"),
    [
        ({"max": {"cpu": "2"}}, {"cpu": "2"}, {"cpu": "2"}),
        ({"max": {"cpu": "2"}, "default": {"cpu": "1"}}, {"cpu": "1"}, {"cpu": "1"}),
        ({"min": {"cpu": "1"}}, None, {"cpu": "1"}),
        ({"min": {"cpu": "1"}, "max": {"cpu": "2000m"}}, {"cpu": "2"}, {"cpu": "2"}),
        ({"default": {"memory": "1024Mi"}, "defaultRequest": {"memory": "1Mi"}}, {"memory": "1Gi"}, {"memory": "1Mi"}),
        ({}, None, None),
    ],
    ids=str,
)
def test_a_containers_defaults_come_from_its_bounds(given: Any, default: Any, request_: Any) -> None:
    obj = limits(**codec.copy(given))
    ROWS["LimitRange"].default(obj)
    [item] = obj["spec"]["limits"]
    assert (item.get("default"), item.get("defaultRequest")) == (default, request_)


def quota(*scopes: str, terms: Any = None, **hard: str) -> Any:
    spec: Any = {"hard": {name.replace("__", "."): amount for name, amount in hard.items()}}
    if scopes:
        spec["scopes"] = list(scopes)
    if terms is not None:
        spec["scopeSelector"] = {"matchExpressions": terms}
    return {"spec": spec}


TERMS = "spec.scopeSelector.matchExpressions"


@pytest.mark.parametrize(
    ("obj", "expected"),
    [
        (quota(pods="5", requests__cpu="1500m", limits__memory="1Gi"), []),
        ({"spec": {"hard": {"count/deployments.apps": "3", "requests.example.com/gpu": "2",
                            "gold.storageclass.storage.k8s.io/requests.storage": "1Ti", "hugepages-2Mi": "4Mi"}}}, []),
        (quota(pods="1500m"), [("Invalid", "spec.hard[pods]")]),
        (quota(cpu="-1"), [("Invalid", "spec.hard[cpu]")]),
        (quota(bogus="1"), [("Invalid", "spec.hard[bogus]")] * 2),
        (quota(storage="1"), [("Invalid", "spec.hard[storage]")]),
        (quota("BestEffort", pods="1"), []),
        (quota("BestEffort", cpu="1"), [("Invalid", "spec.scopes")]),
        (quota("Terminating", services="1"), [("Invalid", "spec.scopes")]),
        (quota("Odd", pods="1"), [("Invalid", "spec.scopes")]),
        (quota("BestEffort", "NotBestEffort", pods="1"), [("Invalid", "spec.scopes")]),
        (quota(pods="1", terms=[{"scopeName": "PriorityClass", "operator": "In", "values": ["high"]}]), []),
        (quota(pods="1", terms=[{"scopeName": "PriorityClass", "operator": "In"}]), [("Required", f"{TERMS}.values")]),
        (quota(pods="1", terms=[{"scopeName": "PriorityClass", "operator": "Exists", "values": ["a"]}]),
         [("Invalid", f"{TERMS}.values")]),
        (quota(pods="1", terms=[{"scopeName": "Terminating", "operator": "DoesNotExist"}]),
         [("Invalid", f"{TERMS}.operator")]),
        (quota(pods="1", terms=[{"scopeName": "Terminating", "operator": "Odd"}]),
         [("Invalid", f"{TERMS}.operator")] * 2),
        (quota(persistentvolumeclaims="1", terms=[{"scopeName": "VolumeAttributesClass", "operator": "Exists"}]), []),
        (quota(pods="1", terms=[{"scopeName": "VolumeAttributesClass", "operator": "Exists"}]), [("Invalid", TERMS)]),
    ],
    ids=str,
)  # fmt: skip
def test_quotas(obj: Any, expected: Any) -> None:
    assert check("ResourceQuota", obj) == expected


def test_a_quotas_scopes_never_change_but_its_amounts_do() -> None:
    old = quota("BestEffort", pods="1")
    assert check("ResourceQuota", quota("BestEffort", pods="2"), old) == []
    assert check("ResourceQuota", quota(pods="1"), old) == [("Invalid", "spec.scopes")]


def test_a_quotas_status_and_table() -> None:
    row = ROWS["ResourceQuota"]
    status = {"hard": {"pods": "5", "limits.cpu": "2", "cpu": "1"}, "used": {"pods": "1", "limits.cpu": "500m"}}
    obj = {"metadata": {"name": "x"}, "status": status}
    assert [column.value(obj, NOW) for column in row.columns][:3] == ["x", "cpu: 0/1, pods: 1/5", "limits.cpu: 500m/2"]
    bad = {"status": {"hard": {"pods": "0.5"}, "used": {"cpu": "-1"}}}
    assert short(row.validate_status(bad, None)) == [("Invalid", "status.hard[pods]"), ("Invalid", "status.used[cpu]")]


@pytest.mark.parametrize(
    ("obj", "expected"),
    [
        ({"value": 1_000_000_000}, []),
        ({"value": 1_000_000_001}, [("Forbidden", "value")]),
        ({"value": -5, "preemptionPolicy": "Never"}, []),
        ({"value": 1, "preemptionPolicy": "Odd"}, [("NotSupported", "preemptionPolicy")]),
        ({"value": 1, "preemptionPolicy": ""}, [("Required", "preemptionPolicy")]),
        ({"metadata": {"name": "system-mine"}, "value": 1}, [("Forbidden", "metadata.name")]),
        ({"metadata": {"name": "system-node-critical"}, "value": 2_000_001_000}, []),
        ({"metadata": {"name": "system-node-critical"}, "value": 1}, [("Forbidden", "metadata.name")]),
        ({"metadata": {"name": "system-cluster-critical"}, "value": 2_000_000_000, "globalDefault": True},
         [("Forbidden", "metadata.name")]),
    ],
    ids=str,
)  # fmt: skip
def test_priority_classes(obj: Any, expected: Any) -> None:
    assert check("PriorityClass", obj) == expected


def test_a_priority_never_changes() -> None:
    old = {"value": 1}
    changed = {"value": 2, "preemptionPolicy": "Never"}
    assert check("PriorityClass", changed, old) == [("Forbidden", "value"), ("Invalid", "preemptionPolicy")]
    assert check("PriorityClass", {"value": 1, "description": "new", "globalDefault": True}, old) == []


TOLERATION = {"key": "k", "operator": "Exists"}


@pytest.mark.parametrize(
    ("obj", "old", "expected"),
    [
        ({"handler": "runc"}, None, []),
        ({"handler": "Not_it"}, None, [("Invalid", "handler")]),
        ({"handler": "b"}, {"handler": "a"}, [("Invalid", "handler")]),
        ({"handler": "a", "overhead": {"podFixed": {"cpu": "-1"}}}, None, [("Invalid", "overhead.limits[cpu]")]),
        ({"handler": "a", "scheduling": {"nodeSelector": {"a b": "c"}}}, None,
         [("Invalid", "scheduling.nodeSelector")]),
        ({"handler": "a", "scheduling": {"tolerations": [TOLERATION, TOLERATION]}}, None,
         [("Duplicate", "scheduling.tolerations[1]")]),
    ],
    ids=str,
)  # fmt: skip
def test_runtime_classes(obj: Any, old: Any, expected: Any) -> None:
    assert check("RuntimeClass", obj, old) == expected


@pytest.mark.parametrize(
    ("name", "ok"),
    [("10.0.0.1", True), ("2001:db8::1", True), ("2001:db8:0::1", False), ("10.0.0.01", False), ("host", False)],
)
def test_an_ip_address_is_named_by_its_canonical_form(name: str, ok: bool) -> None:
    assert short(validate_metadata(ROWS["IPAddress"], {"metadata": {"name": name}}, None)) == (
        [] if ok else [("Invalid", "metadata.name")]
    )
