"""kubectl debug on real containers: ephemeral containers, copies of pods, and nodes."""

import json
import re

import pytest

from tests.cluster import eventually
from tests.docker_cluster import IMAGE


@pytest.fixture(scope="module")
def host(docker_cluster):
    docker_cluster.run_pod("p", {"command": ["sh", "-c", "echo secret > /tmp/file; sleep 1000000"]})
    return docker_cluster


def added(host, name, pod="p"):
    """The status of an ephemeral container."""
    statuses = host.cluster.get("pod", pod)["status"].get("ephemeralContainerStatuses", ())
    return next((each for each in statuses if each["name"] == name), None)


def ended(host, name):
    status = added(host, name)
    return status and status["state"].get("terminated")


def test_a_debugger_sees_the_processes_of_its_target(host):
    script = "ps | grep -c '[s]leep 1000000'; cat /proc/1/root/tmp/file; exit 3"
    command = ("debug", "p", f"--image={IMAGE}", "--target=c", "--container=looker", "--", "sh", "-c", script)
    done = host.run(*command)
    assert done.returncode == 0, done.stderr
    state = eventually(lambda: ended(host, "looker"), "the debugger ended")
    assert (state["exitCode"], state["reason"]) == (3, "Error")
    assert host.run("logs", "p", "-c", "looker").stdout == b"1\nsecret\n"
    status = added(host, "looker")
    assert (status["ready"], status["restartCount"]) == (False, 0)
    assert "started" not in status
    pod = host.cluster.get("pod", "p")["status"]
    assert pod["phase"] == "Running", "it does not count"
    assert "Ephemeral Containers" in host.cluster.kubectl("describe", "pod", "p").stdout


def test_one_that_is_talked_to(host):
    command = ("debug", "-i", "p", f"--image={IMAGE}", "--container=talker", "--", "sh")
    done = host.run(*command, data=b"hostname; exit 0\n")
    assert b"p\n" in done.stdout, done.stderr
    eventually(lambda: ended(host, "talker"), "the debugger ended")


def test_exec_into_a_debugger(host):
    host.run("debug", "p", f"--image={IMAGE}", "--container=idle", "--", "sleep", "100000")
    eventually(lambda: (added(host, "idle") or {"state": {}})["state"].get("running"), "the debugger runs")
    assert host.run("exec", "p", "-c", "idle", "--", "echo", "here").stdout == b"here\n"


def test_an_image_that_is_not_there_harms_nobody_else(host):
    host.run("debug", "p", "--image=no.such.example/image:1", "--image-pull-policy=Never", "--container=none")
    waiting = eventually(lambda: (added(host, "none") or {"state": {}})["state"].get("waiting"), "it waits")
    eventually(lambda: added(host, "none")["state"]["waiting"]["reason"] == "ErrImageNeverPull", "and says why")
    assert waiting
    assert host.cluster.get("pod", "p")["status"]["phase"] == "Running"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ephemeralContainers": []}, "may not be removed"),
        ({"ephemeralContainers": [{"name": "c", "image": IMAGE}]}, 'Duplicate value: "c"'),
    ],
    ids=["none of them goes", "names are used once"],
)
def test_what_is_refused(host, change, message):
    path = "/api/v1/namespaces/default/pods/p/ephemeralcontainers"
    pod = json.loads(host.cluster.kubectl("get", "--raw", path).stdout)
    pod["spec"] |= change
    done = host.cluster.kubectl("replace", "--raw", path, "-f", "-", text=json.dumps(pod), check=False)
    assert done.returncode == 1
    assert message in done.stderr


def test_a_copy_of_a_pod(host):
    done = host.run("debug", "p", "--copy-to=copy", "--container=c", "--", "sleep", "99999")
    assert done.returncode == 0, done.stderr
    eventually(lambda: host.cluster.get("pod", "copy")["status"]["phase"] == "Running", "the copy runs")
    seen = host.run("exec", "copy", "--", "sh", "-c", "cat /proc/[0-9]*/cmdline").stdout
    assert b"sleep\x0099999\x00" in seen
    assert seen.startswith(b"/pause\x00"), "kubectl has the copy's containers share their processes"


def test_a_node(host):
    done = host.run("debug", "node/host-1", f"--image={IMAGE}", "--", "sh", "-c", "ls /host/etc/hostname")
    assert done.returncode == 0, done.stderr
    name = re.search(r"debugging pod (\S+) with", done.stdout.decode() + done.stderr.decode())[1]
    eventually(lambda: host.cluster.get("pod", name)["status"]["phase"] == "Succeeded", "the node's debugger ended")
    assert host.run("logs", name).stdout == b"/host/etc/hostname\n"
