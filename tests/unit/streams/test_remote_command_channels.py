"""What a client's messages mean, and what its query asks for."""

from __future__ import annotations

import json
from typing import Any

import pytest
from multidict import MultiDict

from controlplane.apiserver.streams.channels import SPDY, WEBSOCKET, Channels, encode_status, negotiate
from controlplane.apiserver.streams.command_options import CommandQuery, asked_upgrade, parse_query
from shared.api.errors import BadRequest
from shared.remote_command import CLOSE, RESIZE, STDIN, STDOUT, SUCCESS, exit_status

FAILED = exit_status(3)


@pytest.mark.parametrize("name", WEBSOCKET)
@pytest.mark.parametrize(("channel", "data"), [(STDIN, b""), (STDOUT, b"\x00\xff text"), (RESIZE, b"{}")])
def test_messages_come_back(name: str, channel: int, data: bytes) -> None:
    channels = WEBSOCKET[name]
    assert channels.decode(channels.encode(channel, data)) == (channel, data)


@pytest.mark.parametrize(
    ("name", "message", "expected"),
    [
        ("v5.channel.k8s.io", b"\xff\x00", (CLOSE, b"\x00")),
        ("v4.channel.k8s.io", b"\xff\x00", None),
        ("v4.channel.k8s.io", b"", None),
        ("v4.channel.k8s.io", "\x00typed", (STDIN, b"typed")),
        ("v4.base64.channel.k8s.io", "0aGk=", (STDIN, b"hi")),
        ("v4.base64.channel.k8s.io", "0not base64", None),
    ],
    ids=["a closed channel", "which version 4 has not", "nothing", "text", "Base64", "broken Base64"],
)
def test_odd_messages(name: str, message: bytes | str, expected: Any) -> None:
    assert WEBSOCKET[name].decode(message) == expected


@pytest.mark.parametrize(
    ("version", "status", "said"),
    [
        (1, SUCCESS, b""),
        (1, exit_status(3), exit_status(3)["message"].encode()),
        (4, SUCCESS, None),
        (5, SUCCESS, None),
    ],
)
def test_how_a_command_ended(version: int, status: Any, said: bytes | None) -> None:
    data = encode_status(version, status)
    assert data == said if said is not None else json.loads(data) == status


def test_the_exit_code_is_where_clients_look_for_it() -> None:
    status = exit_status(7)
    assert status["reason"] == "NonZeroExitCode"
    assert status["details"]["causes"] == [{"reason": "ExitCode", "message": "7"}]


@pytest.mark.parametrize(
    ("asked", "known", "expected"),
    [
        (["v5.channel.k8s.io, v4.channel.k8s.io"], WEBSOCKET, "v5.channel.k8s.io"),
        (["v9.channel.k8s.io", "v4.channel.k8s.io"], SPDY, "v4.channel.k8s.io"),
        ([], SPDY, ""),
    ],
)
def test_the_first_protocol_that_both_know(asked: list[str], known: Any, expected: str) -> None:
    assert negotiate(asked, list(known), "protocols") == expected


def test_no_protocol_in_common() -> None:
    with pytest.raises(BadRequest, match=r"none of the protocols \['v9'\] is known; use one of"):
        negotiate(["v9"], list(SPDY), "protocols")


def test_a_client_without_a_protocol_speaks_the_first() -> None:
    assert WEBSOCKET["channel.k8s.io"] == Channels(1)


ARGS = ("sh", "-c", "exit 1")
COMMAND = [("command", each) for each in ARGS]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ([("stdout", "true")], CommandQuery("", ARGS, False, True, False, False)),
        ([("stdin", "1"), ("container", "c")], CommandQuery("c", ARGS, True, False, False, False)),
        ([("stdout", ""), ("stderr", "true"), ("tty", "true")], CommandQuery("", ARGS, False, True, False, True)),
        ([("stdout", "true"), ("stdin", "0"), ("stderr", "False")], CommandQuery("", ARGS, False, True, False, False)),
    ],
    ids=["output", "a container and stdin", "a terminal has no stderr", "false in several ways"],
)
def test_queries(query: list[tuple[str, str]], expected: CommandQuery) -> None:
    assert parse_query(MultiDict(COMMAND + query), attach=False) == expected


@pytest.mark.parametrize(
    ("query", "attach", "message"),
    [
        ([("stdout", "true")], False, "you must specify at least one command"),
        (COMMAND, False, "you must specify at least 1 of stdin, stdout, stderr"),
        ([], True, "you must specify at least 1 of stdin, stdout, stderr"),
    ],
)
def test_refused_queries(query: list[tuple[str, str]], attach: bool, message: str) -> None:
    with pytest.raises(BadRequest, match=message):
        parse_query(MultiDict(query), attach=attach)


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"Connection": "Upgrade", "Upgrade": "SPDY/3.1"}, "spdy/3.1"),
        ({"Connection": "keep-alive, upgrade", "Upgrade": "WebSocket"}, "websocket"),
    ],
)
def test_upgrades(headers: dict[str, str], expected: str) -> None:
    assert asked_upgrade(headers) == expected


@pytest.mark.parametrize(
    ("headers", "message"),
    [({}, "Upgrade request required"), ({"Connection": "Upgrade", "Upgrade": "h2c"}, "h2c is no protocol")],
)
def test_what_is_no_upgrade(headers: dict[str, str], message: str) -> None:
    with pytest.raises(BadRequest, match=message):
        asked_upgrade(headers)
