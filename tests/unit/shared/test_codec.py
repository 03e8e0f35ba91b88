"""The codec's own promises; the parsing is the libraries'."""

from itertools import pairwise

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


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[" * 100_000, "more than 250 deep"),
        ("- " * 100_000, "more than 250 deep"),
        ("a: &a [*a]", "the anchor 'a' contains itself"),
        ("a: &a [x, x]\n" + "".join(f"{n}: &{n} [{', '.join([f'*{p}'] * 9)}]\n" for p, n in pairwise("abcdefghij")),
         "the aliases stand for too much text"),
        ("~: x", "a key is neither text nor a number"),
        ("? [a]\n: b", "a key is neither text nor a number"),
        ("a: !!binary aGk=", "could not determine a constructor"),
        ("a: !!bool 7", "does not fit its tag"),
        ("a: !!int ''", "does not fit its tag"),
        ("a: " + "9" * 5000, "does not fit its tag"),
        ("a: *nobody", "undefined alias"),
        (b"a: \xff\xfe", "invalid"),
    ],
    ids=["deep flow", "deep block", "a loop", "a bomb", "null as key", "a list as key", "bytes", "no boolean",
         "no number", "a huge number", "no such anchor", "no text"],
)  # fmt: skip
def test_yaml_that_would_hurt_is_refused(text, said):
    with pytest.raises(codec.CodecError, match="invalid YAML") as caught:
        codec.decode_yaml(text)
    assert said in str(caught.value)


@given(st.text(alphabet="ab1: -?[]{},&*!|>'\"#%~.\n<", max_size=60))
def test_what_yaml_gives_can_be_written_as_json(text):
    try:
        tree = codec.decode_yaml(text)
    except codec.CodecError:
        return
    codec.encode(tree)


def test_yaml_keys_and_numbers_as_kubernetes_reads_them():
    assert codec.decode_yaml("1: a\ntrue: b\n1.5: c") == {"1": "a", "true": "b", "1.5": "c"}
    assert codec.decode_yaml("a: 18446744073709551615\nb: 18446744073709551616") == {"a": 2**64 - 1, "b": 2.0**64}
    assert codec.decode_yaml("b: &b {x: 1}\nc: {<<: *b, y: 2}")["c"] == {"x": 1, "y": 2}


@pytest.mark.parametrize("write", [codec.encode, codec.copy])
def test_what_is_too_deep_to_write_says_so(write):
    tree: object = 1
    for _ in range(300):
        tree = [tree]
    with pytest.raises(codec.TooDeep):
        write(tree)
