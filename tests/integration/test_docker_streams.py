"""Logs and events of a real Docker daemon, and a daemon that restarts or hangs."""

from __future__ import annotations

import asyncio
import threading
import time
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
from docker import APIClient

from agent.runtime.base import (
    ContainerSpec,
    LogOptions,
    PodIdentity,
    RuntimeFailure,
    RuntimeUnavailable,
    SandboxSpec,
    State,
)
from agent.runtime.docker import DockerRuntime
from agent.runtime.docker_engine import DockerEngine
from agent.runtime.docker_options import DockerOptions
from agent.runtime.orphans import ABANDONED_AFTER
from shared.work.clock import FakeClock

POD = PodIdentity("11111111-2222-3333-4444-555555555555", "default", "web")


@pytest.fixture
async def runtime(docker_engine, busybox_image) -> AsyncIterator[DockerRuntime]:
    made = DockerRuntime(DockerOptions(host=docker_engine.host), f"node-{uuid.uuid4().hex[:8]}")
    yield made
    await clean(made)


async def clean(runtime: DockerRuntime) -> None:
    for container in await runtime.list_containers():
        await runtime.remove_container(container.id)
    for sandbox in await runtime.list_sandboxes():
        await runtime.remove_sandbox(sandbox.id)
    await runtime.close()


async def start(runtime: DockerRuntime, script: str, *, tty: bool = False) -> str:
    sandboxes = await runtime.list_sandboxes()
    sandbox = sandboxes[0] if sandboxes else await runtime.create_sandbox(SandboxSpec(POD, "web"))
    spec = ContainerSpec(
        pod=POD, name="c" + uuid.uuid4().hex[:6], attempt=0, sandbox_id=sandbox.id, image="longboat-test/busybox:1",
        command=("sh", "-c", script), args=None, env=(), working_dir="", mounts=(), spec_hash="", tty=tty,
    )  # fmt: skip
    container = await runtime.create_container(spec)
    await runtime.start_container(container)
    return container


async def read(runtime: DockerRuntime, container: str, **options: object) -> bytes:
    return b"".join([part async for part in runtime.logs(container, LogOptions(**options))])  # type: ignore[arg-type]


def log_threads() -> int:
    return sum(thread.name == "docker-logs" for thread in threading.enumerate())


async def until(condition, seconds: float = 10.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.02)


class TestLogs:
    async def test_both_streams_in_order_until_the_end(self, runtime):
        container = await start(runtime, "for i in 1 2 3; do echo out$i; sleep 0.05; echo err$i >&2; sleep 0.05; done")
        assert await read(runtime, container, follow=True) == b"out1\nerr1\nout2\nerr2\nout3\nerr3\n"

    async def test_terminal_output_has_no_frames(self, runtime):
        container = await start(runtime, "echo one; echo two", tty=True)
        assert await read(runtime, container, follow=True) == b"one\r\ntwo\r\n"

    @pytest.mark.parametrize(
        ("options", "expected"),
        [
            ({"tail_lines": 2}, b"l9\nl10\n"),
            ({"tail_lines": 0}, b""),
            ({"limit_bytes": 7}, b"l1\nl2\nl"),
            ({"tail_lines": 1, "limit_bytes": 2}, b"l1"),
            ({"since_seconds": 3600}, b"".join(b"l%d\n" % number for number in range(1, 11))),
            ({"since": datetime(2100, 1, 1, tzinfo=UTC)}, b""),
        ],
        ids=["tail", "tail of none", "limit", "tail and limit", "since seconds", "since a later time"],
    )
    async def test_options(self, runtime, options, expected):
        container = await start(runtime, "for i in 1 2 3 4 5 6 7 8 9 10; do echo l$i; done")
        await read(runtime, container, follow=True)
        assert await read(runtime, container, **options) == expected

    async def test_since_leaves_out_what_is_older_to_the_fraction_of_a_second(self, runtime):
        container = await start(runtime, "echo old; sleep 0.4; echo new")
        lines = (await read(runtime, container, follow=True, timestamps=True)).splitlines()
        times = [datetime.fromisoformat(line.split()[0].decode()) for line in lines]
        between = times[0] + (times[1] - times[0]) / 2
        assert await read(runtime, container, since=between) == b"new\n"

    async def test_timestamps_are_rfc3339_with_nanoseconds(self, runtime):
        container = await start(runtime, "echo x")
        line = (await read(runtime, container, follow=True, timestamps=True)).decode()
        stamp, text = line.split(" ", 1)
        assert text == "x\n"
        assert stamp.endswith("Z")
        assert len(stamp) == len("2026-11-23T04:29:51.433970112Z")

    async def test_big_log_arrives_whole_through_a_slow_reader(self, runtime):
        loop = "i=0; while [ $i -lt 30000 ]; do echo $i.$FILL; i=$((i+1)); done"
        container = await start(runtime, f"FILL={'0123456789' * 7}; {loop}")
        total = 0
        async for part in runtime.logs(container, LogOptions(follow=True)):
            total += part.count(b"\n")
            await asyncio.sleep(0.001)
        assert total == 30000

    async def test_follower_that_goes_away_frees_its_connection(self, runtime):
        container = await start(runtime, "echo x; sleep 600")
        stream = runtime.logs(container, LogOptions(follow=True))
        assert await anext(stream) == b"x\n"
        assert log_threads() == 1
        await stream.aclose()
        await until(lambda: log_threads() == 0)

    async def test_container_that_is_not_there(self, runtime):
        with pytest.raises(RuntimeFailure, match="No such container"):
            await read(runtime, "0" * 64)

    async def test_too_many_streams_are_refused(self, docker_engine, runtime):
        container = await start(runtime, "echo x; sleep 600")
        narrow = DockerRuntime(DockerOptions(host=docker_engine.host, log_streams=1), runtime._node)
        first = narrow.logs(container, LogOptions(follow=True))
        await anext(first)
        with pytest.raises(RuntimeFailure, match="too many log streams"):
            await anext(narrow.logs(container, LogOptions()))
        await first.aclose()
        await narrow.close()


