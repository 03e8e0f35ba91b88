"""Frames and header blocks of SPDY/3.1."""

import zlib
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.apiserver.streams.spdy import frames
from controlplane.apiserver.streams.spdy.errors import ProtocolError
from controlplane.apiserver.streams.spdy.headers import DICTIONARY, MAX_BLOCK, HeaderCodec

IDS = st.integers(1, 0x7FFFFFFF)
NUMBERS = st.integers(0, 0x7FFFFFFF)
TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), min_size=1, max_size=20)
NAMES = TEXT.filter(lambda name: name == name.lower().lower() and name.lower() == name)
HEADERS = st.dictionaries(NAMES, st.lists(TEXT, min_size=1, max_size=3).map(tuple), max_size=5)
FRAMES = st.one_of(
    st.builds(frames.Data, IDS, st.binary(max_size=300), st.booleans()),
    st.builds(frames.SynStream, IDS, HEADERS, st.booleans()),
    st.builds(frames.SynReply, IDS, HEADERS, st.booleans()),
    st.builds(frames.MoreHeaders, IDS, HEADERS, st.booleans()),
    st.builds(frames.RstStream, IDS, NUMBERS),
    st.builds(frames.Settings, st.lists(st.tuples(st.integers(0, 0xFFFFFF), NUMBERS), max_size=4).map(tuple)),
    st.builds(frames.Ping, NUMBERS),
    st.builds(frames.GoAway, NUMBERS, NUMBERS),
    st.builds(frames.WindowUpdate, NUMBERS, NUMBERS),
)


def joined(found):
    """Data frames that were cut are one again."""
    whole = []
    for frame in found:
        before = whole[-1] if whole else None
        if (isinstance(frame, frames.Data) and isinstance(before, frames.Data) and not before.fin and frame.data
                and before.data and before.stream == frame.stream):  # fmt: skip
            whole[-1] = frames.Data(frame.stream, before.data + frame.data, frame.fin)
        else:
            whole.append(frame)
    return whole


@given(st.lists(FRAMES, max_size=8), st.lists(st.integers(1, 40), min_size=1, max_size=30))
def test_what_is_written_is_read_however_it_is_cut(sent, cuts):
    writer, reader = frames.FrameWriter(), frames.FrameReader()
    wire = b"".join(writer.write(frame) for frame in sent)
    found, position, turn = [], 0, 0
    while position < len(wire):
        size = cuts[turn % len(cuts)]
        found += reader.feed(wire[position : position + size])
        position, turn = position + size, turn + 1
    assert joined(found) == joined(sent)


@given(st.binary(max_size=400))
def test_what_is_no_spdy_is_refused_and_nothing_else_happens(noise):
    reader = frames.FrameReader()
    with suppress(ProtocolError):
        list(reader.feed(noise))


def test_the_dictionary_is_that_of_spdy_3():
    assert len(DICTIONARY) == 1423
    assert zlib.adler32(DICTIONARY) == 0xE3C6A7C2


def test_a_syn_stream_on_the_wire():
    wire = frames.FrameWriter().write(frames.SynStream(1, {"streamtype": ("error",)}, fin=True))
    assert wire[:8] == b"\x80\x03\x00\x01\x01" + (len(wire) - 8).to_bytes(3, "big")
    assert wire[8:18] == b"\0\0\0\x01\0\0\0\0\0\0"
    inflated = zlib.decompressobj(zdict=DICTIONARY).decompress(wire[18:])
    assert inflated == b"\0\0\0\x01\0\0\0\x0astreamtype\0\0\0\x05error"


def test_data_on_the_wire():
    assert frames.FrameWriter().write(frames.Data(3, b"abc", fin=True)) == b"\0\0\0\x03\x01\0\0\x03abc"


def test_data_is_given_on_as_it_comes():
    wire = frames.FrameWriter().write(frames.Data(1, b"abcdef", fin=True))
    reader = frames.FrameReader()
    assert list(reader.feed(wire[:10])) == [frames.Data(1, b"ab", False)]
    assert list(reader.feed(wire[10:])) == [frames.Data(1, b"cdef", True)]


def test_a_frame_of_an_unknown_type_is_skipped():
    wire = b"\x80\x03\x00\x0a\0\0\0\x02xx" + frames.FrameWriter().write(frames.Ping(1))
    assert list(frames.FrameReader().feed(wire)) == [frames.Ping(1)]


def block(text):
    deflate = zlib.compressobj(zdict=DICTIONARY)
    return deflate.compress(text) + deflate.flush(zlib.Z_SYNC_FLUSH)


BAD_BLOCKS = {
    "not deflated": b"xxxx",
    "ends early": block(b"\0\0\0\x02\0\0\0\x01a\0\0\0\x01b"),
    "longer than it says": block(b"\0\0\0\0more"),
    "a name twice": block(b"\0\0\0\x02" + b"\0\0\0\x01a\0\0\0\x01b" * 2),
    "upper case": block(b"\0\0\0\x01\0\0\0\x01A\0\0\0\x01b"),
    "a bomb": block(b"\0" * (MAX_BLOCK + 1)),
}


@pytest.mark.parametrize("data", BAD_BLOCKS.values(), ids=BAD_BLOCKS)
def test_bad_header_blocks(data):
    with pytest.raises(ProtocolError):
        HeaderCodec().decode(data)


BAD_FRAMES = {
    "version 2": b"\x80\x02\x00\x06\0\0\0\x04\0\0\0\x01",
    "too short": b"\x80\x03\x00\x06\0\0\0\x02\0\0",
    "too long": b"\x80\x03\x00\x01\0\xff\xff\xff",
    "settings that end early": b"\x80\x03\x00\x04\0\0\0\x04\0\0\0\x09",
}


@pytest.mark.parametrize("data", BAD_FRAMES.values(), ids=BAD_FRAMES)
def test_bad_frames(data):
    with pytest.raises(ProtocolError):
        list(frames.FrameReader().feed(data))
