"""What a user does with running pods through kubectl: logs, describe, rollouts, cordon, taint, failing pods."""

from __future__ import annotations

import subprocess

from tests.cluster import deployment, eventually


def pod(name, command, **spec):
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {
            "terminationGracePeriodSeconds": 0,
            "containers": [{"name": "c", "image": "longboat/test:1", "command": ["/bin/sh", "-c", command]}],
            **spec,
        },
    }


def test_logs_follow_to_the_end(cluster):
    cluster.apply(pod("once", "for i in 1 2 3; do echo $i; sleep 0.3; done", restartPolicy="Never"))
    eventually(lambda: cluster.get("pod", "once")["status"].get("phase") in ("Running", "Succeeded"), "it runs")
    assert cluster.kubectl("logs", "-f", "once", timeout=30).stdout == "1\n2\n3\n"
    eventually(lambda: cluster.get("pod", "once")["status"]["phase"] == "Succeeded", "it succeeds")


def test_logs_of_the_instance_before(cluster):
    cluster.apply(pod("crash", "echo run; exit 3"))
    eventually(lambda: container(cluster, "crash").get("restartCount", 0) >= 1, "a restart")
    eventually(lambda: cluster.kubectl("logs", "crash", "--previous", check=False).stdout == "run\n", "its last words")
    status = eventually(
        lambda: container(cluster, "crash") if waiting(cluster, "crash") == "CrashLoopBackOff" else None, "back-off"
    )
    assert status["lastState"]["terminated"]["exitCode"] == 3
    assert status["lastState"]["terminated"]["reason"] == "Error"
    assert "CrashLoopBackOff" in cluster.kubectl("get", "pod", "crash").stdout


def test_an_image_that_cannot_be_pulled_heals_with_the_image(cluster):
    broken = pod("pull", "sleep 600")
    broken["spec"]["containers"][0]["image"] = "longboat/none:1"
    cluster.apply(broken)
    eventually(lambda: waiting(cluster, "pull") in ("ErrImagePull", "ImagePullBackOff"), "the pull fails")
    assert "longboat/none:1" in cluster.kubectl("describe", "pod", "pull").stdout
    cluster.kubectl("set", "image", "pod/pull", "c=longboat/test:1")
    cluster.kubectl("wait", "pod/pull", "--for=condition=Ready", "--timeout=60s")


def test_configuration_as_environment_and_files(cluster):
    cluster.apply(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "conf"}, "data": {"key": "value"}},
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "sec"}, "stringData": {"pass": "word"}},
    )
    configured = pod("conf", "echo $KEY $POD; cat /c/key; echo; cat /s/pass; echo; sleep 600")
    configured["spec"]["volumes"] = [
        {"name": "c", "configMap": {"name": "conf"}},
        {"name": "s", "secret": {"secretName": "sec"}},
    ]
    configured["spec"]["containers"][0] |= {
        "env": [
            {"name": "KEY", "valueFrom": {"configMapKeyRef": {"name": "conf", "key": "key"}}},
            {"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        ],
        "volumeMounts": [{"name": "c", "mountPath": "/c"}, {"name": "s", "mountPath": "/s"}],
    }
    cluster.apply(configured)
    cluster.kubectl("wait", "pod/conf", "--for=condition=Ready", "--timeout=60s")
    eventually(lambda: cluster.kubectl("logs", "conf").stdout == "value conf\nvalue\nword\n", "what it was given")


def test_a_missing_config_map_is_named_and_heals(cluster):
    waits = pod("waits", "sleep 600")
    waits["spec"]["containers"][0]["envFrom"] = [{"configMapRef": {"name": "later"}}]
    cluster.apply(waits)
    eventually(lambda: waiting(cluster, "waits") == "CreateContainerConfigError", "the reason")
    assert container(cluster, "waits")["state"]["waiting"]["message"] == 'configmap "later" not found'
    told(cluster, "waits", 'Error: configmap "later" not found')
    cluster.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "later"}, "data": {"a": "b"}})
    cluster.kubectl("wait", "pod/waits", "--for=condition=Ready", "--timeout=90s")


