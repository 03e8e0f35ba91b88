"""CEL with Kubernetes' functions, within limits."""

from __future__ import annotations

from typing import Any

import pytest

from controlplane.apiserver.cel import regex
from controlplane.apiserver.cel.engine import Budget, CelError, OutOfBudget, compiled
from controlplane.apiserver.cel.fields import undefined
from controlplane.apiserver.cel.values import escaped, visible
from controlplane.apiserver.custom.schema import compiled as schema

SELF = {"l": [1, 2, 3], "m": {"a": 1}, "s": "abc", "q": "1500m", "ip": "10.1.2.3", "n": None, "f": 1.5}


def evaluate(expression: str, value: Any = SELF) -> Any:
    return compiled(expression, ("self",)).evaluate({"self": value}, Budget())


@pytest.mark.parametrize(
    "expression",
    [
        "size(self.l) == 3 && self.s.size() == 3", "self.s.startsWith('a') && self.s.endsWith('c')",
        "self.s.matches('^[a-c]+$')", "self.l.all(x, x > 0) && self.l.exists_one(x, x == 2)",
        "self.l.map(x, x * 2) == [2, 4, 6]", "'a' in self.m && has(self.m.a) && !has(self.m.b)",
        "self.l.sum() == 6 && self.l.min() == 1 && self.l.max() == 3 && self.l.isSorted()",
        "self.l.indexOf(2) == 1 && self.l.lastIndexOf(9) == -1", "['b', 'a'].isSorted() == false",
        "self.f > 1 && self.l[0] < 1.5 && self.l[0] == 1.0", "self.n == null",
        "self.?missing.orValue('x') == 'x' && self.?s.hasValue()",
        "quantity(self.q).isGreaterThan(quantity('1')) && quantity('1') == quantity('1000m')",
        "quantity('1Gi').compareTo(quantity('1024Mi')) == 0 && quantity('5').sub(2).asInteger() == 3",
        "isQuantity('1k') && !isQuantity('x') && quantity('-1').sign() == -1 && !quantity(self.q).isInteger()",
        "isIP(self.ip) && ip(self.ip).family() == 4 && !isIP('1.2.3') && ip('::1').isLoopback()",
        "cidr('10.0.0.0/8').containsIP(self.ip) && cidr('10.0.0.0/8').containsCIDR('10.2.0.0/16')",
        "cidr('10.1.2.3/8').masked() == cidr('10.0.0.0/8') && cidr('::/0').prefixLength() == 0 && !isCIDR('10.0.0.0')",
        "url('https://u@h.example:8443/a b?x=1&x=2').getHost() == 'h.example:8443' || true",
        "url('https://h.example:8443/a?x=1&x=2').getQuery()['x'] == ['1', '2']",
        "url('https://[::1]:80/').getHostname() == '::1' && url('/a').getScheme() == '' && !isURL('nope')",
        "'a1b22'.find('[0-9]+') == '1' && 'a1b22'.findAll('[0-9]+') == ['1', '22'] && 'a'.find('x') == ''",
        "'a,b'.split(',').join('-') == 'a-b' && ' x '.trim() == 'x' && 'Ab'.lowerAscii() == 'ab'",
        "'abc'.substring(1, 2) == 'b' && 'abc'.charAt(0) == 'a' && 'abcb'.replace('b', 'x') == 'axcx'",
        "'%s is %d or %.1f'.format(['a', 1, 2.0]) == 'a is 1 or 2.0'",
        "sets.contains([1, 2], [1]) && sets.equivalent([1, 1], [1]) && sets.intersects([1], [1, 2])",
        "semver('1.2.3').major() == 1 && semver('1.2.3').minor() == 2 && semver('1.2.3').patch() == 3",
        "semver('1.2.3').compareTo(semver('2.0.0')) == -1 && semver('1.10.0').isGreaterThan(semver('1.9.0'))",
        "semver('1.0.0-alpha.1').isLessThan(semver('1.0.0-alpha.beta'))",
        "semver('1.0.0-rc').isLessThan(semver('1.0.0'))",
        "semver('1.0.0-2').isLessThan(semver('1.0.0-11')) && semver('1.0.0+a') == semver('1.0.0+b')",
        "semver('v1.0', true) == semver('1.0.0') && semver('01.01.01', true) == semver('1.1.1')",
        "isSemver('1.0.0') && !isSemver('v1.0') && isSemver('v1.0', true)",
        "!isSemver('200K') && !isSemver('1.0-a', true)",
        "!format.dns1123Label().validate('my-label').hasValue() && format.dns1123Label().validate('A').hasValue()",
        "format.dns1123Label().validate('A(\\')').orValue([]).size() == 1 && format.uuid().validate('x').value() == "
        "['does not match the UUID format']",
        "format.named('labelValue').hasValue() && !format.named('nope').hasValue()",
        "format.named('date').value().validate('2021-01-01').orValue([]) == [] // validate(",
        "!format.dns1123LabelPrefix().validate('my-').hasValue() && format.dns1123Label().validate('my-').hasValue()",
        "['2021-01-01T00:00:00Z'].all(x, !format.datetime().validate(x).hasValue())",
        "[format.uri().validate('http://a/b'), format.byte().validate('aGVsbG8=')].all(x, !x.hasValue())",
        "strings.quote('a\\nb') == '\"a\\\\nb\"'",
        "timestamp('2026-05-04T12:00:00Z') < timestamp('2026-05-04T12:00:01Z') && duration('1h') > duration('59m')",
    ],
)  # fmt: skip
def test_expressions_that_hold(expression: str) -> None:
    assert evaluate(expression) is True


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        ("self.", "Syntax error"), ("other.x", "undeclared reference to 'other"), ("self.x.nope()", "nope"),
        ("1 + 'a'", "no matching overload"), ("'a'.matches(1)", "no matching overload"),
    ],
)  # fmt: skip
def test_what_cannot_work_does_not_compile(expression: str, text: str) -> None:
    with pytest.raises(CelError, match=text):
        compiled(expression, ("self",))


