"""Status and conditions of Deployments, and the smallest patch that writes them."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from controlplane.controllers import conditions, progress
from controlplane.controllers.rollout import Goal
from shared.api.apps import Deployment, DeploymentSpec, DeploymentStatus, ReplicaSet, ReplicaSetSpec, ReplicaSetStatus
from shared.api.meta import Condition, ObjectMeta

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


def condition(type: str, status: str, reason: str, ago: float = 0.0, message: str = "") -> Condition:
    when = NOW - timedelta(seconds=ago)
    return Condition(
        type=type, status=status, reason=reason, message=message, last_update_time=when, last_transition_time=when
    )


def deployment(status: DeploymentStatus = DeploymentStatus(), **spec: Any) -> Deployment:
    return Deployment(
        metadata=ObjectMeta(name="web", generation=2), spec=DeploymentSpec(**{"replicas": 3, **spec}), status=status
    )


def replica_set(name: str, size: int, pods: int, available: int, *failures: Condition) -> ReplicaSet:
    return ReplicaSet(
        metadata=ObjectMeta(name=name),
        spec=ReplicaSetSpec(replicas=size),
        status=ReplicaSetStatus(
            replicas=pods, ready_replicas=available, available_replicas=available, terminating_replicas=1,
            conditions=failures,
        ),
    )  # fmt: skip


def reasons(status: DeploymentStatus) -> dict[str, tuple[str, str]]:
    return {c.type: (c.status, c.reason) for c in status.conditions}


def report(
    d: Deployment, new: ReplicaSet | None, *old: ReplicaSet, known: tuple[Condition, ...] = ()
) -> DeploymentStatus:
    sets = [*old, *([new] if new else [])]
    status = progress.counted(d, Goal(d.spec.replicas, 1, 1), new, sets, known or d.status.conditions, 0, NOW)
    return progress.judged(d, status, new, sets, NOW)


def test_counts():
    status = report(deployment(), replica_set("new", 2, 2, 1), replica_set("old", 2, 1, 1))
    counts = {name: getattr(status, name) for name in status.__struct_fields__ if name != "conditions"}
    assert counts == {
        "observed_generation": 2, "replicas": 3, "updated_replicas": 2, "ready_replicas": 2, "available_replicas": 2,
        "unavailable_replicas": 2, "terminating_replicas": 2, "collision_count": 0,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("available", "expected"),
    [(1, ("False", "MinimumReplicasUnavailable")), (2, ("True", "MinimumReplicasAvailable"))],
)
def test_available_counts_from_replicas_less_max_unavailable(available, expected):
    assert reasons(report(deployment(), replica_set("new", 3, 3, available)))["Available"] == expected


CREATED = condition("Progressing", "True", "NewReplicaSetCreated", 30)
DONE = condition("Progressing", "True", "NewReplicaSetAvailable", 30)
LATE = condition("Progressing", "True", "ReplicaSetUpdated", 601)
TIMED_OUT = condition("Progressing", "False", "ProgressDeadlineExceeded", 30)


@pytest.mark.parametrize(
    ("before", "known", "new", "old", "expected"),
    [
        pytest.param({}, CREATED, (3, 0, 0), (0, 0, 0), ("True", "NewReplicaSetCreated"), id="just-created"),
        pytest.param({}, CREATED, (3, 3, 0), (0, 0, 0), ("True", "ReplicaSetUpdated"), id="pods-made"),
        pytest.param({"replicas": 3, "updated_replicas": 3, "ready_replicas": 0, "available_replicas": 0}, CREATED,
                     (3, 3, 1), (0, 0, 0), ("True", "ReplicaSetUpdated"), id="pod-ready"),
        pytest.param({"replicas": 3, "updated_replicas": 1, "ready_replicas": 2, "available_replicas": 2}, CREATED,
                     (3, 1, 1), (0, 1, 1), ("True", "ReplicaSetUpdated"), id="old-pod-gone"),
        pytest.param({}, CREATED, (3, 3, 3), (0, 0, 0), ("True", "NewReplicaSetAvailable"), id="complete"),
        pytest.param({}, CREATED, (3, 3, 3), (0, 1, 0), ("True", "ReplicaSetUpdated"), id="old-pods-left"),
        pytest.param({"replicas": 3, "updated_replicas": 3, "ready_replicas": 3, "available_replicas": 3}, DONE,
                     (3, 3, 1), (0, 0, 0), ("True", "NewReplicaSetAvailable"), id="failing-later-is-no-rollout"),
        pytest.param({"replicas": 3, "updated_replicas": 3}, LATE, (3, 3, 0), (0, 0, 0),
                     ("False", "ProgressDeadlineExceeded"), id="deadline"),
        pytest.param({"replicas": 3, "updated_replicas": 3}, TIMED_OUT, (3, 3, 0), (0, 0, 0),
                     ("False", "ProgressDeadlineExceeded"), id="stays-timed-out"),
        pytest.param({"replicas": 3, "updated_replicas": 3}, TIMED_OUT, (3, 3, 1), (0, 0, 0),
                     ("True", "ReplicaSetUpdated"), id="moves-again"),
        pytest.param({"replicas": 3, "updated_replicas": 3}, TIMED_OUT, (3, 3, 3), (0, 0, 0),
                     ("True", "NewReplicaSetAvailable"), id="completes-late"),
    ],
)  # fmt: skip
def test_progressing(before, known, new, old, expected):
    d = deployment(DeploymentStatus(conditions=(known,), **before))
    assert reasons(report(d, replica_set("new", *new), replica_set("old", *old)))["Progressing"] == expected


def test_progress_moves_the_update_time_but_not_the_transition_time():
    d = deployment(DeploymentStatus(replicas=3, updated_replicas=3, conditions=(LATE,)))
    moved = conditions.find(report(d, replica_set("new", 3, 3, 1)).conditions, "Progressing")
    assert moved is not None
    assert (moved.last_update_time, moved.last_transition_time) == (NOW, LATE.last_transition_time)
    assert moved.message == 'ReplicaSet "new" is progressing.'


def test_without_a_deadline_progress_is_not_reported():
    d = deployment(DeploymentStatus(conditions=(CREATED,)), progress_deadline_seconds=progress.NO_DEADLINE)
    assert set(reasons(report(d, replica_set("new", 3, 3, 3)))) == {"Available"}
    assert progress.pause_or_resume(d, NOW) == (CREATED,)
    assert progress.seconds_to_deadline(d, d.status, NOW) is None


def test_failures_of_the_new_replica_set_win_and_go_away_again():
    quota = Condition(type="ReplicaFailure", status="True", reason="FailedCreate", message="quota")
    other = Condition(type="ReplicaFailure", status="True", reason="FailedDelete", message="other")
    failed = report(deployment(), replica_set("new", 3, 0, 0, quota), replica_set("old", 3, 3, 3, other))
    assert reasons(failed)["ReplicaFailure"] == ("True", "FailedCreate")
    healed = report(deployment(failed), replica_set("new", 3, 0, 0), replica_set("old", 3, 3, 3))
    assert "ReplicaFailure" not in reasons(healed)


@pytest.mark.parametrize(
    ("paused", "known", "expected"),
    [
        pytest.param(True, CREATED, ("Unknown", "DeploymentPaused"), id="paused"),
        pytest.param(False, CREATED, ("True", "NewReplicaSetCreated"), id="not-paused"),
        pytest.param(False, condition("Progressing", "Unknown", "DeploymentPaused"), ("Unknown", "DeploymentResumed"),
                     id="resumed"),
        pytest.param(True, TIMED_OUT, ("False", "ProgressDeadlineExceeded"), id="timed-out-is-kept"),
    ],
)  # fmt: skip
def test_pause_and_resume(paused, known, expected):
    d = deployment(DeploymentStatus(conditions=(known,)), paused=paused)
    (after,) = progress.pause_or_resume(d, NOW)
    assert (after.status, after.reason) == expected


@pytest.mark.parametrize(
    ("known", "paused", "expected"),
    [
        pytest.param(CREATED, False, 571.0, id="counts-from-the-last-progress"),
        pytest.param(LATE, False, 1.0, id="overdue-soon"),
        pytest.param(DONE, False, None, id="done"),
        pytest.param(TIMED_OUT, False, None, id="timed-out"),
        pytest.param(CREATED, True, None, id="paused"),
        pytest.param(condition("Available", "True", "x"), False, None, id="nothing-known"),
    ],
)
def test_when_to_look_again(known, paused, expected):
    status = DeploymentStatus(conditions=(known,))
    assert progress.seconds_to_deadline(deployment(status, paused=paused), status, NOW) == expected


RULES = conditions.StatusRules(always=frozenset({"replicas"}))


@pytest.mark.parametrize(
    ("old", "new", "first", "expected"),
    [
        pytest.param({}, {}, False, {}, id="nothing"),
        pytest.param({}, {}, True, {"replicas": 0}, id="first-writes-the-zeros-that-show"),
        pytest.param({"replicas": 2}, {}, False, {"replicas": 0}, id="zero-that-shows"),
        pytest.param({"ready_replicas": 2}, {}, False, {"readyReplicas": None}, id="zero-that-is-left-out"),
        pytest.param({"ready_replicas": 2}, {"ready_replicas": 3}, False, {"readyReplicas": 3}, id="changed-only"),
        pytest.param({"conditions": (CREATED,)}, {}, False, {"conditions": None}, id="no-conditions"),
        pytest.param({}, {"conditions": (condition("A", "True", "", message="m"),)}, False, {"conditions": [
            {"type": "A", "status": "True", "lastUpdateTime": "2026-01-01T12:00:00Z",
             "lastTransitionTime": "2026-01-01T12:00:00Z", "message": "m"}]}, id="conditions-whole"),
    ],
)  # fmt: skip
def test_status_patch(old, new, first, expected):
    assert RULES.patch(ReplicaSetStatus(**old), ReplicaSetStatus(**new), first=first) == expected
