"""Pod security through HTTP: pods refused, templates warned of, namespaces' labels checked, the audit log told."""

import json
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from controlplane.apiserver.app import build_app
from controlplane.apiserver.audit.auditor import Auditor
from controlplane.apiserver.audit.log import AuditLog
from controlplane.apiserver.audit.policy import parse
from controlplane.apiserver.identity import Attributes, User

NAMESPACES = "/api/v1/namespaces"
PREFIX = "pod-security.kubernetes.io/"


def pod(name: str = "p", **spec: Any) -> Any:
    return {
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
        "spec": {"containers": [{"name": "c", "image": "i"}], **spec},
    }  # fmt: skip


async def ask(http: Any, method: str, path: str, body: Any = None) -> tuple[int, Any, list[str]]:
    kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
    async with http.request(method, path, json=body, headers={"Content-Type": kind}) as answer:
        told = [text.partition('"')[2][:-1].replace('\\"', '"') for text in answer.headers.getall("Warning", ())]
        return answer.status, await answer.json(), [text for text in told if "acted on" not in text]


async def label(http: Any, **labels: str) -> tuple[int, Any, list[str]]:
    given = {PREFIX + key.replace("_", "-"): value for key, value in labels.items()}
    return await ask(http, "PATCH", f"{NAMESPACES}/g", {"metadata": {"labels": given}})


async def test_pods_that_do_not_meet_what_is_enforced_are_refused(http: Any) -> None:
    await label(http, enforce="baseline", enforce_version="v1.30")
    code, answer, _ = await ask(http, "POST", f"{NAMESPACES}/g/pods", pod(hostNetwork=True))
    assert code == 403
    assert answer["message"] == (
        'pods "p" is forbidden: violates PodSecurity "baseline:v1.30": host namespaces (hostNetwork=true)'
    )
    assert answer["details"] == {"name": "p", "kind": "pods"}
    assert (await ask(http, "POST", f"{NAMESPACES}/g/pods", pod()))[0] == 201
    assert (await ask(http, "POST", f"{NAMESPACES}/other/pods", pod(hostNetwork=True)))[0] == 201


async def test_a_pod_is_judged_again_when_its_image_changes(http: Any) -> None:
    await ask(http, "POST", f"{NAMESPACES}/g/pods", pod(hostNetwork=True))
    await label(http, enforce="baseline")
    path = f"{NAMESPACES}/g/pods/p"
    assert (await ask(http, "PATCH", path, {"metadata": {"labels": {"a": "b"}}}))[0] == 200
    code, answer, _ = await ask(http, "PATCH", path, {"spec": {"containers": [{"name": "c", "image": "new"}]}})
    assert (code, "violates PodSecurity" in answer["message"]) == (403, True)


async def test_warnings_of_pods_and_templates(http: Any) -> None:
    await label(http, warn="baseline")
    expected = 'would violate PodSecurity "baseline:latest": host namespaces (hostNetwork=true)'
    code, _, warnings = await ask(http, "POST", f"{NAMESPACES}/g/pods", pod(hostNetwork=True))
    assert (code, warnings) == (201, [expected])
    template = {"metadata": {"labels": {"a": "b"}}, "spec": pod(hostNetwork=True)["spec"]}
    deployment = {
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"},
        "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": template},
    }  # fmt: skip
    await label(http, enforce="restricted")
    code, _, warnings = await ask(http, "POST", "/apis/apps/v1/namespaces/g/deployments", deployment)
    assert (code, warnings) == (201, [expected])


async def test_labels_that_nobody_understands_are_refused(http: Any) -> None:
    code, answer, _ = await label(http, enforce="odd")
    assert code == 422
    assert answer["message"] == (
        f'Namespace "g" is invalid: metadata.labels[{PREFIX}enforce]: Invalid value: "odd": must be one of privileged, '
        "baseline, restricted"
    )


async def test_who_tightens_a_namespace_is_told_of_its_pods(http: Any) -> None:
    for name in ("b", "a"):
        await ask(http, "POST", f"{NAMESPACES}/g/pods", pod(name, hostNetwork=True))
    await ask(http, "POST", f"{NAMESPACES}/g/pods", pod("fine"))
    code, _, warnings = await label(http, enforce="baseline")
    assert (code, warnings) == (
        200,
        [
            'existing pods in namespace "g" violate the new PodSecurity enforce level "baseline:latest"',
            "a (and 1 other pod): host namespaces",
        ],
    )
    assert (await label(http, enforce="privileged"))[2] == []


class Anybody:
    def authenticate(self, request: Any) -> User:
        return User("admin", ("system:masters",))

    def authorize(self, user: User, attributes: Attributes) -> None:
        return None


@pytest.mark.usefixtures("client")
async def test_the_audit_log_is_told(api: Any, clock: Any, tmp_path: Path) -> None:
    policy = parse({"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "rules": [{"level": "Metadata"}],
                    "omitStages": ["RequestReceived"]}, "p")  # fmt: skip
    log = AuditLog(tmp_path / "audit.log", 1, 2)
    anybody = Anybody()
    async with TestClient(TestServer(build_app(api, anybody, anybody, auditor=Auditor(policy, log, clock)))) as http:
        await label(http, audit="restricted", enforce="baseline")
        await ask(http, "POST", f"{NAMESPACES}/g/pods", pod(hostPID=True))
    log.close()
    event = json.loads((tmp_path / "audit.log").read_text().splitlines()[-1])
    annotations = event["annotations"]
    assert annotations[f"{PREFIX}enforce-policy"] == "baseline:latest"
    assert annotations[f"{PREFIX}audit-violations"].startswith(
        'would violate PodSecurity "restricted:latest": host namespaces (hostPID=true), allowPrivilegeEscalation'
    )
