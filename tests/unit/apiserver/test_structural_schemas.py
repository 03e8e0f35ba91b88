"""Pruning, defaulting, validating and showing objects along a structural schema."""

from __future__ import annotations

import copy
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.apiserver.custom import jsonpath
from controlplane.apiserver.custom.defaulting import apply_defaults
from controlplane.apiserver.custom.formats import CHECKS
from controlplane.apiserver.custom.pruning import prune
from controlplane.apiserver.custom.rows import _cell
from controlplane.apiserver.custom.rules import Rules, field_path, uses_old
from controlplane.apiserver.custom.schema import compiled
from controlplane.apiserver.custom.validation import validate
from controlplane.apiserver.kinds.base import Column

TEXT, NUMBER = {"type": "string"}, {"type": "integer"}


def root(**properties: Any) -> Any:
    return compiled({"type": "object", "properties": properties})


def wrong(node: Any, obj: Any, old: Any = None) -> list[tuple[str, str]]:
    return [(cause.field, cause.message) for cause in validate(node, obj, old)]


# --- pruning


@pytest.mark.parametrize(
    ("schema", "value", "left", "gone"),
    [
        ({"type": "object", "properties": {"a": TEXT}}, {"a": "1", "b": 2}, {"a": "1"}, ["x.b"]),
        ({"type": "object"}, {"a": 1}, {}, ["x.a"]),
        ({"type": "object", "x-kubernetes-preserve-unknown-fields": True}, {"a": {"b": 1}}, {"a": {"b": 1}}, []),
        ({"type": "object", "x-kubernetes-preserve-unknown-fields": True, "properties": {"p": {"type": "object"}}},
         {"p": {"b": 1}, "q": 1}, {"p": {}, "q": 1}, ["x.p.b"]),
        ({"type": "object", "additionalProperties": {"type": "object", "properties": {"a": TEXT}}},
         {"k": {"a": "1", "b": 2}}, {"k": {"a": "1"}}, ["x.k.b"]),
        ({"type": "object", "additionalProperties": True}, {"k": {"a": 1}}, {"k": {"a": 1}}, []),
        ({"type": "array", "items": {"type": "object", "properties": {"a": TEXT}}}, [{"a": "1", "b": 2}],
         [{"a": "1"}], ["x[0].b"]),
        ({"type": "object", "x-kubernetes-embedded-resource": True, "properties": {"spec": TEXT}},
         {"apiVersion": "v1", "kind": "K", "metadata": {"name": "a"}, "b": 1},
         {"apiVersion": "v1", "kind": "K", "metadata": {"name": "a"}}, ["x.b"]),
    ],
    ids=["unknown", "no properties", "preserve", "preserve with properties", "map", "open map", "list", "embedded"],
)  # fmt: skip
def test_pruning(schema: Any, value: Any, left: Any, gone: list[str]) -> None:
    obj = {"apiVersion": "v1", "kind": "K", "metadata": {}, "x": copy.deepcopy(value)}
    assert prune(root(x=schema), obj) == gone
    assert obj["x"] == left


# --- defaulting


@pytest.mark.parametrize(
    ("schema", "value", "after"),
    [
        ({"type": "integer", "default": 3}, {}, {"x": 3}),
        ({"type": "integer", "default": 3}, {"x": 4}, {"x": 4}),
        ({"type": "integer", "default": 3}, {"x": None}, {"x": 3}),
        ({"type": "integer", "default": 3, "nullable": True}, {"x": None}, {"x": None}),
        ({"type": "integer"}, {"x": None}, {}),
        ({"type": "object", "properties": {"y": {"type": "string", "default": "a"}}}, {}, {}),
        ({"type": "object", "default": {}, "properties": {"y": {"type": "string", "default": "a"}}}, {},
         {"x": {"y": "a"}}),
        ({"type": "array", "items": {"type": "object", "properties": {"y": {"type": "string", "default": "a"}}}},
         {"x": [{}]}, {"x": [{"y": "a"}]}),
        ({"type": "object", "additionalProperties": {"type": "object", "properties": {"y": {"default": 1}}}},
         {"x": {"k": {}}}, {"x": {"k": {"y": 1}}}),
    ],
)  # fmt: skip
def test_defaults(schema: Any, value: Any, after: Any) -> None:
    obj = copy.deepcopy(value)
    apply_defaults(root(x=schema), obj)
    assert obj == after


# --- validation


