"""Custom resources whose versions a webhook converts, over real HTTPS, through the HTTP API."""

from __future__ import annotations

import asyncio
import copy
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient

from controlplane.apiserver.api import ApiServer
from controlplane.apiserver.local_client import LocalClient
from controlplane.apiserver.lookups import Lookups
from controlplane.apiserver.policies.validating import ValidatingPolicies
from controlplane.apiserver.reach.endpoints import Endpoints
from controlplane.apiserver.streams.hub import TunnelHub
from controlplane.apiserver.webhooks.caller import Caller
from controlplane.apiserver.webhooks.conversion import MOST_OBJECTS, ConversionWebhooks
from shared.api.errors import Invalid
from shared.api.kinds import (
    CONFIG_MAPS,
    CUSTOM_RESOURCE_DEFINITIONS,
    VALIDATING_ADMISSION_POLICIES,
    VALIDATING_ADMISSION_POLICY_BINDINGS,
)
from shared.client.base import PatchType
from shared.work.supervisor import Supervisor
from tests.converter import GROUP, Converter
from tests.custom import controllers, define

OLD = f"/apis/{GROUP}/v1alpha1/namespaces/g/addresses"
NEW = f"/apis/{GROUP}/v1/namespaces/g/addresses"
MERGE, APPLY = "application/merge-patch+json", "application/apply-patch+yaml"

Call = Callable[..., Any]


@pytest.fixture
async def webhook(api: ApiServer, tmp_path: Path) -> AsyncIterator[Converter]:
    made, caller = Converter(tmp_path), Caller(Endpoints(api, Lookups(api, lambda node: ()), TunnelHub()))
    await made.start()
    api.conversions.convert = ConversionWebhooks(caller)
    yield made
    made.open.set()
    await caller.close()
    await made.close()


@pytest.fixture
async def call(http: TestClient, api: ApiServer, webhook: Converter) -> AsyncIterator[Call]:  # type: ignore[type-arg]
    async def request(method: str, path: str, body: Any = None, type: str = "application/json") -> tuple[int, Any]:
        async with http.request(method, path, json=body, headers={"Content-Type": type}) as answer:
            return answer.status, await answer.json(content_type=None)

    async with Supervisor() as supervisor:
        supervisor.service("controllers", controllers(api))
        await define(api, webhook.definition())
        yield request
        supervisor.stop()


def old(name: str = "a", text: str = "h:1", **meta: Any) -> Any:
    return {"apiVersion": f"{GROUP}/v1alpha1", "kind": "Address", "metadata": {"name": name, **meta},
            "spec": {"hostPort": text}}  # fmt: skip


def new(name: str = "a", host: str = "h", **meta: Any) -> Any:
    return {"apiVersion": f"{GROUP}/v1", "kind": "Address", "metadata": {"name": name, **meta},
            "spec": {"host": host, "port": "1"}}  # fmt: skip


