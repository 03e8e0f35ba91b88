"""How many pods of a budget may be evicted, from the pods that there are."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from controlplane.controllers.disruption import DELETION_TIMEOUT, decide, selects, status_of, unmanaged
from shared.api.disruption import PodDisruptionBudget, PodDisruptionBudgetSpec, PodDisruptionBudgetStatus
from shared.api.meta import Condition, LabelSelector, ObjectMeta, OwnerReference
from shared.api.pod import Pod, PodStatus

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)


def pod(name: str, *, ready: bool = True, going: bool = False, labels: dict[str, str] | None = None) -> Pod:
    condition = Condition(type="Ready", status="True" if ready else "False")
    meta = ObjectMeta(name=name, namespace="g", labels=labels or {}, deletion_timestamp=NOW if going else None)
    return Pod(metadata=meta, status=PodStatus(phase="Running", conditions=(condition,)))


def budget(disrupted: dict[str, datetime] | None = None, **spec: Any) -> PodDisruptionBudget:
    return PodDisruptionBudget(
        metadata=ObjectMeta(name="b", namespace="g", generation=3, resource_version="7"),
        spec=PodDisruptionBudgetSpec(selector=LabelSelector(), **spec),
        status=PodDisruptionBudgetStatus(disrupted_pods=disrupted or {}),
    )


def of(replicas: int) -> Any:
    return lambda pod: ("uid", replicas)


PODS = [pod("a"), pod("b"), pod("c")]


@pytest.mark.parametrize(
    ("spec", "pods", "replicas", "expected"),
    [
        ({"min_available": 2}, PODS, 3, (1, 3, 2, 3)),
        ({"min_available": 5}, PODS, 3, (0, 3, 5, 3)),
        ({"min_available": "50%"}, PODS, 3, (1, 3, 2, 3)),
        ({"min_available": "100%"}, PODS, 3, (0, 3, 3, 3)),
        ({"max_unavailable": 1}, PODS, 3, (1, 3, 2, 3)),
        ({"max_unavailable": 1}, PODS[:2], 3, (0, 2, 2, 3)),
        ({"max_unavailable": "50%"}, PODS, 3, (2, 3, 1, 3)),
        ({"max_unavailable": 5}, PODS, 3, (3, 3, 0, 3)),
        ({"max_unavailable": 1}, [*PODS[:2], pod("c", ready=False)], 3, (0, 2, 2, 3)),
        ({"max_unavailable": 1}, [*PODS[:2], pod("c", going=True)], 3, (0, 2, 2, 3)),
        ({"min_available": 1}, [], 0, (0, 0, 1, 0)),
        ({}, PODS, 3, (3, 3, 0, 3)),
    ],
)
def test_counts(spec: dict[str, Any], pods: list[Pod], replicas: int, expected: tuple[int, ...]) -> None:
    status, _ = status_of(budget(**spec), pods, of(replicas), NOW)
    counts = status.disruptions_allowed, status.current_healthy, status.desired_healthy, status.expected_pods
    assert counts == expected
    (condition,) = status.conditions
    assert (condition.status, condition.reason) == (
        ("True", "SufficientPods") if expected[0] else ("False", "InsufficientPods")
    )


def test_pods_of_several_controllers_are_added_up() -> None:
    scales = {"a": ("x", 4), "b": ("x", 4), "c": ("y", 2)}
    status, _ = status_of(budget(min_available="50%"), PODS, lambda pod: scales[pod.metadata.name], NOW)
    assert (status.expected_pods, status.desired_healthy) == (6, 3)


def managed(name: str) -> Pod:
    owner = OwnerReference(api_version="batch/v1", kind="Job", name="j", uid="j", controller=True)
    found = pod(name)
    return Pod(metadata=ObjectMeta(name=name, namespace="g", owner_references=(owner,)), status=found.status)


def test_pods_whose_manager_has_no_scale_cannot_be_counted() -> None:
    failing = budget(max_unavailable=1)
    status, _ = status_of(failing, [managed("a")], lambda pod: None, NOW)
    assert (status.disruptions_allowed, status.conditions[0].reason) == (0, "SyncFailed")
    assert status.conditions[0].message == 'found no controllers for pod "a"'
    failed = PodDisruptionBudget(metadata=failing.metadata, spec=failing.spec, status=status)
    (again,) = status_of(failed, [managed("b")], lambda pod: None, NOW + timedelta(hours=1))[0].conditions
    assert (again.message, again.last_transition_time) == ('found no controllers for pod "b"', NOW)
    assert status_of(budget(min_available=1), [managed("a"), managed("b")], lambda pod: None, NOW)[0] != status


def test_pods_that_nothing_manages_are_left_out_and_told_of() -> None:
    scales = {"a": ("x", 2), "b": ("x", 2)}
    mixed = budget(max_unavailable=1)
    status, _ = status_of(mixed, PODS, lambda pod: scales.get(pod.metadata.name), NOW)
    assert (status.expected_pods, status.desired_healthy, status.current_healthy) == (2, 1, 3)
    assert unmanaged(mixed, PODS)
    assert not unmanaged(budget(min_available=1), PODS)
    alone, _ = status_of(mixed, PODS, lambda pod: None, NOW)
    assert (alone.expected_pods, alone.disruptions_allowed) == (0, 0)
    assert status_of(budget(min_available=1), PODS, lambda pod: None, NOW)[0].disruptions_allowed == 2


def test_pod_that_was_let_go_does_not_count_until_it_goes_or_time_is_up() -> None:
    since = NOW - timedelta(seconds=30)
    status, wait = status_of(budget({"a": since, "gone": since}, min_available=1), PODS, of(3), NOW)
    assert (status.disruptions_allowed, status.disrupted_pods) == (1, {"a": since})
    assert wait == DELETION_TIMEOUT.total_seconds() - 30
    late = status_of(budget({"a": NOW - DELETION_TIMEOUT}, min_available=1), PODS, of(3), NOW)
    assert (late[0].disruptions_allowed, late[0].disrupted_pods, late[1]) == (2, {}, None)


def test_write_is_conditional_and_takes_out_what_is_settled() -> None:
    before = budget({"a": NOW, "b": NOW}, min_available=1)
    status = PodDisruptionBudgetStatus(disrupted_pods={"a": NOW}, disruptions_allowed=1)
    write = decide(before, status)
    assert write is not None
    assert write.patch["metadata"] == {"resourceVersion": "7"}
    assert write.patch["status"]["disruptedPods"] == {"b": None}
    assert decide(before, before.status) is None
    kept = decide(before, PodDisruptionBudgetStatus(disrupted_pods={"a": NOW, "b": NOW}, disruptions_allowed=2))
    assert kept is not None
    assert "disruptedPods" not in kept.patch["status"]


def test_selection() -> None:
    everything = budget()
    nothing = PodDisruptionBudget(metadata=ObjectMeta(name="b", namespace="g"))
    elsewhere = PodDisruptionBudget(
        metadata=ObjectMeta(name="b", namespace="h"), spec=PodDisruptionBudgetSpec(selector=LabelSelector())
    )
    assert [selects(b, PODS[0]) for b in (everything, nothing, elsewhere)] == [True, False, False]
