"""Two served versions of one stored kind: core/v1 and events.k8s.io/v1 Events are the same objects."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from aiohttp.test_utils import TestClient

from controlplane.apiserver.kinds.event import EVENT
from controlplane.apiserver.kinds.event_v1 import EVENT_V1, from_core, to_core

CORE, NEW = "/api/v1/namespaces/g/events", "/apis/events.k8s.io/v1/namespaces/g/events"
OLD_STYLE = {
    "kind": "Event", "apiVersion": "v1", "metadata": {"name": "e"}, "reason": "Pulled", "message": "got it",
    "involvedObject": {"kind": "Pod", "name": "p", "namespace": "g"}, "source": {"component": "agent"},
    "firstTimestamp": "2026-05-04T11:00:00Z", "lastTimestamp": "2026-05-04T11:30:00Z", "count": 3, "type": "Normal",
}  # fmt: skip
NEW_STYLE = {
    "kind": "Event", "apiVersion": "events.k8s.io/v1", "metadata": {"name": "n"}, "reason": "Bound", "note": "done",
    "eventTime": "2026-05-04T11:59:00.000000Z", "action": "Binding", "type": "Normal",
    "reportingController": "example.com/binder", "reportingInstance": "binder-1",
    "regarding": {"kind": "Pod", "name": "q", "namespace": "g"},
}  # fmt: skip


async def call(http: TestClient, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:  # type: ignore[type-arg]
    async with http.request(method, path, json=body, headers=headers or None) as answer:
        return answer.status, await answer.json(content_type=None)


async def test_an_event_of_the_core_is_shown_under_the_newer_names(http: TestClient) -> None:  # type: ignore[type-arg]
    code, core = await call(http, "POST", CORE, OLD_STYLE)
    assert code == 201
    code, new = await call(http, "GET", f"{NEW}/e")
    assert (code, new["apiVersion"], new["kind"]) == (200, "events.k8s.io/v1", "Event")
    assert new["metadata"] == core["metadata"]
    assert (new["note"], new["regarding"]["name"], new["deprecatedCount"]) == ("got it", "p", 3)
    assert "message" not in new
    assert to_core(new).items() >= {k: v for k, v in core.items() if k != "apiVersion"}.items()


async def test_an_event_of_the_newer_group_is_stored_as_a_core_event(http: TestClient, api: Any) -> None:  # type: ignore[type-arg]
    code, new = await call(http, "POST", NEW, NEW_STYLE)
    assert code == 201, new
    assert (new["apiVersion"], new["note"]) == ("events.k8s.io/v1", "done")
    pair = (await api.store.range("/registry/core/events/")).items[0]
    assert json.loads(pair.value).items() >= {"apiVersion": "v1", "message": "done"}.items()
    assert (await call(http, "GET", f"{CORE}/n"))[1]["involvedObject"]["name"] == "q"
    code, patched = await call(
        http, "PATCH", f"{NEW}/n", {"series": {"count": 2, "lastObservedTime": "2026-05-04T12:00:00.000000Z"}},
        **{"Content-Type": "application/strategic-merge-patch+json"},
    )  # fmt: skip
    assert (code, patched["series"]["count"], patched["note"]) == (200, 2, "done")
    assert (await call(http, "GET", f"{CORE}/n"))[1]["series"]["count"] == 2
    code, refused = await call(
        http, "PATCH", f"{NEW}/n", {"note": "else"}, **{"Content-Type": "application/merge-patch+json"}
    )
    assert (code, refused["details"]["causes"][0]["field"]) == (422, "message")
    assert (await call(http, "DELETE", f"{NEW}/n"))[0] == 200
    assert (await call(http, "GET", f"{CORE}/n"))[0] == 404


async def test_each_version_selects_by_its_own_fields(http: TestClient) -> None:  # type: ignore[type-arg]
    await call(http, "POST", CORE, OLD_STYLE)
    await call(http, "POST", NEW, NEW_STYLE)
    for path, selector, names in (
        (CORE, "involvedObject.name=p", ["e"]),
        (NEW, "regarding.name=p", ["e"]),
        (NEW, "reportingController=example.com/binder", ["n"]),
    ):
        code, found = await call(http, "GET", f"{path}?fieldSelector={selector}")
        assert (code, [item["metadata"]["name"] for item in found["items"]]) == (200, names)
    assert (await call(http, "GET", f"{NEW}?fieldSelector=involvedObject.name=p"))[0] == 400


async def test_a_watch_tells_the_version_that_is_watched(http: TestClient) -> None:  # type: ignore[type-arg]
    async with http.get(f"{NEW}?watch=1&fieldSelector=regarding.name=p&timeoutSeconds=2") as stream:
        await call(http, "POST", NEW, NEW_STYLE)
        await call(http, "POST", CORE, OLD_STYLE)
        await call(http, "DELETE", f"{CORE}/e")
        async with asyncio.timeout(10):
            events = [json.loads(await stream.content.readline()) for _ in range(2)]
    assert [event["type"] for event in events] == ["ADDED", "DELETED"]
    assert {event["object"]["apiVersion"] for event in events} == {"events.k8s.io/v1"}
    assert {event["object"]["note"] for event in events} == {"got it"}


async def test_the_table_is_that_of_the_core(http: TestClient) -> None:  # type: ignore[type-arg]
    await call(http, "POST", CORE, OLD_STYLE)
    accept = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}
    rows = [(await call(http, "GET", path, **accept))[1]["rows"][0]["cells"] for path in (CORE, NEW)]
    assert rows[0] == rows[1]


def test_conversion_and_back_is_what_it_was() -> None:
    core = {**OLD_STYLE, "eventTime": None, "reportingComponent": "", "reportingInstance": "", "x-unknown": 1}
    assert to_core(from_core(core)) == core
    assert EVENT_V1.stored_as is EVENT
