"""Agents, servers and Docker daemons restart; containers do not."""

import time

from tests.cluster import deployment, eventually

OUTAGE = 120.0
"""Seconds."""
CONTAINERS = "docker ps --no-trunc --format '{{.ID}}' --filter label=dev.longboat.container"


def containers(host):
    return sorted(host.ssh(CONTAINERS).split())


def restarts(cluster):
    return sum(pod["status"]["containerStatuses"][0]["restartCount"] for pod in cluster.pods("app=web"))


def started(cluster, name="web", replicas=3):
    cluster.apply(deployment(name, replicas))
    cluster.kubectl("rollout", "status", f"deployment/{name}", "--timeout=90s")


def test_an_agent_killed_restarts_no_container(cluster, lab):
    started(cluster)
    host = lab.host(1)
    before, pods = containers(host), {pod["metadata"]["uid"] for pod in cluster.pods("app=web")}
    assert before
    old = host.ssh("systemctl show -p MainPID --value longboat-agent").strip()
    host.ssh(f"kill -9 {old}")
    eventually(
        lambda: host.ssh("systemctl show -p MainPID --value longboat-agent").strip() not in (old, "0"),
        "systemd starts the agent again",
    )
    cluster.kubectl("annotate", "pods", "--all", "touched=yes")
    eventually(lambda: cluster.node_ready("host1"), "host1 Ready")
    assert containers(host) == before
    assert {pod["metadata"]["uid"] for pod in cluster.pods("app=web")} == pods


def test_a_server_away_for_two_minutes(cluster, lab):
    """Its agents go on: what crashes they restart, at once and then with back-off; all else stays as it is."""
    started(cluster)
    host = lab.host(1)
    before = {number: containers(lab.host(number)) for number in (1, 2, 3)}
    [victim, *others] = before[1]
    crashes = 0
    cluster.stop(kill=True)
    gone = time.monotonic()
    try:
        while crashes == 0 or time.monotonic() - gone < OUTAGE:
            host.ssh(f"docker kill {victim}")
            crashes += 1
            [victim] = eventually(
                lambda known=(victim, *others): (
                    len(containers(host)) == len(before[1])
                    and [found for found in containers(host) if found not in known]
                ),
                "the agent restarts a crashed container by itself",
                timeout=120,
            )
            for number in (2, 3):
                assert containers(lab.host(number)) == before[number]
    finally:
        cluster.start()
    eventually(lambda: len(cluster.ready_pods("app=web")) == 3, "three ready pods again")
    assert containers(host) == sorted([victim, *others])
    for number in (2, 3):
        assert containers(lab.host(number)) == before[number]
    eventually(lambda: restarts(cluster) == crashes, "every restart in the pods' status, and no other")


def test_a_container_removed_behind_the_agents_back(cluster, lab):
    started(cluster)
    host = lab.host(2)
    victim = containers(host)[0]
    host.ssh(f"docker rm -f {victim}")
    eventually(lambda: len(containers(host)) >= 1 and victim not in containers(host), "it comes back")
    eventually(lambda: len(cluster.ready_pods("app=web")) == 3, "three ready pods")


def test_docker_restarted(cluster, lab):
    started(cluster)
    host = lab.host(3)
    host.ssh("systemctl restart docker", timeout=90)
    eventually(lambda: cluster.node_ready("host3"), "host3 Ready", timeout=90)
    eventually(lambda: len(cluster.ready_pods("app=web")) == 3, "three ready pods", timeout=90)
    eventually(lambda: len(containers(host)) >= 1, "containers on host3")
