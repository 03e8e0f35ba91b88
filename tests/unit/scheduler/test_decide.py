"""Scores and decisions: tables for what is preferred, properties for what must never happen."""

from __future__ import annotations

from collections import Counter

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controlplane.scheduler.decide import Pending, decide
from controlplane.scheduler.filters import feasible
from controlplane.scheduler.requirements import Requirements, of_pod
from controlplane.scheduler.snapshot import Snapshot
from controlplane.scheduler.usage import Usage
from shared.api.core import Node
from shared.api.pod import Pod


def node(name, labels=None, taints=(), unschedulable=False, **allocatable) -> Node:
    return msgspec.convert(
        {
            "metadata": {"name": name, "labels": labels or {}},
            "spec": {"taints": list(taints), "unschedulable": unschedulable},
            "status": {"allocatable": {"cpu": "4", "memory": "8Gi", "pods": "110", **allocatable}},
        },
        Node,
    )


def pod(cpu="", memory="", owner="", ports=(), **spec) -> Requirements:
    requests = {name: amount for name, amount in (("cpu", cpu), ("memory", memory)) if amount}
    container = {"name": "c", "resources": {"requests": requests}, "ports": [{"containerPort": 1, **p} for p in ports]}
    owners = [{"apiVersion": "v1", "kind": "X", "name": "x", "uid": owner, "controller": True}] if owner else []
    return of_pod(
        msgspec.convert({"metadata": {"ownerReferences": owners}, "spec": {"containers": [container], **spec}}, Pod)
    )


def cluster(*nodes: Node) -> Snapshot:
    snapshot = Snapshot(rows=2)
    for made in nodes:
        snapshot.put_node(made)
    return snapshot


def pending(requirements: Requirements, count: int = 1, name: str = "p", priority: int = 0) -> list[Pending]:
    return [Pending("default", f"{name}{n}", f"uid-{name}{n}", requirements, priority) for n in range(count)]


def nodes_of(decision) -> list[str]:
    return [bound.node for bound in decision.bound]


# --- scores


def test_the_emptier_node_is_taken():
    snapshot = cluster(node("a"), node("b"), node("c"))
    snapshot.place("1", "a", pod("1", "1Gi"))
    snapshot.place("2", "c", pod("500m", "1Gi"))
    assert nodes_of(decide(snapshot, pending(pod("100m"), 1))) == ["b"]


def test_a_larger_node_takes_more():
    snapshot = cluster(node("small", cpu="2", memory="4Gi"), node("large", cpu="8", memory="16Gi"))
    found = Counter(nodes_of(decide(snapshot, pending(pod("250m", "512Mi"), 20))))
    assert found == {"large": 16, "small": 4}


def test_pods_of_one_owner_are_spread():
    snapshot = cluster(*(node(name) for name in "abc"))
    snapshot.place("x", "a", pod("1", "2Gi", owner="other"))
    found = Counter(nodes_of(decide(snapshot, pending(pod("100m", "100Mi", owner="o"), 30))))
    assert set(found) == {"a", "b", "c"}
    assert max(found.values()) - min(found.values()) <= 2


def test_pods_of_the_owner_that_are_there_count():
    snapshot = cluster(*(node(name) for name in "abc"))
    mine = pod("10m", "10Mi", owner="o")
    snapshot.place("1", "a", mine)
    snapshot.place("2", "b", mine)
    snapshot.place("gone", "c", mine, spread=False)
    assert nodes_of(decide(snapshot, pending(mine, 1))) == ["c"]


def test_pods_without_requests_are_spread_too():
    found = Counter(nodes_of(decide(cluster(*(node(name) for name in "abc")), pending(pod(), 90))))
    assert found == {"a": 30, "b": 30, "c": 30}


