"""The codec's own promises; the parsing is the libraries'."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import codec

trees = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text(),
    lambda children: st.lists(children) | st.dictionaries(st.text(), children),
)


@given(trees)
def test_json_round_trip(tree):
    assert codec.decode(codec.encode(tree)) == tree
    assert codec.copy(tree) == tree


@pytest.mark.parametrize("text", ["a: 2001-01-01", "a: 2001-01-01T00:00:00Z"])
def test_yaml_timestamps_stay_text(text):
    assert codec.decode_yaml(text) == {"a": text[3:]}


@pytest.mark.parametrize(
    ("function", "text"), [(codec.decode, "{nope"), (codec.decode_yaml, "a: [1"), (codec.decode_yaml_all, "a: [1")]
)
def test_bad_text_is_one_error(function, text):
    with pytest.raises(codec.CodecError):
        function(text)


def test_yaml_documents_without_the_empty_ones():
    assert codec.decode_yaml_all("a: 1\n---\n---\nb: 2\n") == [{"a": 1}, {"b": 2}]


def test_raw_bytes_are_copied():
    assert codec.encode({"items": [codec.Raw(b'{"a":1}')]}) == b'{"items":[{"a":1}]}'
