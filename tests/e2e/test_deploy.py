"""kubectl applies a Deployment, three Docker hosts run it."""

from tests.cluster import deployment, eventually, service


def test_apply_scale_update_undo(cluster, lab):
    cluster.apply(deployment("web", 6), service("web"))
    cluster.kubectl("rollout", "status", "deployment/web", "--timeout=90s")
    pods = cluster.ready_pods("app=web")
    assert len(pods) == 6
    assert {pod["spec"]["nodeName"] for pod in pods} == {"host1", "host2", "host3"}
    assert len({pod["status"]["podIP"] for pod in pods}) == 6
    addresses = eventually(lambda: cluster.endpoints("web", 6), "six endpoints")
    assert addresses == {pod["status"]["podIP"] for pod in pods}

    for pod in pods:  # each answers on its own host
        number = int(pod["spec"]["nodeName"].removeprefix("host"))
        page = lab.host(number).ssh("curl", "-sf", "-m5", f"http://{pod['status']['podIP']}:8080/")
        assert page == "hello from longboat\n"

    cluster.kubectl("scale", "deployment/web", "--replicas=9")
    eventually(lambda: len(cluster.ready_pods("app=web")) == 9, "nine ready pods")

    cluster.kubectl("set", "env", "deployment/web", "VERSION=2")
    cluster.kubectl("rollout", "status", "deployment/web", "--timeout=120s")
    assert versions(cluster) == {"2"}
    history = cluster.kubectl("rollout", "history", "deployment/web").stdout
    assert [line.split()[0] for line in history.splitlines()[2:] if line.strip()] == ["1", "2"]

    cluster.kubectl("rollout", "undo", "deployment/web")
    cluster.kubectl("rollout", "status", "deployment/web", "--timeout=120s")
    eventually(lambda: versions(cluster) == {"1"}, "version 1 again")

    cluster.kubectl("delete", "deployment", "web", "--timeout=60s")
    eventually(lambda: not cluster.get("pods")["items"], "no pods left")
    for host in lab.hosts():
        left = host.ssh("docker ps -aq --filter label=dev.longboat.container")
        assert left == "", f"containers left on {host.name}"


def test_logs(cluster):
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "talker"},
        "spec": {
            "terminationGracePeriodSeconds": 0,
            "containers": [
                {"name": "c", "image": "longboat/test:1", "command": ["/bin/sh", "-c"],
                 "args": ["for i in 1 2 3; do echo line $i; done; sleep 600"]},
            ],
        },
    }  # fmt: skip
    cluster.apply(pod)
    cluster.kubectl("wait", "pod/talker", "--for=condition=Ready", "--timeout=60s")
    eventually(lambda: cluster.kubectl("logs", "talker").stdout == "line 1\nline 2\nline 3\n", "three lines")
    assert cluster.kubectl("logs", "talker", "--tail=1").stdout == "line 3\n"
    stamped = cluster.kubectl("logs", "talker", "-c", "c", "--timestamps", "--since=10m").stdout.splitlines()
    assert [line.split(" ", 1)[1] for line in stamped] == ["line 1", "line 2", "line 3"]


def versions(cluster):
    return {pod["spec"]["containers"][0]["env"][0]["value"] for pod in cluster.ready_pods("app=web")}
