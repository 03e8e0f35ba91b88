"""Addresses, names, adoption and rules of the pod network, without touching the host."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from agent.network import plan, rules
from agent.network.addresses import AddressPool
from agent.network.base import NetworkFailure
from agent.network.plan import HostLink
from agent.network.rules import HostPort, Target


class Addresses(RuleBasedStateMachine):
    """No two sandboxes ever share an address, and none gets the network's, the gateway's or the broadcast one."""

    def __init__(self) -> None:
        super().__init__()
        self.pool = AddressPool("10.0.0.0/28")
        self.expected: dict[str, IPv4Address] = {}

    @rule(sandbox=st.integers(0, 20).map(str))
    def take(self, sandbox: str) -> None:
        try:
            self.expected[sandbox] = self.pool.take(sandbox)
        except NetworkFailure:
            assert len(self.expected) == 13

    @rule(sandbox=st.integers(0, 20).map(str), host=st.integers(0, 17))
    def keep(self, sandbox: str, host: int) -> None:
        address = IPv4Address("10.0.0.0") + host
        if self.pool.keep(sandbox, address):
            self.expected[sandbox] = address

    @rule(sandbox=st.integers(0, 20).map(str))
    def release(self, sandbox: str) -> None:
        assert self.pool.release(sandbox) == self.expected.pop(sandbox, None)

    @invariant()
    def addresses_are_right(self) -> None:
        assert len(set(self.expected.values())) == len(self.expected) == len(self.pool)
        assert all(2 <= int(address) - int(IPv4Address("10.0.0.0")) <= 14 for address in self.expected.values())
        assert all(self.pool.get(sandbox) == address for sandbox, address in self.expected.items())


TestAddresses = Addresses.TestCase


def test_freed_address_comes_last():
    pool = AddressPool("10.0.0.0/29")
    first = pool.take("a")
    pool.release("a")
    assert [pool.take(name) for name in "bcdef"][-1] == first
    with pytest.raises(NetworkFailure, match=r"all 5 addresses of pod CIDR 10.0.0.0/29"):
        pool.take("g")


def test_mac_follows_from_the_address():
    assert plan.mac_of(IPv4Address("10.42.0.255")) == "0a:58:0a:2a:00:ff"


@given(st.integers(0, 2**32 - 1).map(IPv4Address), st.text("0123456789abcdef", min_size=64, max_size=64))
def test_alias_is_read_back(address, sandbox):
    assert plan.read_alias(plan.alias(address, sandbox)) == (address, sandbox)
    assert len(plan.veth_name(sandbox)) == 13


@pytest.mark.parametrize("text", [None, "", "eth0 uplink", "longboat 10.0.0.1", "longboat x y", "other 10.0.0.1 a"])
def test_other_alias_is_not_ours(text):
    assert plan.read_alias(text) is None


A, B = "a" * 64, "b" * 64


def link(sandbox: str, address: str = "10.0.0.2", bridge: str = "longboat0", **changes: str) -> HostLink:
    values = {"name": plan.veth_name(sandbox), "alias": plan.alias(IPv4Address(address), sandbox), "bridge": bridge}
    return HostLink(**(values | changes))


@pytest.mark.parametrize(
    ("found", "kept", "removed"),
    [
        (link(A), [A], []),
        (link(B), [], [B]),
        (link(A, alias=""), [], [A]),
        (link(A, bridge=""), [], [A]),
        (link(A, name="lbother"), [], ["lbother"]),
        (HostLink("eth0"), [], []),
        (HostLink("veth1", "", "docker0"), [], []),
        (HostLink("lb0", "load balancer", ""), [], []),
        (HostLink("tap0", "", "longboat0"), [], []),
    ],
    ids=["ours", "of a gone sandbox", "no alias yet", "left the bridge", "renamed", "host's own", "docker's",
         "somebody's lb0", "somebody's in our bridge"],
)  # fmt: skip
def test_adoption(found, kept, removed):
    adoption = plan.adopt([found], "longboat0", [A])
    assert list(adoption.addresses) == kept
    names = [plan.veth_name(one) if len(one) == 64 else one for one in removed]
    assert list(adoption.remove) == names


def test_base_rules_keep_the_maps_and_name_bridge_and_range():
    text = rules.base_rules("longboat", "longboat0", IPv4Network("10.42.3.0/24"))
    assert "flush chain ip longboat postrouting" in text
    assert "flush map" not in text
    assert "delete" not in text
    assert 'ip saddr 10.42.3.0/24 oifname != "longboat0" masquerade' in text


PORT = st.builds(HostPort, st.sampled_from([rules.ANY_ADDRESS, "192.0.2.1"]), st.sampled_from(rules.PROTOCOLS),
                 st.integers(1, 4))  # fmt: skip
PORTS = st.dictionaries(PORT, st.builds(Target, st.sampled_from(["10.0.0.2", "10.0.0.3"]), st.integers(80, 81)))


@given(PORTS, PORTS)
def test_change_turns_actual_into_desired(actual, desired):
    state = {rules._element("add", "t", port, target)[4:].rpartition(" : ")[0] for port, target in actual.items()}
    seen = dict.fromkeys(state)
    for line in rules.change_ports("t", actual, desired).splitlines():
        verb, _, rest = line.partition(" ")
        key = rest.rpartition(" : ")[0] if verb == "add" else rest.removesuffix(" }")
        if verb == "add":
            assert key not in seen, "nft refuses an element that is there with another value"
            seen[key] = None
        else:
            del seen[key]
    wanted = {rules._element("add", "t", port, target)[4:].rpartition(" : ")[0] for port, target in desired.items()}
    assert set(seen) == wanted
    assert rules.change_ports("t", desired, desired) == ""


def test_ports_are_read_from_nfts_listing():
    listing = {
        "nftables": [
            {"metainfo": {"version": "1.0.6"}},
            {"map": {"name": "hostports", "elem": [[{"concat": ["tcp", 80]}, {"concat": ["10.0.0.2", 8080]}]]}},
            {"map": {"name": "hostports_at", "elem": [
                [{"elem": {"val": {"concat": ["192.0.2.1", "udp", 53]}}}, {"concat": ["10.0.0.3", 53]}], ["odd", 1]]}},
            {"map": {"name": "other", "elem": [[{"concat": ["tcp", 81]}, {"concat": ["10.0.0.2", 8080]}]]}},
            {"map": {"name": "hostports"}},
        ]
    }  # fmt: skip
    assert rules.read_ports(listing) == {
        HostPort(rules.ANY_ADDRESS, "tcp", 80): Target("10.0.0.2", 8080),
        HostPort("192.0.2.1", "udp", 53): Target("10.0.0.3", 53),
    }