@pytest.mark.parametrize(
    ("schema", "value", "message"),
    [
        (TEXT, 1, 'Invalid value: "integer": x in body must be of type string: "integer"'),
        (NUMBER, 1.5, 'Invalid value: "number": x in body must be of type integer: "number"'),
        ({"type": "number"}, True, 'Invalid value: "boolean": x in body must be of type number: "boolean"'),
        ({"type": "object"}, None, 'Invalid value: "null": x in body must be of type object: "null"'),
        ({"type": "string", "enum": ["a", "b"]}, "c", 'Unsupported value: "c": supported values: "a", "b"'),
        ({"type": "string", "maxLength": 2}, "abc", "Too long: may not be more than 2 bytes"),
        ({"type": "string", "minLength": 2}, "a", 'Invalid value: "a": x in body should be at least 2 chars long'),
        ({"type": "string", "format": "ipv4"}, "a", 'Invalid value: "a": x in body must be of type ipv4: "a"'),
        ({"type": "integer", "minimum": 2}, 1, "Invalid value: 1: x in body should be greater than or equal to 2"),
        ({"type": "integer", "minimum": 2, "exclusiveMinimum": True}, 2,
         "Invalid value: 2: x in body should be greater than 2"),
        ({"type": "number", "maximum": 2.5, "exclusiveMaximum": True}, 2.5,
         "Invalid value: 2.5: x in body should be less than 2.5"),
        ({"type": "integer", "multipleOf": 3}, 4, "Invalid value: 4: x in body should be a multiple of 3"),
        ({"type": "array", "items": NUMBER, "maxItems": 1}, [1, 2], "Too many: 2: must have at most 1 items"),
        ({"type": "array", "items": NUMBER, "minItems": 1}, [],
         "Invalid value: 0: x in body should have at least 1 items"),
        ({"type": "object", "minProperties": 1}, {}, "Invalid value: 0: x in body should have at least 1 properties"),
    ],
)  # fmt: skip
def test_a_value_that_does_not_fit(schema: Any, value: Any, message: str) -> None:
    assert wrong(root(x=schema), {"x": value}) == [("x", message)]


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        (NUMBER, 1.0), ({"type": "number"}, 1), ({"type": "integer", "nullable": True}, None),
        ({"x-kubernetes-int-or-string": True}, "80%"), ({"x-kubernetes-int-or-string": True}, 80),
        ({"x-kubernetes-preserve-unknown-fields": True}, {"a": [1, None]}), ({"type": "string", "format": "odd"}, "x"),
        ({"type": "number", "multipleOf": 0.1}, 0.3), ({"type": "string", "pattern": "b"}, "abc"),
    ],
)  # fmt: skip
def test_a_value_that_fits(schema: Any, value: Any) -> None:
    assert wrong(root(x=schema), {"x": value}) == []


A, B = {"required": ["a"]}, {"required": ["b"]}


@pytest.mark.parametrize(
    ("schema", "value", "messages"),
    [
        ({"oneOf": [A, B]}, {"a": 1, "b": 1},
         ['Invalid value: "": "x" must validate one and only one schema (oneOf). Found 2 valid alternatives']),
        ({"oneOf": [A, B]}, {},
         ['Invalid value: "": "x" must validate one and only one schema (oneOf). Found none valid', "Required value"]),
        ({"anyOf": [A, B]}, {}, ['Invalid value: "": "x" must validate at least one schema (anyOf)', "Required value"]),
        ({"allOf": [A, B]}, {"a": 1},
         ["Required value", 'Invalid value: "": "x" must validate all the schemas (allOf)']),
        ({"not": A}, {"a": 1}, ['Invalid value: "": "x" must not validate the schema (not)']),
        ({"oneOf": [A, B], "anyOf": [A, B], "not": {"required": ["c"]}}, {"a": 1}, []),
    ],
)  # fmt: skip
def test_alternatives(schema: Any, value: Any, messages: list[str]) -> None:
    node = root(x={"type": "object", "x-kubernetes-preserve-unknown-fields": True, **schema})
    found = wrong(node, {"x": value})
    assert [message for _, message in found] == messages
    assert all(field in ("<nil>", "x.a") for field, _ in found if "Required" not in _ or field != "x.b")


