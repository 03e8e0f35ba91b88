"""Pods: readiness, availability, and who goes first when a controller scales down."""

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from controlplane.controllers import pods
from shared.api.meta import Condition, ObjectMeta
from shared.api.pod import ContainerStatus, Pod, PodSpec, PodStatus

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


def pod(
    name: str = "p",
    *,
    node: str = "n1",
    phase: str = "Running",
    ready: float | None = 1000.0,
    restarts: int = 0,
    age: float = 5000.0,
    **meta: Any,
) -> Pod:
    """``ready`` and ``age``: seconds ago; ready None is not ready."""
    condition = Condition(type="Ready", status="False", last_transition_time=NOW - timedelta(seconds=age))
    if ready is not None:
        condition = Condition(type="Ready", status="True", last_transition_time=NOW - timedelta(seconds=ready))
    return Pod(
        metadata=ObjectMeta(name=name, uid=name, creation_timestamp=NOW - timedelta(seconds=age), **meta),
        spec=PodSpec(node_name=node),
        status=PodStatus(
            phase=phase,
            conditions=(condition,),
            container_statuses=(ContainerStatus(name="c", restart_count=restarts), ContainerStatus(name="d")),
        ),
    )


def cost(value: str) -> dict[str, dict[str, str]]:
    return {"annotations": {pods.DELETION_COST: value}}


@pytest.mark.parametrize(
    ("first", "second"),
    [
        pytest.param(pod(node="", ready=None, phase="Pending"), pod(ready=None, phase="Pending"), id="unassigned"),
        pytest.param(pod(phase="Pending", ready=None), pod(phase="Unknown", ready=None), id="pending-before-unknown"),
        pytest.param(pod(phase="Unknown", ready=None), pod(ready=None), id="unknown-before-running"),
        pytest.param(pod(ready=None), pod(ready=1), id="not-ready"),
        pytest.param(pod(**cost("-5")), pod(), id="lower-cost"),
        pytest.param(pod(), pod(**cost("7")), id="no-cost-is-zero"),
        pytest.param(pod(ready=None, **cost("9")), pod(**cost("-9")), id="readiness-before-cost"),
        pytest.param(pod(ready=10), pod(ready=1000), id="ready-more-recently"),
        pytest.param(pod(restarts=3), pod(restarts=1), id="more-restarts"),
        pytest.param(pod(age=10), pod(age=5000), id="younger"),
        pytest.param(pod(ready=10), pod(restarts=9), id="readiness-time-before-restarts"),
        pytest.param(pod(restarts=1, age=5000), pod(age=10), id="restarts-before-age"),
        pytest.param(pod("a", ready=1000), pod("b", ready=900), id="same-power-of-two-by-uid"),
    ],
)
def test_the_first_goes_before_the_second(first, second):
    assert pods.deletion_rank(first, {}, NOW) < pods.deletion_rank(second, {}, NOW)


def test_a_node_with_more_pods_of_the_owner_loses_one_first():
    mine = [pod("a", node="n1", ready=9000), pod("b", node="n2", ready=10)]
    siblings = [*mine, pod("c", node="n1"), pod("d", node="n1", phase="Failed")]
    assert [p.metadata.name for p in pods.victims(mine, 1, siblings, NOW)] == ["a"]


def test_terminating_siblings_do_not_crowd_a_node():
    mine = [pod("a", node="n1", ready=9000), pod("b", node="n2", ready=10)]
    siblings = [*mine, pod("c", node="n1", deletion_timestamp=NOW)]
    assert [p.metadata.name for p in pods.victims(mine, 1, siblings, NOW)] == ["b"]


def test_cost_comes_before_crowding():
    mine = [pod("a", node="n1"), pod("b", node="n2", **cost("-1"))]
    assert [p.metadata.name for p in pods.victims(mine, 1, [*mine, pod("c", node="n1")], NOW)] == ["b"]


def test_all_go_without_ranking():
    mine = [pod("a"), pod("b")]
    assert pods.victims(mine, 2, (), NOW) == mine
    assert pods.victims(mine, 5, (), NOW) == mine


def test_victims_do_not_depend_on_the_order_of_the_pods():
    many = [pod(f"p{n}", node=f"n{n % 3}", ready=n * 37 % 11 or None, restarts=n % 4, age=n * 100) for n in range(40)]
    expected = [p.metadata.name for p in pods.victims(many, 17, many, NOW)]
    rng = random.Random(1)
    for _ in range(10):
        rng.shuffle(many)
        assert [p.metadata.name for p in pods.victims(many, 17, many, NOW)] == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [("5", 5), ("-5", -5), ("+5", 5), ("", 0), ("x", 0), ("1.5", 0), ("2147483648", 0), ("-2147483648", -(2**31)),
     (" 5", 0), ("99999999999999", 0), ("٣", 0)],
)  # fmt: skip
def test_deletion_cost_is_an_int32(text, expected):
    assert pods.deletion_cost(pod(**cost(text))) == expected


@pytest.mark.parametrize(
    ("one", "active", "terminating", "finished"),
    [
        pytest.param(pod(), True, False, False, id="running"),
        pytest.param(pod(phase="Pending", node=""), True, False, False, id="pending"),
        pytest.param(pod(phase=""), True, False, False, id="just-made"),
        pytest.param(pod(phase="Succeeded"), False, False, True, id="succeeded"),
        pytest.param(pod(phase="Failed"), False, False, True, id="failed"),
        pytest.param(pod(deletion_timestamp=NOW), False, True, False, id="being-deleted"),
        pytest.param(pod(phase="Failed", deletion_timestamp=NOW), False, False, True, id="failed-and-being-deleted"),
    ],
)
def test_active_terminating_finished(one, active, terminating, finished):
    assert (pods.is_active(one), pods.is_terminating(one), pods.is_finished(one)) == (active, terminating, finished)


@pytest.mark.parametrize(
    ("one", "min_ready", "available", "wait"),
    [
        pytest.param(pod(ready=None), 0, False, None, id="not-ready"),
        pytest.param(pod(ready=0), 0, True, None, id="ready-is-enough"),
        pytest.param(pod(ready=4), 10, False, 6.0, id="not-long-enough"),
        pytest.param(pod(ready=10), 10, True, None, id="just-long-enough"),
        pytest.param(pod(ready=None), 10, False, None, id="not-ready-with-minimum"),
        pytest.param(Pod(), 0, False, None, id="no-conditions"),
        pytest.param(
            Pod(status=PodStatus(conditions=(Condition(type="Ready", status="True"),))), 5, False, None, id="no-time"
        ),
    ],
)
def test_available_after_min_ready_seconds(one, min_ready, available, wait):
    assert pods.is_available(one, min_ready, NOW) is available
    assert pods.seconds_until_available(one, min_ready, NOW) == wait
