"""The quota controller counts, claims and volumes keep their finalizers, every cluster has its two priority classes."""

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from controlplane.controllers import resource_quota, system_priority_classes, volume_protection
from controlplane.controllers.volume_protection import CLAIM_PROTECTION, claims_of
from shared.api.apps import Deployment
from shared.api.kinds import DEPLOYMENTS, PERSISTENT_VOLUME_CLAIMS, PODS, SECRETS, SERVICES
from shared.api.pod import Pod
from shared.api.policies import PersistentVolumeClaim, ResourceQuota

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def quota(hard: Any, status: Any = None, **spec: Any) -> ResourceQuota:
    meta = {"name": "q", "namespace": "g", "resourceVersion": "7"}
    tree = {"metadata": meta, "spec": {"hard": hard, **spec}, "status": status or {}}
    return msgspec.convert(tree, ResourceQuota)


def pod(name: str, cpu: str = "", phase: str = "Running", **spec: Any) -> Pod:
    requests = {"requests": {"cpu": cpu}} if cpu else {}
    tree = {
        "metadata": {"name": name, "namespace": "g"},
        "spec": {"containers": [{"name": "c", "resources": requests}], **spec},
        "status": {"phase": phase},
    }
    return msgspec.convert(tree, Pod)


def test_what_is_used_is_counted_over_all_kinds() -> None:
    held = quota({"pods": "9", "requests.cpu": "9", "count/pods": "9", "count/deployments.apps": "9", "secrets": "1"})
    objects = {
        PODS: [pod("a", "500m"), pod("b", "1"), pod("c", "1", "Succeeded")],
        DEPLOYMENTS: [Deployment(), Deployment()],
        SECRETS: [],
        SERVICES: [],
    }
    assert resource_quota.count(held, objects, NOW) == {
        "pods": "2", "requests.cpu": "1500m", "count/pods": "3", "count/deployments.apps": "2", "secrets": "0",
    }  # fmt: skip


def test_only_what_the_scopes_take_in_is_counted() -> None:
    held = quota({"pods": "9"}, scopes=["BestEffort"])
    assert resource_quota.count(held, {PODS: [pod("a"), pod("b", "1")]}, NOW) == {"pods": "1"}


def test_the_status_says_limits_and_usage_and_forgets_what_is_limited_no_longer() -> None:
    held = quota({"pods": "2"}, {"hard": {"services": "1"}, "used": {"services": "1"}})
    write = resource_quota.decide(held, {"pods": "1"})
    assert write is not None
    assert write.patch == {
        "metadata": {"resourceVersion": "7"},
        "status": {"hard": {"services": None, "pods": "2"}, "used": {"services": None, "pods": "1"}},
    }


def test_a_status_that_is_right_is_left_alone() -> None:
    held = quota({"memory": "1Gi"}, {"hard": {"memory": "1024Mi"}, "used": {"memory": "0"}})
    assert resource_quota.decide(held, {"memory": "0"}) is None


def test_what_nobody_counts_keeps_what_is_said() -> None:
    unknown = "count/widgets.example.com"
    held = quota({unknown: "3"}, {"hard": {unknown: "3"}, "used": {unknown: "2"}})
    assert resource_quota.decide(held, {}) is None


def claim(*finalizers: str, going: bool = False) -> PersistentVolumeClaim:
    meta: Any = {"name": "c", "namespace": "g", "uid": "u", "resourceVersion": "5", "finalizers": finalizers}
    if going:
        meta["deletionTimestamp"] = NOW.isoformat()
    return msgspec.convert({"metadata": meta}, PersistentVolumeClaim)


@pytest.mark.parametrize(
    ("made", "used", "expected"),
    [
        (claim(), False, [CLAIM_PROTECTION]),
        (claim("e.x/f"), True, ["e.x/f", CLAIM_PROTECTION]),
        (claim(CLAIM_PROTECTION), False, None),
        (claim(CLAIM_PROTECTION, going=True), True, None),
        (claim(CLAIM_PROTECTION, "e.x/f", going=True), False, ["e.x/f"]),
        (claim("e.x/f", going=True), False, None),
    ],
)
def test_the_finalizer_is_there_while_it_is_needed(made: Any, used: bool, expected: Any) -> None:
    write = volume_protection.decide(PERSISTENT_VOLUME_CLAIMS, made, CLAIM_PROTECTION, used=used)
    assert (None if write is None else write.patch["metadata"]["finalizers"]) == expected


def test_claims_that_a_pod_on_a_node_uses() -> None:
    volumes = [
        {"name": "v", "persistentVolumeClaim": {"claimName": "c"}},
        {"name": "w", "ephemeral": {}},
        {"name": "e"},
    ]
    assert list(claims_of(pod("p", volumes=volumes, nodeName="n"))) == ["g/c", "g/p-w"]
    assert list(claims_of(pod("p", volumes=volumes))) == []


def test_the_system_priority_classes_are_made_when_they_are_missing() -> None:
    assert [(w.obj["metadata"]["name"], w.obj["value"]) for w in system_priority_classes.decide(())] == [
        ("system-node-critical", 2_000_001_000),
        ("system-cluster-critical", 2_000_000_000),
    ]
    assert system_priority_classes.decide(("system-node-critical", "system-cluster-critical")) == ()