def test_preferred_affinity_beats_the_emptier_node():
    term = {"weight": 5, "preference": {"matchExpressions": [{"key": "disk", "operator": "In", "values": ["ssd"]}]}}
    wanted = pod(affinity={"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [term]}})
    snapshot = cluster(node("a", {"disk": "ssd"}), node("b"))
    snapshot.place("x", "a", pod("2", "4Gi"))
    assert nodes_of(decide(snapshot, pending(wanted))) == ["a"]


def test_a_prefer_no_schedule_taint_is_avoided_while_there_is_room_elsewhere():
    snapshot = cluster(
        node("soft", taints=[{"key": "k", "effect": "PreferNoSchedule"}]), node("plain", cpu="1", memory="1Gi")
    )
    snapshot.place("x", "plain", pod("500m", "500Mi"))
    assert nodes_of(decide(snapshot, pending(pod("200m"), 3))) == ["plain", "plain", "soft"]
    tolerant = pod("100m", tolerations=[{"operator": "Exists"}])
    assert nodes_of(decide(snapshot, pending(tolerant))) == ["soft"]


# --- decisions


def test_what_fits_is_bound_and_the_rest_is_told_why():
    decision = decide(cluster(node("a", cpu="1"), node("b", unschedulable=True)), pending(pod("400m"), 3))
    assert nodes_of(decision) == ["a", "a"]
    assert [(r.pod.name, r.message) for r in decision.refused] == [
        ("p2", "0/2 nodes are available: 1 Insufficient cpu, 1 node(s) were unschedulable.")
    ]


def test_without_nodes_nothing_is_bound():
    decision = decide(Snapshot(), pending(pod()))
    assert [r.message for r in decision.refused] == ["no nodes available to schedule pods"]


def test_higher_priority_goes_first():
    pods = [*pending(pod("1"), 4, "low"), *pending(pod("1"), 4, "high", priority=10)]
    decision = decide(cluster(node("a")), pods)
    assert [bound.pod.name for bound in decision.bound] == ["high0", "high1", "high2", "high3"]
    assert len(decision.refused) == 4


def test_one_host_port_is_one_pod_a_node():
    decision = decide(cluster(node("a"), node("b")), pending(pod(ports=[{"hostPort": 80}]), 3))
    assert sorted(nodes_of(decision)) == ["a", "b"]
    assert decision.refused[0].message == (
        "0/2 nodes are available: 2 node(s) didn't have free ports for the requested pod ports."
    )


def test_a_decision_leaves_the_snapshot_alone():
    snapshot = cluster(node("a"))
    decide(snapshot, pending(pod("1", ports=[{"hostPort": 80}], owner="o"), 5))
    assert not snapshot.requested.any()
    assert not snapshot.owners
    assert not snapshot.ports


# --- properties

AMOUNTS = st.sampled_from(["", "100m", "250m", "1", "1500m"])
NODES = st.builds(
    lambda cpu, memory, pods, zone, tainted, cordoned: {
        "labels": {"zone": zone} if zone else {},
        "taints": [{"key": "k", "effect": "NoSchedule"}] if tainted else [],
        "unschedulable": cordoned,
        "allocatable": {"cpu": cpu, "memory": memory, "pods": pods},
    },
    st.sampled_from(["0", "500m", "2", "4"]),
    st.sampled_from(["256Mi", "2Gi", "8Gi"]),
    st.sampled_from(["1", "3", "110"]),
    st.sampled_from(["", "1", "2"]),
    st.booleans(),
    st.booleans(),
)
PODS = st.builds(
    lambda cpu, memory, owner, zone, tolerant, port: pod(
        cpu, memory, owner, [{"hostPort": 80}] if port else [],
        nodeSelector={"zone": zone} if zone else {},
        tolerations=[{"operator": "Exists"}] if tolerant else [],
    ),
    AMOUNTS, st.sampled_from(["", "128Mi", "1Gi"]), st.sampled_from(["", "o1", "o2"]), st.sampled_from(["", "1", "2"]),
    st.booleans(), st.sampled_from([False, False, True]),
)  # fmt: skip


def build(nodes) -> Snapshot:
    snapshot = Snapshot(rows=2)
    for number, made in enumerate(nodes):
        snapshot.put_node(
            node(f"n{number}", made["labels"], made["taints"], made["unschedulable"], **made["allocatable"])
        )
    return snapshot


@given(st.lists(NODES, max_size=5), st.lists(st.tuples(PODS, st.integers(1, 6), st.integers(0, 2)), max_size=6))
@settings(max_examples=150, deadline=None)
def test_no_node_is_given_more_than_it_has_and_none_that_refuses(nodes, wanted):
    snapshot = build(nodes)
    pods = [p for n, (r, count, priority) in enumerate(wanted) for p in pending(r, count, f"g{n}-", priority)]
    decision = decide(snapshot, pods)
    outcomes = [bound.pod.uid for bound in decision.bound] + [refused.pod.uid for refused in decision.refused]
    assert sorted(outcomes) == sorted(p.uid for p in pods)
    for bound in decision.bound:
        # Every binding, on its own and after those before it, is one that all filters allow.
        row = snapshot.names.index(bound.node)
        assert feasible(Usage(snapshot), bound.pod.requirements)[row]
        snapshot.place(bound.pod.uid, bound.node, bound.pod.requirements)
    taken = {bound.node for bound in decision.bound}
    for name in taken:
        row = snapshot.names.index(name)
        asked = {resource for b in decision.bound if b.node == name for resource, _ in b.pod.requirements.requests}
        for resource in asked:
            column = snapshot.resources[resource]
            assert snapshot.requested[column, row] <= snapshot.allocatable[column, row]
    for refused in decision.refused:
        assert not feasible(Usage(snapshot), refused.pod.requirements).any()


@given(st.lists(NODES, min_size=1, max_size=5), PODS, st.integers(1, 40))
@settings(max_examples=150, deadline=None)
def test_a_batch_is_decided_as_its_pods_one_by_one(nodes, requirements, count):
    pods = pending(requirements, count)
    together = decide(build(nodes), pods)
    snapshot, alone = build(nodes), []
    for waiting in pods:
        decision = decide(snapshot, [waiting])
        for bound in decision.bound:
            alone.append(bound.node)
            snapshot.place(waiting.uid, bound.node, requirements)
    assert len(nodes_of(together)) == len(alone)
    assert Counter(nodes_of(together)) == Counter(alone)


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("node"), st.integers(0, 4), NODES),
            st.tuples(st.just("gone"), st.integers(0, 4), st.none()),
            st.tuples(st.just("place"), st.integers(0, 6), st.tuples(st.integers(0, 4), PODS, st.booleans())),
            st.tuples(st.just("forget"), st.integers(0, 6), st.none()),
        ),
        max_size=40,
    )
)
@settings(max_examples=150, deadline=None)
def test_a_snapshot_after_any_events_is_one_built_anew(events):
    snapshot, nodes, pods = Snapshot(rows=1), {}, {}
    for what, number, about in events:
        if what == "node":
            nodes[number] = about
            snapshot.put_node(
                node(f"n{number}", about["labels"], about["taints"], about["unschedulable"], **about["allocatable"])
            )
            snapshot.label_column("zone")
        elif what == "gone":
            nodes.pop(number, None)
            snapshot.remove_node(f"n{number}")
        elif what == "place":
            pods[number] = about
            snapshot.place(f"u{number}", f"n{about[0]}", about[1], spread=about[2])
        else:
            assert snapshot.forget(f"u{number}") == (pods.pop(number, None) is not None)
    fresh = Snapshot(rows=8)
    for number, (where, requirements, spread) in pods.items():
        fresh.place(f"u{number}", f"n{where}", requirements, spread=spread)
    for number, about in nodes.items():
        fresh.put_node(
            node(f"n{number}", about["labels"], about["taints"], about["unschedulable"], **about["allocatable"])
        )
    assert describe(snapshot) == describe(fresh)


