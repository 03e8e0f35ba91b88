"""Pod ranges of nodes: unique, stable, free again when their node is gone."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.controllers.node_ipam import View, decide
from shared.api.core import Node, NodeSpec
from shared.api.meta import ObjectMeta

CLUSTER = ipaddress.IPv4Network("10.42.0.0/16")


def node(name: str, *ranges: str) -> Node:
    spec = NodeSpec(pod_cidr=ranges[0] if ranges else "", pod_cidrs=ranges)
    return Node(metadata=ObjectMeta(name=name, uid=name), spec=spec)


def assigned(nodes, reserved=None, cluster=CLUSTER, prefix=24):
    return {n.metadata.name: r for n, r in decide(View(tuple(nodes), reserved or {}), cluster, prefix).assign}


@pytest.mark.parametrize(
    ("nodes", "expected"),
    [
        pytest.param([node("a"), node("b")], {"a": "10.42.0.0/24", "b": "10.42.1.0/24"}, id="first-two"),
        pytest.param([node("a", "10.42.0.0/24"), node("b")], {"b": "10.42.1.0/24"}, id="next"),
        pytest.param([node("a", "10.42.1.0/24"), node("b")], {"b": "10.42.0.0/24"}, id="free-again"),
        pytest.param([node("a", "10.42.0.0/22"), node("b")], {"b": "10.42.4.0/24"}, id="larger-range-in-the-way"),
        pytest.param([node("a", "10.42.0.128/25"), node("b")], {"b": "10.42.1.0/24"}, id="smaller-range-in-the-way"),
        pytest.param([node("a", "10.0.0.0/24", "fd00::/64"), node("b")], {"b": "10.42.0.0/24"}, id="foreign-ranges"),
        pytest.param([node("a", "nonsense"), node("b")], {"b": "10.42.0.0/24"}, id="no-range-at-all"),
    ],
)
def test_assignment(nodes, expected):
    assert assigned(nodes) == expected


def test_what_was_given_but_does_not_show_yet_is_not_given_again():
    assert assigned([node("a"), node("b")], {"a": "10.42.0.0/24"}) == {"b": "10.42.1.0/24"}


def test_a_reservation_ends_with_its_node():
    assert assigned([node("b")], {"a": "10.42.0.0/24"}) == {"b": "10.42.0.0/24"}


def test_nodes_beyond_the_last_range_are_told():
    plan = decide(View((node("a"), node("b"), node("c")), {}), ipaddress.IPv4Network("10.42.0.0/23"), 24)
    assert [n.metadata.name for n, _ in plan.assign] == ["a", "b"]
    assert [n.metadata.name for n in plan.unserved] == ["c"]


@given(st.lists(st.tuples(st.integers(0, 30), st.booleans()), max_size=60))
def test_ranges_never_overlap_and_never_change(steps):
    cluster, nodes = ipaddress.IPv4Network("10.0.0.0/20"), {}
    for number, joins in steps:
        name = f"n{number}"
        if joins:
            nodes.setdefault(name, node(name))
        else:
            nodes.pop(name, None)
        before = {n.metadata.name: n.spec.pod_cidr for n in nodes.values() if n.spec.pod_cidr}
        for changed, range_ in decide(View(tuple(nodes.values()), {}), cluster, 24).assign:
            assert changed.metadata.name not in before
            nodes[changed.metadata.name] = node(changed.metadata.name, range_)
        given_ranges = [n.spec.pod_cidr for n in nodes.values() if n.spec.pod_cidr]
        assert len(set(given_ranges)) == len(given_ranges)
        assert all(ipaddress.IPv4Network(r).subnet_of(cluster) for r in given_ranges)
        assert len(given_ranges) == min(len(nodes), 16)
