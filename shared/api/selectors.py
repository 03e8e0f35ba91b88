"""Label and field selectors: their grammar, and whether an object matches.

Pure. The grammar, its errors and its canonical text are those of k8s.io/apimachinery/pkg/labels and pkg/fields.
A selector is parsed once and asked for many objects, so the one-equality case is a single dictionary look-up.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from shared.api import names
from shared.api.errors import BadRequest
from shared.api.meta import LabelSelector

IN, NOT_IN, EXISTS, DOES_NOT_EXIST, GREATER, LESS = "in", "notin", "exists", "!", "gt", "lt"
_EXPRESSION_OPERATORS = {"In": IN, "NotIn": NOT_IN, "Exists": EXISTS, "DoesNotExist": DOES_NOT_EXIST}
_SYMBOLS = {"=", "==", "!=", "!", "(", ")", ",", ">", "<"}
_END = ("end", "")


@dataclass(frozen=True, slots=True)
class Requirement:
    """One condition on one label. ``exact`` marks ``=`` (IN one value) and ``!=`` (NOT_IN one), printed as such."""

    key: str
    operator: str
    values: frozenset[str] = frozenset()
    exact: bool = False

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether the condition holds; a label that is not there satisfies NOT_IN and DOES_NOT_EXIST only."""
        if self.operator == EXISTS:
            return self.key in labels
        if self.operator == DOES_NOT_EXIST:
            return self.key not in labels
        if self.operator == NOT_IN:
            return labels.get(self.key) not in self.values
        if self.operator == IN:
            return labels.get(self.key) in self.values
        have = _integer(labels.get(self.key, ""))
        limit = _integer(next(iter(self.values)))
        if have is None or limit is None:
            return False
        return have > limit if self.operator == GREATER else have < limit

    def __str__(self) -> str:
        if self.operator == EXISTS:
            return self.key
        if self.operator == DOES_NOT_EXIST:
            return f"!{self.key}"
        if self.operator in (GREATER, LESS):
            return f"{self.key}{'>' if self.operator == GREATER else '<'}{next(iter(self.values))}"
        if self.exact:
            return f"{self.key}{'=' if self.operator == IN else '!='}{next(iter(self.values))}"
        return f"{self.key} {self.operator} ({','.join(sorted(self.values))})"


class Selector:
    """All requirements must hold; without any, everything matches. Immutable; ``str`` is the canonical text."""

    __slots__ = ("_key", "_nothing", "_value", "requirements")

    def __init__(self, requirements: Iterable[Requirement] = (), *, nothing: bool = False) -> None:
        self.requirements: Final = tuple(sorted(requirements, key=lambda r: r.key))
        self._nothing: Final = nothing
        first = self.requirements[0] if len(self.requirements) == 1 else None
        single = first is not None and first.operator == IN and len(first.values) == 1
        self._key: Final = first.key if first is not None and single else None
        self._value: Final = next(iter(first.values)) if first is not None and single else None

    def matches(self, labels: Mapping[str, str] | None) -> bool:
        """Whether an object with these labels is selected."""
        if self._nothing:
            return False
        labels = labels or {}
        if self._key is not None:
            return labels.get(self._key) == self._value
        return all(requirement.matches(labels) for requirement in self.requirements)

    @property
    def empty(self) -> bool:
        """Whether it matches everything."""
        return not self.requirements and not self._nothing

    def __str__(self) -> str:
        return ",".join(map(str, self.requirements))

    def __repr__(self) -> str:
        return "Selector(nothing)" if self._nothing else f"Selector({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Selector):
            return NotImplemented
        return self.requirements == other.requirements and self._nothing == other._nothing

    def __hash__(self) -> int:
        return hash((self.requirements, self._nothing))


EVERYTHING = Selector()
NOTHING = Selector(nothing=True)


