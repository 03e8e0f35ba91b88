"""JSON merge patch: the examples of RFC 7386, and its algebra."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.apiserver.kinds.table import BY_GVK
from controlplane.apiserver.patching import apply_patch
from shared import codec
from shared.api.errors import BadRequest

CONFIG_MAP = BY_GVK["", "v1", "ConfigMap"]


def patched(document: Any, patch: Any) -> Any:
    return apply_patch("application/merge-patch+json", CONFIG_MAP, document, patch)


@pytest.mark.parametrize(
    ("document", "patch", "expected"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
    ids=str,
)
def test_examples_of_the_rfc(document: Any, patch: Any, expected: Any) -> None:
    assert patched(document, patch) == expected


@pytest.mark.parametrize("patch", [[], "x", 1, None])
def test_a_patch_that_is_no_object_is_a_bad_request(patch: Any) -> None:
    with pytest.raises(BadRequest):
        patched({}, patch)


trees = st.recursive(
    st.integers(0, 3) | st.text("ab", max_size=2) | st.none(),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)
objects = st.dictionaries(st.sampled_from("abc"), trees, max_size=3)


@given(objects, objects)
def test_applying_twice_changes_nothing_more_and_inputs_stay(document: Any, patch: Any) -> None:
    before = codec.encode(document), codec.encode(patch)
    once = patched(document, patch)
    assert patched(once, patch) == once
    assert (codec.encode(document), codec.encode(patch)) == before


@given(objects)
def test_an_empty_patch_is_nothing(document: Any) -> None:
    assert patched(document, {}) == document
