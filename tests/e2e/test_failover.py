"""A host dies or is cut off: its pods run elsewhere; when it comes back it is clean and Ready again."""

from tests.cluster import deployment, eventually, service


def running_elsewhere(cluster, lost, count):
    pods = cluster.ready_pods("app=web")
    return len(pods) == count and all(pod["spec"]["nodeName"] != lost for pod in pods)


def test_a_host_cut_off(cluster, lab):
    cluster.apply(deployment("web", 6), service("web"))
    cluster.kubectl("rollout", "status", "deployment/web", "--timeout=90s")
    old = {pod["metadata"]["uid"] for pod in cluster.pods("app=web") if pod["spec"]["nodeName"] == "host2"}
    assert old
    lab.switch.cut(2)
    try:
        eventually(lambda: running_elsewhere(cluster, "host2", 6), "six pods on the other hosts")
        assert not cluster.node_ready("host2")
        eventually(lambda: cluster.endpoints("web", 6), "endpoints of the six, none twice")
    finally:
        lab.switch.heal(2)
    eventually(lambda: cluster.node_ready("host2"), "host2 Ready again")
    eventually(
        lambda: not old & {pod["metadata"]["uid"] for pod in cluster.get("pods")["items"]}, "the stale pods gone"
    )
    eventually(
        lambda: lab.host(2).ssh("docker ps -q --filter label=dev.longboat.container") == "",
        "no stale container on host2",
    )
    assert cluster.endpoints("web", 6)


def test_a_host_loses_power_and_boots(cluster, lab):
    cluster.apply(deployment("web", 6))
    cluster.kubectl("rollout", "status", "deployment/web", "--timeout=90s")
    host = lab.host(3)
    host.poweroff()
    try:
        eventually(lambda: running_elsewhere(cluster, "host3", 6), "six pods on the other hosts")
    finally:
        host.boot()
        host.wait()
    eventually(lambda: cluster.node_ready("host3"), "host3 Ready after its boot")
    eventually(lambda: len(cluster.get("pods")["items"]) == 6, "the lost pods gone from the API")


def test_a_host_that_shuts_down_ends_its_pods_in_order_and_says_so(cluster, lab):
    """Its pods are told to end, and the cluster hears of it, before the host is off: nothing waits for a lost lease."""
    cluster.apply(deployment("web", 6))
    cluster.kubectl("rollout", "status", "deployment/web", "--timeout=90s")
    host = lab.host(3)
    here = [pod["metadata"]["name"] for pod in cluster.pods("app=web") if pod["spec"]["nodeName"] == "host3"]
    assert here
    host.ssh("systemctl poweroff --no-block", check=False)
    try:
        eventually(lambda: running_elsewhere(cluster, "host3", 6), "six pods on the other hosts", timeout=90)
        eventually(lambda: not host.on, "the host is off", timeout=90)
        events = cluster.get("events", "--field-selector=reason=NodeShutdown")["items"]
        assert {event["involvedObject"]["name"] for event in events} >= set(here)
        assert {event["message"] for event in events} == {"Pod was terminated in response to imminent node shutdown."}
    finally:
        host.poweroff()
        host.boot()
        host.wait()
    eventually(lambda: cluster.node_ready("host3"), "host3 Ready after its boot")
    left = [pod for pod in cluster.get("pods")["items"] if pod["metadata"]["name"] in here]
    # Those that had Failed before the node's taint reached them stay, as in Kubernetes, until somebody deletes them.
    assert {pod["status"].get("reason") for pod in left} <= {"Terminated"}
    assert len(cluster.ready_pods("app=web")) == 6
