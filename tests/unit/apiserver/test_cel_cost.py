"""Expressions that would take the server's memory or time are refused before they run; ordinary ones are not."""

from __future__ import annotations

from typing import Any

import pytest

from controlplane.apiserver.cel.engine import MAX_RESULT, Budget, OutOfBudget, compiled

TEXT = "a" * 1000
HUNDRED = list(range(100))


def evaluate(expression: str, value: Any) -> Any:
    return compiled(expression, ("self",)).evaluate({"self": value}, Budget())


def grown(times: int, of: str = "self", by: str = "v{0} + v{0} + v{0} + v{0}") -> str:
    """The size of a value that grows fourfold with each bind."""
    expression = f"size(v{times})"
    for number in range(times, 0, -1):
        expression = f"cel.bind(v{number}, {by.format(number - 1)}, {expression})"
    return f"cel.bind(v0, {of}, {expression})"


BOMBS = {
    "texts": (grown(20), TEXT),
    "lists": (grown(20, "[1, 2]"), 0),
    "a text of the expression itself": (grown(20, f"'{TEXT}'"), 0),
    "lists of lists": (grown(20, "[self]"), TEXT),
    "lists in lists": (grown(20, "[self]", "[v{0}, v{0}, v{0}, v{0}]"), TEXT),
    "both members of a map": (f"cel.bind(m, {{'a': self, 'b': self}}, {grown(20, 'string(m.a) + m.b')})", TEXT),
    "what an optional value holds": (grown(20, "optional.of(self).orValue('')"), TEXT),
    "functions in a loop": ("self.all(x, self.all(y, self.join(',') != x))", ["a" * 1000] * 95),
    "whose errors are passed over": ("self.all(x, self.all(y, x.replace('a', x) == '' || true))", ["a" * 1000] * 90),
    "lists in a loop": ("self.all(x, size(self + self) > 0)", list(range(9000))),
    "a long list gathered": ("self.map(x, x + 1).size() > 0", list(range(9000))),
    "what is bound in a loop": ("self.all(x, cel.bind(a, self, a.all(y, a.join('') != x)))", ["a" * 1000] * 95),
    "long texts in a loop": ("self.all(x, self.all(y, x + y != self.join(x)))", ["a" * 10_000] * 100),
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_it_is_refused(bomb: str) -> None:
    with pytest.raises(OutOfBudget):
        evaluate(*BOMBS[bomb])


def test_a_result_that_others_would_build_on_is_not_too_large() -> None:
    with pytest.raises(OutOfBudget, match="the result is too large"):
        evaluate("self + self", ["x"] * MAX_RESULT)


ORDINARY: dict[str, tuple[str, Any, Any]] = {
    "a little growth": (grown(2), TEXT, 16_000),
    "nested loops": ("self.all(x, self.exists(y, x == y))", HUNDRED, True),
    "a list of texts": ("self.map(x, 'item-' + string(x)).join(',').size()", HUNDRED, 789),
    "a list gathered": ("self.filter(x, x > 5).map(x, x + 1).size()", list(range(1000)), 994),
    "a long loop": ("self.all(x, x + 1 > 0)", list(range(9000)), True),
    "items given to functions": ("self.all(x, x.replace('a', 'b').matches('^b+$'))", ["a" * 100] * 2000, True),
    "two variables": ("self.transformList(i, x, i + x)[99]", HUNDRED, 198),
    "comparisons of large texts": ("self == self && self + 'b' != self", "a" * 1_000_000, True),
    "one of two": ("(self.size() > 1 ? self : self + self).size()", TEXT, 1000),
}


@pytest.mark.parametrize("name", ORDINARY)
def test_it_is_answered(name: str) -> None:
    expression, value, answer = ORDINARY[name]
    assert evaluate(expression, value) == answer
