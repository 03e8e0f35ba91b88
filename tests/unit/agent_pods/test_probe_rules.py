"""Probes: the rule of thresholds, and real ones against a real server on loopback."""

import asyncio
from collections.abc import AsyncIterator

import msgspec
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from agent.pods.http_get import HttpGetter, Target, find_port
from agent.pods.probes import Probes, Thresholds, Verdict
from agent.pods.probing import NetworkProber, ProbeResult
from agent.runtime.hollow import HollowRuntime
from shared.api.pod import Container, Pod, Probe
from shared.work.clock import SystemClock
from shared.work.supervisor import Supervisor


@pytest.mark.parametrize(
    ("success", "failure", "results", "verdicts"),
    [
        (1, 3, "+", "+"),
        (1, 3, "--", ".."),
        (1, 3, "---", "..-"),
        (1, 3, "--+---", "..+..-"),
        (2, 1, "+-++", ".-.+"),
    ],
)
def test_thresholds(success: int, failure: int, results: str, verdicts: str) -> None:
    thresholds = Thresholds(success, failure)
    told = [thresholds.add(result == "+") for result in results]
    assert "".join({True: "+", False: "-", None: "."}[verdict] for verdict in told) == verdicts


@given(st.integers(1, 5), st.integers(1, 5), st.lists(st.booleans()))
def test_a_verdict_needs_as_many_results_alike_in_a_row(success: int, failure: int, results: list[bool]) -> None:
    thresholds = Thresholds(success, failure)
    for index, result in enumerate(results):
        verdict = thresholds.add(result)
        needed = success if result else failure
        alike = index + 1 >= needed and set(results[index + 1 - needed : index + 1]) == {result}
        assert verdict is (result if alike else None)


@pytest.fixture
async def port(unused_tcp_port: int) -> AsyncIterator[int]:
    async def answer(request: web.Request) -> web.Response:
        code = int(request.match_info["code"])
        assert request.headers["User-Agent"].startswith("kube-probe/")
        return web.Response(
            status=code, headers={"Location": request.query.get("to", "")} if "to" in request.query else {}
        )

    async def slow(request: web.Request) -> web.Response:
        await asyncio.sleep(30)
        return web.Response()

    app = web.Application()
    app.router.add_get("/code/{code}", answer)
    app.router.add_get("/slow", slow)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", unused_tcp_port).start()
    yield unused_tcp_port
    await runner.cleanup()


@pytest.fixture
async def prober() -> AsyncIterator[NetworkProber]:
    http = HttpGetter()
    yield NetworkProber(HollowRuntime("n", SystemClock()), http)
    await http.close()


def target(port: int) -> Target:
    tree = {"name": "c", "ports": [{"name": "web", "containerPort": port}]}
    return Target("id", "127.0.0.1", msgspec.convert(tree, Container))


def http(path: str, port: int | str = "web") -> Probe:
    return msgspec.convert({"httpGet": {"path": path, "port": port}, "timeoutSeconds": 1}, Probe)


@pytest.mark.parametrize(
    ("path", "healthy", "output"),
    [
        ("/code/200", True, ""),
        ("/code/204", True, ""),
        ("/code/399", True, ""),
        ("/code/400", False, "HTTP probe failed with statuscode: 400"),
        ("/code/503", False, "HTTP probe failed with statuscode: 503"),
        ("/code/302?to=/code/200", True, ""),
        ("/code/302?to=/code/500", False, "HTTP probe failed with statuscode: 500"),
        ("/code/302?to=http://elsewhere.invalid/", True, "Probe terminated redirects"),
    ],
)
async def test_http(prober: NetworkProber, port: int, path: str, healthy: bool, output: str) -> None:
    result = await prober.probe(http(path), target(port))
    assert (result.healthy, result.output) == (healthy, output)


async def test_http_that_takes_too_long(prober: NetworkProber, port: int) -> None:
    result = await prober.probe(http("/slow"), target(port))
    assert not result.healthy
    assert "context deadline exceeded" in result.output


async def test_tcp(prober: NetworkProber, port: int, unused_tcp_port_factory: object) -> None:
    probe = msgspec.convert({"tcpSocket": {"port": "web"}}, Probe)
    assert (await prober.probe(probe, target(port))).healthy
    closed = unused_tcp_port_factory()  # type: ignore[operator]
    result = await prober.probe(probe, target(closed))
    assert not result.healthy
    assert "connection refused" in result.output or "connect call failed" in result.output.lower()


@pytest.mark.parametrize(("name", "found"), [("web", 80), (8080, 8080), ("8080", 8080), ("none", None), (0, None)])
def test_ports_by_number_or_name(name: int | str, found: int | None) -> None:
    assert find_port(target(80).container, name) == found


class Script:
    """A prober that fails so many times."""

    def __init__(self, failures: int) -> None:
        self.failures, self.asked, self.again = failures, 0, asyncio.Event()

    async def probe(self, probe: Probe, target: Target) -> ProbeResult:
        self.asked += 1
        if self.asked > 1:
            self.again.set()
        return ProbeResult(self.asked > self.failures, "not yet")


def probed(kind: str, **probe: object) -> Container:
    return msgspec.convert({"name": "c", f"{kind}Probe": {"periodSeconds": 60, **probe}}, Container)


@pytest.mark.parametrize("kind", ["readiness", "startup"])
async def test_what_is_still_starting_is_asked_again_soon_and_only_success_counts(kind: str) -> None:
    prober, verdicts, failures = Script(4), asyncio.Queue[Verdict](), []
    async with Supervisor() as supervisor:
        probes = Probes(prober, SystemClock(), supervisor, verdicts.put_nowait, lambda *told: failures.append(told))
        probes.watch(Pod(), probed(kind, tcpSocket={"port": 1}, failureThreshold=2), "id", "127.0.0.1", 0.0)
        async with asyncio.timeout(30):  # half of the period
            verdict = await verdicts.get()
        probes.stop("id")
        supervisor.stop()
    assert (verdict.healthy, prober.asked, len(failures)) == (True, 5, 1)


@pytest.mark.parametrize(
    ("kind", "probe"), [("liveness", {"tcpSocket": {"port": 1}}), ("readiness", {"exec": {"command": ["x"]}})]
)
async def test_liveness_and_commands_are_asked_once_a_period(kind: str, probe: dict[str, object]) -> None:
    prober, failed = Script(9), asyncio.Event()
    async with Supervisor() as supervisor:
        probes = Probes(prober, SystemClock(), supervisor, lambda verdict: None, lambda *told: failed.set())
        probes.watch(Pod(), probed(kind, **probe), "id", "127.0.0.1", 0.0)
        async with asyncio.timeout(30):
            await failed.wait()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(prober.again.wait(), 0.3)  # six times the wait before an early look
        probes.stop("id")
        supervisor.stop()
