"""rtnetlink messages as bytes: those that pyroute2 0.9.7 made of the same requests, and messages taken apart again.

The kernel's messages are in the machine's own byte order; what is expected here is a little-endian machine's.
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.network import rtnetlink
from agent.network.messages import Batch
from agent.network.rtnetlink import Address, Link, Route

MAC = "0a:58:0a:00:00:05"
POD, GATEWAY = IPv4Address("10.0.0.5"), IPv4Address("10.0.0.1")
ADDRESSES = st.integers(0, 2**32 - 1).map(IPv4Address)
NAMES = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=15)


@pytest.mark.parametrize(
    ("fill", "expected"),
    [
        pytest.param(
            lambda batch: batch.add_bridge("longboat0", MAC),
            "68000000100005060100000000000000000000000000000000000000000000000e0003006c6f6e67626f6174300000000a000100"
            "0a580a00000500002c0012000b00010062726964676500001c000200080001000000000008000500000000000500170000000000",
            id="bridge",
        ),
        pytest.param(
            lambda batch: batch.add_pair(100, MAC, "lbabcdefghijk", namespace=7, mtu=1400),
            "8c000000100005060100000000000000000000006400000000000000000000000900030065746830000000000800040078050000"
            "0a0001000a580a00000500004c0012000900010076657468000000003c0002003800010000000000000000000000000000000000"
            "120003006c626162636465666768696a6b00000008001c00070000000800040078050000",
            id="veth pair",
        ),
        pytest.param(
            lambda batch: batch.set_port("lbabcdefghijk", "longboat 10.0.0.5 abc", 4),
            "5800000010000500010000000000000000000000000000000100000001000000120003006c626162636465666768696a6b000000"
            "1a0014006c6f6e67626f61742031302e302e302e352061626300000008000a0004000000"
            "5000000010000500020000000000000000000000000000000000000000000000120003006c626162636465666768696a6b000000"
            "1c0012000b00040062726964676500000c0005000500040001000000",
            id="port of the bridge",
        ),
        pytest.param(
            lambda batch: batch.set_up(4, 1400),
            "28000000100005000100000000000000000000000400000001000000010000000800040078050000",
            id="link up",
        ),
        pytest.param(
            lambda batch: batch.add_address(100, POD, 24),
            "280000001400050601000000000000000218000064000000080002000a000005080001000a000005",
            id="address",
        ),
        pytest.param(
            lambda batch: batch.add_default_route(GATEWAY),
            "2400000018000506010000000000000002000000fe03000100000000080005000a000001",
            id="default route",
        ),
    ],
)
def test_a_request_is_the_bytes_that_pyroute2_makes(fill: Callable[[Batch], None], expected: str) -> None:
    batch = Batch()
    fill(batch)
    assert bytes(batch).hex() == expected


@given(index=st.integers(1, 2**31 - 1), name=NAMES, alias=st.text(max_size=80), master=st.integers(0, 2**32 - 1))
def test_a_link_is_read_as_it_was_written(index: int, name: str, alias: str, master: int) -> None:
    alias = alias.replace("\0", "")
    body = rtnetlink.link(
        rtnetlink.text(rtnetlink.IFLA_IFNAME, name),
        rtnetlink.text(rtnetlink.IFLA_IFALIAS, alias),
        rtnetlink.number(rtnetlink.IFLA_MASTER, master),
        rtnetlink.number(rtnetlink.IFLA_MTU, 1400),
        index=index,
    )
    assert rtnetlink.read_link(body) == Link(index, name, alias, master, 1400)


@given(address=ADDRESSES, prefix=st.integers(0, 32), link=st.integers(1, 2**31))
def test_an_address_is_read_as_it_was_written(address: IPv4Address, prefix: int, link: int) -> None:
    assert rtnetlink.read_address(rtnetlink.address(link, address, prefix)) == Address(link, address, prefix)


def test_the_default_route_has_no_target() -> None:
    found = rtnetlink.read_route(rtnetlink.default_route(GATEWAY))
    assert found == Route(IPv4Network("0.0.0.0/0"), rtnetlink.MAIN_TABLE, 0)


def test_what_is_of_another_family_is_left_out() -> None:
    assert rtnetlink.read_address(struct.pack("=BBBBI", 10, 64, 0, 0, 1)) is None
    assert rtnetlink.read_route(struct.pack("=BBBBBBBBI", 10, 0, 0, 0, 254, 3, 0, 1, 0)) is None


@given(bodies=st.lists(st.binary(max_size=20), max_size=5))
def test_messages_come_apart_as_they_were_put_together(bodies: list[bytes]) -> None:
    parts = [rtnetlink.message(16, 5, number, body) for number, body in enumerate(bodies)]
    received = b"".join(part + bytes(-len(part) % 4) for part in parts)
    assert list(rtnetlink.messages(received)) == [(16, 5, number, body) for number, body in enumerate(bodies)]


@given(st.binary(max_size=100))
def test_nonsense_is_read_to_its_end(received: bytes) -> None:
    assert len(list(rtnetlink.messages(received))) <= len(received) // rtnetlink.HEADER.size
    rtnetlink.read_link(bytes(16) + received)


@pytest.mark.parametrize(
    ("body", "expected"), [(b"", 0), (bytes(4), 0), (struct.pack("=i", -errno.EEXIST) + bytes(16), errno.EEXIST)]
)
def test_the_error_in_an_answer(body: bytes, expected: int) -> None:
    assert rtnetlink.code(body) == expected
