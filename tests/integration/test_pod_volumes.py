"""Volumes as processes of real containers find them: parts, rights, updates, limits."""

import json
import subprocess
from pathlib import Path

import pytest

from tests.cluster import eventually
from tests.docker_cluster import IMAGE


@pytest.fixture(scope="module")
def host(docker_cluster):
    return docker_cluster


def inside(host, pod, command, container="c"):
    done = host.run("exec", pod, "-c", container, "--", "sh", "-c", command)
    assert done.returncode == 0, done.stderr
    return done.stdout.decode().strip()


def mount(name, path, **more):
    return {"name": name, "mountPath": path} | more


def apply(host, name, container, **spec):
    filled = {"name": "c", "image": IMAGE, "command": ["sleep", "1000000"]} | container
    tree = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}}
    host.cluster.apply(tree | {"spec": {"terminationGracePeriodSeconds": 0, "containers": [filled], **spec}})


def config(host, name, **data):
    host.cluster.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data})


def events(host, name, reason):
    selector = f"involvedObject.name={name},reason={reason}"
    done = host.cluster.kubectl("get", "events", f"--field-selector={selector}", "-o", "json")
    return [event["message"] for event in json.loads(done.stdout)["items"]]


def test_files_belong_to_the_pods_group(host):
    config(host, "grouped", key="value")
    host.run_pod(
        "group",
        {"volumeMounts": [mount("data", "/data"), mount("memory", "/memory"), mount("config", "/config")]},
        securityContext={"runAsUser": 1000, "runAsGroup": 3000, "fsGroup": 2000, "fsGroupChangePolicy": "Always"},
        volumes=[
            {"name": "data", "emptyDir": {}},
            {"name": "memory", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}},
            {"name": "config", "configMap": {"name": "grouped", "defaultMode": 0o400}},
        ],
    )
    for folder in ("/data", "/memory"):
        assert inside(host, "group", f"touch {folder}/f && stat -c '%u %g' {folder}/f") == "1000 2000"
        assert inside(host, "group", f"stat -c '%a %g' {folder}") == "2777 2000"
    assert inside(host, "group", "cat /config/key; stat -Lc '%a %g' /config/key") == "value440 2000"
    full = "dd if=/dev/zero of=/memory/big bs=1k count=2000 2>&1; true"
    assert "No space left on device" in inside(host, "group", full)


