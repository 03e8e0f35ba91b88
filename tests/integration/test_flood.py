"""Ordinary users flood a server process: heartbeats of nodes and calls of the administrator are answered meanwhile."""

import threading
import time

import pytest

from shared import pki, tls
from shared.cluster_pki import load_cluster_ca
from tests.cluster import Cluster, eventually
from tests.raw import Line, config_map

FLOODERS = 24
SECONDS = 5.0
SOON = 4.0
"""A node is lost after so many seconds without a heartbeat."""

LIST = "/api/v1/namespaces/default/configmaps"


@pytest.fixture
def cluster(tmp_path):
    cluster = Cluster(tmp_path, options=("--max-requests-inflight", "2"))
    cluster.start()
    eventually(lambda: cluster.get("clusterrole", "view").get("rules"), "the default roles")
    cluster.kubectl("create", "clusterrolebinding", "flood", "--clusterrole=view", "--group=flooders")
    cluster.apply(*(config_map(f"big{number}", data={"k": "x" * 2000}) for number in range(300)))
    yield cluster
    cluster.stop()


def line_of(cluster, user, group):
    ca = load_cluster_ca(cluster.directory / "data")
    return Line(cluster, tls.client_context(ca.pem, pki.client_certificate(ca, user, [group])))


def test_heartbeats_and_administrators_are_answered_in_a_flood(cluster):
    over = threading.Event()
    answers = []

    def flood(number):
        with line_of(cluster, f"user{number % 3}", "flooders") as line:
            while not over.is_set():
                answers.append(line.ask("GET", LIST).code)

    flooders = [threading.Thread(target=flood, args=(number,)) for number in range(FLOODERS)]
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1"}}
    with line_of(cluster, "system:node:n1", "system:nodes") as agent, Line(cluster) as admin:
        assert agent.ask("POST", "/api/v1/nodes", node).code == 201
        for thread in flooders:
            thread.start()
        try:
            eventually(lambda: len(answers) > FLOODERS, "the flood is on")
            waits, until = [], time.monotonic() + SECONDS
            while time.monotonic() < until:
                for line, method, path, body in (
                    (agent, "POST", "/apis/longboat.dev/v1/nodes/n1/heartbeat", {}),
                    (admin, "GET", "/api/v1/namespaces/default/pods", None),
                    (admin, "POST", LIST, config_map(f"made{len(waits)}")),
                ):
                    began = time.monotonic()
                    assert line.ask(method, path, body).code in (200, 201)
                    waits.append(time.monotonic() - began)
        finally:
            over.set()
            for thread in flooders:
                thread.join(60)
    assert max(waits) < SOON, waits
    assert set(answers) <= {200, 429}
    assert answers.count(200) > FLOODERS, "they get their turn too"
