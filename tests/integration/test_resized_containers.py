"""``kubectl patch --subresource resize`` on real containers: what their control groups say, and what is told of it."""

import json
import subprocess
from pathlib import Path

import pytest

from tests.cluster import eventually
from tests.docker_cluster import IMAGE


@pytest.fixture(scope="module")
def host(docker_cluster):
    return docker_cluster


def resize(host, pod, check=True, **resources):
    patch = json.dumps({"spec": {"containers": [{"name": "c", "resources": resources}]}})
    return host.cluster.kubectl("patch", "pod", pod, "--subresource=resize", "-p", patch, check=check)


def inspect(host, pod):
    """The limits of the pod's running container, by Docker's word and by the kernel's."""
    told = host.cluster.get("pod", pod)["status"]["containerStatuses"][0]
    container = told["containerID"].removeprefix("docker://")
    command = ["docker", "-H", host.docker_host, "inspect", container]
    found = json.loads(subprocess.run(command, capture_output=True, check=True, timeout=30).stdout)[0]
    group = next(
        line.rpartition(":")[2].strip()
        for line in Path(f"/proc/{found['State']['Pid']}/cgroup").read_text().splitlines()
        if line.startswith("0::") or ":memory:" in line
    )
    v2, v1 = Path(f"/sys/fs/cgroup{group}/memory.max"), Path(f"/sys/fs/cgroup/memory{group}/memory.limit_in_bytes")
    config = found["HostConfig"]
    limits = {key: config[key] for key in ("CpuShares", "CpuQuota", "Memory", "MemorySwap")}
    return limits | {"kernel": int((v2 if v2.exists() else v1).read_text())}


def settled(host, pod, **expected):
    """The container's status once no resize is under way."""

    def look():
        status = host.cluster.get("pod", pod)["status"]
        told = status["containerStatuses"][0]
        going = [each for each in status["conditions"] if "Resize" in each["type"]]
        return told if told["resources"] == expected and not going else None

    return eventually(look, f"{pod} has {expected}", timeout=30, interval=0.1)


def having(cpu, memory, limit):
    return {"requests": {"cpu": cpu, "memory": memory}, "limits": {"memory": limit}}


def test_a_running_container_gets_more_and_less(host):
    host.run_pod("p", {"resources": having("100m", "16Mi", "32Mi")})
    before = host.cluster.get("pod", "p")["status"]["containerStatuses"][0]
    for cpu, limit, shares in (("200m", "64Mi", 204), ("50m", "24Mi", 51)):
        wanted = having(cpu, "16Mi", limit)
        resize(host, "p", **wanted)
        told = settled(host, "p", **wanted)
        assert told["allocatedResources"] == wanted["requests"]
        assert (told["containerID"], told["restartCount"]) == (before["containerID"], 0)
        size = int(limit.removesuffix("Mi")) << 20
        found = inspect(host, "p")
        assert found == {"CpuShares": shares, "CpuQuota": 0, "Memory": size, "MemorySwap": size, "kernel": size}
    wanted = having("50m", "16Mi", "24Mi")
    wanted["limits"]["cpu"] = "500m"
    resize(host, "p", **wanted)
    settled(host, "p", **wanted)
    assert inspect(host, "p")["CpuQuota"] == 50_000
    pod = host.cluster.get("pod", "p")
    assert pod["metadata"]["generation"] == pod["status"]["observedGeneration"] == 4
    events = eventually(lambda: _resize_events(host, "p"), "events of a resize", timeout=20, interval=0.2)
    assert "Pod resize completed: {" in events["ResizeCompleted"]


def _resize_events(host, pod):
    listed = host.cluster.get("events", "--field-selector", f"involvedObject.name={pod}")["items"]
    found = {each["reason"]: each["message"] for each in listed}
    return found if {"ResizeStarted", "ResizeCompleted"} <= found.keys() else None


def test_a_container_that_wants_it_is_restarted_with_the_new_limit(host):
    policy = [{"resourceName": "memory", "restartPolicy": "RestartContainer"}]
    host.run_pod("restarts", {"resources": having("10m", "16Mi", "32Mi"), "resizePolicy": policy})
    wanted = having("10m", "16Mi", "48Mi")
    resize(host, "restarts", **wanted)
    eventually(
        lambda: host.cluster.get("pod", "restarts")["status"]["containerStatuses"][0]["restartCount"] == 1,
        "a restart", timeout=30, interval=0.1,
    )  # fmt: skip
    settled(host, "restarts", **wanted)
    assert inspect(host, "restarts")["kernel"] == 48 << 20


def test_memory_in_use_is_not_taken_away(host):
    hold = "head -c 20m /dev/zero > /dev/shm/x; sleep 1000000"
    mount = {"volumeMounts": [{"name": "shm", "mountPath": "/dev/shm"}]}
    volume = [{"name": "shm", "emptyDir": {"medium": "Memory"}}]
    made = {"command": ["sh", "-c", hold], "resources": having("10m", "8Mi", "64Mi"), **mount}
    host.run_pod("full", made, volumes=volume)
    eventually(
        lambda: host.run("exec", "full", "--", "stat", "-c", "%s", "/dev/shm/x").stdout.strip() == b"20971520",
        "the memory taken", timeout=30, interval=0.2,
    )  # fmt: skip
    resize(host, "full", **having("10m", "8Mi", "12Mi"))

    def failing():
        listed = host.cluster.get("pod", "full")["status"]["conditions"]
        return next((each for each in listed if each["type"] == "PodResizeInProgress" and each.get("reason")), None)

    told = eventually(failing, "an error", timeout=30, interval=0.1)
    assert told["reason"] == "Error"
    assert "memory limit (12582912) below current usage" in told["message"]
    assert inspect(host, "full")["kernel"] == 64 << 20
    host.run("exec", "full", "--", "rm", "/dev/shm/x")
    settled(host, "full", **having("10m", "8Mi", "12Mi"))
    assert inspect(host, "full")["kernel"] == 12 << 20


def test_an_agent_that_was_away_finds_the_resize(host):
    host.run_pod("later", {"resources": having("10m", "16Mi", "32Mi")})
    host.stop_agent(kill=True)
    wanted = having("20m", "16Mi", "40Mi")
    resize(host, "later", **wanted)
    host.start_agent()
    assert settled(host, "later", **wanted)["restartCount"] == 0
    assert inspect(host, "later")["kernel"] == 40 << 20


def test_what_the_node_can_never_give_is_refused(host):
    host.run_pod("greedy", {"image": IMAGE, "resources": having("10m", "16Mi", "32Mi")})
    done = resize(host, "greedy", check=False, requests={"cpu": "1000"})
    assert "node didn't have enough allocatable resources: cpu, requested: 1000000, allocatable:" in done.stderr
