"""How fast the scheduler decides: pure decisions over a snapshot, no API in the way. Takes some seconds.

    python bench/scheduler.py [--nodes 5000] [--pods 5000]

``alike``: the replicas of one Deployment. ``owners``: as many Deployments as make 20 replicas each, their pods
mixed. ``all different``: no two pods have the same requirements. Batches are those of the scheduling loop.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from controlplane.scheduler.decide import Pending, decide
from controlplane.scheduler.loop import BATCH
from controlplane.scheduler.requirements import Requirements, of_pod
from controlplane.scheduler.snapshot import Snapshot
from shared.api.core import Node, NodeSpec, NodeStatus, Taint
from shared.api.meta import ObjectMeta, OwnerReference
from shared.api.pod import Container, Pod, PodSpec, ResourceRequirements


def cluster(nodes: int) -> Snapshot:
    snapshot = Snapshot()
    for number in range(nodes):
        snapshot.put_node(
            Node(
                metadata=ObjectMeta(
                    name=f"node-{number}",
                    labels={"kubernetes.io/hostname": f"node-{number}", "zone": f"z{number % 5}", "disk": "ssd"},
                ),
                spec=NodeSpec(taints=(Taint(key="gpu", effect="NoSchedule"),) if number % 50 == 0 else ()),
                status=NodeStatus(allocatable={"cpu": "16", "memory": "64Gi", "pods": "110"}),
            )
        )
    return snapshot


def pods(count: int, requirements: Callable[[int], Requirements]) -> list[Pending]:
    return [Pending("default", f"pod-{n}", f"uid-{n}", requirements(n)) for n in range(count)]


def demand(owner: int = 0, cpu: int = 100) -> Requirements:
    return Requirements(
        requests=(("cpu", cpu), ("memory", 256 << 20), ("pods", 1)), scored_cpu=cpu, scored_memory=256 << 20,
        owner=f"owner-{owner}", node_selector=(("disk", "ssd"),),
    )  # fmt: skip


def run(snapshot: Snapshot, waiting: list[Pending]) -> float:
    """Pods a second, decided and counted in the snapshot batch by batch as the loop does."""
    started = time.perf_counter()
    for first in range(0, len(waiting), BATCH):
        decision = decide(snapshot, waiting[first : first + BATCH])
        assert not decision.refused
        for bound in decision.bound:
            snapshot.place(bound.pod.uid, bound.node, bound.pod.requirements)
    return len(waiting) / (time.perf_counter() - started)


def mixed(nodes: int, count: int) -> float:
    """Pods a second where each owner has 20 replicas."""
    owners = [demand(n) for n in range(max(1, count // 20))]
    return run(cluster(nodes), pods(count, lambda n: owners[n % len(owners)]))


def reading(count: int) -> float:
    """Pods a second whose requirements are worked out, as is done once for each watch event of a new pod."""
    owner = OwnerReference(api_version="apps/v1", kind="ReplicaSet", name="r", uid="u", controller=True)
    requests = ResourceRequirements(requests={"cpu": "100m", "memory": "256Mi"})
    pod = Pod(
        metadata=ObjectMeta(name="p", owner_references=(owner,)),
        spec=PodSpec(containers=(Container(name="c", resources=requests),)),
    )
    started = time.perf_counter()
    for _ in range(count):
        of_pod(pod)
    return count / (time.perf_counter() - started)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nodes", type=int, default=5000)
    parser.add_argument("--pods", type=int, default=5000)
    arguments = parser.parse_args()
    alike = demand()
    rows = {"alike": lambda n: alike, "all different": lambda n: demand(n, 50 + n % 997)}
    print(f"{arguments.pods} pods on {arguments.nodes} nodes, batches of {BATCH}")
    rates = {name: run(cluster(arguments.nodes), pods(arguments.pods, needs)) for name, needs in rows.items()}
    rates["20 replicas an owner, mixed"] = mixed(arguments.nodes, arguments.pods)
    for name, rate in rates.items():
        print(f"{name:32} {rate:>10,.0f} pods/s decided", flush=True)
    print(f"{'requirements read':32} {reading(20_000):>10,.0f} pods/s")


if __name__ == "__main__":
    main()
