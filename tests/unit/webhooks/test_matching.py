"""Which webhooks are asked about what, and what their answers mean."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from controlplane.apiserver.identity import User
from controlplane.apiserver.kinds.configuration import CONFIG_MAP
from controlplane.apiserver.kinds.deployment import DEPLOYMENT
from controlplane.apiserver.kinds.namespace import NAMESPACE
from controlplane.apiserver.request import Request
from controlplane.apiserver.webhooks import matching, reviews

USER = User("jane", ("dev",), "7")


def rule(**fields: Any) -> dict[str, Any]:
    return {"operations": ["*"], "apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*"]} | fields


@pytest.mark.parametrize(
    ("fields", "subresource", "expected"),
    [
        ({}, "", True),
        ({}, "status", False),
        ({"resources": ["*/*"]}, "status", True),
        ({"resources": ["deployments"]}, "", True),
        ({"resources": ["deployments/status"]}, "", False),
        ({"resources": ["deployments/*"]}, "scale", True),
        ({"resources": ["*/scale"]}, "scale", True),
        ({"resources": ["pods", "deployments"]}, "", True),
        ({"apiGroups": [""]}, "", False),
        ({"apiGroups": ["apps"], "apiVersions": ["v1beta1"]}, "", False),
        ({"operations": ["DELETE"]}, "", False),
        ({"scope": "Cluster"}, "", False),
        ({"scope": "Namespaced"}, "", True),
    ],
)
def test_rules(fields: dict[str, Any], subresource: str, expected: bool) -> None:
    request = Request(USER, DEPLOYMENT, "g", "d", subresource)
    assert matching.rules_match([rule(**fields)], request, "CREATE") is expected


def test_selectors() -> None:
    chosen = {"matchLabels": {"a": "b"}}
    old, new = {"metadata": {"labels": {"a": "b"}}}, {"metadata": {}}
    assert matching.object_selected(chosen, new, old)
    assert not matching.object_selected(chosen, new, None)
    assert matching.object_selected({}, new)
    assert matching.namespace_selected(chosen, None)
    assert not matching.namespace_selected(chosen, {})
    assert matching.is_namespace(Request(USER, NAMESPACE, "", "g"))


def test_question_tells_who_asks_for_what() -> None:
    obj = {"kind": "ConfigMap", "metadata": {"name": "c"}}
    asked = reviews.question(Request(USER, CONFIG_MAP, "g", ""), "CREATE", obj, None, "u", "v1")["request"]
    assert asked["userInfo"] == {"username": "jane", "groups": ["dev"], "uid": "7"}
    assert (asked["name"], asked["namespace"], asked["operation"]) == ("c", "g", "CREATE")
    assert asked["resource"] == {"group": "", "version": "v1", "resource": "configmaps"}


def answer(**response: Any) -> dict[str, Any]:
    return {"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "response": {"uid": "u"} | response}


@pytest.mark.parametrize(
    ("status", "code", "message"),
    [
        (None, 400, 'admission webhook "w" denied the request without explanation'),
        ({"message": "no"}, 400, 'admission webhook "w" denied the request: no'),
        ({"code": 403, "reason": "Forbidden"}, 403, 'admission webhook "w" denied the request: Forbidden'),
        ({"code": 200, "message": "odd"}, 400, 'admission webhook "w" denied the request: odd'),
    ],
)
def test_refusals(status: Any, code: int, message: str) -> None:
    verdict = reviews.read(answer(allowed=False, status=status), "u", "w", mutates=False)
    assert verdict.refusal is not None
    assert (verdict.refusal.code, verdict.refusal.message) == (code, message)


def patch(*operations: Any) -> str:
    return base64.b64encode(json.dumps(operations).encode()).decode()


@pytest.mark.parametrize(
    ("given", "mutates", "words"),
    [
        ({}, True, "response was absent"),
        ([], True, "response was absent"),
        (answer(uid="x", allowed=True), True, "expected response.uid"),
        (answer(allowed=True, patch=patch()), True, "patchType"),
        (answer(allowed=True, patch="!", patchType="JSONPatch"), True, "cannot be read"),
        (answer(allowed=True, patch=base64.b64encode(b"{}").decode(), patchType="JSONPatch"), True, "list"),
        (answer(allowed=True, patch=patch(), patchType="JSONPatch"), False, "may not send a patch"),
    ],
)
def test_answers_that_are_none(given: Any, mutates: bool, words: str) -> None:
    with pytest.raises(reviews.BadAnswer, match=words):
        reviews.read(given, "u", "w", mutates=mutates)


def test_patch_that_does_not_fit() -> None:
    with pytest.raises(reviews.BadAnswer, match="does not apply"):
        reviews.patched({"metadata": {}}, [{"op": "remove", "path": "/data/x"}])
    with pytest.raises(reviews.BadAnswer, match="no object"):
        reviews.patched({"metadata": {}}, [{"op": "replace", "path": "", "value": []}])