def describe(snapshot: Snapshot) -> dict:
    rows = {snapshot.names[row]: row for row in np.flatnonzero(snapshot.exists)}
    zones = snapshot.label_column("zone")
    values = {code: value for value, code in zones.vocabulary.items()}
    named = {row: name for name, row in rows.items()}
    columns = sorted(snapshot.resources.items())
    assert snapshot.nodes == len(rows)
    assert not snapshot.requested[:, ~snapshot.exists].any()
    return {
        "nodes": {
            name: (
                [(r, int(snapshot.allocatable[c, row]), int(snapshot.requested[c, row])) for r, c in columns],
                snapshot.scored[:, row].tolist(),
                bool(snapshot.unschedulable[row]),
                snapshot.taint_sets[snapshot.taints[row]],
                values.get(int(zones.codes[row])),
            )
            for name, row in rows.items()
        },
        "owners": {owner: {named[row]: n for row, n in counts.items()} for owner, counts in snapshot.owners.items()},
        "ports": {port: {named[row]: ips for row, ips in held.items()} for port, held in snapshot.ports.items()},
    }


@pytest.mark.parametrize("change", ["cordon", "taint", "label", "capacity", "condition"])
def test_only_changes_that_matter_wake_unschedulable_pods(change):
    snapshot = cluster(node("a"))
    changed = {
        "cordon": node("a", unschedulable=True),
        "taint": node("a", taints=[{"key": "k", "effect": "NoSchedule"}]),
        "label": node("a", {"new": "label"}),
        "capacity": node("a", cpu="5"),
        "condition": msgspec.structs.replace(node("a"), metadata=node("a").metadata),
    }[change]
    assert snapshot.put_node(changed) == (change != "condition")
