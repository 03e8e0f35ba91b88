"""JSON patch: RFC 6902, and which mistakes are whose."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.apiserver.kinds.table import BY_GVK
from controlplane.apiserver.patching import apply_patch
from shared import codec
from shared.api.errors import BadRequest, Invalid, RequestEntityTooLarge, StatusError, UnsupportedMediaType

CONFIG_MAP = BY_GVK["", "v1", "ConfigMap"]


def patched(document: Any, *operations: Any) -> Any:
    return apply_patch("application/json-patch+json", CONFIG_MAP, document, list(operations))


@pytest.mark.parametrize(
    ("document", "operation", "expected"),
    [
        ({"a": 1}, {"op": "add", "path": "/b", "value": 2}, {"a": 1, "b": 2}),
        ({"a": [1, 3]}, {"op": "add", "path": "/a/1", "value": 2}, {"a": [1, 2, 3]}),
        ({"a": [1]}, {"op": "add", "path": "/a/-", "value": 2}, {"a": [1, 2]}),
        ({"a": 1}, {"op": "replace", "path": "/a", "value": None}, {"a": None}),
        ({"a": {"b": 1}}, {"op": "remove", "path": "/a/b"}, {"a": {}}),
        ({"a": [1, 2]}, {"op": "remove", "path": "/a/0"}, {"a": [2]}),
        ({"a": 1}, {"op": "move", "from": "/a", "path": "/b"}, {"b": 1}),
        ({"a": {"x": 1}}, {"op": "copy", "from": "/a", "path": "/b"}, {"a": {"x": 1}, "b": {"x": 1}}),
        ({"a/b": 1, "c~d": 2}, {"op": "replace", "path": "/a~1b", "value": 3}, {"a/b": 3, "c~d": 2}),
        ({"a/b": 1, "c~d": 2}, {"op": "remove", "path": "/c~0d"}, {"a/b": 1}),
        ({"a": 1}, {"op": "test", "path": "/a", "value": 1}, {"a": 1}),
        ({"a": 1}, {"op": "test", "path": "/b", "value": None}, {"a": 1}),
        ({"a": 1}, {"op": "replace", "path": "", "value": {"z": 1}}, {"z": 1}),
    ],
    ids=lambda value: str(value.get("op")) if isinstance(value, dict) and "op" in value else None,
)
def test_operation(document: Any, operation: Any, expected: Any) -> None:
    assert patched(document, operation) == expected


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "test", "path": "/a", "value": 2},
        {"op": "test", "path": "/a", "value": True},
        {"op": "remove", "path": "/nope"},
        {"op": "remove", "path": ""},
        {"op": "replace", "path": "/nope", "value": 1},
        {"op": "add", "path": "/nope/x", "value": 1},
        {"op": "add", "path": "/l/5", "value": 1},
        {"op": "add", "path": "/l/01", "value": 1},
        {"op": "add", "path": "/a/b", "value": 1},
        {"op": "add", "path": "a", "value": 1},
        {"op": "add", "path": "/b"},
        {"op": "add", "value": 1},
        {"op": "frobnicate", "path": "/a"},
        {"op": "move", "from": "/o", "path": "/o/x"},
    ],
    ids=str,
)
def test_what_does_not_fit_is_invalid(operation: Any) -> None:
    with pytest.raises(Invalid) as caught:
        patched({"a": 1, "l": [1], "o": {}}, operation)
    assert caught.value.details() == {}


@pytest.mark.parametrize("patch", [{}, "x", [1], ["x"], None, 3])
def test_what_is_no_list_of_operations_is_a_bad_request(patch: Any) -> None:
    with pytest.raises(BadRequest):
        apply_patch("application/json-patch+json", CONFIG_MAP, {}, patch)


def test_too_many_operations() -> None:
    with pytest.raises(RequestEntityTooLarge):
        patched({"a": 1}, *[{"op": "test", "path": "/a", "value": 1}] * 10_001)


def test_a_document_that_is_no_object_any_more_is_refused() -> None:
    with pytest.raises(BadRequest):
        patched({"a": 1}, {"op": "replace", "path": "", "value": 3})


def test_another_content_type_is_refused() -> None:
    with pytest.raises(UnsupportedMediaType):
        apply_patch("application/x-nope", CONFIG_MAP, {}, {})


def test_a_content_type_may_have_parameters() -> None:
    assert apply_patch("application/merge-patch+json; charset=utf-8", CONFIG_MAP, {}, {"a": 1}) == {"a": 1}


values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text("ab/~", max_size=2),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab/~", max_size=2), inner, max_size=3),
    max_leaves=8,
)
documents = st.dictionaries(st.text("ab/~", max_size=2), values, max_size=4)
pointers = st.lists(st.sampled_from(["a", "b", "0", "1", "-", "~0", "~1"]), max_size=3).map(
    lambda parts: "".join(f"/{part}" for part in parts)
)
operations = st.fixed_dictionaries(
    {
        "op": st.sampled_from(["add", "remove", "replace", "move", "copy", "test"]),
        "path": pointers,
        "from": pointers,
        "value": values,
    }
)


@given(documents, st.lists(operations, max_size=4))
def test_inputs_never_change_and_errors_are_statuses(document: Any, patch: Any) -> None:
    before = codec.encode(document), codec.encode(patch)
    try:
        apply_patch("application/json-patch+json", CONFIG_MAP, document, patch)
    except StatusError as error:
        assert error.code in (400, 422)  # noqa: PT017 - either outcome is fine, any other exception is not
    assert (codec.encode(document), codec.encode(patch)) == before


@given(documents, values)
def test_an_added_member_is_found_again(document: Any, value: Any) -> None:
    add = {"op": "add", "path": "/new", "value": value}
    test = {"op": "test", "path": "/new", "value": value}
    assert patched(document, add, test) == {**document, "new": value}


@given(documents)
def test_add_then_remove_is_nothing(document: Any) -> None:
    assert patched(document, {"op": "add", "path": "/new", "value": 1}, {"op": "remove", "path": "/new"}) == document