class TestEvents:
    async def test_first_says_look_again_then_what_happens_to_ours(self, runtime):
        events = runtime.events()
        first = await asyncio.wait_for(anext(events), 10)
        assert first.container_id == ""
        container = await start(runtime, "exit 3")
        seen = []
        async with asyncio.timeout(20):
            async for event in events:
                seen.append((event.action, event.container_id == container, event.pod_uid))
                if event.action == "die":
                    break
        assert ("start", True, POD.uid) in seen
        assert seen[-1] == ("die", True, POD.uid)
        await events.aclose()

    async def test_claimed_sandboxs_events_name_its_pod(self, runtime):
        warm = await runtime.create_sandbox(SandboxSpec(None, "warm"))
        await runtime.claim_sandbox(warm.id, POD)
        events = runtime.events()
        await runtime.remove_sandbox(warm.id)
        async with asyncio.timeout(20):
            async for event in events:
                if event.action == "destroy" and event.container_id == warm.id:
                    assert event.pod_uid == POD.uid
                    break
        await events.aclose()


async def test_daemon_restart_events_say_look_again_and_calls_go_on(private_engine):
    private_engine.import_busybox()
    runtime = DockerRuntime(DockerOptions(host=private_engine.host), "n")
    container = await start(runtime, "sleep 600")
    events = runtime.events()
    assert (await asyncio.wait_for(anext(events), 10)).container_id == ""
    await asyncio.to_thread(private_engine.restart)
    async with asyncio.timeout(30):
        async for event in events:
            if event.container_id == "":
                break
    [info] = await runtime.list_containers()
    assert (info.id, info.state) == (container, State.EXITED)
    await events.aclose()
    await clean(runtime)


async def test_hung_daemon_is_unavailable_in_bounded_time_and_recovers(private_engine):
    runtime = DockerRuntime(
        DockerOptions(host=private_engine.host, read_timeout=0.5, write_timeout=0.5, threads=2), "n"
    )
    await runtime.info()
    private_engine.freeze()
    started = time.monotonic()
    results = await asyncio.gather(*(runtime.list_images() for _ in range(6)), return_exceptions=True)
    assert all(isinstance(result, RuntimeUnavailable) for result in results)
    assert time.monotonic() - started < 5
    private_engine.thaw()

    async def answers() -> bool:
        try:
            await runtime.info()
        except RuntimeUnavailable:
            return False
        return True

    async with asyncio.timeout(20):
        while not await answers():
            await asyncio.sleep(0.05)
    await runtime.close()


async def test_orphans_are_removed_and_nothing_else(runtime, docker_engine):
    warm = await runtime.create_sandbox(SandboxSpec(None, "warm"))
    dead = await runtime.create_sandbox(SandboxSpec(None, "warm"))
    running = await start(runtime, "sleep 600")
    await runtime.stop_container(dead.id, 0)
    clock = FakeClock(datetime.now(UTC))
    sweeper = DockerRuntime(DockerOptions(host=docker_engine.host), runtime._node, clock=clock)
    assert await sweeper.remove_orphans() == [], "too young to be abandoned"
    clock.advance(ABANDONED_AFTER + 60)
    assert [orphan.id for orphan in await sweeper.remove_orphans()] == [dead.id]
    assert warm.id in {sandbox.id for sandbox in await runtime.list_sandboxes()}
    assert [info.id for info in await runtime.list_containers()] == [running]
    await sweeper.close()


async def test_call_whose_client_another_ones_failure_closed_is_made_again(docker_engine):
    engine = DockerEngine(DockerOptions(host=docker_engine.host))
    clients = []

    def work(client: APIClient) -> str:
        clients.append(client)
        if len(clients) == 1:
            adapter = client.get_adapter(client.base_url)
            taken = adapter.get_connection(client.base_url)
            taken.close()  # what the failure of a call in another thread does, and the SDK when it has many pools
            adapter.get_connection = lambda *_args: taken
            engine._drop()
        return str(client.version()["Version"])

    assert await engine.call("version", work)
    assert len(clients) == 2
    await engine.close()


async def test_call_whose_connection_was_closed_in_the_pool_is_made_again(docker_engine):
    engine = DockerEngine(DockerOptions(host=docker_engine.host))
    calls = []

    def work(client: APIClient) -> str:
        calls.append(client)
        if len(calls) == 1:
            url = f"{client.base_url}/v{client.api_version}/version"
            pool = client.get_adapter(client.base_url).get_connection(url)
            connection = pool._get_conn()
            connection.connect()
            pool._put_conn(connection)
            connection.sock.close()  # what ends a stream that had this connection
        return str(client.version()["Version"])

    assert await engine.call("version", work)
    assert len(calls) == 2
    await engine.close()
