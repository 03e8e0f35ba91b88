"""kubectl port-forward to real containers, in each of its transports, and what becomes of it when somebody goes."""

import re
import socket
import subprocess
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from kubernetes import client as kubernetes
from kubernetes import config
from kubernetes.stream import portforward

from tests.cluster import eventually

SERVERS = """
cd /tmp; echo hello > index.html; dd if=/dev/urandom of=large bs=1M count=20 2>/dev/null
printf '#!/bin/sh\necho bye\n' > bye; chmod +x bye
httpd -p 127.0.0.1:8080 -h /tmp; nc -ll -p 7 -e cat & nc -ll -p 9 -e /tmp/bye & wait
"""


@pytest.fixture(scope="module")
def host(old_kubectl, docker_cluster):
    docker_cluster.run_pod(
        "web", {"command": ["sh", "-c", SERVERS], "ports": [{"containerPort": 8080, "name": "http"}]}
    )
    answers = (
        "exec",
        "web",
        "--",
        "sh",
        "-c",
        "wget -q -O- 127.0.0.1:8080 && nc 127.0.0.1 9 && echo x | nc 127.0.0.1 7",
    )
    eventually(lambda: docker_cluster.run(*answers).returncode == 0, "the servers of the pod listen", 30)
    return docker_cluster


@pytest.fixture(params=["websocket", "spdy"])
def kubectl(request, old_kubectl):
    """The kubectl of today, and one of 2021, which knows SPDY only."""
    return "kubectl" if request.param == "websocket" else old_kubectl


@contextmanager
def forwarded(host, *ports, program="kubectl", target="pod/web"):
    """The local ports, and the process."""
    command = host.kubectl("port-forward", target, *(f":{port}" for port in ports), program=program)
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=host.environ)
    try:
        found = []
        while len(found) < len(ports):
            line = process.stdout.readline().decode()
            assert line, process.stderr.read()
            if match := re.search(r"127\.0\.0\.1:(\d+) ->", line):
                found.append(int(match[1]))
        yield found, process
    finally:
        process.kill()
        process.communicate(timeout=10)


def connected(port):
    return socket.create_connection(("127.0.0.1", port), 30)


def read(port, path="index.html"):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/{path}", timeout=30) as answer:
        return answer.read()


def test_ports_are_reached(host, kubectl):
    with forwarded(host, 8080, 7, program=kubectl) as ((web, echo), _):
        assert read(web) == b"hello\n"
        with connected(echo) as talk:
            for word in (b"one\n", b"two\n"):
                talk.sendall(word)
                assert talk.recv(100) == word
            talk.shutdown(socket.SHUT_WR)
            assert talk.recv(100) == b""


def test_a_server_that_ends_first_ends_the_connection(host, kubectl):
    with forwarded(host, 9, program=kubectl) as ((port,), _), connected(port) as talk:
        assert talk.makefile("rb").read() == b"bye\n"


def test_large_answers_and_many_at_once(host, kubectl):
    with forwarded(host, 8080, program=kubectl) as ((port,), _), ThreadPoolExecutor(20) as pool:
        sizes = list(pool.map(lambda number: len(read(port, "large" if number == 0 else "")), range(20)))
    assert sizes[0] == 20 << 20
    assert sizes[1:] == [6] * 19
    host.expect_no_streams(20)


def test_a_port_where_nobody_listens(host, kubectl):
    with forwarded(host, 81, program=kubectl) as ((port,), process):
        with connected(port) as talk:
            assert talk.recv(100) == b""
        said = process.stderr.readline().decode()
        assert re.search(r"error forwarding port 81 to pod web, uid .*connection refused", said)


def test_services_and_names_of_ports(host):
    host.cluster.kubectl("expose", "pod", "web", "--port=80", "--target-port=http", "--selector=app=web")
    host.cluster.kubectl("label", "pod", "web", "app=web")
    with forwarded(host, 80, target="service/web") as ((port,), _):
        assert read(port) == b"hello\n"


def test_clients_that_are_killed_leave_nothing(host, kubectl):
    with forwarded(host, 7, program=kubectl) as ((port,), process), connected(port) as talk:
        talk.sendall(b"here\n")
        assert talk.recv(100) == b"here\n"
        process.kill()
    host.expect_no_streams(40)


def test_the_python_client(host):
    config.load_kube_config(str(host.cluster.kubeconfig))
    api = kubernetes.CoreV1Api()
    talk = portforward(api.connect_get_namespaced_pod_portforward, "web", "default", ports="7,81")
    echo = talk.socket(7)
    echo.setblocking(True)
    echo.sendall(b"hello")
    assert echo.recv(100) == b"hello"
    assert talk.error(7) is None
    eventually(lambda: talk.error(81), "the refused connection is told", 20)
    assert "error forwarding port 81 to pod web" in talk.error(81)
    echo.close()
    host.expect_no_streams(40)


REFUSED = {
    "no such pod": ("nobody/portforward?ports=1", {}, 'pods "nobody" not found'),
    "no upgrade": ("web/portforward?ports=1", {}, "Upgrade request required"),
}


@pytest.mark.parametrize(("path", "headers", "message"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_forwarded(host, path, headers, message):
    done = host.run("get", "--raw", f"/api/v1/namespaces/default/pods/{path}")
    assert done.returncode == 1
    assert message in done.stderr.decode()


def test_the_agent_goes_and_comes_back(host):
    """A forwarded connection ends with its agent; ports are forwarded once there is an agent again."""
    with forwarded(host, 7) as ((port,), _), connected(port) as talk:
        talk.sendall(b"here\n")
        assert talk.recv(100) == b"here\n"
        host.stop_agent(kill=True)
        assert talk.recv(100) == b""
    host.start_agent()
    eventually(lambda: host.run("exec", "web", "--", "true").returncode == 0, "the agent is back", 40)
    with forwarded(host, 8080) as ((port,), _):
        assert read(port) == b"hello\n"
