"""The scheduling queue on a clock that moves only when told."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from controlplane.scheduler.decide import Pending
from controlplane.scheduler.queue import FLUSH_SECONDS, SchedulingQueue
from controlplane.scheduler.requirements import Requirements
from shared.work.clock import FakeClock


@pytest.fixture
def clock():
    return FakeClock(datetime(2026, 1, 1, tzinfo=UTC))


@pytest.fixture
def queue(clock):
    return SchedulingQueue(clock)


def pod(name: str, priority: int = 0, **requirements) -> Pending:
    return Pending("default", name, f"uid-{name}", Requirements(**requirements), priority)


def names(taken) -> list[str]:
    return [waiting.pod.name for waiting in taken]


def try_once(queue, *, unschedulable=True):
    for waiting in queue.take(100):
        queue.give_back(waiting, unschedulable=unschedulable)


def test_pods_are_taken_in_order_and_once(queue):
    for name in "abc":
        queue.put(pod(name))
    queue.put(pod("a"))
    assert names(queue.take(2)) == ["a", "b"]
    assert names(queue.take(2)) == ["c"]
    assert queue.take(2) == []


def test_higher_priority_is_taken_first_when_not_all_can_be(queue):
    for number in range(4):
        queue.put(pod(f"p{number}", priority=number % 2))
    assert names(queue.take(3)) == ["p1", "p3", "p0"]


def test_an_unschedulable_pod_waits_for_a_change_and_its_backoff(queue, clock):
    queue.put(pod("a"))
    for seconds in (1, 2, 4, 8, 10, 10):
        try_once(queue)
        clock.advance(seconds - 0.5)
        queue.flush()
        assert len(queue) == 0
        queue.cluster_changed()
        assert len(queue) == 0
        clock.advance(0.5)
        queue.flush()
        assert len(queue) == 1


def test_after_its_backoff_a_change_makes_it_active_at_once(queue, clock):
    queue.put(pod("a"))
    try_once(queue)
    clock.advance(5)
    queue.flush()
    assert len(queue) == 0
    queue.cluster_changed()
    assert names(queue.take(1)) == ["a"]


def test_a_change_while_the_pod_was_being_decided_is_not_missed(queue, clock):
    queue.put(pod("a"))
    (waiting,) = queue.take(1)
    queue.cluster_changed()
    queue.give_back(waiting, unschedulable=True)
    assert queue.due() == 1.0
    clock.advance(1)
    queue.flush()
    assert names(queue.take(1)) == ["a"]


def test_a_failed_binding_is_tried_again_after_its_backoff(queue, clock):
    queue.put(pod("a"))
    try_once(queue, unschedulable=False)
    assert len(queue) == 0
    clock.advance(queue.due())
    queue.flush()
    assert len(queue) == 1


def test_a_status_written_to_the_pod_does_not_wake_it(queue, clock):
    queue.put(pod("a"))
    try_once(queue)
    clock.advance(60)
    queue.put(pod("a"))
    assert len(queue) == 0


def test_a_changed_pod_is_tried_again(queue, clock):
    queue.put(pod("a"))
    try_once(queue)
    clock.advance(60)
    queue.put(pod("a", node_selector=(("x", "y"),)))
    assert queue.take(1)[0].pod.requirements.node_selector == (("x", "y"),)


def test_after_five_minutes_a_pod_is_tried_anyway(queue, clock):
    queue.put(pod("a"))
    try_once(queue)
    assert queue.due() == FLUSH_SECONDS
    clock.advance(FLUSH_SECONDS)
    queue.flush()
    assert len(queue) == 1
    assert queue.due() is None


@pytest.mark.parametrize("place", ["active", "taken", "unschedulable", "backoff"])
def test_a_removed_pod_is_gone_from_wherever_it_was(queue, clock, place):
    queue.put(pod("a"))
    if place != "active":
        (waiting,) = queue.take(1)
        if place != "taken":
            queue.give_back(waiting, unschedulable=place == "unschedulable")
    queue.remove("uid-a")
    if place == "taken":
        queue.give_back(waiting, unschedulable=False)
    clock.advance(1000)
    queue.cluster_changed()
    queue.flush()
    assert queue.take(1) == []
    assert queue.due() is None