async def test_what_is_written_in_one_version_is_read_in_both(call: Call, webhook: Converter) -> None:
    code, made = await call("POST", OLD, old())
    assert (code, made["apiVersion"], made["spec"]) == (201, f"{GROUP}/v1alpha1", {"hostPort": "h:1"})
    code, stored = await call("GET", f"{NEW}/a")
    assert (code, stored["apiVersion"], stored["spec"]) == (200, f"{GROUP}/v1", {"host": "h", "port": "1"})
    assert stored["metadata"]["uid"] == made["metadata"]["uid"]
    assert stored["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]
    asked = len(webhook.asked)
    for _ in range(3):
        code, again = await call("GET", f"{OLD}/a")
        assert (code, again) == (200, made)
    assert len(webhook.asked) == asked + 1, "converted once for each revision"


async def test_defaults_of_the_stored_version_come_after_the_conversion(call: Call, webhook: Converter) -> None:
    def without_port(review: Any) -> Any:
        answer = webhook.convert(review)
        for obj in answer["response"]["convertedObjects"]:
            obj["spec"].pop("port", None)
            obj["spec"]["unknown"] = 1
        return answer

    webhook.answer = without_port
    await call("POST", OLD, old())
    _, stored = await call("GET", f"{NEW}/a")
    assert stored["spec"] == {"host": "h", "port": "80"}


async def test_a_webhook_changes_labels_and_annotations_only(call: Call, webhook: Converter) -> None:
    def meddle(review: Any) -> Any:
        answer = webhook.convert(review)
        for obj in answer["response"]["convertedObjects"]:
            obj["metadata"] |= {"finalizers": ["x.example.com/y"], "annotations": {"by": "webhook"}, "generation": 9}
        return answer

    webhook.answer = meddle
    _, made = await call("POST", OLD, old())
    assert made["metadata"]["annotations"] == {"by": "webhook"}
    assert made["metadata"]["labels"] == {"spoken": "v1alpha1"}
    assert made["metadata"]["generation"] == 1
    assert "finalizers" not in made["metadata"]


async def test_a_list_asks_once_for_all_and_then_no_more(call: Call, webhook: Converter) -> None:
    for number in range(3):
        await call("POST", NEW, new(f"n{number}", f"h{number}"))
    assert webhook.asked == []
    for _ in range(2):
        code, found = await call("GET", OLD)
        assert code == 200
        assert [item["spec"] for item in found["items"]] == [{"hostPort": f"h{number}:1"} for number in range(3)]
        assert len(webhook.asked) == 1
    await call("PATCH", f"{NEW}/n1", {"spec": {"host": "other"}}, MERGE)
    await call("GET", OLD)
    assert [len(asked["objects"]) for asked in webhook.asked] == [3, 1]


async def test_a_page_asks_for_no_more_than_it_shows(call: Call, webhook: Converter) -> None:
    for number in range(3):
        await call("POST", NEW, new(f"n{number}"))
    _, page = await call("GET", f"{OLD}?limit=2")
    assert [len(asked["objects"]) for asked in webhook.asked] == [2]
    _, rest = await call("GET", f"{OLD}?limit=2&continue={page['metadata']['continue']}")
    assert [item["metadata"]["name"] for item in rest["items"]] == ["n2"]


async def test_what_is_asked_at_once_is_bounded(api: ApiServer, webhook: Converter) -> None:
    config = webhook.definition()["spec"]["conversion"]["webhook"]
    trees = [new(f"n{number}", namespace="g", uid="u") for number in range(MOST_OBJECTS + 1)]
    made = await api.conversions.convert(config, trees, f"{GROUP}/v1alpha1")
    assert [obj["metadata"]["name"] for obj in made] == [tree["metadata"]["name"] for tree in trees]
    assert [len(asked["objects"]) for asked in webhook.asked] == [MOST_OBJECTS, 1]


async def test_many_readers_of_a_new_object_ask_once(call: Call, webhook: Converter) -> None:
    await call("POST", NEW, new())
    webhook.open.clear()
    readers = [asyncio.create_task(call("GET", f"{OLD}/a")) for _ in range(20)]
    async with asyncio.timeout(10):
        while not webhook.asked:
            await asyncio.sleep(0)
        webhook.open.set()
        answers = await asyncio.gather(*readers)
    assert {code for code, _ in answers} == {200}
    assert len(webhook.asked) == 1


async def test_an_asker_that_goes_away_leaves_the_question_to_the_next(
    call: Call, api: ApiServer, webhook: Converter
) -> None:
    await call("POST", NEW, new())
    kind = api.kind(GROUP, "v1alpha1", "addresses")
    assert kind is not None
    webhook.open.clear()
    first = asyncio.create_task(api.shown(kind, "g", "a"))
    async with asyncio.timeout(10):
        while not webhook.asked:
            await asyncio.sleep(0)
        second = asyncio.create_task(api.shown(kind, "g", "a"))
        await asyncio.sleep(0)
        first.cancel()
        webhook.open.set()
        assert (await second).tree()["spec"] == {"hostPort": "h:1"}
    assert first.cancelled()


async def test_changes_go_through_the_version_they_are_made_in(call: Call) -> None:
    await call("POST", NEW, new(finalizers=["x.example.com/y"]))
    code, made = await call("PATCH", f"{OLD}/a", {"spec": {"hostPort": "p:2"}}, MERGE)
    assert (code, made["spec"]) == (200, {"hostPort": "p:2"})
    code, made = await call("PATCH", f"{OLD}/a?fieldManager=m&force=true", old(text="q:3"), APPLY)
    assert (code, made["spec"]) == (200, {"hostPort": "q:3"})
    made["spec"]["hostPort"] = "r:4"
    made["metadata"].pop("managedFields")
    code, made = await call("PUT", f"{OLD}/a", made)
    assert (code, made["spec"]) == (200, {"hostPort": "r:4"})
    _, stored = await call("GET", f"{NEW}/a")
    assert stored["spec"] == {"host": "r", "port": "4"}
    code, marked = await call("DELETE", f"{OLD}/a")
    assert (code, marked["spec"], "deletionTimestamp" in marked["metadata"]) == (200, {"hostPort": "r:4"}, True)
    code, _ = await call("PATCH", f"{OLD}/a", {"metadata": {"finalizers": None}}, MERGE)
    assert code == 200
    assert (await call("GET", f"{NEW}/a"))[0] == 404


async def test_a_watch_converts_and_selects_by_its_own_fields(http: TestClient, call: Call) -> None:  # type: ignore[type-arg]
    await call("POST", NEW, new("before", "x"))
    seen: list[tuple[str, str, Any]] = []
    async with asyncio.timeout(10), http.get(f"{OLD}?watch=1&fieldSelector=spec.hostPort%3Dh:1") as stream:
        await call("POST", NEW, new("a"))
        await call("POST", NEW, new("other", "o"))
        await call("PATCH", f"{NEW}/a", {"metadata": {"annotations": {"b": "c"}}}, MERGE)
        await call("PATCH", f"{NEW}/other", {"spec": {"host": "h"}}, MERGE)
        await call("PATCH", f"{NEW}/a", {"spec": {"host": "gone"}}, MERGE)
        await call("DELETE", f"{NEW}/other")
        while len(seen) < 5:
            event = json.loads(await stream.content.readline())
            seen.append((event["type"], event["object"]["metadata"]["name"], event["object"]["spec"]))
    spec = {"hostPort": "h:1"}
    assert seen == [
        ("ADDED", "a", spec), ("MODIFIED", "a", spec), ("ADDED", "other", spec), ("DELETED", "a", spec),
        ("DELETED", "other", spec),
    ]  # fmt: skip


def broken(review: Any) -> Any:
    return {**review, "response": {"uid": review["request"]["uid"],
                                   "result": {"status": "Failed", "message": "no idea"}}}  # fmt: skip


async def test_a_watch_that_cannot_be_converted_ends_with_the_reason(
    http: TestClient,  # type: ignore[type-arg]
    call: Call,
    webhook: Converter,
) -> None:
    async with asyncio.timeout(10), http.get(f"{OLD}?watch=1") as stream:
        webhook.answer = broken
        await call("POST", NEW, new())
        event = json.loads(await stream.content.readline())
        assert event["type"] == "ERROR"
        assert event["object"]["message"] == f"conversion webhook for {GROUP}/v1, Kind=Address failed: no idea"
        assert await stream.content.read() == b""


async def test_a_broken_webhook_harms_only_those_who_need_it(call: Call, webhook: Converter) -> None:
    await call("POST", NEW, new())
    webhook.answer = broken
    words = f"conversion webhook for {GROUP}/v1, Kind=Address failed: no idea"
    for method, path, body in (
        ("GET", f"{OLD}/a", None), ("GET", OLD, None), ("DELETE", f"{OLD}/a", None),
        ("PATCH", f"{OLD}/a", {"spec": {"hostPort": "h:2"}}),
    ):  # fmt: skip
        code, status = await call(method, path, body, MERGE if body else "application/json")
        assert (code, status["message"]) == (500, words)
    code, status = await call("POST", OLD, old("b"))
    assert (code, status["message"]) == (500, words.replace("/v1,", "/v1alpha1,"))
    assert (await call("GET", f"{NEW}/b"))[0] == 404
    assert (await call("PATCH", f"{NEW}/a", {"spec": {"host": "still"}}, MERGE))[0] == 200
    assert (await call("DELETE", f"{NEW}/a"))[0] == 200


def changed(field: str, value: Any) -> Callable[[Any], Any]:
    def change(answer: Any) -> None:
        target, *parts = answer, *field.split(".")
        for part in parts[:-1]:
            target = target[int(part) if part.isdecimal() else part]
        target[parts[-1]] = value

    return change


OBJECT = "response.convertedObjects.0"
OBJECTS = "response.convertedObjects"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (changed("kind", "Other"), "expected webhook response of apiextensions.k8s.io/v1, Kind=ConversionReview"),
        (changed("response", None), "no response provided"),
        (changed("response.uid", "x"), 'expected response.uid="'),
        (changed("response.result", {}), "response.result.status was '', not 'Success'"),
        (changed(OBJECTS, []), "returned 0 objects, expected 1"),
        (changed(OBJECTS, {}), "returned 0 objects, expected 1"),
        (changed(OBJECTS, "none"), "response.convertedObjects is no list"),
        (changed(OBJECTS, [1]), "invalid converted object at index 0: it is no object"),
        (
            changed(f"{OBJECT}.apiVersion", "v1"),
            "invalid groupVersion (expected pets.example.com/v1alpha1, received v1",
        ),
        (changed(f"{OBJECT}.kind", "Pod"), "invalid kind (expected Address, received Pod)"),
        (changed(f"{OBJECT}.metadata", None), "missing metadata in converted object"),
        (changed(f"{OBJECT}.metadata.name", "b"), "must have the same name: a != b"),
        (changed(f"{OBJECT}.metadata.namespace", ""), "must have the same namespace: g != "),
        (changed(f"{OBJECT}.metadata.uid", "u"), "must have the same UID: "),
        (changed(f"{OBJECT}.metadata.labels", {"a": 1}), "metadata.labels[a] must be a string"),
        (changed(f"{OBJECT}.metadata.labels", {"-": "a"}), "metadata.labels"),
        (changed(f"{OBJECT}.metadata.annotations", []), "metadata.annotations must be an object"),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else "",
)
async def test_wrong_answers_are_told(
    call: Call, webhook: Converter, change: Callable[[Any], None], words: str
) -> None:
    def wrong(review: Any) -> Any:
        answer = webhook.convert(review)
        change(answer)
        return answer

    await call("POST", NEW, new())
    webhook.answer = wrong
    code, status = await call("GET", f"{OLD}/a")
    assert code == 500
    assert words in status["message"]
    webhook.answer = webhook.convert
    assert (await call("GET", f"{OLD}/a"))[0] == 200


