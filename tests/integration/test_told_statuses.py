"""What statuses tell of real containers, also after the agent's restart; what is told of bad input, and its healing."""

import io
import json
import subprocess
import tarfile

import pytest

from tests.cluster import eventually, is_ready
from tests.docker_cluster import IMAGE


@pytest.fixture(scope="module")
def host(docker_cluster):
    return docker_cluster


def told(host, pod):
    return (host.cluster.get("pod", pod)["status"].get("containerStatuses") or [{}])[0]


def events(host, pod):
    listed = host.cluster.get("events", "--field-selector", f"involvedObject.name={pod}")["items"]
    return [each["message"] for each in listed if each["type"] == "Warning"]


def apply(host, name, **container):
    made = {"name": "c", "image": IMAGE, "command": ["sleep", "1000000"], **container}
    spec = {"terminationGracePeriodSeconds": 0, "containers": [made]}
    host.cluster.apply({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec})


def waits(host, name, reason, words):
    """The container waits for this reason, and an event tells it."""

    def look():
        found = told(host, name).get("state", {}).get("waiting", {})
        return found if found.get("reason") == reason else None

    assert words in eventually(look, f"{name}: {reason}", timeout=30, interval=0.1)["message"]
    eventually(lambda: any(words in each for each in events(host, name)), f"{name}: an event", timeout=30)


def test_users_and_mounts_are_told_and_known_to_the_next_agent(host):
    own = {"runAsUser": 1000, "runAsGroup": 3000, "supplementalGroups": [4000]}
    mounts = [{"name": "v", "mountPath": "/v", "readOnly": True}]
    host.run_pod("users", {"volumeMounts": mounts}, securityContext=own, volumes=[{"name": "v", "emptyDir": {}}])
    before = told(host, "users")
    assert before["user"] == {"linux": {"uid": 1000, "gid": 3000, "supplementalGroups": [3000, 4000]}}
    assert before["volumeMounts"] == [mounts[0] | {"recursiveReadOnly": "Disabled"}]
    host.run_pod("root")
    assert told(host, "root")["user"]["linux"]["uid"] == 0
    host.stop_agent(kill=True)
    host.start_agent()
    host.run_pod("after")  # the new agent is at work
    assert told(host, "users") == before


def test_a_missing_key_of_a_config_map(host):
    source = {"configMapKeyRef": {"name": "settings", "key": "absent"}}
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}, "data": {"other": "1"}}
    host.cluster.apply(config)
    apply(host, "keyless", env=[{"name": "A", "valueFrom": source}])
    waits(host, "keyless", "CreateContainerConfigError", "couldn't find key absent in ConfigMap default/settings")
    host.cluster.apply(config | {"data": {"absent": "2"}})
    eventually(lambda: is_ready(host.cluster.get("pod", "keyless")), "it heals", timeout=60)


def test_a_command_that_is_not_there(host):
    apply(host, "commandless", command=["/no/such/program"])

    def ended():
        status = told(host, "commandless")
        return status.get("lastState", {}).get("terminated") or status.get("state", {}).get("terminated")

    found = eventually(ended, "a failed start", timeout=30, interval=0.1)
    assert (found["reason"], found["exitCode"]) == ("StartError", 128)
    assert "/no/such/program" in found["message"]
    eventually(lambda: any("/no/such/program" in each for each in events(host, "commandless")), "an event", timeout=30)


def made_image(host, name, program, change):
    """An image in the host's daemon with one file, ``/program``."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        entry = tarfile.TarInfo("program")
        entry.mode, entry.size = 0o755, len(program)
        tar.addfile(entry, io.BytesIO(program))
    command = ["docker", "-H", host.docker_host, "import", "--change", change, "-", name]
    subprocess.run(command, input=archive.getvalue(), check=True, capture_output=True, timeout=60)
    return name


def test_a_user_that_is_not_there(host):
    image = made_image(host, "longboat-test/ghost:1", b"#!/program", "USER ghost")
    apply(host, "ghost", image=image, command=["/program"])

    def ended():
        status = told(host, "ghost")
        return status.get("lastState", {}).get("terminated") or status.get("state", {}).get("terminated")

    found = eventually(ended, "a failed start", timeout=30, interval=0.1)
    assert (found["reason"], found["exitCode"]) == ("StartError", 128)
    words = "unable to find user ghost"
    assert words in found["message"]
    eventually(lambda: any(words in each for each in events(host, "ghost")), "an event", timeout=30)


def test_an_image_for_another_machine(host):
    """Engines of today start it, and it is its process that fails: the log says why."""
    image = made_image(host, "longboat-test/alien:1", b"\x7fELF of another machine", 'CMD ["/program"]')
    apply(host, "alien", image=image, command=["/program"])
    eventually(
        lambda: told(host, "alien").get("state", {}).get("waiting", {}).get("reason") == "CrashLoopBackOff",
        "a crash loop", timeout=60, interval=0.1,
    )  # fmt: skip
    ended = told(host, "alien")["lastState"]["terminated"]
    assert ended["exitCode"] != 0
    assert "exec format error" in ended.get("message", "") + host.run("logs", "alien").stdout.decode()


def test_an_image_that_is_not_there(host):
    apply(host, "imageless", image="longboat-test/absent:1", imagePullPolicy="Never")
    waits(host, "imageless", "ErrImageNeverPull", "longboat-test/absent:1")
    patch = json.dumps({"spec": {"containers": [{"name": "c", "image": IMAGE}]}})
    host.cluster.kubectl("patch", "pod", "imageless", "-p", patch)
    eventually(lambda: is_ready(host.cluster.get("pod", "imageless")), "it heals", timeout=60)


def test_a_volume_that_is_not_there(host):
    made = {"name": "c", "image": IMAGE, "volumeMounts": [{"name": "absent", "mountPath": "/v"}]}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "volumeless"}, "spec": {"containers": [made]}}
    with pytest.raises(AssertionError, match=r'spec.containers\[0\].volumeMounts\[0\].name: Not found: "absent"'):
        host.cluster.apply(pod)
