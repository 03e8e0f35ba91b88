"""What EndpointSlices list, and how endpoints are packed into them."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controlplane.controllers.slices import decide, desired
from controlplane.controllers.writes import Create, Delete, Patch, tree_of
from shared.api.apps import EndpointSlice, EndpointSlicePort
from shared.api.core import Service, ServicePort, ServiceSpec
from shared.api.meta import Condition, ObjectMeta
from shared.api.pod import Container, ContainerPort, Pod, PodIP, PodSpec, PodStatus

NOW = datetime(2026, 1, 1, tzinfo=UTC)
HTTP = ServicePort(name="http", port=80, target_port="web")


def service(*ports: ServicePort, labels: dict[str, str] | None = None, **spec: Any) -> Service:
    fields = {"selector": {"app": "web"}, "ports": ports or (HTTP,), "cluster_ip": "10.0.0.1", **spec}
    meta = ObjectMeta(name="svc", namespace="ns", uid="svc-uid", labels=labels or {})
    return Service(metadata=meta, spec=ServiceSpec(**fields))


def pod(name: str, *, ready: bool = True, ip: str = "10.42.0.9", phase: str = "Running", port: int = 8080,
        going: bool = False, node: str = "n1", ips: tuple[str, ...] = (), **spec: Any) -> Pod:  # fmt: skip
    meta = ObjectMeta(
        name=name, namespace="ns", uid=f"uid-{name}", labels={"app": "web"}, deletion_timestamp=NOW if going else None
    )
    container = Container(name="c", ports=(ContainerPort(container_port=port, name="web"),))
    status = PodStatus(
        phase=phase,
        pod_ip=ip,
        pod_ips=tuple(PodIP(ip=each) for each in ips),
        conditions=(Condition(type="Ready", status="True" if ready else "False"),),
    )
    return Pod(metadata=meta, spec=PodSpec(node_name=node, containers=(container,), **spec), status=status)


def listed(svc: Service, *pods: Pod) -> list[tuple[str, list[int | None], list[str]]]:
    groups = desired(svc, pods, {"n1": "zone-a"})
    return [(family, [p.port for p in ports], list(endpoints)) for (family, ports), endpoints in groups.items()]


# --- what is listed ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("svc", "given", "conditions"),
    [
        pytest.param(service(), pod("a"), (True, True, False), id="ready"),
        pytest.param(service(), pod("a", ready=False), (False, False, False), id="not-ready"),
        pytest.param(service(), pod("a", going=True), (False, True, True), id="terminating-but-serving"),
        pytest.param(service(), pod("a", ready=False, going=True), (False, False, True), id="terminating"),
        pytest.param(
            service(publish_not_ready_addresses=True), pod("a", ready=False), (True, False, False), id="published-early"
        ),
    ],
)
def test_conditions(svc, given, conditions):
    ((endpoints),) = desired(svc, [given], {}).values()
    (endpoint,) = endpoints.values()
    assert (endpoint.conditions.ready, endpoint.conditions.serving, endpoint.conditions.terminating) == conditions


@pytest.mark.parametrize(
    "given",
    [
        pytest.param(pod("a", ip=""), id="no-address"),
        pytest.param(pod("a", phase="Succeeded"), id="succeeded"),
        pytest.param(pod("a", phase="Failed"), id="failed"),
    ],
)
def test_pods_that_are_not_listed(given):
    assert listed(service(), given) == []


def test_named_ports_are_each_pods_own():
    assert listed(service(), pod("a", port=1), pod("b", port=2), pod("c", port=1)) == [
        ("IPv4", [1], ["uid-a", "uid-c"]),
        ("IPv4", [2], ["uid-b"]),
    ]


def test_each_family_has_its_slices():
    svc = service(ip_families=("IPv4", "IPv6"))
    assert listed(svc, pod("a", ips=("10.0.0.1", "fd00::1")), pod("b")) == [
        ("IPv4", [8080], ["uid-a", "uid-b"]),
        ("IPv6", [8080], ["uid-a"]),
    ]


def test_an_endpoint_says_where_it_is():
    svc = service(ServicePort(port=80, target_port=8080))
    ((endpoints),) = desired(svc, [pod("a", hostname="h", subdomain="svc")], {"n1": "zone-a"}).values()
    assert tree_of(endpoints["uid-a"]) == {
        "addresses": ["10.42.0.9"],
        "conditions": {"ready": True, "serving": True, "terminating": False},
        "nodeName": "n1",
        "zone": "zone-a",
        "hostname": "h",
        "targetRef": {"kind": "Pod", "namespace": "ns", "name": "a", "uid": "uid-a"},
    }


def test_a_hostname_under_another_service_is_not_shown():
    ((endpoints),) = desired(service(), [pod("a", hostname="h", subdomain="other")], {}).values()
    assert endpoints["uid-a"].hostname == ""


# --- packing -------------------------------------------------------------------------------------------------


@dataclass
class World:
    """Slices, and what writes do to them, one after another."""

    slices: dict[str, EndpointSlice] = field(default_factory=dict)
    count: int = 0
    writes: list[Any] = field(default_factory=list)

    def write(self, write: Any) -> None:
        self.writes.append(write)
        if isinstance(write, Delete):
            del self.slices[write.name]
            return
        if isinstance(write, Create):
            self.count += 1
            tree = {**write.obj, "metadata": {**write.obj["metadata"], "name": f"s{self.count}"}}
        else:
            assert isinstance(write, Patch)
            tree = msgspec.to_builtins(self.slices[write.name]) | {k: v for k, v in write.patch.items() if k != "x"}
            meta = msgspec.to_builtins(self.slices[write.name])["metadata"]
            labels = {**meta.get("labels", {}), **write.patch["metadata"].get("labels", {})}
            tree["metadata"] = {**meta, "labels": {k: v for k, v in labels.items() if v is not None}}
        made = msgspec.convert(tree, EndpointSlice)
        self.slices[made.metadata.name] = made

    def settle(self, svc: Service, pods: list[Pod], limit: int = 100) -> int:
        """Sync until nothing is left to do; how many writes it took."""
        before = len(self.writes)
        for _ in range(10):
            writes = decide(svc, list(self.slices.values()), desired(svc, pods, {}), limit)
            if not writes:
                return len(self.writes) - before
            for write in writes:
                self.write(write)
                self.check(limit)
        pytest.fail("does not settle")

    def check(self, limit: int) -> None:
        for family in ("IPv4", "IPv6"):
            uids = [e.target_ref["uid"] for s in self.slices.values() if s.address_type == family for e in s.endpoints]
            assert len(uids) == len(set(uids)), "a pod in two slices at once"
        assert all(len(s.endpoints) <= limit for s in self.slices.values())

    def sizes(self) -> list[int]:
        return sorted(len(s.endpoints) for s in self.slices.values())


def many(count: int, start: int = 0, **fields: Any) -> list[Pod]:
    return [pod(f"p{n:03}", **fields) for n in range(start, start + count)]


def test_a_service_without_pods_has_one_empty_slice():
    world = World()
    assert world.settle(service(labels={"team": "x"}), []) == 1
    (made,) = world.slices.values()
    assert (made.endpoints, made.ports, made.address_type) == ((), (), "IPv4")
    assert made.metadata.labels == {
        "team": "x",
        "kubernetes.io/service-name": "svc",
        "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
    }
    (owner,) = made.metadata.owner_references
    assert (owner.kind, owner.name, owner.uid, owner.controller) == ("Service", "svc", "svc-uid", True)
    assert made.metadata.generate_name == "svc-"


def test_the_empty_slice_is_used_by_the_first_pods():
    world = World()
    world.settle(service(), [])
    assert world.settle(service(), many(3)) == 1
    assert world.sizes() == [3]


def test_at_most_a_hundred_in_a_slice():
    world = World()
    world.settle(service(), many(250))
    assert world.sizes() == [50, 100, 100]


def test_one_more_pod_is_one_write_and_leaves_full_slices_alone():
    world = World()
    world.settle(service(), many(250))
    assert world.settle(service(), many(251)) == 1
    assert world.sizes() == [51, 100, 100]


def test_the_rest_of_many_new_pods_goes_where_there_is_room():
    world = World()
    world.settle(service(), many(43))
    assert world.settle(service(), many(150)) == 2
    assert world.sizes() == [50, 100]


def test_a_pod_that_went_makes_room_for_the_next_in_one_write():
    world = World()
    world.settle(service(), many(200))
    assert world.settle(service(), many(100) + many(100, start=101)) == 1
    assert world.sizes() == [100, 100]


def test_a_change_of_ports_writes_the_same_slice():
    world = World()
    world.settle(service(ServicePort(port=80)), many(20))
    assert world.settle(service(ServicePort(port=81)), many(20)) == 1
    (made,) = world.slices.values()
    assert made.ports == (EndpointSlicePort(port=81),)


def test_a_change_of_labels_writes_each_slice_once():
    world = World()
    world.settle(service(labels={"a": "1", "b": "2"}), many(150))
    assert world.settle(service(labels={"a": "3"}), many(150)) == 2
    assert all("b" not in s.metadata.labels for s in world.slices.values())


def test_the_last_pods_end_leaves_an_empty_slice():
    world = World()
    world.settle(service(), many(150))
    assert world.settle(service(), []) == 2
    assert world.sizes() == [0]


def test_a_headless_service_without_ports_lists_its_pods():
    svc = Service(metadata=service().metadata, spec=ServiceSpec(selector={"app": "web"}, cluster_ip="None", ports=()))
    world = World()
    world.settle(svc, many(2))
    (made,) = world.slices.values()
    assert (len(made.endpoints), made.ports) == (2, ())
    assert made.metadata.labels["service.kubernetes.io/headless"] == ""


steps = st.lists(
    st.tuples(
        st.dictionaries(st.integers(0, 12), st.tuples(st.sampled_from([1, 2]), st.booleans()), max_size=13),
        st.sampled_from([("web",), (80,), ("web", 80), ("none",)]),
    ),
    max_size=8,
)


@settings(deadline=None)
@given(steps)
def test_whatever_happens_each_pod_is_listed_once_at_every_moment(history):
    world = World()
    for wanted, targets in history:
        svc = service(*(ServicePort(name=f"p{n}", port=80 + n, target_port=t) for n, t in enumerate(targets)))
        pods = [pod(f"p{n}", port=port, ready=ready) for n, (port, ready) in wanted.items()]
        world.settle(svc, pods, limit=3)
        found = {
            e.target_ref["uid"]: (e.conditions.ready, [(p.name, p.port) for p in s.ports])
            for s in world.slices.values()
            for e in s.endpoints
        }
        assert found == {
            uid: (endpoint.conditions.ready, [(p.name, p.port) for p in ports])
            for (_, ports), endpoints in desired(svc, pods, {}).items()
            for uid, endpoint in endpoints.items()
        }
