"""What a pod asks of a node, from its JSON."""

from __future__ import annotations

import msgspec
import pytest

from controlplane.scheduler.requirements import LARGEST, of_pod, pod_requests
from shared.api.pod import Pod


def container(cpu=None, memory=None, always=False, ports=(), **more):
    requests = {name: amount for name, amount in (("cpu", cpu), ("memory", memory)) if amount is not None} | more
    return {
        "name": "c",
        "resources": {"requests": requests},
        "ports": list(ports),
        **({"restartPolicy": "Always"} if always else {}),
    }


def pod(containers=(), init=(), **spec) -> Pod:
    tree = {"spec": {"containers": list(containers), "initContainers": list(init), **spec}}
    return msgspec.convert(tree, Pod)


@pytest.mark.parametrize(
    ("made", "cpu", "memory"),
    [
        (pod([container("100m", "1Ki"), container("0.2", "1k")]), 300, 2024),
        (pod([container("100m")], [container("1")]), 1000, 0),
        (pod([container("700m"), container("700m")], [container("1")]), 1400, 0),
        (pod([container("100m")], [container("300m"), container("200m")]), 300, 0),
        (pod([container("100m")], [container("50m", always=True)]), 150, 0),
        (pod([container("100m")], [container("50m", always=True), container("200m")]), 250, 0),
        (pod([container("100m")], [container("200m"), container("50m", always=True)]), 200, 0),
        (pod([container("100m")], [container("50m", always=True), container("70m", always=True)]), 220, 0),
        (pod([container("100m")], overhead={"cpu": "250m", "memory": "1Mi"}), 350, 1 << 20),
        (pod([container("100m", "1Mi")], resources={"requests": {"cpu": "2"}}), 2000, 1 << 20),
        (pod([container("0.0001")]), 1, 0),
        (pod([container()]), 0, 0),
    ],
    ids=[
        "containers add up", "a larger init container counts", "a smaller one does not", "init containers take turns",
        "a sidecar runs beside", "an init container runs with earlier sidecars", "but not with later ones",
        "sidecars add up", "overhead", "pod-level requests", "rounded up", "none",
    ],
)  # fmt: skip
def test_requests_are_those_of_kubernetes(made, cpu, memory):
    requests = pod_requests(made)
    assert (requests.get("cpu", 0), requests.get("memory", 0)) == (cpu, memory)


def test_scores_count_a_container_without_requests_as_a_small_one():
    found = of_pod(pod([container("300m"), container(None, "1Gi")]))
    assert found.scored_cpu == 300 + 100
    assert found.scored_memory == (200 << 20) + (1 << 30)
    assert dict(found.requests) == {"cpu": 300, "memory": 1 << 30, "pods": 1}


def test_other_resources_count_too():
    found = of_pod(pod([container("1", **{"ephemeral-storage": "1Gi", "nvidia.com/gpu": "2", "zero/x": "0"})]))
    assert dict(found.requests) == {"cpu": 1000, "ephemeral-storage": 1 << 30, "nvidia.com/gpu": 2, "pods": 1}


def test_an_absurd_request_is_cut_to_what_nothing_can_hold():
    assert dict(of_pod(pod([container(memory="9E")] * 9)).requests)["memory"] == LARGEST


def test_host_ports_of_containers_and_sidecars():
    ports = [{"containerPort": 80, "hostPort": 8080}, {"containerPort": 81}]
    udp = [{"containerPort": 53, "hostPort": 53, "protocol": "UDP", "hostIP": "10.0.0.1"}]
    found = of_pod(pod([container(ports=ports)], [container(always=True, ports=udp), container(ports=ports)]))
    assert found.ports == (("0.0.0.0", "TCP", 8080), ("10.0.0.1", "UDP", 53))


def test_equal_pods_have_equal_requirements_whatever_their_names():
    first, second = (
        msgspec.convert(
            {
                "metadata": {
                    "name": name,
                    "labels": {"x": name},
                    "ownerReferences": [
                        {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "r", "uid": "u", "controller": True}
                    ],
                },
                "spec": {
                    "nodeSelector": dict(pairs),
                    "containers": [container("1")],
                    "tolerations": [{"operator": "Exists"}],
                },
            },
            Pod,
        )
        for name, pairs in (("a", [("x", "1"), ("y", "2")]), ("b", [("y", "2"), ("x", "1")]))
    )
    assert of_pod(first) == of_pod(second)
    assert hash(of_pod(first)) == hash(of_pod(second))
    assert of_pod(first).owner == "u"


def test_a_quantity_that_is_none_is_an_error():
    with pytest.raises(ValueError):
        of_pod(pod([container("much")]))