def test_a_failing_liveness_probe_restarts(cluster):
    probed = pod("live", "touch /tmp/ok; sleep 3; rm /tmp/ok; sleep 600")
    probed["spec"]["containers"][0]["livenessProbe"] = {
        "exec": {"command": ["/bin/cat", "/tmp/ok"]}, "periodSeconds": 1, "failureThreshold": 1,
    }  # fmt: skip
    cluster.apply(probed)
    eventually(lambda: container(cluster, "live").get("restartCount", 0) >= 1, "a restart", timeout=90)
    told(cluster, "live", "Liveness probe failed")
    told(cluster, "live", "Killing")
    told(cluster, "live", "Started")


def test_cordon_taint_and_a_pod_that_fits_nowhere(cluster):
    for name in ("host1", "host2"):
        cluster.kubectl("cordon", name)
    cluster.kubectl("taint", "node", "host3", "only=some:NoSchedule")
    try:
        cluster.apply(deployment("web", 2))
        message = eventually(lambda: scheduling(cluster.pods("app=web")), "FailedScheduling on the pod's status")
        assert "0/3 nodes are available" in message
        assert "2 node(s) were unschedulable" in message
        assert "untolerated taint" in message
        assert "SchedulingDisabled" in cluster.kubectl("get", "nodes").stdout
    finally:
        cluster.kubectl("taint", "node", "host3", "only-")
        for name in ("host1", "host2"):
            cluster.kubectl("uncordon", name)
    eventually(lambda: len(cluster.ready_pods("app=web")) == 2, "both run once they may")
    described = cluster.kubectl("describe", "node", "host1").stdout
    for word in ("Allocatable:", "MemoryPressure", "PodCIDR:", "Container Runtime Version:", "Allocated resources:"):
        assert word in described


def test_rollout_pause_resume_restart(cluster):
    cluster.apply(deployment("web", 2))
    cluster.kubectl("rollout", "status", "deployment/web", "--timeout=90s")
    cluster.kubectl("rollout", "pause", "deployment/web")
    cluster.kubectl("set", "env", "deployment/web", "VERSION=2")
    assert len(cluster.get("rs", "-l", "app=web")["items"]) == 1
    cluster.kubectl("rollout", "resume", "deployment/web")
    cluster.kubectl("rollout", "status", "deployment/web", "--timeout=90s")
    before = {item["metadata"]["uid"] for item in cluster.pods("app=web")}
    cluster.kubectl("rollout", "restart", "deployment/web")
    cluster.kubectl("rollout", "status", "deployment/web", "--timeout=90s")
    eventually(lambda: not before & {item["metadata"]["uid"] for item in cluster.pods("app=web")}, "all new pods")


def test_watch_and_graceful_deletion(cluster):
    command = ["kubectl", f"--kubeconfig={cluster.kubeconfig}", "get", "pods", "-w", "--no-headers"]
    watching = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        slow = pod("slow", "trap 'sleep 2; exit 0' TERM; while true; do sleep 0.1; done")
        slow["spec"]["terminationGracePeriodSeconds"] = 20
        cluster.apply(slow)
        cluster.kubectl("wait", "pod/slow", "--for=condition=Ready", "--timeout=60s")
        cluster.kubectl("delete", "pod", "slow", "--timeout=60s")
        watching.terminate()
        lines = watching.stdout.read().splitlines()
    finally:
        watching.kill()
        watching.wait(10)
        watching.stdout.close()
    states = [line.split()[2] for line in lines if line.startswith("slow ")]
    assert states[0] in ("Pending", "ContainerCreating")
    assert "Running" in states
    assert "Terminating" in states


def told(cluster, name, text):
    """An event of the pod says so; events are written in the background."""
    eventually(lambda: text in cluster.kubectl("describe", "pod", name).stdout, f"an event of {name}: {text}")


def container(cluster, name):
    statuses = cluster.get("pod", name)["status"].get("containerStatuses") or [{}]
    return statuses[0]


def waiting(cluster, name):
    return container(cluster, name).get("state", {}).get("waiting", {}).get("reason", "")


def scheduling(pods):
    for item in pods:
        for condition in item["status"].get("conditions", []):
            if condition["type"] == "PodScheduled" and condition["status"] == "False":
                return condition["message"]
    return None