def test_a_rule_must_be_a_bool() -> None:
    with pytest.raises(CelError, match="must evaluate to a bool"):
        compiled("1 + 1", (), "BOOL")
    with pytest.raises(CelError, match="longer than"):
        compiled("1" * 20_000, ())


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        ("self.missing == 1", "no such key: missing"), ("self.l[9] == 1", "index"), ("1 / (self.l[0] - 1)", "divide"),
        ("self.s + self.l[0]", "no such overload"), ("quantity(self.s)", "quantit"), ("[].max()", "empty list"),
        ("self.s.find('(')", "missing"), ("semver('1.0')", "invalid semantic version"), ("self.m.major()", "semver"),
        ("self.m.validate('x').hasValue()", "a format is wanted"),
    ],
)  # fmt: skip
def test_what_fails_says_why(expression: str, text: str) -> None:
    with pytest.raises(CelError, match=text):
        evaluate(expression)


def test_loops_and_budgets_end() -> None:
    with pytest.raises(CelError, match="budget"):
        evaluate("self.all(a, self.all(b, self.all(c, a + b + c >= 0)))", list(range(100)))
    with pytest.raises(OutOfBudget):
        evaluate("self.l.all(a, self.l.all(b, self.s.contains('y')))", {"l": list(range(200)), "s": "x" * 100_000})
    budget = Budget(evaluations=2)
    program = compiled("true", ())
    assert program.evaluate({}, budget) is True
    assert program.evaluate({}, budget) is True
    with pytest.raises(OutOfBudget):
        program.evaluate({}, budget)
    times = iter((0.0, 0.5, 1.5))
    budget = Budget(seconds=1.0, clock=lambda: next(times))
    assert program.evaluate({}, budget) is True
    with pytest.raises(OutOfBudget):
        program.evaluate({}, budget)


@pytest.mark.parametrize(
    ("name", "shown"),
    [("a", "a"), ("a-b", "a__dash__b"), ("a.b/c", "a__dot__b__slash__c"), ("__x", "__underscores__x"),
     ("namespace", "__namespace__"), ("1a", ""), ("ä", ""), ("if", "__if__")],
)  # fmt: skip
def test_names_are_escaped_as_kubernetes_does(name: str, shown: str) -> None:
    assert escaped(name) == shown


def test_an_expression_sees_what_the_schema_names() -> None:
    node = schema(
        {"type": "object", "properties": {"spec": {"type": "object", "properties": {
            "a-b": {"type": "integer"}, "m": {"type": "object", "additionalProperties": {"type": "string"}}}}}}
    )  # fmt: skip
    obj = {
        "apiVersion": "v1", "kind": "K", "metadata": {"name": "n", "uid": "u", "labels": {}},
        "spec": {"a-b": 1, "m": {"c-d": "x"}, "hidden": 1},
    }  # fmt: skip
    assert visible(node, obj, resource=True) == {
        "apiVersion": "v1", "kind": "K", "metadata": {"name": "n"}, "spec": {"a__dash__b": 1, "m": {"c-d": "x"}},
    }  # fmt: skip


def test_regular_expressions_are_linear_and_checked() -> None:
    assert not regex.matcher("^(a+)+$")("a" * 5000 + "!")
    for pattern in ("(", "[z-a]", r"(?=x)", r"\1"):
        with pytest.raises(ValueError):
            regex.matcher(pattern)


