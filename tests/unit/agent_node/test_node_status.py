"""What a Node object says, from what was observed."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from agent import node_status
from agent.host import FileSystem, HostFacts, Readings
from agent.node_status import Observed, Previous
from agent.runtime.base import EngineInfo, Image
from agent.thresholds import Reserves, parse_reserved, parse_thresholds
from shared.api.core import Node

NOW = datetime(2026, 3, 1, tzinfo=UTC)
ENGINE = EngineInfo(
    version="20.10.24", api_version="1.41", os="linux", architecture="x86_64", kernel="6.1", os_image="Debian 12",
    cpus=4, memory_bytes=8 << 30, storage_driver="overlay2", cgroup_version="2", data_root="/var/lib/docker",
)  # fmt: skip
DISK = FileSystem(total=100 << 30, free=50 << 30, inodes=1000, inodes_free=500)
FINE = Readings(
    memory_total=8 << 30, memory_available=4 << 30, nodefs=DISK, imagefs=DISK, pids_used=200, pids_limit=32768
)
WELL = Observed(
    host=HostFacts("box", "m", "s", "b"), readings=FINE, engine=ENGINE, engine_problem="", network_problem="",
    addresses=(("InternalIP", "10.0.0.1"), ("Hostname", "n1")), max_pods=110, agent_version="0.1",
)  # fmt: skip


def conditions(observed, previous=Previous(), now=NOW):
    return {each["type"]: each for each in node_status.conditions(observed, previous, now)}


def test_a_node_that_is_well():
    found = node_status.status(WELL, Previous(), NOW)
    assert found["capacity"] == {
        "cpu": "4", "memory": "8388608Ki", "pods": "110", "ephemeral-storage": "104857600Ki",
    }  # fmt: skip
    assert found["allocatable"] == {
        "cpu": "4", "memory": "8286208Ki", "pods": "110", "ephemeral-storage": str(90 << 30),
    }  # fmt: skip
    assert found["addresses"] == [
        {"type": "InternalIP", "address": "10.0.0.1"}, {"type": "Hostname", "address": "n1"},
    ]  # fmt: skip
    assert found["nodeInfo"]["containerRuntimeVersion"] == "docker://20.10.24"
    assert found["nodeInfo"]["architecture"] == "amd64"
    assert {t: (c["status"], c["reason"]) for t, c in conditions(WELL).items()} == {
        "MemoryPressure": ("False", "KubeletHasSufficientMemory"),
        "DiskPressure": ("False", "KubeletHasNoDiskPressure"),
        "PIDPressure": ("False", "KubeletHasSufficientPID"),
        "Ready": ("True", "KubeletReady"),
    }
    node = msgspec.convert({"status": found}, Node)
    assert node_status.previous_of(node).conditions["Ready"] == ("True", "2026-03-01T00:00:00Z")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"engine_problem": "connection refused"}, "container runtime is down: connection refused"),
        ({"network_problem": "no bridge"}, "container runtime network not ready: no bridge"),
        ({"engine": None}, "container runtime status check may not have completed yet"),
    ],
    ids=["engine", "network", "never-seen"],
)
def test_a_node_that_is_not_ready_says_why(change, words):
    ready = conditions(replace(WELL, **change))["Ready"]
    assert (ready["status"], ready["reason"], ready["message"]) == ("False", "KubeletNotReady", words)


@pytest.mark.parametrize(
    ("type", "reason"),
    [
        ("MemoryPressure", "KubeletHasInsufficientMemory"),
        ("DiskPressure", "KubeletHasDiskPressure"),
        ("PIDPressure", "KubeletHasInsufficientPID"),
    ],
)
def test_pressure_is_told(type, reason):
    found = conditions(replace(WELL, pressed=frozenset((type,))))
    assert {t: c["status"] for t, c in found.items()} == dict.fromkeys(found, "False") | {type: "True", "Ready": "True"}
    assert found[type]["reason"] == reason


def test_what_is_kept_for_the_system_and_as_thresholds_is_not_allocatable():
    reserves = Reserves(
        parse_thresholds({"memory.available": "10%", "nodefs.available": "1Gi"}),
        parse_reserved({"cpu": "250m", "memory": "1Gi", "ephemeral-storage": "1Gi"}),
    )
    found = node_status.status(replace(WELL, reserves=reserves), Previous(), NOW)["allocatable"]
    assert found["cpu"] == "3750m"
    assert found["memory"] == f"{((7 << 30) - (8 << 30) // 10) // 1024}Ki"
    assert found["ephemeral-storage"] == str(98 << 30)


def test_the_largest_images_are_told_with_digests_first():
    def image(number, size, *, named=True):
        names = (f"img{number}:1",) * named
        return Image(f"sha256:{number}", names, (f"img{number}@sha256:{number}",) * named, size)

    many = (*(image(number, number) for number in range(60)), image(99, 10_000, named=False))
    found = node_status.images(many)
    assert len(found) == node_status.MAX_IMAGES
    assert found[0] == {"names": ["img59@sha256:59", "img59:1"], "sizeBytes": 59}


def test_a_transition_is_when_the_status_changed():
    later = NOW + timedelta(minutes=5)
    before = {"Ready": ("Unknown", "2026-02-01T00:00:00Z"), "DiskPressure": ("False", "2026-01-01T00:00:00Z")}
    found = conditions(WELL, Previous(before), later)
    assert found["Ready"]["lastTransitionTime"] == "2026-03-01T00:05:00Z"
    assert found["DiskPressure"]["lastTransitionTime"] == "2026-01-01T00:00:00Z"
    assert {c["lastHeartbeatTime"] for c in found.values()} == {"2026-03-01T00:05:00Z"}


def test_time_alone_is_no_change():
    one, two = (node_status.status(WELL, Previous(), NOW + timedelta(minutes=m)) for m in (0, 1))
    assert one != two
    assert node_status.without_times(one) == node_status.without_times(two)
    other = node_status.status(replace(WELL, network_problem="x"), Previous(), NOW)
    assert node_status.without_times(one) != node_status.without_times(other)


def test_an_address_that_is_gone_is_taken_away():
    previous = Previous(address_types=frozenset({"InternalIP", "ExternalIP"}))
    assert node_status.status(WELL, previous, NOW)["addresses"][-1] == {"$patch": "replace"}


def test_labels():
    found = node_status.node_labels("n1", WELL, {"rack": "7", "kubernetes.io/hostname": "liar"})
    assert found == {
        "rack": "7", "kubernetes.io/hostname": "n1", "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("machine", "arch"), [("x86_64", "amd64"), ("aarch64", "arm64"), ("armv7l", "arm"), ("riscv64", "riscv64")]
)
def test_architectures(machine, arch):
    assert node_status.architecture(machine) == arch


def test_what_an_administrator_says_that_a_node_has_is_offered_to_pods():
    node = msgspec.convert(
        {
            "metadata": {"name": "n1"},
            "status": {
                "capacity": {"cpu": "1", "example.com/dongle": "4", "kubernetes.io/odd": "1", "hugepages-2Mi": "0"},
                "allocatable": {"cpu": "1", "example.com/gone": "2"},
            },
        },
        Node,
    )
    previous = node_status.previous_of(node)
    assert previous.extended == {"example.com/dongle": "4", "example.com/gone": None}
    found = node_status.status(WELL, previous, NOW)
    assert found["allocatable"]["example.com/dongle"] == "4"
    assert found["allocatable"]["example.com/gone"] is None, "null takes it out of what the server has"
    assert (found["allocatable"]["cpu"], "example.com/dongle" in found["capacity"]) == ("4", False)
