"""Agents, servers and Docker daemons restart; containers do not."""

import time

import pytest

from tests.cluster import deployment, eventually

OUTAGE = 120.0
"""Seconds."""
CRASHES = 3
"""In the outage: restarted at once, after 10 s and after 20 s more, by Kubernetes' back-off."""
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


@pytest.mark.timeout(400)
def test_a_server_away_for_two_minutes(cluster, lab):
    """Its agents go on: what crashes they restart, at once and then with back-off; all else stays as it is."""
    started(cluster)
    host = lab.host(1)
    before = {number: containers(lab.host(number)) for number in (1, 2, 3)}
    [victim, *others] = before[1]
    cluster.stop(kill=True)
    gone = time.monotonic()
    try:
        for _ in range(CRASHES):
            host.ssh(f"docker kill {victim}")
            [victim] = eventually(
                lambda known=(victim, *others): (
                    len(containers(host)) == len(before[1])
                    and [found for found in containers(host) if found not in known]
                ),
                "the agent restarts a crashed container by itself",
                timeout=90,
            )
        before[1] = sorted([victim, *others])
        while time.monotonic() - gone < OUTAGE:
            assert {number: containers(lab.host(number)) for number in before} == before
    finally:
        cluster.start()
    eventually(lambda: len(cluster.ready_pods("app=web")) == 3, "three ready pods again")
    eventually(lambda: restarts(cluster) == CRASHES, "every restart in the pods' status, and no other")
    assert {number: containers(lab.host(number)) for number in before} == before


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
