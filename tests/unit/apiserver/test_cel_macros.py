"""Macros that are written out: loops of two variables, objects and patches."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from controlplane.apiserver.cel import building
from controlplane.apiserver.cel.building import NotBuilt
from controlplane.apiserver.cel.engine import OBJECT, PATCH, Budget, CelError, compiled
from controlplane.apiserver.cel.fields import undefined
from controlplane.apiserver.cel.macros import expanded
from controlplane.apiserver.custom.schema import compiled as schema

SELF = {"l": ["a", "b"], "m": {"x": 1, "y": 2}, "s": "abc", "c": [{"n": "a"}, {"n": "b"}]}


def evaluate(expression: str, result: str = "") -> Any:
    return compiled(expression, ("self",), result, builds=bool(result)).evaluate({"self": SELF}, Budget())


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        # cel-go's examples (ext/comprehensions.go)
        ("[1, 2, 3].all(i, j, i < j)", True), ("{'hello': 'world', 'taco': 'taco'}.all(k, v, k != v)", False),
        ("{'greeting': 'hello', 'farewell': 'goodbye'}.exists(k, v, k.startsWith('good') || v.endsWith('bye'))", True),
        ("[1, 2, 4, 8, 16].exists(i, v, v == 1024 && i == 10)", False),
        ("[1, 2, 1, 3, 1, 4].existsOne(i, v, i == 1 || v == 1)", False),
        ("[1, 1, 2, 2, 3, 3].existsOne(i, v, i == 2 && v == 2)", True),
        ("{'i': 0, 'j': 1, 'k': 2}.exists_one(i, v, i == 'l' || v == 1)", True),
        ("[1, 2, 3].transformList(indexVar, valueVar, (indexVar * valueVar) + valueVar)", [1, 4, 9]),
        ("[1, 2, 3].transformList(indexVar, valueVar, indexVar % 2 == 0, (indexVar * valueVar) + valueVar)", [1, 9]),
        ("{'greeting': 'aloha', 'farewell': 'aloha'}.transformList(k, _, k).size()", 2),
        ("[1, 2, 3].transformMap(indexVar, valueVar, (indexVar * valueVar) + valueVar)", {0: 1, 1: 4, 2: 9}),
        ("{'greeting': 'hello'}.transformMap(k, v, v + '!')", {"greeting": "hello!"}),
        ("[1, 2, 3].transformMap(i, v, i % 2 == 0, (i * v) + v)", {0: 1, 2: 9}),
        ("{'greeting': 'hello'}.transformMapEntry(keyVar, valueVar, {valueVar: keyVar})", {"hello": "greeting"}),
        ("[1, 2, 3].transformMapEntry(i, v, {v: i})", {1: 0, 2: 1, 3: 2}),
        ("[1, 2, 3].transformMapEntry(i, v, i > 1, {v: i})", {3: 2}),
        # what stands before and around them
        ("[1, 2, 3].filter(x, x > 1).all(i, v, v == i + 2)", True), ("1 in [1].transformList(i, v, v)", True),
        ("self.?l.orValue([]).all(i, v, v == self.l[i])", True), ("!self.c[0].all(k, v, v == 'b')", True),
        ("true ? [1].all(i, v, true) : false", True), ("self . m . all ( k , v , v > 0 ) // all(a, b, c)", True),
        ("[[1, 2], [3]].all(i, l, l.all(j, v, v > j + i))", True), ("'a,b'.split(',').exists(i, v, v == 'b')", True),
        ("[[1], [2, 3]].transformList(i, l, l.transformList(j, v, v * 10 + i))", [[10], [21, 31]]),
        ("[timestamp('2026-01-01T00:00:00Z')].all(i, t, t < timestamp('2027-01-01T00:00:00Z'))", True),
        ("[1u].all(i, v, v + 1u == 2u) && ['.all(i, v, x)'].all(i, v, v.size() == 13)", True),
        ("[1, 0].exists(i, v, 1 / v == 1)", True), ("self.m.all(k, v, k in self.m && self.m[k] == v)", True),
    ],
)  # fmt: skip
def test_loops_of_two_variables(expression: str, value: Any) -> None:
    assert evaluate(expression) == value


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("[1].all(i, i, true)", "the two variables must have different names: i"),
        ("[1].all(self.l, i, true)", "argument must be a simple name: self.l"),
        ("[1].all(i, v, nope)", "undeclared reference to 'nope'"),
        ("[1].all(i, v, 1)", "no matching overload"),
        ("[1].all(i, v", "Syntax error"),
        ("[1].all(i, v, true]", "Syntax error"),
        ("self.)", "Syntax error"),
    ],
)
def test_loops_that_do_not_compile(expression: str, words: str) -> None:
    with pytest.raises(CelError, match=words):
        compiled(expression, ("self",), "BOOL")


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("5.all(i, v, true)", "no such overload"),
        ("[1].all(i, v, v > 'a')", "no such overload"),
        ("self.m.transformMapEntry(k, v, {'a': k})", "insert failed: key 'a' already exists"),
        ("self.m.transformMapEntry(k, v, v)", "has no attribute"),
    ],
)
def test_loops_that_fail(expression: str, words: str) -> None:
    with pytest.raises(CelError, match=words):
        evaluate(expression)


def test_fields_that_a_loop_of_two_variables_names_are_looked_up() -> None:
    item = {"type": "object", "properties": {"n": {"type": "integer"}}}
    shape = schema({"type": "object", "properties": {"c": {"type": "array", "items": item}}})
    for expression, missing in (("self.c.all(i, c, c.n > i)", []), ("self.c.all(i, c, c.nope > i)", ["nope"])):
        program = compiled(expression, ("self",))
        assert undefined(program, shape, resource=False, variables=("self",)) == missing


@pytest.mark.parametrize(
    "source",
    ["'Object{a: 1}'", "objects.all(x, x > 1)", "x.named('a')", "a ? Objects{} : 1", "// Object{}", "Object.a.b"],
)
def test_what_is_no_macro_is_left_alone(source: str) -> None:
    assert expanded(source, builds=True).strip() in (source, "")


@pytest.mark.parametrize(
    ("expression", "fields"),
    [
        ("Object{}", {}), ("Object{a: 1, b: 'x', c: null,}", {"a": 1, "b": "x", "c": None}),
        ("Object{spec: Object.spec{?a: optional.none(), ?b: self.?s}}", {"spec": {"b": "abc"}}),
        ("Object{c: self.c.map(x, Object.c{n: x.n, e: [Object.c.e{k: 1}]})}",
         {"c": [{"n": "a", "e": [{"k": 1}]}, {"n": "b", "e": [{"k": 1}]}]}),
        ("Object{m: {'a/b': Object.m{c: 1}}}", {"m": {"a/b": {"c": 1}}}),
        ("Object{labels: self.m.transformMap(k, v, string(v))}", {"labels": {"x": "1", "y": "2"}}),
        ("true ? Object{a: {'}': \"{,:\"}} : Object{}", {"a": {"}": "{,:"}}), ("Object {\n a : 1 // {\n}", {"a": 1}),
        ("Object{namespace: 'n', in_: 1u, d: 2.0, e: 0.5}", {"namespace": "n", "in_": 1, "d": 2, "e": 0.5}),
        ("Object{b: b'xyz'}", {"b": "eHl6"}),
    ],
)  # fmt: skip
def test_objects(expression: str, fields: Any) -> None:
    assert building.fields_of(evaluate(expression, OBJECT)) == fields


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("Object{a: Object.b{}}", 'unexpected type name "Object.b", expected "Object.a"'),
        ("Object{a: [Object.a.b{}]}", 'unexpected type name "Object.a.b", expected "Object.a"'),
        ("Object{a: {'k': Object{}}}", 'unexpected type name "Object", expected "Object.a"'),
        ("Object{a: {1: 2}}", "map key 1 is not string"),
        ("Object{a: [1.0 / 0.0]}", "inf cannot be written as JSON"),
    ],
)
def test_objects_that_fit_nowhere(expression: str, words: str) -> None:
    with pytest.raises(NotBuilt, match=words):
        building.fields_of(evaluate(expression, OBJECT))


@pytest.mark.parametrize(
    ("expression", "result", "words"),
    [
        ("{'a': 1}", OBJECT, "must evaluate to Object"),
        ("self", OBJECT, "must evaluate to Object"),
        ("Object.a{}", OBJECT, "must evaluate to Object"),
        ("Object", OBJECT, "undeclared reference"),
        ("Object{1: 2}", OBJECT, "takes fields as `name: value`"),
        ("true ? Object{} : {}", OBJECT, "no matching"),
        ("JSONPatch.x{}", PATCH, "undeclared reference"),
        ("JSONPatch{}", PATCH, "must evaluate to list"),
        ("Objects{}", OBJECT, "undeclared reference"),
        ("Object{a: Nope{}}", OBJECT, "undeclared reference"),
    ],
)
def test_what_makes_no_object_does_not_compile(expression: str, result: str, words: str) -> None:
    with pytest.raises(CelError, match=words):
        compiled(expression, ("self",), result, builds=True)


def test_only_mutations_make_objects() -> None:
    with pytest.raises(CelError, match="undeclared reference to 'Object'"):
        compiled("Object{} == 1", ("self",))


def test_patches() -> None:
    made = evaluate(
        "self.l.map(x, JSONPatch{op: 'move', path: '/' + x, from: '/' + jsonpatch.escapeKey('a/~' + x)})", PATCH
    )
    assert building.operations_of(made)[0] == {"op": "move", "path": "/a", "from": "/a~1~0a"}
    assert building.operations_of(evaluate("[]", PATCH)) == []
    value = "[JSONPatch{op: 'add', path: '/a', value: Object.spec{b: Object.spec.b{}}}]"
    assert building.operations_of(evaluate(value, PATCH)) == [{"op": "add", "path": "/a", "value": {"b": {}}}]
    with pytest.raises(NotBuilt, match="should evaluate to array of JSONPatch"):
        building.operations_of([{"op": "add"}])


def test_times_are_written_as_json_has_them() -> None:
    made = {building.TYPE: "Object", "t": datetime(2026, 1, 1, tzinfo=UTC), "d": timedelta(seconds=90, milliseconds=5)}
    assert building.fields_of(made) == {"t": "2026-01-01T00:00:00Z", "d": "90.005s"}