@pytest.mark.parametrize(
    ("keys", "value", "field"),
    [
        (["k"], [{"k": 1}, {"k": 2}, {"k": 1}, {"k": 1}], "x[2]"), (["k"], [{"k": 1}, {"k": "1"}], ""),
        (["k", "p"], [{"k": 1, "p": 1}, {"k": 1, "p": 2}, {"k": 1, "p": 1}], "x[2]"), (["k"], [{}, {}], "x[1]"),
    ],
)  # fmt: skip
def test_lists_that_are_maps(keys: list[str], value: Any, field: str) -> None:
    items = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    node = root(
        x={"type": "array", "items": items, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": keys}
    )
    assert [at for at, _ in wrong(node, {"x": value})] == ([field] if field else [])


def test_lists_that_are_sets() -> None:
    node = root(x={"type": "array", "items": TEXT, "x-kubernetes-list-type": "set"})
    assert wrong(node, {"x": ["a", "b", "a"]}) == [("x[2]", 'Duplicate value: "a"')]


def test_what_an_update_leaves_alone_may_be_wrong() -> None:
    items = {"type": "object", "properties": {"k": TEXT, "v": {"type": "integer", "maximum": 1}}}
    node = root(
        x={"type": "integer", "maximum": 1}, y=TEXT,
        l={"type": "array", "items": items, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"]},
    )  # fmt: skip
    old = {"x": 5, "y": "a", "l": [{"k": "a", "v": 5}]}
    assert wrong(node, {**old, "y": "b"}, old) == []
    assert [field for field, _ in wrong(node, {**old, "x": 6}, old)] == ["x"]
    assert wrong(node, {**old, "l": [{"k": "b", "v": 1}, {"k": "a", "v": 5}]}, old) == []
    assert [field for field, _ in wrong(node, {**old, "l": [{"k": "b", "v": 5}]}, old)] == ["l[0].v"]


trees = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abcx"), inner, max_size=3),
    max_leaves=8,
)
NODE = root(
    a=TEXT, b={"type": "object", "additionalProperties": NUMBER}, c={"type": "array", "items": {
        "type": "object", "properties": {"a": {"type": "string", "default": "d"}, "x": NUMBER}}},
)  # fmt: skip


@given(st.dictionaries(st.sampled_from("abcx"), trees, max_size=4))
def test_no_object_breaks_the_walks_and_pruning_twice_is_pruning_once(obj: Any) -> None:
    prune(NODE, obj)
    apply_defaults(NODE, obj)
    validate(NODE, obj)
    again = copy.deepcopy(obj)
    assert prune(NODE, again) == []
    apply_defaults(NODE, again)
    assert again == obj


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("ipv6", "::1", "1.2.3.4"), ("cidr", "10.0.0.0/8", "10.0.0.0"),
        ("uuid", "123e4567-e89b-12d3-a456-426614174000", "x"),
        ("date", "2026-05-04", "2026-13-01"), ("date-time", "2026-05-04T12:00:00.1Z", "2026-05-04"),
        ("duration", "1h30m", "x"), ("hostname", "a.b", "-a"), ("email", "a@b.c", "a"),
        ("mac", "01:23:45:67:89:ab", "x"),
        ("byte", "YWJj", "a"), ("uri", "https://a/b", "a b"), ("k8s-short-name", "a-b", "A"),
    ],
)  # fmt: skip
def test_formats(name: str, good: str, bad: str) -> None:
    assert CHECKS[name](good)
    assert not CHECKS[name](bad)


# --- rules


def broken(node: Any, obj: Any, old: Any = None) -> list[tuple[str, str]]:
    return [(cause.field, cause.message) for cause in Rules(node).validate(obj, old)]


def ruled(rule: Any, **schema: Any) -> Any:
    return root(x={"type": "integer", **schema, "x-kubernetes-validations": [rule]})


def test_messages_of_rules() -> None:
    assert broken(ruled({"rule": "self > 1"}), {"x": 1}) == [("x", 'Invalid value: "integer": failed rule: self > 1')]
    with_message = ruled({"rule": "self > 1", "messageExpression": "'is ' + string(self)", "message": "m"})
    assert broken(with_message, {"x": 1}) == [("x", 'Invalid value: "integer": is 1')]
    failing = ruled({"rule": "self > 1", "messageExpression": "string(self / 0)", "message": "m"})
    assert broken(failing, {"x": 1}) == [("x", 'Invalid value: "integer": m')]
    required = ruled({"rule": "self > 1", "reason": "FieldValueRequired", "message": "m"})
    assert broken(required, {"x": 1}) == [("x", "Required value: m")]
    error = ruled({"rule": "self / (self - self) > 1"})
    assert broken(error, {"x": 1}) == [
        ("x", 'Invalid value: "integer": divide by zero evaluating rule: self / (self - self) > 1')
    ]