def test_parts_of_volumes(host):
    config(host, "parts", **{"a.conf": "A", "b.conf": "B"})
    name = {"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}
    host.run_pod(
        "parts",
        {
            "env": [name],
            "volumeMounts": [
                mount("config", "/etc/a.conf", subPath="a.conf"),
                mount("data", "/logs", subPathExpr="logs/$(POD)"),
                mount("data", "/all"),
            ],
        },
        volumes=[{"name": "config", "configMap": {"name": "parts"}}, {"name": "data", "emptyDir": {}}],
    )
    assert inside(host, "parts", "cat /etc/a.conf; ls /etc").startswith("A")
    assert inside(host, "parts", "echo x > /logs/f; cat /all/logs/parts/f") == "x"
    assert "volume-subpaths" in Path("/proc/self/mountinfo").read_text()
    host.run("delete", "pod", "parts", "--now")
    eventually(lambda: "/parts/" not in Path("/proc/self/mountinfo").read_text(), "unmounted")


def test_a_part_that_leads_out_of_its_volume_is_refused(host, tmp_path):
    (tmp_path / "out").symlink_to("/etc")
    apply(
        host,
        "escape",
        {"volumeMounts": [mount("data", "/data", subPath="out")]},
        volumes=[{"name": "data", "hostPath": {"path": str(tmp_path)}}],
    )

    def waiting():
        listed = host.cluster.get("pod", "escape")["status"].get("containerStatuses") or [{"state": {}}]
        return listed[0]["state"].get("waiting", {}).get("message")

    message = eventually(waiting, "a reason", timeout=30, interval=0.1)
    assert message == (
        'failed to prepare subPath for volumeMount "data" of container "c": subPath "out" leads out of the volume'
    )


def test_what_a_volume_shows_changes_within_five_seconds(host):
    config(host, "live", key="one")
    host.run_pod(
        "live",
        {"volumeMounts": [mount("config", "/config"), mount("info", "/info")]},
        volumes=[
            {"name": "config", "configMap": {"name": "live"}},
            {
                "name": "info",
                "downwardAPI": {"items": [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]},
            },
        ],
    )
    assert inside(host, "live", "cat /config/key /info/labels") == "one"
    config(host, "live", key="two")
    host.cluster.kubectl("label", "pod", "live", "colour=blue")
    wanted = 'twocolour="blue"'
    eventually(lambda: inside(host, "live", "cat /config/key /info/labels") == wanted, "new files", timeout=5.5)


def test_a_volume_that_lacks_something_says_so_and_heals(host):
    config(host, "late", other="x")
    item = {"name": "late", "items": [{"key": "wanted", "path": "f"}]}
    apply(
        host, "late", {"volumeMounts": [mount("config", "/config")]}, volumes=[{"name": "config", "configMap": item}]
    )  # fmt: skip
    words = 'MountVolume.SetUp failed for volume "config" : configmap references non-existent config key: wanted'
    eventually(lambda: words in events(host, "late", "FailedMount"), "an event", timeout=30)
    waiting = host.cluster.get("pod", "late")["status"]["containerStatuses"][0]["state"]["waiting"]
    assert waiting["reason"] == "ContainerCreating"
    config(host, "late", wanted="now")
    eventually(lambda: host.cluster.get("pod", "late")["status"]["phase"] == "Running", "it heals", timeout=60)
    assert inside(host, "late", "cat /config/f") == "now"


def test_nfs_says_why_it_cannot_be_mounted(host):
    volume = {"name": "share", "nfs": {"server": "127.0.0.1", "path": "/none"}}
    apply(host, "share", {"volumeMounts": [mount("share", "/share")]}, volumes=[volume])
    words = 'MountVolume.SetUp failed for volume "share" : mount failed: '
    eventually(lambda: any(e.startswith(words) for e in events(host, "share", "FailedMount")), "event", timeout=60)


def test_propagation_from_the_host(host, tmp_path):
    subprocess.run(["mount", "-t", "tmpfs", "longboat-test", str(tmp_path)], check=True)
    try:
        subprocess.run(["mount", "--make-shared", str(tmp_path)], check=True)
        (tmp_path / "in").mkdir()
        host.run_pod(
            "slave",
            {"volumeMounts": [mount("data", "/data", mountPropagation="HostToContainer"), mount("data", "/apart")]},
            volumes=[{"name": "data", "hostPath": {"path": str(tmp_path), "type": "Directory"}}],
        )
        subprocess.run(["mount", "-t", "tmpfs", "longboat-test", str(tmp_path / "in")], check=True)
        (tmp_path / "in/new").touch()
        assert inside(host, "slave", "ls /data/in; ls /apart/in") == "new"
        host.run("delete", "pod", "slave", "--now")
    finally:
        subprocess.run(["umount", "-R", "-l", str(tmp_path)], check=True)


def test_pods_over_their_limit_of_the_disk_are_evicted(host):
    write = "dd if=/dev/zero of=/data/big bs=1M count=3 2>/dev/null; sleep 1000"
    apply(
        host,
        "greedy",
        {"command": ["sh", "-c", write], "volumeMounts": [mount("data", "/data")]},
        volumes=[{"name": "data", "emptyDir": {"sizeLimit": "1Mi"}}],
    )

    def failed():
        status = host.cluster.get("pod", "greedy")["status"]
        return status if status["phase"] == "Failed" else None

    status = eventually(failed, "evicted", timeout=60, interval=0.2)
    assert status["reason"] == "Evicted"
    assert status["message"] == 'Usage of EmptyDir volume "data" exceeds the limit "1Mi". '
    assert status["message"] in eventually(lambda: events(host, "greedy", "Evicted"), "an event", timeout=20)
