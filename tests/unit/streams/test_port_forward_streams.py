"""What the headers of a port-forward's streams mean, and which ports a query names."""

import pytest

from controlplane.apiserver.streams.port_forward_channels import parse_ports
from controlplane.apiserver.streams.port_forward_spdy import OddStream, read_headers
from shared.api.errors import BadRequest


@pytest.mark.parametrize(
    ("headers", "stream", "expected"),
    [
        ({"streamtype": ["error"], "port": ["80"], "requestid": ["4"]}, 1, ("error", 80, "4")),
        ({"streamtype": ["data"], "port": ["65535"], "requestid": ["4"]}, 3, ("data", 65535, "4")),
        ({"streamtype": ["error"], "port": ["80"]}, 5, ("error", 80, "5")),
        ({"streamtype": ["data"], "port": ["80"]}, 7, ("data", 80, "5")),
    ],
    ids=["error", "data", "an old client's error stream", "and its data stream"],
)
def test_headers(headers: dict[str, list[str]], stream: int, expected: tuple[str, int, str]) -> None:
    assert read_headers(headers, stream) == expected


@pytest.mark.parametrize(
    ("headers", "message"),
    [
        ({"streamtype": ["data"]}, '"port" header is required'),
        ({"streamtype": ["data"], "port": ["http"]}, 'unable to parse "http" as a port'),
        ({"streamtype": ["data"], "port": ["65536"]}, 'unable to parse "65536" as a port'),
        ({"streamtype": ["data"], "port": ["0"]}, 'port "0" must be > 0'),
        ({"port": ["80"]}, '"streamType" header is required'),
        ({"streamtype": ["both"], "port": ["80"]}, 'invalid stream type "both"'),
    ],
)
def test_odd_headers(headers: dict[str, list[str]], message: str) -> None:
    with pytest.raises(OddStream, match=message):
        read_headers(headers, 1)


@pytest.mark.parametrize(
    ("values", "expected"), [(["80"], [80]), (["80,81", "1"], [80, 81, 1])], ids=["one", "several ways"]
)
def test_ports(values: list[str], expected: list[int]) -> None:
    assert parse_ports(values) == expected


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([], 'query parameter "ports" is required'),
        ([""], 'unable to parse "" as a port'),
        (["80,x"], 'unable to parse "x" as a port'),
        (["70000"], 'unable to parse "70000" as a port'),
        ([",".join(["1"] * 101)], "names 101 ports; 100 are the most"),
    ],
)
def test_odd_ports(values: list[str], message: str) -> None:
    with pytest.raises(BadRequest, match=message):
        parse_ports(values)
