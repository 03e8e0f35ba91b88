"""The pod network in a network namespace of its own: real bridge, veth pairs, nftables and iptables."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator

import pytest

from agent.network.base import NetworkFailure, PortMapping
from agent.network.bridge import BridgeNetwork
from agent.network.plan import veth_name
from agent.network.teardown import teardown
from agent.runtime.base import PodIdentity

POD = PodIdentity("uid-1", "default", "web")
CIDR = "10.77.3.0/24"

SERVER = """
import socket, threading
def tcp(port):
    s = socket.socket(); s.setsockopt(1, 2, 1); s.bind(("0.0.0.0", port)); s.listen(16)
    print("ready", flush=True)
    while True:
        c, peer = s.accept(); c.sendall(f"{NAME} {peer[0]}".encode()); c.close()
def udp(port):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(("0.0.0.0", port))
    while True:
        _, peer = s.recvfrom(100); s.sendto(f"{NAME} {peer[0]}".encode(), peer)
threading.Thread(target=udp, args=(53,), daemon=True).start()
tcp(8080)
"""
CLIENT = """
import socket, sys
kind, host, port = sys.argv[1:]
s = socket.socket(socket.AF_INET, socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM); s.settimeout(3)
s.connect((host, int(port))); s.send(b"x") if kind == "udp" else None
print(s.recv(100).decode())
"""


class FakePod:
    """A process in a network namespace of its own that answers with its name and who asks: a pod without Docker."""

    def __init__(self, name: str) -> None:
        self.sandbox_id = (name.encode().hex() * 20)[:64]
        code = f"NAME = {name!r}\n{SERVER}"
        self.process = subprocess.Popen(
            ["unshare", "-n", sys.executable, "-c", code], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == b"ready\n"
        self.pid = self.process.pid

    def end(self) -> None:
        self.process.kill()
        self.process.wait(10)
        if self.process.stdout is not None:
            self.process.stdout.close()

    def ask(self, kind: str, host: str, port: int) -> str:
        return ask(kind, host, port, f"/proc/{self.pid}/ns/net")

    def ip(self, *arguments: str) -> str:
        return subprocess.run(
            ["nsenter", f"--net=/proc/{self.pid}/ns/net", "ip", *arguments], capture_output=True, text=True, check=True
        ).stdout


def ask(kind: str, host: str, port: int, namespace: str) -> str:
    done = subprocess.run(
        ["nsenter", f"--net={namespace}", sys.executable, "-c", CLIENT, kind, host, str(port)],
        capture_output=True, text=True, timeout=20,
    )  # fmt: skip
    return done.stdout.strip() or done.stderr.strip().splitlines()[-1]


@pytest.fixture
def fake_pod() -> Iterator[Callable[[str], FakePod]]:
    pods: list[FakePod] = []

    def make(name: str) -> FakePod:
        pods.append(FakePod(name))
        return pods[-1]

    yield make
    for pod in pods:
        pod.end()


@pytest.fixture
async def network(host_namespace) -> AsyncIterator[BridgeNetwork]:
    made = BridgeNetwork()
    await made.setup(CIDR)
    yield made
    await made.close()


async def test_attached_pod_has_address_route_and_the_hosts_mtu(network, fake_pod):
    one = fake_pod("one")
    address = await network.attach(POD, one.sandbox_id, one.pid)
    assert address == "10.77.3.2"
    shown = one.ip("addr", "show", "eth0")
    assert "10.77.3.2/24" in shown
    assert "mtu 1400" in shown
    assert "state UP" in shown
    assert "default via 10.77.3.1 dev eth0" in one.ip("route")
    assert "UP" in one.ip("link", "show", "lo")


async def test_attach_again_is_the_same_address(network, fake_pod):
    one = fake_pod("one")
    first = await network.attach(None, one.sandbox_id, one.pid)
    assert await network.attach(POD, one.sandbox_id, one.pid) == first


async def test_pods_reach_each_other_directly_and_the_world_as_the_host(network, fake_pod, host_namespace):
    one, two = fake_pod("one"), fake_pod("two")
    first = await network.attach(POD, one.sandbox_id, one.pid)
    second = await network.attach(POD, two.sandbox_id, two.pid)
    assert one.ask("tcp", second, 8080) == f"two {first}"
    assert two.ask("udp", first, 53) == f"one {second}"
    server = subprocess.Popen(
        ["nsenter", f"--net=/run/netns/{host_namespace.outside}", sys.executable, "-c", f"NAME='out'\n{SERVER}"],
        stdout=subprocess.PIPE,
    )
    try:
        assert server.stdout is not None
        server.stdout.readline()
        assert one.ask("tcp", host_namespace.outside_address, 8080) == f"out {host_namespace.address}"
    finally:
        server.kill()
        server.communicate()


async def test_host_port_from_outside_from_the_host_and_from_pods(network, fake_pod, host_namespace):
    one, two = fake_pod("one"), fake_pod("two")
    address = await network.attach(POD, one.sandbox_id, one.pid)
    await network.attach(POD, two.sandbox_id, two.pid)
    await network.publish(POD, address, [PortMapping(80, 8080), PortMapping(5353, 53, "UDP")])
    host, outside = f"/run/netns/{host_namespace.name}", f"/run/netns/{host_namespace.outside}"
    node = host_namespace.address
    assert ask("tcp", node, 80, outside) == f"one {host_namespace.outside_address}", "the client's address is kept"
    assert ask("udp", node, 5353, outside) == f"one {host_namespace.outside_address}"
    assert ask("tcp", node, 80, host).startswith("one ")
    assert ask("tcp", "127.0.0.1", 80, host).startswith("one ")
    assert two.ask("tcp", node, 80).startswith("one ")
    assert one.ask("tcp", node, 80).startswith("one "), "a pod reaches its own host port"
    await network.publish(POD, address, [])
    assert "refused" in ask("tcp", node, 80, outside)


async def test_host_port_on_one_address_of_the_host(network, fake_pod, host_namespace):
    one = fake_pod("one")
    address = await network.attach(POD, one.sandbox_id, one.pid)
    await network.publish(POD, address, [PortMapping(80, 8080, host_ip="127.0.0.1")])
    assert ask("tcp", "127.0.0.1", 80, f"/run/netns/{host_namespace.name}").startswith("one ")
    assert "refused" in ask("tcp", host_namespace.address, 80, f"/run/netns/{host_namespace.outside}")


async def test_pods_cannot_reach_what_listens_on_the_hosts_loopback(network, fake_pod, host_namespace):
    one = fake_pod("one")
    await network.attach(POD, one.sandbox_id, one.pid)
    one.ip("addr", "del", "127.0.0.1/8", "dev", "lo")
    one.ip("route", "add", "127.0.0.0/8", "via", "10.77.3.1")
    inside = ["nsenter", f"--net=/proc/{one.pid}/ns/net"]
    for device in ("all", "eth0"):
        subprocess.run([*inside, "sysctl", "-qw", f"net.ipv4.conf.{device}.route_localnet=1"], check=True)
    server = subprocess.Popen([sys.executable, "-c", f"NAME='host'\n{SERVER}"], stdout=subprocess.PIPE)
    try:
        assert server.stdout is not None
        server.stdout.readline()
        assert "timed out" in one.ask("tcp", "127.0.0.1", 8080)
        host_namespace.run("nft", "flush", "chain", "ip", "longboat", "guard")
        assert one.ask("tcp", "127.0.0.1", 8080).startswith("host "), "without the guard it is open"
    finally:
        server.kill()
        server.communicate()


async def test_forwarding_survives_dockers_policy(host_namespace, fake_pod):
    for command in ("iptables -P FORWARD DROP", "iptables -N DOCKER-USER", "iptables -A FORWARD -j DOCKER-USER"):
        host_namespace.run(*command.split())
    network = BridgeNetwork()
    await network.setup(CIDR)
    await network.setup(CIDR)
    one, two = fake_pod("one"), fake_pod("two")
    first = await network.attach(POD, one.sandbox_id, one.pid)
    await network.attach(POD, two.sandbox_id, two.pid)
    await network.publish(POD, first, [PortMapping(80, 8080)])
    assert two.ask("tcp", first, 8080).startswith("one ")
    assert ask("tcp", host_namespace.address, 80, f"/run/netns/{host_namespace.outside}").startswith("one ")
    assert host_namespace.run("iptables", "-S", "DOCKER-USER").count("longboat0") == 2, "setup twice adds once"
    host_namespace.run("iptables", "-F", "DOCKER-USER")
    await network.reconcile()
    assert host_namespace.run("iptables", "-S", "DOCKER-USER").count("longboat0") == 2
    await network.teardown()
    assert "longboat0" not in host_namespace.run("iptables", "-S")
    await network.close()


async def test_restarted_agent_adopts_addresses_and_host_ports_and_removes_the_rest(network, fake_pod, host_namespace):
    one, two, gone = fake_pod("one"), fake_pod("two"), fake_pod("gone")
    first = await network.attach(POD, one.sandbox_id, one.pid)
    second = await network.attach(None, two.sandbox_id, two.pid)
    third = await network.attach(PodIdentity("uid-3", "default", "gone"), gone.sandbox_id, gone.pid)
    await network.publish(POD, first, [PortMapping(80, 8080)])
    await network.publish(PodIdentity("uid-3", "default", "gone"), third, [PortMapping(81, 8080)])

    again = BridgeNetwork()
    await again.setup(CIDR)
    outside = f"/run/netns/{host_namespace.outside}"
    assert ask("tcp", host_namespace.address, 80, outside).startswith("one "), "setup leaves host ports alone"
    adopted = await again.adopt([(POD, one.sandbox_id, one.pid), (None, two.sandbox_id, two.pid)])
    assert adopted == {one.sandbox_id: first, two.sandbox_id: second}
    assert ask("tcp", host_namespace.address, 80, outside).startswith("one ")
    assert "refused" in ask("tcp", host_namespace.address, 81, outside)
    assert veth_name(gone.sandbox_id) not in host_namespace.run("ip", "link")
    new = fake_pod("new")
    assert await again.attach(POD, new.sandbox_id, new.pid) not in (first, second)
    await again.publish(POD, first, [PortMapping(80, 8080)])
    await again.close()


async def test_detach_takes_back_link_address_and_ports(network, fake_pod, host_namespace):
    one = fake_pod("one")
    first = await network.attach(POD, one.sandbox_id, one.pid)
    await network.publish(POD, first, [PortMapping(80, 8080)])
    await network.detach(POD, one.sandbox_id)
    await network.detach(POD, one.sandbox_id)
    assert veth_name(one.sandbox_id) not in host_namespace.run("ip", "link")
    assert "refused" in ask("tcp", host_namespace.address, 80, f"/run/netns/{host_namespace.outside}")
    assert await network.attach(POD, one.sandbox_id, one.pid) != first, "a freed address is not used again at once"


async def test_half_made_pair_of_a_killed_agent_is_replaced(network, fake_pod, host_namespace):
    one = fake_pod("one")
    host_namespace.run("ip", "link", "add", veth_name(one.sandbox_id), "type", "veth", "peer", "name", "stray")
    await network.attach(POD, one.sandbox_id, one.pid)
    assert "10.77.3.2/24" in one.ip("addr", "show", "eth0")


async def test_reconcile_mends_bridge_pairs_and_rules(network, fake_pod, host_namespace):
    one, two = fake_pod("one"), fake_pod("two")
    first = await network.attach(POD, one.sandbox_id, one.pid)
    await network.attach(POD, two.sandbox_id, two.pid)
    await network.publish(POD, first, [PortMapping(80, 8080)])
    host_namespace.run("nft", "flush", "ruleset")
    host_namespace.run("ip", "link", "del", "longboat0")
    host_namespace.run("ip", "link", "del", veth_name(two.sandbox_id))
    await network.reconcile()
    assert two.ask("tcp", first, 8080).startswith("one ")
    assert ask("tcp", host_namespace.address, 80, f"/run/netns/{host_namespace.outside}").startswith("one ")


async def test_publish_works_although_somebody_removed_our_table(network, fake_pod, host_namespace):
    one = fake_pod("one")
    first = await network.attach(POD, one.sandbox_id, one.pid)
    host_namespace.run("nft", "delete", "table", "ip", "longboat")
    await network.publish(POD, first, [PortMapping(80, 8080)])
    assert ask("tcp", host_namespace.address, 80, f"/run/netns/{host_namespace.outside}").startswith("one ")


async def test_teardown_leaves_nothing(network, fake_pod, host_namespace):
    one = fake_pod("one")
    await network.attach(POD, one.sandbox_id, one.pid)
    await teardown()
    await teardown()
    links = host_namespace.run("ip", "link")
    assert "longboat0" not in links
    assert "@if" not in links.replace("up0@if", "")
    assert "longboat" not in host_namespace.run("nft", "list", "ruleset")
    await network.teardown()
    with pytest.raises(NetworkFailure, match="not set up"):
        await network.attach(POD, one.sandbox_id, one.pid)


async def test_host_network_process_is_refused(network):
    with pytest.raises(NetworkFailure, match="the host's own network"):
        await network.attach(POD, "a" * 64, os.getpid())


async def test_ended_sandbox_is_refused_and_its_address_is_free(network, fake_pod):
    one = fake_pod("one")
    one.end()
    with pytest.raises(NetworkFailure, match="has ended"):
        await network.attach(POD, one.sandbox_id, one.pid)
    two = fake_pod("two")
    await network.attach(POD, two.sandbox_id, two.pid)


@pytest.mark.parametrize(
    ("cidr", "message"),
    [("10.77.3.0/31", "no room"), ("fd00::/64", "not an IPv4 range"), ("192.0.2.0/24", "choose another"),
     ("192.0.0.0/16", "choose another"), ("10.0.0.1/24", "host bits")],
)  # fmt: skip
async def test_unusable_pod_cidr_is_refused_with_the_reason(host_namespace, cidr, message):
    network = BridgeNetwork()
    with pytest.raises(NetworkFailure, match=message):
        await network.setup(cidr)
    await network.close()