def from_label_selector(selector: LabelSelector | Mapping[str, Any] | None) -> Selector:
    """The selector of a ``matchLabels``/``matchExpressions`` struct or tree. None selects nothing, an empty one all.

    Raises BadRequest on an unknown operator; validation refuses such an object before it is stored.
    """
    if selector is None:
        return NOTHING
    if isinstance(selector, LabelSelector):
        labels: Mapping[str, str] = selector.match_labels
        expressions = [(e.key, e.operator, e.values) for e in selector.match_expressions]
    else:
        labels = selector.get("matchLabels") or {}
        expressions = [
            (e.get("key") or "", e.get("operator") or "", tuple(e.get("values") or ()))
            for e in selector.get("matchExpressions") or ()
        ]
    requirements = [Requirement(key, IN, frozenset((value,)), exact=True) for key, value in labels.items()]
    for key, operator, values in expressions:
        if operator not in _EXPRESSION_OPERATORS:
            raise BadRequest(f'"{operator}" is not a valid label selector operator')
        requirements.append(Requirement(key, _EXPRESSION_OPERATORS[operator], frozenset(values)))
    return Selector(requirements)


def from_set(labels: Mapping[str, str]) -> Selector:
    """The selector of a plain map, such as a Service's; every pair must match."""
    return Selector(Requirement(key, IN, frozenset((value,)), exact=True) for key, value in labels.items())


def parse_label_selector(text: str) -> Selector:
    """Parse ``a=b,c in (d,e),!f``. Raises BadRequest with Kubernetes' text."""
    return _Parser(text).selector()


class _Parser:
    """Recursive descent over a token list. Words ``in`` and ``notin`` are operators only where one is expected."""

    def __init__(self, text: str) -> None:
        self._tokens = [*_tokens(text), _END]
        self._position = 0

    def selector(self) -> Selector:
        requirements: list[Requirement] = []
        while True:
            kind, text = self._peek()
            if kind == "end":
                return Selector(requirements)
            if kind != "word" and text != "!":
                raise BadRequest(f"found '{text}', expected: !, identifier, or 'end of string'")
            requirements.append(self._requirement())
            kind, text = self._next()
            if kind == "end":
                return Selector(requirements)
            if text != "," or kind == "word":
                raise BadRequest(f"found '{text}', expected: ',' or 'end of string'")
            kind, text = self._peek()
            if kind != "word" and text != "!":
                raise BadRequest(f"found '{text}', expected: identifier after ','")

    def _requirement(self) -> Requirement:
        kind, key = self._next()
        absent = kind != "word" and key == "!"
        if absent:
            kind, key = self._next()
        if kind != "word":
            raise _requirement_error(f"found '{key}', expected: identifier")
        for wrong in names.qualified_name(key):
            raise _requirement_error(f'<nil>: Invalid value: "{key}": {wrong}')
        if absent:
            return Requirement(key, DOES_NOT_EXIST)
        kind, operator = self._peek()
        if kind == "end" or (kind == "symbol" and operator == ","):
            return Requirement(key, EXISTS)
        self._next()
        if kind == "word" and operator in (IN, NOT_IN):
            values = self._set()
            if not values:
                raise _requirement_error(
                    "values: Invalid value: []: for 'in', 'notin' operators, values set can't be empty"
                )
            return Requirement(key, operator, _legal_values(key, values))
        if kind == "symbol" and operator in ("=", "==", "!="):
            value = self._value()
            return Requirement(key, NOT_IN if operator == "!=" else IN, _legal_values(key, [value]), exact=True)
        if kind == "symbol" and operator in (">", "<"):
            value = self._value()
            if _integer(value) is None:
                raise _requirement_error(
                    f"values[0]: Invalid value: \"{value}\": for 'Gt', 'Lt' operators, the value must be an integer"
                )
            return Requirement(key, GREATER if operator == ">" else LESS, frozenset((value,)))
        raise _requirement_error(f"found '{operator}', expected: in, notin, =, ==, !=, gt, lt")

    def _set(self) -> list[str]:
        kind, text = self._next()
        if kind == "word" or text != "(":
            raise _requirement_error(f"found '{text}', expected: '('")
        if self._peek() == ("symbol", ")"):
            self._next()
            return []
        values: list[str] = []
        wanted = True
        while True:
            kind, text = self._next()
            if kind == "word" and wanted:
                values.append(text)
                wanted = False
            elif (kind, text) == ("symbol", ","):
                if wanted:
                    values.append("")
                wanted = True
            elif (kind, text) == ("symbol", ")"):
                return [*values, ""] if wanted else values
            else:
                raise _requirement_error(f"found '{text}', expected: ',' or ')'")

    def _value(self) -> str:
        kind, text = self._peek()
        if kind == "end" or (kind == "symbol" and text == ","):
            return ""
        if kind != "word":
            raise _requirement_error(f"found '{text}', expected: identifier")
        self._next()
        return text

    def _peek(self) -> tuple[str, str]:
        return self._tokens[self._position]

    def _next(self) -> tuple[str, str]:
        token = self._tokens[self._position]
        self._position = min(self._position + 1, len(self._tokens) - 1)
        return token