async def test_after_the_stored_version_changed_what_is_stored_already_is_converted(
    call: Call, api: ApiServer, webhook: Converter
) -> None:
    await call("POST", NEW, new())
    swap = [
        {"op": "replace", "path": "/spec/versions/0/storage", "value": False},
        {"op": "replace", "path": "/spec/versions/1/storage", "value": True},
    ]
    name = f"addresses.{GROUP}"
    await LocalClient(api).patch(CUSTOM_RESOURCE_DEFINITIONS, name, swap, type=PatchType.JSON)
    _, found = await call("GET", f"{OLD}/a")
    assert found["spec"] == {"hostPort": "h:1"}
    asked = len(webhook.asked)
    _, found = await call("GET", f"{NEW}/a")
    assert (found["spec"], len(webhook.asked)) == ({"host": "h", "port": "1"}, asked)
    await call("PATCH", f"{NEW}/a", {"spec": {"port": "2"}}, MERGE)
    asked = len(webhook.asked)
    _, found = await call("GET", f"{OLD}/a")
    assert (found["spec"], len(webhook.asked)) == ({"hostPort": "h:2"}, asked)


async def test_v1beta1_reviews_are_asked_where_only_those_are_known(call: Call, api: ApiServer) -> None:
    name = f"addresses.{GROUP}"
    change = {"spec": {"conversion": {"webhook": {"conversionReviewVersions": ["v7", "v1beta1"]}}}}
    await LocalClient(api).patch(CUSTOM_RESOURCE_DEFINITIONS, name, change)
    code, made = await call("POST", OLD, old())
    assert (code, made["spec"]) == (201, {"hostPort": "h:1"})


