"""What objects count as against quotas: pods by what they ask for, services, claims, anything by number."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.api import kinds, quantity
from shared.api.pod import Pod
from shared.api.policies import ResourceQuota, ScopeTerm
from shared.quota import amounts, pods
from shared.quota.evaluate import evaluator, matches, scopes

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def container(name: str = "c", *, sidecar: bool = False, limits: Any = None, **requests: str) -> Any:
    made: Any = {"name": name, "resources": {"requests": requests, "limits": limits or {}}}
    return {**made, "restartPolicy": "Always"} if sidecar else made


def pod(*containers: Any, meta: Any = None, status: Any = None, **spec: Any) -> Pod:
    tree = {
        "metadata": {"name": "p", **(meta or {})},
        "spec": {"containers": list(containers) or [container()], **spec},
        "status": status or {},
    }
    return msgspec.convert(tree, Pod, strict=False)


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (pod(container(cpu="100m"), container(cpu="1", memory="1Gi")), {"cpu": "1100m", "memory": "1Gi"}),
        (pod(container(cpu="1"), initContainers=[container(cpu="3"), container(cpu="2")]), {"cpu": "3"}),
        (pod(container(cpu="1"), initContainers=[container(cpu="2", sidecar=True), container(cpu="4")]), {"cpu": "6"}),
        (pod(container(cpu="1"), initContainers=[container(cpu="4"), container(cpu="2", sidecar=True)]), {"cpu": "4"}),
        (pod(container(cpu="1"), overhead={"cpu": "250m", "memory": "1Mi"}), {"cpu": "1250m", "memory": "1Mi"}),
        (pod(container(cpu="1"), resources={"requests": {"cpu": "5", "example.com/x": "9"}}), {"cpu": "5"}),
    ],
)
def test_what_a_pod_requests(spec: Pod, expected: Any) -> None:
    assert pods.requests(spec.spec) == expected


def test_overhead_counts_only_against_limits_that_there_are() -> None:
    made = pod(container(limits={"cpu": "1"}), overhead={"cpu": "1", "memory": "1Mi"})
    assert pods.limits(made.spec) == {"cpu": "2"}


RUNNING = {
    "count/pods": "1", "pods": "1", "cpu": "1", "requests.cpu": "1", "limits.cpu": "2",
    "requests.example.com/gpu": "1", "hugepages-2Mi": "4Mi", "requests.hugepages-2Mi": "4Mi",
}  # fmt: skip
LARGE = {"cpu": "1", "example.com/gpu": "1", "hugepages-2Mi": "4Mi"}


@pytest.mark.parametrize(
    ("meta", "status", "expected"),
    [
        ({}, {}, RUNNING),
        ({}, {"phase": "Succeeded"}, {"count/pods": "1"}),
        ({}, {"phase": "Failed"}, {"count/pods": "1"}),
        ({"deletionTimestamp": NOW.isoformat(), "deletionGracePeriodSeconds": 30}, {}, RUNNING),
        ({"deletionTimestamp": (NOW - timedelta(seconds=31)).isoformat(), "deletionGracePeriodSeconds": 30}, {},
         {"count/pods": "1"}),
    ],
    ids=str,
)  # fmt: skip
def test_what_a_pod_counts_as(meta: Any, status: Any, expected: Any) -> None:
    assert pods.usage(pod(container(limits={"cpu": "2"}, **LARGE), meta=meta, status=status), NOW) == expected


def test_which_resources_pods_count_against() -> None:
    hard = ["pods", "count/pods", "limits.memory", "requests.example.com/gpu", "hugepages-1Gi", "services", "count/x.y",
            "requests.storage", "persistentvolumeclaims"]  # fmt: skip
    assert pods.names(hard) == hard[:5]


def test_what_containers_must_say() -> None:
    made = pod(container("b", cpu="1"), container("a"), initContainers=[container("i", memory="1")])
    assert pods.missing(["cpu", "requests.memory", "pods", "limits.cpu"], made) == (
        "cpu for: a,i; limits.cpu for: a,b,i; requests.memory for: a,b"
    )
    assert pods.missing(["pods", "requests.ephemeral-storage"], made) == ""
    level = pod(container("a"), resources={"requests": {"cpu": "1"}})
    assert pods.missing(["requests.cpu", "limits.cpu"], level) == "limits.cpu for: a"


def term(scope: str, operator: str = "Exists", *values: str) -> ScopeTerm:
    return ScopeTerm(scope_name=scope, operator=operator, values=values)


AWAY = {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [
    {"weight": 1, "podAffinityTerm": {"topologyKey": "k", "namespaces": ["o"]}}]}}  # fmt: skip
NEAR = {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{"topologyKey": "k"}]}}


@pytest.mark.parametrize(
    ("scope", "made", "expected"),
    [
        (term("Terminating"), pod(activeDeadlineSeconds=5), True),
        (term("Terminating"), pod(), False),
        (term("NotTerminating"), pod(), True),
        (term("BestEffort"), pod(), True),
        (term("BestEffort"), pod(container(cpu="1")), False),
        (term("BestEffort"), pod(container(limits={"memory": "1"})), False),
        (term("NotBestEffort"), pod(container(cpu="1")), True),
        (term("PriorityClass"), pod(priorityClassName="high"), True),
        (term("PriorityClass"), pod(), False),
        (term("PriorityClass", "In", "high"), pod(priorityClassName="high"), True),
        (term("PriorityClass", "In", "high"), pod(), False),
        (term("PriorityClass", "NotIn", "high"), pod(priorityClassName="high"), False),
        (term("PriorityClass", "NotIn", "high"), pod(), True),
        (term("PriorityClass", "DoesNotExist"), pod(), True),
        (term("CrossNamespacePodAffinity"), pod(affinity=AWAY), True),
        (term("CrossNamespacePodAffinity"), pod(affinity=NEAR), False),
        (term("VolumeAttributesClass"), pod(), False),
    ],
)
def test_scopes_of_pods(scope: ScopeTerm, made: Pod, expected: bool) -> None:
    assert pods.in_scope(scope, made) is expected


def used(resource: Any, tree: Any) -> Any:
    how = evaluator(resource)
    assert how is not None
    return how.usage(msgspec.convert({"metadata": {"name": "x"}, **tree}, resource.type, strict=False), NOW)


PORTS = [{"port": 1}, {"port": 2, "nodePort": 30000}]


@pytest.mark.parametrize(
    ("spec", "node_ports", "balancers"),
    [
        ({}, "0", "0"),
        ({"type": "NodePort"}, "2", "0"),
        ({"type": "LoadBalancer"}, "2", "1"),
        ({"type": "LoadBalancer", "allocateLoadBalancerNodePorts": False}, "1", "1"),
    ],
    ids=str,
)
def test_services(spec: Any, node_ports: str, balancers: str) -> None:
    assert used(kinds.SERVICES, {"spec": {"ports": PORTS, **spec}}) == {
        "count/services": "1", "services": "1", "services.nodeports": node_ports, "services.loadbalancers": balancers,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("tree", "expected"),
    [
        ({"spec": {"resources": {"requests": {"storage": "1Gi"}}}}, {"requests.storage": "1Gi"}),
        ({"spec": {"resources": {"requests": {"storage": "1500m"}}}}, {"requests.storage": "2"}),
        ({"spec": {"resources": {"requests": {"storage": "1Gi"}}},
          "status": {"allocatedResources": {"storage": "2Gi"}}},
         {"requests.storage": "2Gi"}),
        ({"spec": {"resources": {"requests": {"storage": "1Gi"}}, "storageClassName": "gold"}},
         {"requests.storage": "1Gi", "gold.storageclass.storage.k8s.io/requests.storage": "1Gi",
          "gold.storageclass.storage.k8s.io/persistentvolumeclaims": "1"}),
    ],
    ids=str,
)  # fmt: skip
def test_claims(tree: Any, expected: Any) -> None:
    counted = {"count/persistentvolumeclaims": "1", "persistentvolumeclaims": "1"}
    assert used(kinds.PERSISTENT_VOLUME_CLAIMS, tree) == counted | expected


def test_other_kinds_count_by_number() -> None:
    assert used(kinds.DEPLOYMENTS, {}) == {"count/deployments.apps": "1"}
    assert used(kinds.SECRETS, {}) == {"count/secrets": "1", "secrets": "1"}
    assert evaluator(kinds.EVENTS) is None
    assert evaluator(kinds.NODES) is None


def test_a_quota_takes_in_what_all_its_scopes_do() -> None:
    quota = msgspec.convert(
        {
            "spec": {
                "scopes": ["NotTerminating"],
                "scopeSelector": {
                    "matchExpressions": [{"scopeName": "PriorityClass", "operator": "In", "values": ["a"]}]
                },
            }
        },
        ResourceQuota,
    )
    how = evaluator(kinds.PODS)
    assert how is not None
    assert [one.scope_name for one in scopes(quota)] == ["NotTerminating", "PriorityClass"]
    assert matches(quota, how, pod(priorityClassName="a"))
    assert not matches(quota, how, pod(priorityClassName="a", activeDeadlineSeconds=1))
    assert not matches(quota, how, pod())


def test_amounts_keep_their_form() -> None:
    assert amounts.add({"cpu": "500m", "memory": "1Gi"}, {"cpu": "1", "pods": "1"}) == {
        "cpu": "1500m", "memory": "1Gi", "pods": "1",
    }  # fmt: skip
    assert amounts.add({"memory": "0"}, {"memory": "512Mi"}) == {"memory": "512Mi"}
    assert amounts.growth({"a": "3", "b": "1", "c": "1"}, {"a": "1", "b": "1", "c": "2"}) == {"a": "2"}
    assert amounts.same({"memory": "1Gi"}, {"memory": "1024Mi"})
    assert amounts.text({"pods": "2", "cpu": "1500m"}) == "cpu=1500m,pods=2"


@given(st.integers(0, 10**12), st.integers(0, 10**12))
def test_adding_and_taking_away_is_nothing(one: int, other: int) -> None:
    left, right = f"{one}m", str(other)
    total = quantity.add(left, right)
    assert quantity.parse(total) == Decimal(one) / 1000 + other
    assert quantity.parse(quantity.add(total, quantity.negative(right))) == quantity.parse(left)
