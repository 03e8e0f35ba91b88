"""Which pod goes first, and in which words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from agent.eviction.ranking import CRITICAL_PRIORITY, Use, may_come, may_go, message, ranked, requested
from agent.eviction.usage import folder_size
from agent.thresholds import Shortage
from shared.api.pod import Pod

MB = 1 << 20


def pod(name: str, memory: str = "", *, phase: str = "Running", **spec: Any) -> Pod:
    requests = {"memory": memory} if memory else {}
    tree: dict[str, Any] = {
        "metadata": {"name": name, "namespace": "g", "uid": name},
        "spec": {"containers": [{"name": "c", "image": "i", "resources": {"requests": requests}}]} | spec,
        "status": {"phase": phase},
    }
    return msgspec.convert(tree, Pod)


def use(name: str, used: int, memory: str = "", **spec: Any) -> Use:
    return Use(pod(name, memory, **spec), (("c", used * MB),))


@pytest.mark.parametrize(
    ("uses", "order"),
    [
        ([use("small", 10), use("big", 90)], ["big", "small"]),
        ([use("big within", 90, "100Mi"), use("small over", 11, "10Mi")], ["small over", "big within"]),
        ([use("important", 90, priority=10), use("not", 10)], ["not", "important"]),
        ([use("over important", 90, priority=10), use("within", 10, "20Mi")], ["over important", "within"]),
        ([use("a", 50, "40Mi"), use("b", 30, "10Mi")], ["b", "a"]),
        ([use("critical", 90, priority=CRITICAL_PRIORITY), use("over", 1, phase="Succeeded")], []),
    ],
    ids=["use", "request", "priority", "request before priority", "how far above", "may not go"],
)
def test_order(uses: list[Use], order: list[str]) -> None:
    assert [each.pod.metadata.name for each in ranked(uses, "memory.available")] == order


GUARANTEED = {"containers": [{"name": "c", "image": "i", "resources": {
    "limits": {"cpu": "1", "memory": "1Mi"}, "requests": {"cpu": "1", "memory": "1Mi"}}}]}  # fmt: skip
TOLERANT = {"tolerations": [{"key": "node.kubernetes.io/memory-pressure", "operator": "Exists"}]}


@pytest.mark.parametrize(
    ("spec", "conditions", "comes"),
    [
        ({}, (), True),
        ({}, ("MemoryPressure",), False),
        (GUARANTEED, ("MemoryPressure",), True),
        (TOLERANT, ("MemoryPressure",), True),
        ({"tolerations": [{"operator": "Exists"}]}, ("MemoryPressure",), True),
        ({"tolerations": [{"operator": "Exists", "effect": "NoExecute"}]}, ("MemoryPressure",), False),
        (GUARANTEED, ("DiskPressure",), False),
        (TOLERANT, ("DiskPressure", "MemoryPressure"), False),
        ({"priority": CRITICAL_PRIORITY}, ("DiskPressure", "PIDPressure"), True),
    ],
)
def test_who_is_taken_in_under_pressure(spec: dict[str, Any], conditions: tuple[str, ...], comes: bool) -> None:
    assert may_come(pod("p", **spec), conditions) is comes


def test_a_pod_that_is_going_is_not_evicted() -> None:
    tree = {"metadata": {"name": "p", "uid": "u", "deletionTimestamp": "2026-01-01T00:00:00Z"}}
    assert not may_go(msgspec.convert(tree, Pod))


def test_sidecars_count_and_other_init_containers_do_not() -> None:
    inits = [
        {"name": "s", "image": "i", "restartPolicy": "Always", "resources": {"requests": {"memory": "2Mi"}}},
        {"name": "i", "image": "i", "resources": {"requests": {"memory": "900Mi"}}},
    ]
    assert requested(pod("p", "1Mi", initContainers=inits), "memory") == 3 * MB
    assert requested(pod("p"), "ephemeral-storage") == 0


def test_the_message_is_the_kubelets() -> None:
    told = message(use("p", 50, "20Mi"), Shortage("memory.available", 60 * MB, 100 * MB))
    assert told == (
        "The node was low on resource: memory. Threshold quantity: 102400Ki, available: 61440Ki. Container c was using "
        "51200Ki, request is 20480Ki, has larger consumption of memory. "
    )
    counted = message(Use(pod("p"), (("c", 7),)), Shortage("pid.available", 5, 9))
    assert counted == (
        "The node was low on resource: pids. Threshold quantity: 9, available: 5. Container c was using 7, request is "
        "0, has larger consumption of pids. "
    )
    modest = message(use("p", 10, "20Mi"), Shortage("memory.available", 60 * MB, 100 * MB))
    assert "Container" not in modest


def test_the_size_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "a/b/file").write_bytes(b"x" * 100_000)
    (tmp_path / "a/link").symlink_to("/")
    assert 100_000 <= folder_size(tmp_path) < 200_000
    assert folder_size(tmp_path / "nowhere") == 0
