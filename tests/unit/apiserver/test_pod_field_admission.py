"""Pods and templates are warned of, or refused, by the table of pod fields."""

from typing import Any

import pytest

from controlplane.apiserver.admission import pod_fields
from controlplane.apiserver.admission.context import Context
from controlplane.apiserver.identity import User
from shared.api.errors import Invalid

QUIET: dict[str, Any] = {"containers": [{"name": "c", "image": "i"}]}
WARNED: dict[str, Any] = {**QUIET, "hostnameOverride": "x"}
REFUSED: dict[str, Any] = {**QUIET, "hostUsers": False}
NOTE = "not acted on by Longboat: the pod is called by its hostname or its name"


def obj(kind: str, spec: Any) -> Any:
    template = {"spec": spec}
    body = {
        "Pod": {"spec": spec},
        "PodTemplate": {"template": template},
        "Deployment": {"spec": {"template": template}},
        "CronJob": {"spec": {"jobTemplate": {"spec": {"template": template}}}},
    }[kind]
    version = {"Deployment": "apps/v1", "CronJob": "batch/v1"}.get(kind, "v1")
    return {"kind": kind, "apiVersion": version, "metadata": {"name": "n"}, **body}


def check(kind: str, spec: Any, old: Any = None) -> list[str]:
    warnings: list[str] = []
    context = Context(User("u", ()), warn=warnings.append)
    step = pod_fields.check_pod if kind == "Pod" else pod_fields.check_workload
    step(context, obj(kind, spec), None if old is None else obj(kind, old))
    return warnings


PATHS = {
    "Pod": "spec",
    "PodTemplate": "template.spec",
    "Deployment": "spec.template.spec",
    "CronJob": "spec.jobTemplate.spec.template.spec",
}


@pytest.mark.parametrize("kind", PATHS)
def test_a_field_that_is_not_acted_on_is_warned_of_by_its_path(kind: str) -> None:
    assert check(kind, QUIET) == []
    assert check(kind, WARNED) == [f"{PATHS[kind]}.hostnameOverride: {NOTE}"]


@pytest.mark.parametrize("kind", PATHS)
def test_what_would_be_unsafe_is_refused_with_its_path(kind: str) -> None:
    with pytest.raises(Invalid) as caught:
        check(kind, REFUSED)
    (cause,) = caught.value.causes
    path = f"{PATHS[kind]}.hostUsers"
    assert (cause.field, cause.reason) == (path, "FieldValueForbidden")
    words = f'"n" is invalid: {path}: Forbidden: not supported by Longboat: users of a pod are those of its host'
    assert caught.value.message.endswith(words)
    assert caught.value.code == 422


@pytest.mark.parametrize("kind", PATHS)
def test_what_an_object_had_before_is_not_refused(kind: str) -> None:
    changed = {**REFUSED, "terminationGracePeriodSeconds": 5}
    check(kind, changed, REFUSED)


def test_a_template_that_does_not_change_is_not_warned_of_again() -> None:
    assert check("Deployment", WARNED, WARNED) == []
    assert check("Deployment", WARNED, QUIET) == [f"spec.template.spec.hostnameOverride: {NOTE}"]


async def test_clients_see_the_warning_or_the_refusal(http: Any) -> None:
    async with http.post("/api/v1/namespaces/g/pods", json=obj("Pod", WARNED)) as answer:
        assert answer.status == 201
        assert answer.headers.getall("Warning") == [f'299 - "spec.hostnameOverride: {NOTE}"']
    body = obj("PodTemplate", REFUSED)
    async with http.post("/api/v1/namespaces/g/podtemplates", json=body) as answer:
        status = await answer.json()
        assert (answer.status, status["reason"]) == (422, "Invalid")
        assert [cause["field"] for cause in status["details"]["causes"]] == ["template.spec.hostUsers"]
