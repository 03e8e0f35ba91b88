"""Every filter: which of three nodes it refuses, and in which words."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from controlplane.scheduler.filters import explain, feasible, message, tolerates
from controlplane.scheduler.requirements import Requirements, of_pod
from controlplane.scheduler.snapshot import Snapshot
from controlplane.scheduler.usage import Usage
from shared.api.core import Node, Taint
from shared.api.pod import Pod, Toleration


def node(name, labels=None, taints=(), unschedulable=False, **allocatable) -> Node:
    return msgspec.convert(
        {
            "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name, **(labels or {})}},
            "spec": {"taints": list(taints), "unschedulable": unschedulable},
            "status": {"allocatable": {"cpu": "4", "memory": "8Gi", "pods": "110", **allocatable}},
        },
        Node,
    )


def pod(requests=None, ports=(), **spec) -> Requirements:
    container = {"name": "c", "resources": {"requests": requests or {}}, "ports": list(ports)}
    return of_pod(msgspec.convert({"spec": {"containers": [container], **spec}}, Pod))


def cluster(*nodes: Node) -> Snapshot:
    snapshot = Snapshot(rows=2)
    for made in nodes:
        snapshot.put_node(made)
    return snapshot


def judge(snapshot: Snapshot, requirements: Requirements) -> tuple[set[str], dict[str, int]]:
    """Names that are let through, and the refusals."""
    usage = Usage(snapshot)
    names = {snapshot.names[row] for row in np.flatnonzero(feasible(usage, requirements))}
    return names, explain(usage, requirements)


def taint(key, value="", effect="NoSchedule"):
    return {"key": key, "value": value, "effect": effect}


def affinity(*terms):
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": list(terms)}}}


def expressions(*requirements):
    return {"matchExpressions": [{"key": k, "operator": o, "values": list(v)} for k, o, v in requirements]}


AFFINITY = "node(s) didn't match Pod's node affinity/selector"
UNSCHEDULABLE = "node(s) were unschedulable"
PORTS = "node(s) didn't have free ports for the requested pod ports"


@pytest.mark.parametrize(
    ("requirements", "refused"),
    [
        (pod(), {UNSCHEDULABLE: 1}),
        (pod(tolerations=[{"key": "node.kubernetes.io/unschedulable", "operator": "Exists"}]), {}),
        (pod(tolerations=[{"operator": "Exists"}]), {}),
        (pod(tolerations=[{"key": "other", "operator": "Exists"}]), {UNSCHEDULABLE: 1}),
    ],
    ids=["refused", "tolerated by key", "tolerated by all", "another toleration"],
)
def test_cordoned_nodes(requirements, refused):
    assert judge(cluster(node("a"), node("b", unschedulable=True)), requirements)[1] == refused


@pytest.mark.parametrize(
    ("tolerations", "names", "refused"),
    [
        ([], {"plain", "soft"}, {"node(s) had untolerated taint {gpu: yes}": 1,
                                 "node(s) had untolerated taint {node.kubernetes.io/not-ready: }": 2}),
        ([{"key": "gpu", "value": "yes"}], {"plain", "soft", "gpu"},
         {"node(s) had untolerated taint {node.kubernetes.io/not-ready: }": 2}),
        ([{"key": "gpu", "value": "no"}, {"key": "node.kubernetes.io/not-ready", "operator": "Exists",
                                          "effect": "NoExecute"}],
         {"plain", "soft", "lost"},
         {"node(s) had untolerated taint {gpu: yes}": 1,
          "node(s) had untolerated taint {node.kubernetes.io/not-ready: }": 1}),
        ([{"operator": "Exists"}], {"plain", "soft", "gpu", "lost", "both"}, {}),
    ],
    ids=["none", "one key", "one effect", "everything"],
)  # fmt: skip
def test_taints(tolerations, names, refused):
    not_ready = "node.kubernetes.io/not-ready"
    snapshot = cluster(
        node("plain"),
        node("soft", taints=[taint("soft", effect="PreferNoSchedule")]),
        node("gpu", taints=[taint("gpu", "yes")]),
        node("lost", taints=[taint(not_ready, effect="NoExecute")]),
        node("both", taints=[taint(not_ready, effect="NoSchedule"), taint("gpu", "yes")]),
    )
    assert judge(snapshot, pod(tolerations=tolerations)) == (names, refused)


@pytest.mark.parametrize(
    ("toleration", "expected"),
    [
        ({"key": "k", "value": "v"}, True),
        ({"key": "k", "value": "w"}, False),
        ({"key": "k"}, False),
        ({"key": "k", "operator": "Exists"}, True),
        ({"operator": "Exists"}, True),
        ({"operator": "Equal", "value": "v"}, False),
        ({"key": "k", "value": "v", "effect": "NoExecute"}, False),
        ({"key": "k", "value": "v", "effect": "NoSchedule"}, True),
        ({"key": "k", "operator": "Lt", "value": "v"}, False),
    ],
    ids=str,
)
def test_tolerations(toleration, expected):
    assert (
        tolerates(msgspec.convert(toleration, Toleration), Taint(key="k", value="v", effect="NoSchedule")) is expected
    )


@pytest.mark.parametrize(
    ("spec", "names"),
    [
        ({"nodeSelector": {"disk": "ssd"}}, {"a", "b"}),
        ({"nodeSelector": {"disk": "ssd", "zone": "1"}}, {"a"}),
        ({"nodeSelector": {"nothing": "here"}}, set()),
        ({"affinity": affinity(expressions(("zone", "In", ["1", "3"])))}, {"a", "c"}),
        ({"affinity": affinity(expressions(("zone", "NotIn", ["1"])))}, {"b", "c", "d"}),
        ({"affinity": affinity(expressions(("zone", "Exists", [])))}, {"a", "b", "c"}),
        ({"affinity": affinity(expressions(("zone", "DoesNotExist", [])))}, {"d"}),
        ({"affinity": affinity(expressions(("zone", "Gt", ["1"])))}, {"b", "c"}),
        ({"affinity": affinity(expressions(("zone", "Lt", ["2"])))}, {"a"}),
        ({"affinity": affinity(expressions(("disk", "Gt", ["1"])))}, set()),
        ({"affinity": affinity(expressions(("zone", "Gt", ["one"])))}, set()),
        ({"affinity": affinity(expressions(("disk", "In", ["ssd"]), ("zone", "NotIn", ["1"])))}, {"b"}),
        ({"affinity": affinity(expressions(("zone", "In", ["1"])), expressions(("zone", "In", ["2"])))}, {"a", "b"}),
        ({"affinity": affinity({})}, set()),
        ({"affinity": affinity({}, expressions(("zone", "In", ["2"])))}, {"b"}),
        ({"affinity": affinity({"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["c"]}]})}, {"c"}),
        ({"affinity": affinity({"matchFields": [{"key": "metadata.name", "operator": "NotIn", "values": ["c"]}]})},
         {"a", "b", "d"}),
        ({"nodeSelector": {"disk": "ssd"}, "affinity": affinity(expressions(("zone", "Gt", ["1"])))}, {"b"}),
    ],
    ids=[
        "selector", "two labels", "no such label", "In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt",
        "Gt of a word", "Gt than a word", "all expressions", "any term", "an empty term", "an empty term and another",
        "the name", "not the name", "selector and affinity",
    ],
)  # fmt: skip
def test_node_selectors(spec, names):
    nodes = [
        node("a", {"disk": "ssd", "zone": "1"}),
        node("b", {"disk": "ssd", "zone": "2"}),
        node("c", {"disk": "hdd", "zone": "3"}),
        node("d"),
    ]
    found, refused = judge(cluster(*nodes), pod(**spec))
    assert found == names
    assert refused == ({AFFINITY: 4 - len(names)} if len(names) < 4 else {})


@pytest.mark.parametrize(
    ("held", "wanted", "free"),
    [
        ({"hostPort": 80}, {"hostPort": 80}, False),
        ({"hostPort": 80}, {"hostPort": 81}, True),
        ({"hostPort": 80}, {"hostPort": 80, "protocol": "UDP"}, True),
        ({"hostPort": 80, "hostIP": "10.0.0.1"}, {"hostPort": 80, "hostIP": "10.0.0.2"}, True),
        ({"hostPort": 80, "hostIP": "10.0.0.1"}, {"hostPort": 80, "hostIP": "10.0.0.1"}, False),
        ({"hostPort": 80, "hostIP": "10.0.0.1"}, {"hostPort": 80}, False),
        ({"hostPort": 80}, {"hostPort": 80, "hostIP": "10.0.0.1"}, False),
    ],
    ids=["same", "other port", "other protocol", "other address", "same address", "all addresses", "one of all"],
)
def test_host_ports(held, wanted, free):
    snapshot = cluster(node("a"), node("b"))
    holder = pod(ports=[{"containerPort": 1, **held}])
    snapshot.place("u1", "a", holder)
    snapshot.place("u2", "a", pod(ports=[{"containerPort": 1, "hostPort": 443}]))
    asking = pod(ports=[{"containerPort": 1, **wanted}])
    names, refused = judge(snapshot, asking)
    assert names == ({"a", "b"} if free else {"b"})
    assert refused == ({} if free else {PORTS: 1})
    snapshot.forget("u1")
    assert judge(snapshot, asking)[0] == {"a", "b"}


@pytest.mark.parametrize(
    ("requests", "refused"),
    [
        ({"cpu": "1"}, {}),
        ({"cpu": "1001m"}, {"Insufficient cpu": 1}),
        ({"cpu": "2", "memory": "3Gi"}, {"Insufficient cpu": 1, "Insufficient memory": 1}),
        ({"cpu": "5", "memory": "9Gi"}, {"Insufficient cpu": 2, "Insufficient memory": 2}),
        ({"ephemeral-storage": "1Gi"}, {"Insufficient ephemeral-storage": 1}),
        ({"example.com/gpu": "2"}, {"Insufficient example.com/gpu": 1}),
        ({"example.com/other": "1"}, {"Insufficient example.com/other": 2}),
        ({"memory": "9000P"}, {"Insufficient memory": 2}),
        ({}, {}),
    ],
    ids=["exactly", "cpu", "two on one node", "two on both", "storage", "extended", "unknown", "absurd", "none"],
)
def test_resources(requests, refused):
    snapshot = cluster(node("a"), node("b", **{"ephemeral-storage": "2Gi", "example.com/gpu": "4"}))
    snapshot.place("u1", "a", pod({"cpu": "3", "memory": "6Gi"}))
    snapshot.place("u2", "b", pod({"example.com/gpu": "2"}))
    assert judge(snapshot, pod(requests))[1] == refused


def test_too_many_pods():
    snapshot = cluster(node("a", pods="1"), node("b", pods="1"))
    snapshot.place("u", "a", pod())
    assert judge(snapshot, pod()) == ({"b"}, {"Too many pods": 1})


def test_a_node_is_counted_for_its_first_refusing_filter_only():
    snapshot = cluster(node("a", unschedulable=True, taints=[taint("gpu")], cpu="0"), node("b", taints=[taint("gpu")]))
    wanted = pod({"cpu": "1"}, nodeSelector={"x": "y"})
    assert judge(snapshot, wanted)[1] == {UNSCHEDULABLE: 1, "node(s) had untolerated taint {gpu: }": 1}


def test_the_message_is_that_of_kubernetes():
    reasons = {"node(s) were unschedulable": 2, "Insufficient cpu": 1, "Insufficient memory": 10}
    text = "0/13 nodes are available: 1 Insufficient cpu, 10 Insufficient memory, 2 node(s) were unschedulable."
    assert message(13, reasons) == text
    assert message(0, {}) == "no nodes available to schedule pods"