def test_rules_on_changes() -> None:
    node = ruled({"rule": "self >= oldSelf", "message": "only up"})
    assert broken(node, {"x": 1}) == []
    assert broken(node, {"x": 1}, {"x": 2}) == [("x", 'Invalid value: "integer": only up')]
    assert broken(node, {"x": 1}, {}) == []
    optional = ruled({"rule": "oldSelf.hasValue() || self == 1", "optionalOldSelf": True, "message": "begin with 1"})
    assert broken(optional, {"x": 2}) == [("x", 'Invalid value: "integer": begin with 1')]
    assert broken(optional, {"x": 2}, {"x": 1}) == []


def test_rules_are_asked_of_what_has_changed() -> None:
    node = ruled({"rule": "self < 5"})
    assert broken(node, {"x": 9}, {"x": 9}) == []
    assert len(broken(node, {"x": 8}, {"x": 9})) == 1


def test_items_of_maps_are_compared_by_their_keys() -> None:
    rule = {"rule": "self.v >= oldSelf.v", "fieldPath": ".v", "message": "only up"}
    items = {"type": "object", "properties": {"k": TEXT, "v": NUMBER}, "x-kubernetes-validations": [rule]}
    node = root(
        l={"type": "array", "items": items, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"]}
    )
    old = {"l": [{"k": "a", "v": 5}, {"k": "b", "v": 1}]}
    assert broken(node, {"l": [{"k": "b", "v": 2}, {"k": "a", "v": 4}, {"k": "c", "v": 0}]}, old) == [
        ("l[1].v", 'Invalid value: "object": only up')
    ]


def test_rules_of_the_root_see_the_name() -> None:
    rule = {"rule": "self.metadata.name.startsWith('a')", "message": "name"}
    node = compiled({"type": "object", "x-kubernetes-validations": [rule]})
    assert broken(node, {"metadata": {"name": "abc"}}) == []
    assert broken(node, {"metadata": {"name": "b"}}) == [("<nil>", 'Invalid value: "object": name')]


def test_small_things_of_rules() -> None:
    assert uses_old("self == oldSelf")
    assert not uses_old("self == 'oldSelf'")
    assert field_path(".a['b.c'].d") == "a[b.c].d"
    assert field_path("a") == ""


# --- paths and cells

TREE = {
    "spec": {"a": {"b": 1}, "list": [1, 2, 3], "x.y": "dotted"},
    "status": {
        "conditions": [{"type": "Ready", "status": "True", "n": 2}, {"type": "Other", "status": "False", "n": 5}]
    },
}


@pytest.mark.parametrize(
    ("path", "found"),
    [
        (".spec.a.b", [1]), (".spec.list[1]", [2]), (".spec.list[-1]", [3]), (".spec.list[*]", [1, 2, 3]),
        (".spec.list[0:2]", [1, 2]), (".spec.missing", []), (".spec['x.y']", ["dotted"]), (r".spec.x\.y", ["dotted"]),
        ('.status.conditions[?(@.type=="Ready")].status', ["True"]),
        (".status.conditions[?(@.type=='None')].status", []), (".status.conditions[?(@.n > 3)].type", ["Other"]),
        (".status.conditions[?(@.n)].n", [2, 5]), ("..b", [1]), ("$.spec.a.b", [1]), (".spec.list[9]", []),
        (".spec['a','x.y']", [{"b": 1}, "dotted"]), (".spec.a.*", [1]),
    ],
)  # fmt: skip
def test_paths(path: str, found: list[Any]) -> None:
    assert jsonpath.parse(path)(TREE) == found


@pytest.mark.parametrize("path", [".a[", ".a[x]", ".a[?(1)]", ".a[?(@.b==)]"])
def test_paths_that_are_none(path: str) -> None:
    with pytest.raises(ValueError):
        jsonpath.parse(path)


@pytest.mark.parametrize(
    ("kind", "value", "shown"),
    [
        ("string", "a", "a"), ("string", 1, "1"), ("string", True, "true"), ("string", {"a": [1]}, '{"a":[1]}'),
        ("integer", 2.0, 2), ("integer", "x", None), ("number", 1, 1.0), ("boolean", False, False),
        ("boolean", 1, None),
        ("date", "2026-05-04T11:00:00Z", "60m"), ("date", "soon", "<invalid>"), ("string", None, None),
    ],
)  # fmt: skip
def test_cells(kind: str, value: Any, shown: Any) -> None:
    cell = _cell(kind, jsonpath.parse(".x"))
    assert Column("X", kind, "", cell).value({"x": value}, datetime(2026, 5, 4, 12, tzinfo=UTC)) == shown