TEXT = {"type": "string"}
OBJECT = {"type": "object"}
SCHEMA = {
    "type": "object",
    "properties": {
        "spec": {"type": "object", "properties": {
            "a-b": {"type": "integer"}, "text": TEXT, "free": {"x-kubernetes-preserve-unknown-fields": True},
            "list": {"type": "array", "items": {**OBJECT, "properties": {"k": TEXT}}},
            "map": {**OBJECT, "additionalProperties": {**OBJECT, "properties": {"v": {"type": "integer"}}}},
            "inner": {**OBJECT, "x-kubernetes-embedded-resource": True, "properties": {"x": TEXT}},
        }},
    },
}  # fmt: skip


@pytest.mark.parametrize(
    ("expression", "missing"),
    [
        ("self.spec.a__dash__b > 0", []), ("self.spec.nope > 0", ["nope"]), ("has(self.spec.nope)", ["nope"]),
        ("self.metadata.name == 'a' && self.kind == 'K'", []), ("self.metadata.labels.size() > 0", ["labels"]),
        ("self.spec.list.all(i, i.k == 'x')", []), ("self.spec.list.all(i, i.nope == 'x')", ["nope"]),
        ("self.spec.list[0].nope == ''", ["nope"]), ("self.spec.list.filter(i, i.k == '').size() > 0", []),
        ("self.spec.map['a'].v > 0 && self.spec.map.b.v > 0", []), ("self.spec.map['a'].nope > 0", ["nope"]),
        ("self.spec.map.all(k, self.spec.map[k].nope > 0)", ["nope"]), ("self.spec.free.anything.at.all == 1", []),
        ("self.spec.inner.metadata.name == '' && self.spec.inner.kind == ''", []), ("self.spec.inner.y == ''", ["y"]),
        ("oldSelf.nope == self.other", ["nope", "other"]), ("{'a': self.nope}.size() == 1", ["nope"]),
        ("[self.nope].size() == 1", ["nope"]), ("self.?spec.?nope.hasValue()", []),
    ],
)  # fmt: skip
def test_fields_that_are_not_there(expression: str, missing: list[str]) -> None:
    program = compiled(expression, ("self", "oldSelf"))
    assert undefined(program, schema(SCHEMA), resource=True, variables=("self", "oldSelf")) == missing


@pytest.mark.parametrize(
    "expression", ["self" + ".a" * 3000, "1" + " + 1" * 3000 + " == self", "(" * 3000 + "1" + ")" * 3000]
)
def test_expressions_as_deep_as_they_can_be_are_no_crash(expression: str) -> None:
    try:
        program = compiled(expression, ("self",))
    except CelError:
        return
    undefined(program, schema({"type": "object"}), resource=False, variables=("self",))
    with pytest.raises(CelError):
        program.evaluate({"self": {}}, Budget())


@pytest.mark.parametrize(
    ("expression", "where"),
    [
        ("self.?s", "the result"), ("[self.?s]", "the result"), ("{'a': self.?s}", "the result"),
        ("optional.of(optional.of(1)).value()", "the result"), ("[1].map(x, self.?s)", "the result"),
        ("cel.bind(x, self.?s, [x])", "the result"), ("true ? self.?s : optional.none()", "the result"),
        ("['a', self.?s].join(',')", "an argument of join"), ("{'quantity': self.?q}.sign()", "an argument of sign"),
        ("[dyn(self.?s)].sum()", "an argument of sum"), ("[self[?'s']].sum()", "an argument of sum"),
        ("[1].all(x, [self.?s].isSorted())", "an argument of isSorted"),
        ("'%s'.format([{'a': self.?s}])", "an argument of format"),
    ],
)  # fmt: skip
def test_optional_values_stay_where_they_can_be(expression: str, where: str) -> None:
    with pytest.raises(CelError, match=f"{where} may be or hold an optional value"):
        compiled(expression, ("self",))


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("self.?a.?b.orValue('q')", "q"), ("[?self.?s, ?self.?nope]", ["abc"]), ("{?'a': self.?s}", {"a": "abc"}),
        ("cel.bind(x, self.?s, [x.value()])", ["abc"]), ("self.?s.optMap(x, x + 'd').orValue('')", "abcd"),
        ("self[?'m'].optFlatMap(x, x.?a).or(optional.of(2)).value()", 1), ("self.?s == optional.of('abc')", True),
        ("[self.?s] == [optional.of('abc')]", True), ("[self.?s, self.?nope].filter(x, x.hasValue()).size()", 1),
        ("[1, 2].map(x, self.?l[?x].orValue(0))", [2, 3]),
    ],
)  # fmt: skip
def test_optional_values_that_are_asked_for_what_they_hold(expression: str, value: Any) -> None:
    assert evaluate(expression) == value


def test_an_expression_that_is_too_long_to_tell_is_refused() -> None:
    loops = "[self.?s].map(a, " * 14 + "a" + ")" * 14
    with pytest.raises(CelError, match="holds more than 200000 values"):
        compiled(loops, ("self",))
