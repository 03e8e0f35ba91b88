"""What an Endpoints object lists, and when it is written."""

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from controlplane.controllers.endpoints import MAX_ADDRESSES, OVER_CAPACITY, decide, subsets
from controlplane.controllers.service_pods import keys_of_change, selects, target_port
from controlplane.controllers.writes import Create, Patch
from shared.api.core import Endpoints, Service, ServicePort
from shared.api.core import ServiceSpec as Spec
from shared.api.kinds import SERVICES
from shared.api.meta import Condition, ObjectMeta
from shared.api.pod import Container, ContainerPort, Pod, PodSpec, PodStatus
from shared.client.cache import Cache

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def service(*ports: ServicePort, labels: dict[str, str] | None = None, name: str = "svc", **spec: Any) -> Service:
    fields = {"selector": {"app": "web"}, "ports": ports or (ServicePort(port=80, target_port="web"),), **spec}
    return Service(metadata=ObjectMeta(name=name, namespace="ns", labels=labels or {}), spec=Spec(**fields))


def pod(name: str, ip: str, *, ready: bool = True, going: bool = False, port: int = 8080, app: str = "web") -> Pod:
    return Pod(
        metadata=ObjectMeta(
            name=name, namespace="ns", uid=name, labels={"app": app}, deletion_timestamp=NOW if going else None
        ),
        spec=PodSpec(
            node_name="n", containers=(Container(name="c", ports=(ContainerPort(container_port=port, name="web"),)),)
        ),
        status=PodStatus(
            phase="Running", pod_ip=ip, conditions=(Condition(type="Ready", status="True" if ready else "False"),)
        ),
    )


def ips(svc: Service, *pods: Pod) -> list[tuple[list[str], list[str], list[int]]]:
    return [
        ([a.ip for a in s.addresses], [a.ip for a in s.not_ready_addresses], [p.port for p in s.ports])
        for s in subsets(svc, pods)
    ]


A, B = pod("a", "10.0.0.1"), pod("b", "10.0.0.2", ready=False)


@pytest.mark.parametrize(
    ("svc", "pods", "expected"),
    [
        pytest.param(service(), [B, A], [(["10.0.0.1"], ["10.0.0.2"], [8080])], id="ready-and-not"),
        pytest.param(service(), [pod("a", "10.0.0.1", going=True)], [], id="terminating-is-left-out"),
        pytest.param(
            service(publish_not_ready_addresses=True),
            [A, B, pod("c", "10.0.0.3", going=True)],
            [(["10.0.0.1", "10.0.0.2", "10.0.0.3"], [], [8080])],
            id="publish-not-ready",
        ),
        pytest.param(
            service(),
            [A, pod("c", "10.0.0.3", port=9090)],
            [(["10.0.0.1"], [], [8080]), (["10.0.0.3"], [], [9090])],
            id="ports-by-pod",
        ),
        pytest.param(service(ServicePort(port=80, target_port="nope")), [A], [], id="no-such-port"),
        pytest.param(
            Service(metadata=service().metadata, spec=Spec(selector={"app": "web"}, cluster_ip="None")),
            [A],
            [(["10.0.0.1"], [], [])],
            id="headless-without-ports",
        ),
    ],
)  # fmt: skip
def test_subsets(svc, pods, expected):
    assert ips(svc, *pods) == expected


@pytest.mark.parametrize(
    ("port", "number"),
    [
        pytest.param(ServicePort(port=80, target_port=81), 81, id="number"),
        pytest.param(ServicePort(port=80), 80, id="default-is-the-port-itself"),
        pytest.param(ServicePort(port=80, target_port="web"), 8080, id="name"),
        pytest.param(ServicePort(port=80, target_port="web", protocol="UDP"), None, id="other-protocol"),
    ],
)
def test_target_port(port, number):
    assert target_port(A, port) == number


def stored(write: Create) -> Endpoints:
    tree = {**write.obj, "metadata": {**write.obj["metadata"], "resourceVersion": "5"}}
    return msgspec.convert(tree, Endpoints)


def test_created_with_the_services_labels_and_not_written_again():
    svc = service(labels={"team": "x"}, cluster_ip="None")
    write = decide(svc, [A], None)
    assert isinstance(write, Create)
    assert write.obj["metadata"]["labels"] == {
        "team": "x",
        "service.kubernetes.io/headless": "",
        "endpoints.kubernetes.io/managed-by": "endpoint-controller",
    }
    assert decide(svc, [A], stored(write)) is None


def test_a_change_is_written_over_the_version_that_was_read():
    created = decide(service(labels={"old": "x"}), [A], None)
    write = decide(service(), [], stored(created))
    assert isinstance(write, Patch)
    assert write.patch["subsets"] is None
    assert write.patch["metadata"]["resourceVersion"] == "5"
    assert write.patch["metadata"]["labels"]["old"] is None


def test_too_many_addresses_are_cut_ready_ones_kept():
    pods = [pod(f"p{n}", f"10.0.{n // 250}.{n % 250}", ready=n % 2 == 0) for n in range(1200)]
    write = decide(service(), pods, None)
    (subset,) = write.obj["subsets"]
    assert (len(subset["addresses"]), len(subset["notReadyAddresses"])) == (600, MAX_ADDRESSES - 600)
    assert write.obj["metadata"]["annotations"] == {OVER_CAPACITY: "truncated"}
    assert decide(service(), pods, stored(write)) is None


@pytest.mark.parametrize(
    ("svc", "yes"),
    [
        pytest.param(service(), True, id="selector"),
        pytest.param(service(selector={"app": "web", "tier": "x"}), False, id="not-all-labels"),
        pytest.param(service(selector={}), False, id="no-selector"),
        pytest.param(service(type="ExternalName"), False, id="external-name"),
    ],
)
def test_selects(svc, yes):
    assert selects(svc, A) is yes


def test_a_pods_change_asks_for_the_services_of_before_and_after():
    from controlplane.controllers import ownership

    cache: Cache[Service] = Cache(SERVICES)
    ownership.add_indexes(cache)
    cache.replace([service(name="web"), service(name="db", selector={"app": "db"})], "1")
    moved = pod("a", "10.0.0.1", app="db")
    assert sorted(keys_of_change(cache, A, moved)) == [("ns", "db"), ("ns", "web")]
    assert list(keys_of_change(cache, A, pod("a", "10.0.0.1"))) == []
    assert list(keys_of_change(cache, A, None)) == [("ns", "web")]
