"""The heartbeat's rhythm, in virtual time."""

from __future__ import annotations

import asyncio
import random
from datetime import UTC, datetime

import pytest

from agent.heartbeat import Heartbeat
from shared import codec
from shared.api.errors import NotFound, ServiceUnavailable, StatusError


class LoopClock:
    """The running loop's time, which looptime makes virtual."""

    def now(self):
        return datetime(2026, 3, 1, tzinfo=UTC)

    def monotonic(self):
        return asyncio.get_running_loop().time()


class Server:
    """Answers as told: an answer's fields, an exception, or seconds to hang."""

    def __init__(self, *script):
        self.script, self.times, self.reconnects = list(script), [], 0

    async def request(self, method, path, *, body=None, timeout=None):
        assert (method, path) == ("POST", "/apis/longboat.dev/v1/nodes/n1/heartbeat")
        self.times.append(asyncio.get_running_loop().time())
        step = self.script.pop(0) if self.script else {}
        if isinstance(step, StatusError):
            raise step
        if isinstance(step, float):
            await asyncio.sleep(step)
            step = {}
        return step if isinstance(step, bytes) else codec.encode({"intervalSeconds": 1, "ttlSeconds": 4} | step)

    async def reconnect(self):
        self.reconnects += 1


class Agent:
    def __init__(self, server):
        self.server, self.registered, self.ready = server, 0, []
        self.heartbeat = Heartbeat(
            server, "n1", on_missing=self.register, on_ready=self.ready.append, clock=LoopClock(), rng=random.Random(1)
        )

    async def register(self):
        self.registered += 1

    async def run(self, seconds):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.heartbeat.run()


pytestmark = pytest.mark.looptime(start=0)
DOWN = ServiceUnavailable("down")


async def test_one_a_second():
    agent = Agent(Server())
    await agent.run(4.5)
    assert agent.server.times == pytest.approx([0, 1, 2, 3, 4])
    assert agent.heartbeat.last_success == pytest.approx(4)


async def test_the_server_sets_the_interval():
    agent = Agent(Server({"intervalSeconds": 2, "ttlSeconds": 8}, {"intervalSeconds": 2}, {"intervalSeconds": 2}))
    await agent.run(4.5)
    assert agent.server.times == pytest.approx([0, 2, 4])
    assert agent.heartbeat.ttl == 4


@pytest.mark.parametrize("interval", [0, -5, 1e9], ids=["zero", "negative", "huge"])
async def test_an_absurd_interval_is_bounded(interval):
    agent = Agent(Server({"intervalSeconds": interval}))
    await agent.heartbeat.beat()
    assert 0.05 <= agent.heartbeat.interval <= 300


async def test_failures_are_repeated_sooner_than_the_interval_and_never_later():
    agent = Agent(Server({}, *[DOWN] * 20))
    await agent.run(8)
    gaps = [b - a for a, b in zip(agent.server.times[1:], agent.server.times[2:], strict=False)]
    assert gaps[0] < 0.5
    assert max(gaps) <= 1.0 + 1e-6
    assert agent.heartbeat.last_success == 0
    assert not agent.heartbeat.fenced(margin=-100)
    assert agent.heartbeat.fenced()


async def test_an_attempt_never_waits_longer_than_the_interval():
    agent = Agent(Server({}, 60.0, 60.0))
    await agent.run(3.5)
    assert agent.server.times == pytest.approx([0, 1, 2, 3])


async def test_a_late_answer_counts_from_when_it_was_asked_for():
    agent = Agent(Server({}, 0.9))
    await agent.run(1.95)
    assert agent.heartbeat.last_success == pytest.approx(1)


async def test_a_node_that_is_not_known_registers_again():
    agent = Agent(Server(NotFound("no"), {}))
    await agent.run(0.5)
    assert agent.registered == 1
    assert agent.heartbeat.last_success is not None


async def test_a_registration_that_fails_does_not_end_the_heartbeat():
    agent = Agent(Server(NotFound("no"), NotFound("no"), {}))

    async def fail():
        raise DOWN

    agent.heartbeat._on_missing = fail
    await agent.run(2)
    assert agent.heartbeat.last_success is not None


@pytest.mark.parametrize("answer", [b"", b"[]", b"{}", b'{"intervalSeconds":"x","ttlSeconds":1}'])
async def test_an_answer_that_is_none_is_a_failure(answer):
    agent = Agent(Server(answer))
    assert not await agent.heartbeat.beat()


async def test_after_an_outage_connections_are_made_anew():
    agent = Agent(Server({}, *[DOWN] * 4, {}))
    await agent.run(3)
    assert agent.server.reconnects == 0  # back within the TTL
    agent = Agent(Server({}, *[DOWN] * 12, {}))
    await agent.run(15)
    assert agent.server.reconnects == 1


async def test_the_servers_view_of_ready_is_passed_on():
    agent = Agent(Server({"ready": "Unknown"}, {"ready": "True"}))
    await agent.run(1.5)
    assert agent.ready == ["Unknown", "True"]


async def test_before_the_first_answer_the_node_is_fenced():
    assert Agent(Server()).heartbeat.fenced()