_TOKEN = re.compile(r"\s+|(?P<word>[^\s=!(),<>]+)|(?P<symbol>==|!=|[=!(),<>])")


def _tokens(text: str) -> Iterable[tuple[str, str]]:
    for match in _TOKEN.finditer(text):
        if match.lastgroup:
            yield match.lastgroup, match[0]


def _legal_values(key: str, values: Iterable[str]) -> frozenset[str]:
    legal = frozenset(values)
    for index, value in enumerate(sorted(legal)):
        for wrong in names.label_value(value):
            raise _requirement_error(f'values[{index}][{key}]: Invalid value: "{value}": {wrong}')
    return legal


def _requirement_error(text: str) -> BadRequest:
    return BadRequest(f"unable to parse requirement: {text}")


def _integer(text: str) -> int | None:
    return int(text) if re.fullmatch(r"[+-]?[0-9]{1,19}", text) else None


# --- field selectors ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class FieldRequirement:
    """``field`` equals (or with ``negative`` does not equal) ``value``."""

    field: str
    value: str
    negative: bool = False


class FieldSelector:
    """All requirements must hold. Which fields a kind knows is the caller's to check."""

    __slots__ = ("requirements",)

    def __init__(self, requirements: Iterable[FieldRequirement] = ()) -> None:
        self.requirements: Final = tuple(requirements)

    def matches(self, fields: Mapping[str, str]) -> bool:
        """Whether an object with these field values is selected; a field that is not there is empty."""
        return all((fields.get(r.field, "") == r.value) is not r.negative for r in self.requirements)

    def exact(self, field: str) -> str | None:
        """The one value that ``field`` is required to have, if the selector says so."""
        return next((r.value for r in self.requirements if r.field == field and not r.negative), None)

    @property
    def empty(self) -> bool:
        return not self.requirements

    def __str__(self) -> str:
        return ",".join(
            f"{r.field}{'!=' if r.negative else '='}{re.sub(_MUST_ESCAPE, _ESCAPE, r.value)}" for r in self.requirements
        )


_MUST_ESCAPE = r"([\\,=])"
_ESCAPE = r"\\\1"
_TERM = re.compile(r"(?:[^\\,]|\\.|\\$)*", re.DOTALL)
_OPERATOR = re.compile(r"(?:[^\\=!]|\\.|!(?!=))*?(!=|==|=)", re.DOTALL)


def parse_field_selector(text: str) -> FieldSelector:
    """Parse ``a=b,c!=d`` with ``\\,``, ``\\=`` and ``\\\\`` escapes. Raises BadRequest with Kubernetes' text."""
    requirements: list[FieldRequirement] = []
    position = 0
    while position <= len(text):
        match = _TERM.match(text, position)
        assert match is not None  # the pattern matches the empty string
        term, position = match[0], match.end() + 1
        if not term:
            continue
        found = _OPERATOR.match(term)
        if found is None:
            raise BadRequest(f"invalid selector: '{text}'; can't understand '{term}'")
        value = _unescape(term[found.end() :])
        requirements.append(FieldRequirement(term[: found.start(1)], value, found[1] == "!="))
    return FieldSelector(requirements)


def _unescape(text: str) -> str:
    out: list[str] = []
    chars = iter(text)
    for char in chars:
        if char == "\\":
            following = next(chars, "")
            if following not in ("\\", ",", "="):
                raise BadRequest(f"invalid field selector: invalid escape sequence: \\{following}")
            out.append(following)
        elif char in ",=":
            raise BadRequest(f"invalid field selector: unescaped character in value: {char}")
        else:
            out.append(char)
    return "".join(out)