@pytest.mark.parametrize(
    ("change", "field", "words"),
    [
        ({"clientConfig": None}, "spec.conversion.webhookClientConfig", "required when strategy is set to Webhook"),
        ({"clientConfig": {}}, "spec.conversion.webhookClientConfig", "exactly one of url or service is required"),
        ({"clientConfig": {"url": "http://a"}}, "spec.conversion.webhookClientConfig.url", "'https' is the only"),
        ({"clientConfig": {"service": {"name": "s"}}}, "spec.conversion.webhookClientConfig.service.namespace",
         "service namespace is required"),
        ({"conversionReviewVersions": []}, "spec.conversion.conversionReviewVersions", "Required value"),
        ({"conversionReviewVersions": ["v9"]}, "spec.conversion.conversionReviewVersions", "must include at least one"),
        ({"conversionReviewVersions": ["v1", "v1"]}, "spec.conversion.conversionReviewVersions[1]", "duplicate"),
        ({"conversionReviewVersions": ["v1", "X"]}, "spec.conversion.conversionReviewVersions[1]", "DNS-1035"),
    ],
    ids=["none", "empty", "plain http", "service", "no reviews", "unknown reviews", "twice", "no label"],
)  # fmt: skip
async def test_definitions_with_bad_webhooks_are_refused(
    client: LocalClient, webhook: Converter, change: Any, field: str, words: str
) -> None:
    with pytest.raises(Invalid) as refused:
        await client.create(CUSTOM_RESOURCE_DEFINITIONS, webhook.definition(**change))
    causes = {cause.field: cause.message for cause in refused.value.causes}
    assert words in causes[field]


