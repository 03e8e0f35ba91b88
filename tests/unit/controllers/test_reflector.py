"""The reflector against a server that answers as scripted, in virtual time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from shared.api.errors import Expired, Forbidden, ServiceUnavailable, TooManyRequests
from shared.api.kinds import PODS
from shared.api.meta import ObjectMeta
from shared.api.pod import Pod
from shared.client.base import EventType, ObjectList, WatchEvent
from shared.client.cache import Cache
from shared.client.reflector import Reflector
from shared.work.backoff import Backoff

pytestmark = pytest.mark.looptime


def pod(name: str, revision: int) -> Pod:
    return Pod(metadata=ObjectMeta(name=name, namespace="ns", resource_version=str(revision)))


def added(name: str, revision: int) -> WatchEvent[Pod]:
    return WatchEvent(EventType.ADDED, pod(name, revision))


def modified(name: str, revision: int) -> WatchEvent[Pod]:
    return WatchEvent(EventType.MODIFIED, pod(name, revision))


def deleted(name: str, revision: int) -> WatchEvent[Pod]:
    return WatchEvent(EventType.DELETED, pod(name, revision))


def bookmark(revision: int) -> WatchEvent[Pod]:
    return WatchEvent(EventType.BOOKMARK, pod("", revision))


@dataclass
class Server:
    """``lists`` and ``watches`` are what it answers in turn: objects, events, an exception to raise, a number of
    seconds to pass. A watch ends after its script, unless that ends with ``forever``; without a script left it
    stays open."""

    lists: list[Any]
    watches: list[list[Any]] = field(default_factory=list)
    calls: list[tuple[float, str, str]] = field(default_factory=list)
    closed: int = 0

    def called(self, verb: str, revision: str) -> None:
        self.calls.append((round(asyncio.get_running_loop().time(), 1), verb, revision))

    async def list(self, resource: Any, namespace: str = "", **options: Any) -> ObjectList[Pod]:
        self.called("list", options.get("resource_version", ""))
        answer = self.lists.pop(0) if len(self.lists) > 1 else self.lists[0]
        if isinstance(answer, Exception):
            raise answer
        revision, *objects = answer
        return ObjectList(objects, str(revision))

    async def watch(self, resource: Any, namespace: str = "", **options: Any) -> AsyncIterator[WatchEvent[Pod]]:
        self.called("watch", options["resource_version"])
        try:
            for step in self.watches.pop(0) if self.watches else [1e9]:
                if isinstance(step, Exception):
                    raise step
                if isinstance(step, WatchEvent):
                    yield step
                else:
                    await asyncio.sleep(step)
        finally:
            self.closed += 1

    def verbs(self) -> list[tuple[str, str]]:
        return [call[1:] for call in self.calls]


async def reflect(server: Server, seconds: float, **options: Any) -> Cache[Pod]:
    cache = Cache(PODS)
    reflector = Reflector(server, PODS, cache, backoff=Backoff(1.0, 30.0, jitter=0), **options)  # type: ignore[arg-type]
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(seconds):
            await reflector.run()
    return cache


def contents(cache: Cache[Pod]) -> dict[str, str]:
    return {obj.metadata.name: obj.metadata.resource_version for obj in cache}


async def test_lists_and_then_follows_the_watch():
    server = Server([(5, pod("a", 3), pod("b", 4))], [[added("c", 6), modified("a", 7), deleted("b", 8), 1e9]])
    cache = await reflect(server, 10)
    assert contents(cache) == {"a": "7", "c": "6"}
    assert cache.resource_version == "8"
    assert cache.synced.is_set()
    assert server.verbs() == [("list", ""), ("watch", "5")]


async def test_the_end_of_a_watch_resumes_from_the_last_revision():
    server = Server([(5,)], [[added("a", 6)], [10.0, bookmark(20)]])
    await reflect(server, 15)
    assert server.verbs() == [("list", ""), ("watch", "5"), ("watch", "6"), ("watch", "20")]


async def test_expired_lists_again_at_once_and_tells():
    relists: list[int] = []
    server = Server([(5, pod("a", 3)), (50, pod("b", 40))], [[10.0, Expired("too old")]])
    cache = await reflect(server, 20, on_relist=lambda: relists.append(1))
    assert contents(cache) == {"b": "40"}
    assert server.calls == [(0, "list", ""), (0, "watch", "5"), (10, "list", ""), (10, "watch", "50")]
    assert relists == [1]


async def test_handlers_hear_of_what_a_new_list_changed():
    cache: Cache[Pod] = Cache(PODS)
    heard: list[tuple[str | None, str | None]] = []
    cache.add_handler(lambda old, new: heard.append((old and old.metadata.name, new and new.metadata.name)))
    server = Server([(5, pod("a", 3), pod("b", 4)), (50, pod("b", 4), pod("c", 40))], [[1.0, Expired("too old")]])
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(5):
            await Reflector(server, PODS, cache).run()  # type: ignore[arg-type]
    assert heard == [(None, "a"), (None, "b"), ("a", None), (None, "c")]


async def test_expiring_again_and_again_backs_off():
    server = Server([(5,)], [[Expired("too old")] for _ in range(5)])
    await reflect(server, 100)
    assert [call[0] for call in server.calls if call[1] == "list"] == [0, 0, 1, 3, 7, 15]


async def test_a_refused_list_backs_off_and_is_tried_again():
    server = Server([Forbidden("no"), ServiceUnavailable("no"), ServiceUnavailable("no"), (5, pod("a", 3))])
    cache = await reflect(server, 60)
    assert [call[0] for call in server.calls] == [0, 1, 3, 7, 7]
    assert contents(cache) == {"a": "3"}


async def test_a_broken_watch_resumes_after_a_pause_and_the_pauses_begin_anew_after_success():
    broken = ServiceUnavailable("gone")
    server = Server([(5,)], [[broken], [broken], [added("a", 6), broken], [broken]])
    await reflect(server, 60)
    assert server.calls[1:] == [
        (0, "watch", "5"), (1, "watch", "5"), (3, "watch", "5"), (4, "watch", "6"), (6, "watch", "6"),
    ]  # fmt: skip


async def test_a_revision_that_the_server_never_serves_is_given_up_for_a_new_list():
    server = Server([(900,), (5, pod("a", 3))], [[ServiceUnavailable("too large")] for _ in range(3)])
    cache = await reflect(server, 60)
    assert server.verbs()[-2:] == [("list", ""), ("watch", "5")]
    assert contents(cache) == {"a": "3"}


async def test_a_server_that_ends_every_watch_at_once_is_not_hammered():
    server = Server([(5,)], [[] for _ in range(1000)])
    await reflect(server, 60)
    assert [call[0] for call in server.calls if call[1] == "watch"] == [0, 1, 3, 7, 15, 31]


async def test_retry_after_is_honoured():
    server = Server([TooManyRequests("slow down", retry_after_seconds=12), (5,)])
    await reflect(server, 60)
    assert [call[0] for call in server.calls] == [0, 12, 12]


async def test_every_stream_is_closed():
    server = Server([(5,)], [[added("a", 6)], [ServiceUnavailable("gone")], [Expired("old")]])
    await reflect(server, 30)
    assert server.closed == len([call for call in server.calls if call[1] == "watch"])


async def test_logs_when_it_begins_to_fail_and_when_it_works_again_only(caplog):
    caplog.set_level(logging.INFO)
    server = Server([*(ServiceUnavailable("down") for _ in range(6)), (5, pod("a", 3))], [[1.0, added("b", 6), 1e9]])
    await reflect(server, 300)
    lines = [(record.levelname, record.getMessage()) for record in caplog.records if "reflector" in record.name]
    assert lines == [("WARNING", "cannot watch, trying again"), ("INFO", "watching again")]


async def test_a_bug_is_not_retried():
    server = Server([KeyError("bug")])
    with pytest.raises(KeyError):
        await Reflector(server, PODS, Cache(PODS)).run()  # type: ignore[arg-type]
