"""What agents told last, and when it is too old to be told on."""

from datetime import UTC, datetime

from controlplane.apiserver.usage.latest import LatestUsage
from shared.usage import STALE, ContainerUsage, NodeUsage, PodUsage
from shared.work.clock import FakeClock

AT = "2026-01-01T00:00:00Z"
POD = PodUsage("default", "web", "uid", AT, 15, (ContainerUsage("c", 1, 2),))


def told(cpu: int = 1, *pods: PodUsage) -> NodeUsage:
    return NodeUsage(AT, 15, cpu, 1024, pods)


def test_the_newest_counts() -> None:
    latest = LatestUsage(FakeClock(datetime(2026, 1, 1, tzinfo=UTC)))
    latest.take("a", told(1, POD))
    latest.take("a", told(2))
    assert latest.nodes()["a"].cpu == 2
    assert latest.pods() == {}


def test_who_has_said_nothing_for_long_is_not_told_of() -> None:
    clock = FakeClock(datetime(2026, 1, 1, tzinfo=UTC))
    latest = LatestUsage(clock)
    latest.take("a", told(1, POD))
    clock.advance(STALE - 1)
    latest.take("b", told())
    assert latest.nodes().keys() == {"a", "b"}
    assert latest.pods() == {("default", "web", "uid"): ("a", POD)}
    clock.advance(2)
    assert latest.nodes().keys() == {"b"}
    assert latest.pods() == {}
