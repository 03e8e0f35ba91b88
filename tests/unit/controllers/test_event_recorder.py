"""The event recorder against a server that keeps Events in a dictionary."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from prometheus_client import REGISTRY

from controlplane.controllers import events
from controlplane.controllers.events import Recorder
from shared.api.core import Node
from shared.api.errors import Forbidden, NotFound, ServiceUnavailable
from shared.api.kinds import EVENTS
from shared.api.meta import JSON, ObjectMeta
from shared.api.pod import Pod
from shared.work.clock import FakeClock
from shared.work.supervisor import Supervisor

pytestmark = pytest.mark.looptime

POD = Pod(api_version="v1", kind="Pod", metadata=ObjectMeta(name="web", namespace="ns", uid="u1", resource_version="7"))


class Server:
    """Creates and patches Events; raises what is in ``refuse`` first."""

    def __init__(self) -> None:
        self.events: dict[tuple[str, str], JSON] = {}
        self.refuse: list[Exception] = []
        self.calls = 0

    async def create(self, resource: Any, obj: JSON, namespace: str = "") -> JSON:
        assert resource is EVENTS
        self._answer()
        self.events[namespace, obj["metadata"]["name"]] = obj
        return obj

    async def patch(self, resource: Any, name: str, patch: JSON, namespace: str = "") -> JSON:
        self._answer()
        if (namespace, name) not in self.events:
            raise NotFound("gone")
        self.events[namespace, name] |= patch
        return self.events[namespace, name]

    def _answer(self) -> None:
        self.calls += 1
        if self.refuse:
            raise self.refuse.pop(0)

    def said(self) -> list[tuple[str, int]]:
        return [(event["message"], event["count"]) for event in self.events.values()]


@asynccontextmanager
async def recording(server: Server, clock: FakeClock, **options: Any) -> AsyncIterator[Recorder]:
    recorder = Recorder(server, clock, "test-controller", **options)  # type: ignore[arg-type]
    async with Supervisor() as supervisor:
        supervisor.service("recorder", recorder.run())
        yield recorder
        supervisor.stop()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(datetime(2026, 1, 1, tzinfo=UTC))


@pytest.fixture
def server() -> Server:
    return Server()


async def test_an_event_has_what_kubectl_prints(server, clock):
    async with recording(server, clock) as recorder:
        recorder.event(POD, "Warning", "FailedScheduling", "no nodes")
        await recorder.flush()
    ((namespace, name), event) = server.events.popitem()
    assert namespace == "ns"
    assert name.startswith("web.")
    int(name.removeprefix("web."), 16)
    assert event == {
        "kind": "Event", "apiVersion": "v1", "metadata": {"name": name, "namespace": "ns"},
        "involvedObject": {"kind": "Pod", "namespace": "ns", "name": "web", "uid": "u1", "apiVersion": "v1",
                           "resourceVersion": "7"},
        "reason": "FailedScheduling", "message": "no nodes", "source": {"component": "test-controller"},
        "firstTimestamp": "2026-01-01T00:00:00Z", "lastTimestamp": "2026-01-01T00:00:00Z", "count": 1,
        "type": "Warning", "eventTime": None, "reportingComponent": "test-controller", "reportingInstance": "",
    }  # fmt: skip


async def test_cluster_scoped_objects_have_their_events_in_default(server, clock):
    async with recording(server, clock) as recorder:
        recorder.named("node-controller").event(Node(metadata=ObjectMeta(name="n1")), "Normal", "Ready", "m")
        await recorder.flush()
    ((namespace, _), event) = server.events.popitem()
    assert namespace == "default"
    assert event["involvedObject"] == {"kind": "Node", "name": "n1", "apiVersion": "v1"}
    assert event["source"] == {"component": "node-controller"}


async def test_repeats_raise_the_count(server, clock):
    async with recording(server, clock) as recorder:
        for _ in range(4):
            recorder.event(POD, "Normal", "Again", "same")
            clock.advance(60)
        await recorder.flush()
    (event,) = server.events.values()
    assert (event["count"], event["firstTimestamp"], event["lastTimestamp"]) == (
        4, "2026-01-01T00:00:00Z", "2026-01-01T00:03:00Z",
    )  # fmt: skip


async def test_a_repeat_whose_event_is_gone_begins_anew(server, clock):
    async with recording(server, clock) as recorder:
        recorder.event(POD, "Normal", "Again", "same")
        await recorder.flush()
        server.events.clear()
        recorder.event(POD, "Normal", "Again", "same")
        await recorder.flush()
    assert server.said() == [("same", 1)]


async def test_similar_events_are_combined_from_the_tenth_message_on(server, clock):
    async with recording(server, clock) as recorder:
        for number in range(15):
            recorder.event(POD, "Normal", "SuccessfulCreate", f"Created pod: p{number}")
        await recorder.flush()
    assert server.said() == [
        *((f"Created pod: p{number}", 1) for number in range(9)),
        ("(combined from similar events): Created pod: p14", 6),
    ]


async def test_a_row_of_similar_events_ends_after_a_pause(server, clock):
    async with recording(server, clock) as recorder:
        for number in range(9):
            recorder.event(POD, "Normal", "SuccessfulCreate", f"Created pod: p{number}")
        await recorder.flush()
        clock.advance(events.SIMILAR_WINDOW + 1)
        recorder.event(POD, "Normal", "SuccessfulCreate", "Created pod: late")
        await recorder.flush()
    assert ("Created pod: late", 1) in server.said()


async def test_an_object_is_limited_and_others_are_not(server, clock):
    other = Pod(kind="Pod", metadata=ObjectMeta(name="other", namespace="ns"))
    async with recording(server, clock) as recorder:
        for _ in range(events.BURST + 10):
            recorder.event(POD, "Normal", "Loud", "same")
        recorder.event(other, "Normal", "Quiet", "m")
        await recorder.flush()
        assert server.said() == [("same", events.BURST), ("m", 1)]
        clock.advance(events.REFILL)
        recorder.event(POD, "Normal", "Loud", "same")
        recorder.event(POD, "Normal", "Loud", "same")
        await recorder.flush()
    assert server.said()[0] == ("same", events.BURST + 1)


async def test_a_full_queue_drops_and_counts_and_nobody_waits(server, clock):
    before = REGISTRY.get_sample_value("longboat_events_dropped_total", {"reason": "queue full"}) or 0
    async with recording(server, clock, limit=5) as recorder:
        for number in range(8):
            recorder.event(POD, "Normal", f"R{number}", "m")
        await recorder.flush()
    assert len(server.events) == 5
    assert REGISTRY.get_sample_value("longboat_events_dropped_total", {"reason": "queue full"}) == before + 3


async def test_a_server_in_trouble_is_tried_again(server, clock):
    server.refuse = [ServiceUnavailable("down"), ServiceUnavailable("down")]
    async with recording(server, clock) as recorder:
        recorder.event(POD, "Normal", "R", "m")
        await recorder.flush()
    assert server.said() == [("m", 1)]
    assert server.calls == 3


async def test_a_server_in_long_trouble_is_given_up(server, clock):
    server.refuse = [ServiceUnavailable("down") for _ in range(events.ATTEMPTS)]
    async with recording(server, clock) as recorder:
        recorder.event(POD, "Normal", "R", "lost")
        recorder.event(POD, "Normal", "S", "kept")
        await recorder.flush()
    assert server.said() == [("kept", 1)]


async def test_a_refusal_is_not_tried_again(server, clock):
    server.refuse = [Forbidden("the namespace is being terminated")]
    async with recording(server, clock) as recorder:
        recorder.event(POD, "Normal", "R", "m")
        await recorder.flush()
    assert (server.calls, server.events) == (1, {})


async def test_names_of_events_are_legal_however_long_the_object(server, clock):
    async with recording(server, clock) as recorder:
        recorder.event(Pod(metadata=ObjectMeta(name="a" * 253, namespace="ns")), "Normal", "R", "m")
        await recorder.flush()
        await asyncio.sleep(0)
    ((_, name),) = server.events
    assert len(name) == 253
