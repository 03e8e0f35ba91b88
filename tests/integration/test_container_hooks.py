"""Hooks of real containers, as kubectl and the containers themselves find them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cluster import eventually
from tests.docker_cluster import DockerCluster

SHARED = {"volumes": [{"name": "v", "emptyDir": {}}]}
MOUNT = [{"name": "v", "mountPath": "/v"}]


@pytest.fixture(scope="module")
def host(docker_cluster: DockerCluster) -> DockerCluster:
    return docker_cluster


def shell(command: str) -> dict[str, Any]:
    return {"exec": {"command": ["sh", "-c", command]}}


def events(host: DockerCluster, pod: str) -> dict[str, str]:
    listed = json.loads(host.cluster.kubectl("get", "events", "-o", "json").stdout)["items"]
    return {event["reason"]: event["message"] for event in listed if event["involvedObject"]["name"] == pod}


def test_the_next_container_starts_when_the_hook_has_ended(host: DockerCluster) -> None:
    first = {"volumeMounts": MOUNT, "lifecycle": {"postStart": shell("sleep 1; touch /v/ready")}}
    second = {"name": "d", "volumeMounts": MOUNT, "command": ["sh", "-c", "test -f /v/ready && exec sleep 1000000"]}
    host.run_pod("in-turn", first, second, **SHARED)
    statuses = host.cluster.get("pod", "in-turn")["status"]["containerStatuses"]
    assert [status["restartCount"] for status in statuses] == [0, 0]


def test_a_container_whose_hook_fails_is_stopped(host: DockerCluster) -> None:
    hook = {"postStart": shell("echo a secret; exit 3")}
    host.cluster.apply(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "fails"},
            "spec": {
                "restartPolicy": "Never",
                "terminationGracePeriodSeconds": 0,
                "containers": [
                    {"name": "c", "image": "longboat-test/busybox:1", "command": ["sleep", "1000000"],
                     "lifecycle": hook},
                ],
            },
        }
    )  # fmt: skip
    eventually(lambda: host.cluster.get("pod", "fails")["status"]["phase"] == "Failed", "the pod failed", timeout=60)
    eventually(lambda: "Killing" in events(host, "fails"), "the events are there", timeout=30)
    told = events(host, "fails")
    assert told["FailedPostStartHook"] == "PostStartHook failed"
    assert told["Killing"] == "FailedPostStartHook"
    assert "a secret" not in (host.cluster.directory / "agent.log").read_text()


def stoppable(directory: Path, hook: dict[str, Any], **spec: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """A container that says in ``said`` of the directory when it is told to end, and its pod's spec."""
    volumes = [{"name": "v", "hostPath": {"path": str(directory)}}]
    main = "trap 'echo stopped >> /v/said; exit 0' TERM; while :; do sleep 0.1; done"
    container = {"command": ["sh", "-c", main], "volumeMounts": MOUNT, "lifecycle": {"preStop": hook}}
    return container, {"volumes": volumes, "terminationGracePeriodSeconds": 30, **spec}


@pytest.fixture
def said(tmp_path: Path) -> Path:
    tmp_path.chmod(0o777)
    return tmp_path / "said"


def test_the_hook_comes_before_the_signal(host: DockerCluster, said: Path) -> None:
    container, spec = stoppable(said.parent, shell("echo hooked >> /v/said"))
    host.run_pod("hooked", container, **spec)
    host.cluster.kubectl("delete", "pod", "hooked", "--timeout=60s")
    assert said.read_text().split() == ["hooked", "stopped"]


def test_a_hook_that_takes_all_of_the_grace_leaves_time_for_the_signal(host: DockerCluster, said: Path) -> None:
    container, spec = stoppable(said.parent, shell("sleep 1000"), terminationGracePeriodSeconds=1)
    host.run_pod("slow", container, **spec)
    host.cluster.kubectl("delete", "pod", "slow", "--timeout=60s")
    assert said.read_text().split() == ["stopped"]
    eventually(lambda: "FailedPreStopHook" in events(host, "slow"), "the event is there", timeout=30)


def test_who_deletes_at_once_waits_for_no_hook(host: DockerCluster, said: Path) -> None:
    container, spec = stoppable(said.parent, shell("sleep 1000"), terminationGracePeriodSeconds=1000)
    host.run_pod("forced", container, **spec)
    host.cluster.kubectl("delete", "pod", "forced", "--wait=false")
    host.cluster.kubectl("delete", "pod", "forced", "--grace-period=1", "--timeout=60s")


def test_sleep_and_the_web(host: DockerCluster, said: Path) -> None:
    """The hook asks the container's own web server for a page, whatever the answer."""
    serve = "mkdir /www; exec httpd -f -p 8080 -h /www"
    web = {
        "command": ["sh", "-c", serve],
        "ports": [{"name": "web", "containerPort": 8080}],
        "readinessProbe": {"tcpSocket": {"port": "web"}},
        "lifecycle": {"postStart": {"sleep": {"seconds": 0}}, "preStop": {"httpGet": {"port": "web", "path": "/none"}}},
    }
    host.run_pod("web", web, terminationGracePeriodSeconds=1)
    host.cluster.kubectl("delete", "pod", "web", "--timeout=60s")
    assert "FailedPreStopHook" not in events(host, "web")


def test_sidecars_outlive_the_others(host: DockerCluster, said: Path) -> None:
    def told(name: str) -> dict[str, Any]:
        main = f"trap 'echo {name} >> /v/said; exit 0' TERM; while :; do sleep 0.1; done"
        return {"name": name, "image": "longboat-test/busybox:1", "command": ["sh", "-c", main], "volumeMounts": MOUNT}

    volumes = [{"name": "v", "hostPath": {"path": str(said.parent)}}]
    sidecars = [told(name) | {"restartPolicy": "Always"} for name in ("first", "second")]
    host.run_pod("order", told("c"), initContainers=sidecars, volumes=volumes, terminationGracePeriodSeconds=30)
    host.cluster.kubectl("delete", "pod", "order", "--timeout=60s")
    assert said.read_text().split() == ["c", "second", "first"]