async def test_an_update_may_not_break_the_trust(call: Call, api: ApiServer, webhook: Converter) -> None:
    crd = copy.deepcopy(webhook.definition())
    change = {"spec": {"conversion": {"webhook": {"clientConfig": {"caBundle": "bm9uZQ=="}}}}}
    with pytest.raises(Invalid, match="unable to load root certificates"):
        await LocalClient(api).patch(CUSTOM_RESOURCE_DEFINITIONS, crd["metadata"]["name"], change)


async def test_objects_go_with_their_definition(call: Call, api: ApiServer, webhook: Converter) -> None:
    await call("POST", NEW, new())
    webhook.answer = broken
    client, name = LocalClient(api), f"addresses.{GROUP}"
    await client.delete(CUSTOM_RESOURCE_DEFINITIONS, name)
    async with asyncio.timeout(10):
        while any(item.metadata.name == name for item in (await client.list(CUSTOM_RESOURCE_DEFINITIONS)).items):
            await asyncio.sleep(0.01)


async def test_a_policys_parameters_are_of_the_version_it_names(call: Call, api: ApiServer, webhook: Converter) -> None:
    api.admission.append(ValidatingPolicies(api))
    await call("POST", NEW, new(host="no"))
    client = LocalClient(api)
    rules = [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["configmaps"]}]
    spec = {
        "matchConstraints": {"resourceRules": rules},
        "paramKind": {"apiVersion": f"{GROUP}/v1alpha1", "kind": "Address"},
        "validations": [{"expression": "params.spec.hostPort != 'no:1'", "messageExpression": "params.spec.hostPort"}],
    }  # fmt: skip
    await client.create(VALIDATING_ADMISSION_POLICIES, {"metadata": {"name": "p"}, "spec": spec})
    reference = {"name": "a", "parameterNotFoundAction": "Deny"}
    binding = {"policyName": "p", "validationActions": ["Deny"], "paramRef": reference}
    await client.create(VALIDATING_ADMISSION_POLICY_BINDINGS, {"metadata": {"name": "b"}, "spec": binding})
    with pytest.raises(Invalid, match="no:1"):
        await client.create(CONFIG_MAPS, {"metadata": {"name": "c"}}, "g")
    webhook.answer = broken
    await call("PATCH", f"{NEW}/a", {"spec": {"host": "yes"}}, MERGE)
    with pytest.raises(Invalid, match="no idea"):
        await client.create(CONFIG_MAPS, {"metadata": {"name": "c"}}, "g")
