"""What a node's lease and conditions mean for its taints, conditions and pods."""

from datetime import UTC, datetime, timedelta

import pytest

from controlplane.controllers.node_lifecycle import Health, Plan, View, decide
from controlplane.controllers.zones import ZoneState, ZoneView
from shared.api.core import Node, NodeSpec, NodeStatus, Taint
from shared.api.meta import Condition, ObjectMeta
from shared.api.pod import Pod, PodSpec, PodStatus, Toleration

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
BEFORE = NOW - timedelta(hours=1)
OTHER = Taint(key="example.com/mine", value="v", effect="NoExecute")
K = "node.kubernetes.io/"
REPORTED = ("Ready", "MemoryPressure", "DiskPressure", "PIDPressure")


def taint(key: str, effect: str = "NoSchedule", when: datetime = NOW) -> Taint:
    return Taint(key=K + key, effect=effect, time_added=when)


def lost_taints(key: str = "unreachable", when: datetime = NOW) -> tuple[Taint, ...]:
    return taint(key, "NoExecute", when), taint(key, "NoSchedule", when)


def node(ready: str | None, *taints: Taint, unschedulable: bool = False, since: datetime = BEFORE, **more: str) -> Node:
    statuses = {**({"Ready": ready} if ready else {}), **more}
    return Node(
        metadata=ObjectMeta(name="n", creation_timestamp=BEFORE),
        spec=NodeSpec(taints=taints, unschedulable=unschedulable),
        status=NodeStatus(
            conditions=tuple(
                Condition(type=t, status=s, last_heartbeat_time=BEFORE, last_transition_time=since)
                for t, s in statuses.items()
            )
        ),
    )


def pod(name: str, ready: str = "True", *, stays: bool = True, going: bool = False) -> Pod:
    toleration = Toleration(operator="Exists")
    return Pod(
        metadata=ObjectMeta(name=name, namespace="ns", uid=name, deletion_timestamp=NOW if going else None),
        spec=PodSpec(tolerations=(toleration,) if stays else ()),
        status=PodStatus(conditions=(Condition(type="Ready", status=ready),)),
    )


def plan(node_: Node, health: Health = Health.ALIVE, zone: ZoneView = ZoneView(size=3), pods=(), **more) -> Plan:
    return decide(View(node_, health, tuple(pods), zone, **more), NOW, 1000.0)


@pytest.mark.parametrize(
    ("given", "taints"),
    [
        pytest.param(node("True"), None, id="ready"),
        pytest.param(node("True", *lost_taints()), (), id="ready-again"),
        pytest.param(node("True", OTHER, *lost_taints()), (OTHER,), id="ready-again-keeps-foreign-taints"),
        pytest.param(node("False", OTHER), (OTHER, *lost_taints("not-ready")), id="not-ready"),
        pytest.param(
            node("Unknown", *lost_taints("not-ready")), lost_taints("unreachable"), id="not-ready-became-unknown"
        ),
        pytest.param(node("True", unschedulable=True), (taint("unschedulable"),), id="cordoned"),
        pytest.param(node("True", taint("unschedulable")), (), id="uncordoned"),
        pytest.param(node("True", MemoryPressure="True"), (taint("memory-pressure"),), id="memory-pressure"),
        pytest.param(node("True", taint("disk-pressure"), DiskPressure="False"), (), id="disk-pressure-gone"),
        pytest.param(node(None, taint("not-ready")), None, id="before-its-first-report"),
    ],
)
def test_taints_of_a_node_that_is_alive(given, taints):
    assert plan(given) == Plan(taints=taints)


def test_a_node_whose_lease_ended_becomes_unknown_and_unreachable_and_its_pods_unready():
    given = node("True", MemoryPressure="False")
    pods = [pod("a"), pod("b", "False"), pod("evicted", stays=False), pod("going", stays=False, going=True)]
    got = plan(given, Health.LOST, pods=pods)
    assert got.taints == lost_taints()
    assert [p.metadata.name for p in got.unready] == ["a", "going"]
    assert [(c.type, c.status, c.reason) for c in got.conditions] == [
        ("Ready", "Unknown", "NodeStatusUnknown"),
        ("MemoryPressure", "Unknown", "NodeStatusUnknown"),
        ("DiskPressure", "Unknown", "NodeStatusNeverUpdated"),
        ("PIDPressure", "Unknown", "NodeStatusNeverUpdated"),
    ]
    assert got.conditions[0].message == "Agent stopped posting node status."
    assert (got.conditions[0].last_heartbeat_time, got.conditions[0].last_transition_time) == (BEFORE, NOW)


def test_a_lost_node_is_left_alone_once_all_is_said():
    given = node("Unknown", *lost_taints(), MemoryPressure="Unknown", DiskPressure="Unknown", PIDPressure="Unknown")
    assert plan(given, Health.LOST) == Plan()


def test_a_node_that_waits_for_its_first_lease_is_taken_at_its_word():
    assert plan(node("True"), Health.WAITING) == Plan()


def test_a_living_agent_that_is_not_ready_keeps_its_pods_for_a_while():
    given = node("False", since=NOW - timedelta(seconds=20))
    assert plan(given, pods=[pod("a")]) == Plan((taint("not-ready"),), again=40.0)


LOST = node("Unknown", *lost_taints(), **dict.fromkeys(REPORTED[1:], "Unknown"))
SCHEDULE_ONLY = node("Unknown", taint("unreachable"), **dict.fromkeys(REPORTED[1:], "Unknown"))


@pytest.mark.parametrize(
    ("given", "zone", "expected"),
    [
        pytest.param(SCHEDULE_ONLY, ZoneView(size=3), Plan(lost_taints()[::-1]), id="evict-at-once"),
        pytest.param(SCHEDULE_ONLY, ZoneView(ZoneState.PARTIAL, 5), Plan(), id="small-disrupted-zone-stops"),
        pytest.param(
            SCHEDULE_ONLY, ZoneView(ZoneState.PARTIAL, 60), Plan(lost_taints()[::-1], slow=True), id="large-zone"
        ),
        pytest.param(
            SCHEDULE_ONLY,
            ZoneView(ZoneState.PARTIAL, 60, last_slow_eviction=990.0),
            Plan(again=90.0),
            id="large-zone-waits-its-turn",
        ),
        pytest.param(LOST, ZoneView(ZoneState.PARTIAL, 5), Plan(), id="what-was-begun-goes-on"),
        pytest.param(
            LOST, ZoneView(ZoneState.FULL, 3, everything_down=True), Plan((lost_taints()[1],)), id="all-down-stops-all"
        ),
        pytest.param(SCHEDULE_ONLY, ZoneView(size=3, recovered=995.0), Plan(again=5.0), id="after-recovery-waits"),
    ],
)
def test_eviction_of_a_lost_node_depends_on_its_zone(given, zone, expected):
    assert plan(given, Health.LOST, zone) == expected
