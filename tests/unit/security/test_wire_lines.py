"""Watch events are told apart however the network cuts them."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.api.errors import InternalError
from shared.api.kinds import PODS
from shared.client import wire
from shared.streams import End, LogParameters, Open, Refuse, decode_frame, encode_frame


async def pieces_of(data, cuts):
    edges = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    for start, end in pairwise(edges):
        yield data[start:end]


@given(st.lists(st.binary().map(lambda b: b.replace(b"\n", b" "))), st.lists(st.integers(0, 5000)))
async def test_lines_survive_any_cut(lines, cuts):
    data = b"".join(line + b"\n" for line in lines) + b"the rest that was cut off"
    assert [line async for line in wire.lines(pieces_of(data, cuts))] == [line for line in lines if line]


async def test_a_line_without_end_is_refused():
    async def endless():
        while True:
            yield b"x" * (1 << 20)

    with pytest.raises(InternalError, match="more than"):
        await anext(wire.lines(endless()))


@pytest.mark.parametrize(
    "line", [b"", b"{}", b'{"type":"ADDED"}', b'{"type":"ODD","object":{}}', b'{"type":"ADDED","object":5}', b"[]"]
)
def test_an_event_that_is_none_is_an_error_of_ours(line):
    with pytest.raises(InternalError):
        wire.decode_event(line, PODS)


@given(st.binary())
def test_no_bytes_break_the_reading_of_a_frame(data):
    assert decode_frame(data) is None or isinstance(decode_frame(data), Open | Refuse | End)


@pytest.mark.parametrize(
    "frame",
    [Open("s", "log", {"a": 1}), Refuse("s", {"code": 400}), End(), End({"code": 500})],
    ids=["open", "refuse", "end", "end-with-status"],
)
def test_frames_survive_the_wire(frame):
    assert decode_frame(encode_frame(frame)) == frame


def test_a_frame_of_a_newer_peer_is_ignored():
    assert decode_frame('{"type":"resize","width":80}') is None
    assert decode_frame('{"type":"open","stream":"s","kind":"log","parameters":{},"priority":1}') == Open(
        "s", "log", {}
    )
    assert LogParameters("n", "p", "u", "c").follow is False
