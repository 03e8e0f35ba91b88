"""Rollout arithmetic: tables after Kubernetes' own cases, and what must never happen."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.controllers import rollout
from controlplane.controllers.rollout import Goal, Part, Scale


@pytest.mark.parametrize(
    ("surge", "unavailable", "replicas", "expected"),
    [
        ("25%", "25%", 10, (3, 2)),
        ("25%", "25%", 1, (1, 0)),
        ("0%", "0%", 10, (0, 1)),
        (0, "5%", 10, (0, 1)),
        (1, 0, 10, (1, 0)),
        ("100%", 0, 7, (7, 0)),
        ("200%", "100%", 3, (6, 3)),
        (10, 0, 60, (10, 0)),
        ("25%", "25%", 0, (0, 1)),
    ],
)
def test_fenceposts_round_surge_up_and_unavailable_down(surge, unavailable, replicas, expected):
    assert rollout.fenceposts(surge, unavailable, replicas) == expected


def test_fenceposts_refuse_words():
    with pytest.raises(ValueError, match="percentage"):
        rollout.fenceposts("many", 0, 3)


@pytest.mark.parametrize(
    ("goal", "new", "old", "expected"),
    [
        pytest.param(Goal(10, 3, 2), Part("new", 0), [Part("old", 10, 10)], {"new": 5, "old": 8}, id="begins"),
        pytest.param(Goal(10, 0, 2), Part("new", 0), [Part("old", 10, 10)], {"new": 2, "old": 8}, id="no-surge"),
        pytest.param(Goal(10, 2, 0), Part("new", 0), [Part("old", 10, 10)], {"new": 2, "old": 10}, id="surge-only"),
        pytest.param(
            Goal(60, 10, 0), Part("new", 10, 1), [Part("old", 60, 60)], {"new": 11, "old": 59}, id="one-ready-one-step"
        ),
        pytest.param(
            Goal(10, 3, 2), Part("new", 5, 0), [Part("old", 8, 8)], {"new": 5, "old": 8}, id="waits-for-readiness"
        ),
        pytest.param(
            Goal(10, 3, 2), Part("new", 5, 0), [Part("old", 8, 5)], {"new": 5, "old": 8}, id="old-failed-still-waits"
        ),
        pytest.param(
            Goal(10, 3, 2), Part("new", 2), [Part("a", 8, 8, 1), Part("b", 3, 1, 2)], {"new": 5, "a": 7, "b": 1},
            id="unhealthy-old-go-first",
        ),
        pytest.param(
            Goal(10, 3, 2), Part("new", 0), [Part("a", 8, 8, 1), Part("b", 5, 0, 2)], {"new": 5, "a": 8, "b": 0},
            id="rollover-drops-the-crashing-one",
        ),
        pytest.param(
            Goal(4, 1, 0), Part("new", 2, 2), [Part("a", 1, 1, 1), Part("b", 2, 2, 2)], {"new": 3, "a": 0, "b": 2},
            id="eldest-old-first",
        ),
        pytest.param(
            Goal(10, 3, 2), Part("new", 10, 10), [Part("old", 3, 3)], {"new": 10, "old": 0}, id="last-old-go"
        ),
        pytest.param(Goal(5, 1, 0), Part("new", 8, 8), [], {"new": 5}, id="new-too-large"),
        pytest.param(Goal(0, 0, 0), Part("new", 0), [Part("old", 5, 5)], {"new": 0, "old": 0}, id="to-zero"),
        pytest.param(Goal(3, 1, 0), Part("new", 3, 3), [Part("old", 0)], {"new": 3, "old": 0}, id="done"),
        pytest.param(
            Goal(10, 2, 0), Part("new", 2, 2), [Part("old", 8, 10)], {"new": 4, "old": 8}, id="late-status-is-no-excess"
        ),
    ],
)  # fmt: skip
def test_rolling(goal, new, old, expected):
    scales = rollout.rolling(goal, new, old)
    assert rollout.apply([new, *old], scales) == expected
    assert len(scales) == sum(expected[part.name] != part.size for part in (new, *old)), "only what changes"


def test_rolling_shrinks_before_it_grows():
    assert rollout.rolling(Goal(10, 0, 2), Part("new", 0), [Part("old", 10, 10)]) == [Scale("old", 8), Scale("new", 2)]


@pytest.mark.parametrize(
    ("goal", "new", "old", "expected"),
    [
        pytest.param(Goal(5, 1), Part("new", 3, 3), [Part("old", 0)], {"new": 5}, id="only-active"),
        pytest.param(Goal(5, 1), Part("new", 0), [Part("old", 3, 3)], {"old": 5}, id="only-active-is-old"),
        pytest.param(Goal(5, 1), Part("new", 0), [Part("old", 0)], {"new": 5}, id="none-active-takes-new"),
        pytest.param(
            Goal(5, 1), None, [Part("a", 0, age=1), Part("b", 0, age=2)], {"b": 5}, id="none-active-newest-old"
        ),
        pytest.param(Goal(5, 1), None, [], {}, id="nothing-there"),
        pytest.param(Goal(5, 1), Part("new", 5, 5), [], {"new": 5}, id="unchanged-is-told-too"),
        pytest.param(
            Goal(5, 1), Part("new", 5, 5, seen_desired=5, seen_most=6), [Part("old", 2, 2)], {"old": 0}, id="saturated"
        ),
        pytest.param(
            Goal(20, 0), Part("new", 5, seen_desired=10, seen_most=10), [Part("old", 5, seen_desired=10, seen_most=10)],
            {"new": 10, "old": 10}, id="up-in-proportion",
        ),
        pytest.param(
            Goal(5, 0), Part("new", 5, age=2, seen_most=10), [Part("old", 5, age=1, seen_most=10)],
            {"new": 3, "old": 2}, id="down-takes-the-oldest-of-a-size-first",
        ),
        pytest.param(
            Goal(15, 0), Part("new", 4, age=3, seen_most=10),
            [Part("a", 3, age=1, seen_most=10), Part("b", 3, age=2, seen_most=10)],
            {"new": 6, "a": 4, "b": 5}, id="leftovers-to-the-largest",
        ),
        pytest.param(
            Goal(0, 0), Part("new", 4, seen_most=10), [Part("old", 6, seen_most=10)], {"new": 0, "old": 0}, id="to-zero"
        ),
        pytest.param(
            Goal(30, 3), Part("new", 5, seen_most=13), [Part("old", 8, seen_most=13)], {"new": 13, "old": 20},
            id="surge-counts",
        ),
        pytest.param(Goal(5, rolling=False), Part("new", 3), [Part("old", 3)], {}, id="recreate-waits"),
    ],
)  # fmt: skip
def test_proportional(goal, new, old, expected):
    assert {scale.name: scale.size for scale in rollout.proportional(goal, new, old)} == expected


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ([], False),
        ([Part("a", 3, seen_desired=3)], False),
        ([Part("a", 3, seen_desired=2)], True),
        ([Part("a", 0, seen_desired=2)], False),
        ([Part("a", 3)], False),
    ],
    ids=["none", "as-asked", "scaled", "inactive", "not-ours"],
)
def test_is_scaling(parts, expected):
    assert rollout.is_scaling(Goal(3), parts) is expected


# --- properties ----------------------------------------------------------------------------------------------

goals = st.builds(
    lambda replicas, surge, unavailable: Goal(replicas, surge, min(unavailable or (surge == 0), replicas)),
    st.integers(0, 30),
    st.integers(0, 12),
    st.integers(0, 12),
)


@st.composite
def clusters(draw: st.DrawFn) -> tuple[Goal, list[Part]]:
    """A goal and ReplicaSets with a total that some earlier goal allowed; the first one is new."""
    goal = draw(goals)
    parts = []
    for index in range(draw(st.integers(1, 4))):
        size = draw(st.integers(0, 15))
        parts.append(Part(f"rs{index}", size, draw(st.integers(0, size)), age=float(-index)))
    return goal, parts


def scaled(parts: list[Part], scales: list[Scale]) -> list[Part]:
    """One ReplicaSet controller later: victims are unavailable pods first, new pods are not available yet."""
    sizes = rollout.apply(parts, scales)
    return [Part(part.name, sizes[part.name], min(part.available, sizes[part.name]), part.age) for part in parts]


@given(clusters(), st.data())
def test_rolling_never_breaks_its_promises_and_converges(cluster, data):
    goal, parts = cluster
    for _ in range(200):
        total, available = sum(p.size for p in parts), sum(p.available for p in parts)
        scales = rollout.rolling(goal, parts[0], parts[1:])
        after = scaled(parts, scales)
        assert sum(p.size for p in after) <= max(total, goal.most)
        assert sum(p.available for p in after) >= min(available, goal.least)
        assert not rollout.rolling(goal, after[0], after[1:]), "one decision does all that can be done now"
        parts = after
        waiting = [index for index, part in enumerate(parts) if part.available < part.size]
        if not waiting:
            break
        # Some pod somewhere becomes ready, the new ReplicaSet's included, in any order; now and then one fails.
        index = data.draw(st.sampled_from(waiting))
        part = parts[index]
        ready = data.draw(st.integers(1, part.size - part.available))
        parts[index] = Part(part.name, part.size, part.available + ready, part.age)
    assert [p.size for p in parts] == [goal.replicas, *(0 for _ in parts[1:])]


@given(clusters(), st.data())
def test_rolling_keeps_its_promises_while_pods_fail(cluster, data):
    goal, parts = cluster
    for _ in range(20):
        available = sum(p.available for p in parts)
        after = scaled(parts, rollout.rolling(goal, parts[0], parts[1:]))
        assert sum(p.available for p in after) >= min(available, goal.least)
        parts = [Part(p.name, p.size, data.draw(st.integers(0, p.size), label=p.name), p.age) for p in after]


@given(clusters(), st.integers(1, 30))
def test_late_status_never_takes_a_healthy_pod_twice(cluster, repeats):
    """Between a scale-down and the ReplicaSet's new status the old one is decided on again, however often."""
    goal, parts = cluster
    available = {p.name: p.available for p in parts}
    for _ in range(repeats):
        sizes = rollout.apply(parts, rollout.rolling(goal, parts[0], parts[1:]))
        parts = [Part(p.name, sizes[p.name], available[p.name], p.age) for p in parts]
    kept = sum(min(p.size, available[p.name]) for p in parts)
    assert kept >= min(sum(available.values()), goal.least)


@given(clusters(), goals)
def test_proportional_fits_the_goal_and_settles(cluster, before):
    goal, parts = cluster
    parts = [Part(p.name, p.size, p.available, p.age, before.replicas, before.most) for p in parts]
    scales = rollout.proportional(goal, parts[0], parts[1:])
    sizes = rollout.apply(parts, scales)
    assert all(size >= 0 for size in sizes.values())
    active = [part for part in parts if part.size > 0]
    if len(active) > 1 and not rollout.saturated(goal, parts[0]):
        assert sum(sizes.values()) == (goal.most if goal.replicas else 0)
    elif len(active) <= 1:
        assert max(sizes.values()) == goal.replicas
