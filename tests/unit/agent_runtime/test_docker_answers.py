"""Docker's messages, streams and events taken apart; API versions; the queue of events."""

from __future__ import annotations

import asyncio
import struct
from datetime import UTC, datetime

import pytest
from docker.errors import APIError
from hypothesis import given
from hypothesis import strategies as st
from requests import Response
from requests.exceptions import ReadTimeout

from agent.runtime.base import EngineEvent, LogOptions, RuntimeFailure, RuntimeUnavailable
from agent.runtime.docker_engine import Interrupt, negotiate
from agent.runtime.docker_errors import clean_message, translate
from agent.runtime.docker_events import LOOK_AGAIN, EventQueue, parse_event
from agent.runtime.docker_logs import Demultiplexer, Handoff, log_parameters


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        (
            'failed to create shim task: OCI runtime create failed: runc create failed: unable to start container '
            'process: exec: "foo": executable file not found in $PATH: unknown',
            'exec: "foo": executable file not found in $PATH',
        ),
        (
            "OCI runtime create failed: container_linux.go:380: starting container process caused: "
            'exec: "/x": permission denied: unknown',
            'exec: "/x": permission denied',
        ),
        ("No such image: a:1", "No such image: a:1"),
        ("", "the engine gave no reason"),
    ],
    ids=["28", "20.10", "plain", "empty"],
)  # fmt: skip
def test_cause_is_cleaned_of_its_wrapping(text, cleaned):
    assert clean_message(text) == cleaned


def refusal(status: int, text: str) -> APIError:
    response = Response()
    response.status_code = status
    return APIError("refused", response=response, explanation=text)


@pytest.mark.parametrize(
    ("operation", "error", "kind", "reason"),
    [
        ("start", refusal(400, 'exec: "x": executable file not found'), RuntimeFailure, "StartError"),
        ("start", refusal(500, "no space left on device"), RuntimeFailure, "RunContainerError"),
        ("create", refusal(404, "No such image: x"), RuntimeFailure, "CreateContainerError"),
        ("create_sandbox", refusal(500, "x"), RuntimeFailure, "CreatePodSandboxError"),
        ("pull", refusal(404, "manifest unknown"), RuntimeFailure, "ErrImagePull"),
        ("pull", refusal(400, "invalid reference format"), RuntimeFailure, "InvalidImageName"),
        ("list", ReadTimeout("read timed out"), RuntimeUnavailable, "RuntimeUnavailable"),
        (
            "list",
            refusal(400, "client version 1.41 is too old. Minimum supported API version is 1.44"),
            RuntimeUnavailable,
            "RuntimeUnavailable",
        ),
    ],
)
def test_refusals_in_kubernetes_words(operation, error, kind, reason):
    failure = translate(error, operation)
    assert type(failure) is kind
    assert failure.reason == reason


@pytest.mark.parametrize(
    ("newest", "oldest", "chosen"), [("1.41", "1.12", "1.41"), ("1.50", "1.24", "1.50"), ("1.60", "1.44", "1.51"),
                                     ("1.70", "1.55", "1.55")],
)  # fmt: skip
def test_api_version(newest, oldest, chosen):
    assert negotiate({"ApiVersion": newest, "MinAPIVersion": oldest}) == chosen


def test_engine_that_is_too_old_is_named():
    with pytest.raises(RuntimeFailure, match=r"Docker 19\.03 speaks API 1\.40"):
        negotiate({"ApiVersion": "1.40", "Version": "19.03"})


@given(st.lists(st.binary(max_size=50), max_size=8), st.lists(st.integers(1, 40), max_size=30))
def test_frames_cut_anywhere_give_their_payload(payloads, cuts):
    stream = b"".join(struct.pack(">BxxxL", 1, len(payload)) + payload for payload in payloads)
    demultiplexer, got, position = Demultiplexer(), b"", 0
    for cut in [*cuts, len(stream)]:
        got += demultiplexer.feed(stream[position : position + cut])
        position += cut
    got += demultiplexer.feed(stream[position:])
    assert got == b"".join(payloads)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (LogOptions(), {"follow": "0", "timestamps": "0", "tail": "all"}),
        (LogOptions(follow=True, timestamps=True, tail_lines=0), {"follow": "1", "timestamps": "1", "tail": "0"}),
        (LogOptions(since_seconds=10), {"since": "90.000000000"}),
        (LogOptions(since_seconds=1000), {"since": "0.000000000"}),
        (LogOptions(since=datetime.fromtimestamp(5.25, UTC)), {"since": "5.250000000"}),
    ],
)
def test_log_query(options, expected):
    assert log_parameters(options, 100.0).items() >= expected.items()


def test_events_of_others_kinds_are_left_out():
    raw = {"Action": "die", "Actor": {"ID": "c", "Attributes": {"name": "longboat.pod.u.n.p"}}}
    assert parse_event(raw) == EngineEvent("die", "c", "u")
    assert parse_event(raw | {"Action": "exec_die"}) is None
    assert parse_event({"Action": "die"}) is None


async def test_too_many_events_become_one_that_says_look_again():
    queue = EventQueue(asyncio.get_running_loop(), limit=3)
    for number in range(5):
        queue.deliver(EngineEvent("die", str(number), ""))
    assert [await queue.take() for _ in range(2)] == [LOOK_AGAIN, EngineEvent("die", "4", "")]


async def test_event_queue_ends_after_what_was_delivered():
    queue = EventQueue(asyncio.get_running_loop())
    queue.deliver(LOOK_AGAIN)
    queue.end(None, RuntimeUnavailable("gone"))
    assert await queue.take() == LOOK_AGAIN
    assert await queue.take() is None
    assert isinstance(queue.error, RuntimeUnavailable)


async def test_handoff_holds_the_writer_back_and_lets_it_go_when_the_reader_leaves():
    handoff = Handoff(asyncio.get_running_loop(), limit=4)
    assert await asyncio.to_thread(handoff.put, b"12345")
    blocked = asyncio.ensure_future(asyncio.to_thread(handoff.put, b"6"))
    done, _ = await asyncio.wait({blocked}, timeout=0.05)
    assert not done
    assert await handoff.take() == b"12345"
    assert await blocked
    handoff.abandon()
    assert await asyncio.to_thread(handoff.put, b"7") is False


async def test_handoff_passes_on_the_writers_failure_after_its_data():
    handoff = Handoff(asyncio.get_running_loop())
    handoff.put(b"data")
    handoff.end(None, RuntimeFailure("broken"))
    assert await handoff.take() == b"data"
    with pytest.raises(RuntimeFailure, match="broken"):
        await handoff.take()


@pytest.mark.parametrize("attach_first", [True, False])
def test_interrupt_shuts_whatever_the_order(attach_first):
    shut: list[int] = []
    interrupt = Interrupt()
    if attach_first:
        interrupt.attach(lambda: shut.append(1))
        interrupt.fire()
    else:
        interrupt.fire()
        interrupt.attach(lambda: shut.append(1))
    interrupt.fire()
    assert shut == [1]
