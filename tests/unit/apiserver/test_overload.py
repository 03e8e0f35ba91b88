"""Seats and queues: never more at work than there are seats, everybody in turn, nodes and administrators first."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from aiohttp import TCPConnector, web
from aiohttp.test_utils import TestClient, TestServer
from hypothesis import given
from hypothesis import strategies as st

from controlplane.apiserver.api import ApiServer
from controlplane.apiserver.app import build_app
from controlplane.apiserver.guard import CALL
from controlplane.apiserver.identity import ANONYMOUS, Attributes, User
from controlplane.apiserver.overload import Level, Overload
from shared.api.errors import TooManyRequests


@pytest.fixture
def level(request: pytest.FixtureRequest) -> Iterator[Level]:
    seats, each, total = getattr(request, "param", (1, 10, 100))
    made = Level("a-test", seats, each, total)
    yield made
    assert (made.executing, made.waiting) == (0, 0)


async def seated(level: Level, user: str, told: list[str] | None = None) -> None:
    if (turn := level.enter(user)) is not None:
        await turn
    if told is not None:
        told.append(user)


async def test_users_are_served_in_turn(level: Level) -> None:
    await seated(level, "first")
    told: list[str] = []
    users = ["greedy"] * 5 + ["modest", "late", "modest"]
    tasks = [asyncio.ensure_future(seated(level, user, told)) for user in users]
    await asyncio.sleep(0)
    for _ in users:
        level.leave()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    await asyncio.gather(*tasks)
    assert told == ["greedy", "modest", "late", "greedy", "modest", "greedy", "greedy", "greedy"]
    level.leave()


@pytest.mark.parametrize("level", [(1, 2, 3)], indirect=True)
async def test_queues_are_bounded_for_each_and_for_all(level: Level) -> None:
    await seated(level, "a")
    tasks = [asyncio.ensure_future(seated(level, "a")) for _ in range(3)]
    await asyncio.sleep(0)
    with pytest.raises(TooManyRequests) as refused:
        await tasks[2]
    assert refused.value.retry_after_seconds == 1
    tasks[2] = asyncio.ensure_future(seated(level, "b"))
    await asyncio.sleep(0)
    with pytest.raises(TooManyRequests):
        await seated(level, "c")
    for _ in range(4):
        level.leave()
    await asyncio.gather(*tasks)


async def test_who_waits_too_long_is_refused_and_who_leaves_makes_room() -> None:
    level = Level("a-test", 1, 10, 10, wait=0.05)
    await seated(level, "a")
    gone = asyncio.ensure_future(seated(level, "b"))
    await asyncio.sleep(0)
    gone.cancel()
    with pytest.raises(TooManyRequests):
        await seated(level, "c")
    await asyncio.gather(gone, return_exceptions=True)
    assert (level.executing, level.waiting) == (1, 0)
    level.leave()
    assert level.enter("d") is None
    level.leave()


async def test_a_seat_that_comes_as_its_taker_leaves_goes_on(level: Level) -> None:
    await seated(level, "a")
    leaving, staying = (asyncio.ensure_future(seated(level, user)) for user in "bc")
    await asyncio.sleep(0)
    level.leave()  # b's turn
    leaving.cancel()
    await asyncio.gather(leaving, return_exceptions=True)
    await staying
    level.leave()


@given(st.integers(1, 4), st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 3), st.booleans()), max_size=30))
async def test_never_more_at_work_than_seats_and_none_forgotten(
    seats: int, requests: list[tuple[str, int, bool]]
) -> None:
    level, at_work, most, served = Level("a-test", seats, 100, 100), 0, 0, 0

    async def one(user: str, steps: int) -> None:
        nonlocal at_work, most, served
        await seated(level, user)
        at_work += 1
        most = max(most, at_work)
        try:
            for _ in range(steps):
                await asyncio.sleep(0)
            served += 1
        finally:
            at_work -= 1
            level.leave()

    tasks = []
    for user, steps, stays in requests:
        tasks.append(asyncio.ensure_future(one(user, steps)))
        await asyncio.sleep(0)
        if not stays:
            tasks[-1].cancel()
    async with asyncio.timeout(10):
        results = await asyncio.gather(*tasks, return_exceptions=True)
    assert most <= seats
    assert served == sum(result is None for result in results)
    assert (level.executing, level.waiting) == (0, 0)


@pytest.mark.parametrize(
    ("user", "verb", "subresource", "name"),
    [
        (User("longboat:admin", ("system:masters",)), "create", "", None),
        (User("system:node:a", ("system:nodes", "system:authenticated")), "create", "heartbeat", "node-high"),
        (User("system:serviceaccount:kube-system:x", ("system:serviceaccounts:kube-system",)), "get", "", "system"),
        (User("jane", ("system:authenticated",)), "list", "", "global-default"),
        (User("jane", ("system:authenticated",)), "watch", "", None),
        (User("jane", ("system:authenticated",)), "get", "log", None),
        (ANONYMOUS, "get", "", None),
    ],
)
def test_levels(user: User, verb: str, subresource: str, name: str | None) -> None:
    level = Overload().level(user, verb, subresource)
    assert (level.name if level is not None else None) == name


class ByHeader:
    """Who asks is in a header."""

    def authenticate(self, request: web.BaseRequest) -> User:
        name = request.headers["X-Name"]
        return User(name, {"admin": ("system:masters",), "node": ("system:nodes",)}.get(name, ()))

    def authorize(self, user: User, attributes: Attributes) -> None:
        return None


async def test_nodes_and_administrators_are_answered_while_others_flood(api: ApiServer) -> None:
    door = asyncio.Event()

    async def slow(request: web.Request) -> web.Response:
        if CALL.get().user.name.startswith("user"):
            await door.wait()
        return web.Response()

    def routes(app: web.Application) -> None:
        app.router.add_get("/slow", slow)

    app = build_app(api, ByHeader(), ByHeader(), [routes], Overload(seats=2))
    async with TestClient(TestServer(app), connector=TCPConnector(limit=0)) as http:

        async def ask(name: str) -> tuple[int, str | None]:
            async with http.get("/slow", headers={"X-Name": name}) as response:
                return response.status, response.headers.get("Retry-After")

        flood = [asyncio.ensure_future(ask("user")) for _ in range(140)]
        async with asyncio.timeout(30):
            refused, _ = await asyncio.wait(flood, return_when=asyncio.FIRST_COMPLETED)
            assert {task.result() for task in refused} == {(429, "1")}
            assert await ask("admin") == await ask("node") == (200, None)
            door.set()
            answers = [await task for task in flood]
        assert answers.count((200, None)) >= 130
        assert set(answers) <= {(200, None), (429, "1")}


async def test_an_answer_has_its_time_but_a_stream_has_not(api: ApiServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("controlplane.apiserver.guard.REQUEST_SECONDS", 0.05)

    async def slow(request: web.Request) -> web.Response:
        if request.path == "/slow":
            await asyncio.Event().wait()
        await asyncio.sleep(0.2)
        return web.Response()

    def routes(app: web.Application) -> None:
        app.router.add_get("/slow", slow)
        app.router.add_get("/api/v1/namespaces/g/pods/p/log", slow)

    async with TestClient(TestServer(build_app(api, ByHeader(), ByHeader(), [routes]))) as http:
        async with http.get("/slow", headers={"X-Name": "user"}) as response:
            status = await response.json()
        assert (response.status, status["reason"]) == (504, "Timeout")
        async with http.get("/api/v1/namespaces/g/pods/p/log", headers={"X-Name": "user"}) as response:
            assert response.status == 200
