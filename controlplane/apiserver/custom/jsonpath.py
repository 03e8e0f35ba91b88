"""kubectl's JSONPath, as far as printer columns use it: fields, indexes, slices, wildcards, descent, filters.

Pure. After k8s.io/client-go/util/jsonpath. A path that is not there finds nothing and raises nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

Step = Callable[[Any], Iterable[Any]]

_NAME = re.compile(r"(?:\\.|[^.\[\]\s\\])+")
_TOKEN = re.compile(r"\s*(?:'((?:\\.|[^'\\])*)'|\"((?:\\.|[^\"\\])*)\"|(-?\d+(?:\.\d+)?)|(true|false|null))\s*")
_FILTER = re.compile(r"\?\(\s*(?P<left>@[^=!<>]*?)\s*(?:(?P<op>==|!=|<=|>=|<|>)\s*(?P<right>.+?)\s*)?\)")


def parse(path: str) -> Callable[[Any], list[Any]]:
    """What a path (``.spec.x``, ``.status.conditions[?(@.type=="Ready")].status``) finds in a tree. Raises
    ValueError for a path that is none."""
    steps = tuple(_steps(path.strip()))

    def find(tree: Any) -> list[Any]:
        found = [tree]
        for step in steps:
            found = [inner for value in found for inner in step(value)]
        return found

    return find


def _steps(path: str) -> Iterator[Step]:
    at = 0
    if path.startswith("$"):
        at = 1
    while at < len(path):
        if path.startswith("..", at):
            yield _descend
            at += 2
            if at < len(path) and path[at] not in "[*":
                name, at = _name(path, at)
                yield _field(name)
        elif path[at] == ".":
            at += 1
            if at == len(path):
                return
            if path[at] == "*":
                yield _every
                at += 1
            elif path[at] != "[":
                name, at = _name(path, at)
                yield _field(name)
        elif path[at] == "[":
            end = _closing(path, at)
            yield _bracket(path[at + 1 : end].strip())
            at = end + 1
        elif path[at] == "*":
            yield _every
            at += 1
        elif at == 0:
            name, at = _name(path, at)
            yield _field(name)
        else:
            raise ValueError(f"unrecognized character in path: {path[at]!r}")


def _name(path: str, at: int) -> tuple[str, int]:
    match = _NAME.match(path, at)
    if match is None:
        raise ValueError(f"a name is wanted at {path[at:]!r}")
    return re.sub(r"\\(.)", r"\1", match[0]), match.end()


def _closing(path: str, at: int) -> int:
    """Where the bracket that opens at ``at`` closes, texts in quotes left out."""
    depth, quote = 0, ""
    for index in range(at, len(path)):
        char = path[index]
        if quote:
            if char == quote and path[index - 1] != "\\":
                quote = ""
        elif char in "'\"":
            quote = char
        elif char == "[":
            depth += 1
        elif char == "]":
            depth -= 1
            if not depth:
                return index
    raise ValueError("unterminated array")


def _bracket(inner: str) -> Step:
    if inner == "*":
        return _every
    if inner.startswith("?"):
        return _filter(inner)
    if re.fullmatch(r"-?\d+", inner):
        return _index(int(inner))
    if re.fullmatch(r"-?\d*:-?\d*(:\d*)?", inner):
        parts = [int(part) if part else None for part in inner.split(":")]
        return lambda value: value[slice(*parts)] if isinstance(value, list) else ()
    names = [_literal(part) for part in re.split(r",(?=\s*['\"])", inner)]
    if all(isinstance(name, str) for name in names):
        steps = [_field(str(name)) for name in names]
        return lambda value: [found for step in steps for found in step(value)]
    raise ValueError(f"invalid array index {inner}")


def _literal(text: str) -> Any:
    match = _TOKEN.fullmatch(text)
    if match is None:
        raise ValueError(f"unrecognized value {text!r}")
    if match[1] is not None or match[2] is not None:
        return re.sub(r"\\(.)", r"\1", match[1] if match[1] is not None else match[2])
    if match[3] is not None:
        return float(match[3]) if "." in match[3] else int(match[3])
    return {"true": True, "false": False, "null": None}[match[4]]


def _field(name: str) -> Step:
    return lambda value: (value[name],) if isinstance(value, dict) and name in value else ()


def _index(index: int) -> Step:
    return lambda value: (value[index],) if isinstance(value, list) and -len(value) <= index < len(value) else ()


def _every(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else ()


def _descend(value: Any) -> Iterator[Any]:
    yield value
    for inner in _every(value):
        if isinstance(inner, dict | list):
            yield from _descend(inner)


def _filter(text: str) -> Step:
    match = _FILTER.fullmatch(text)
    if match is None:
        raise ValueError(f"unrecognized filter {text!r}")
    left = parse(match["left"][1:] or ".")
    if not match["op"]:
        return lambda value: [item for item in _every(value) if left(item)]
    right = _side(match["right"])
    compare = _COMPARE[match["op"]]

    def step(value: Any) -> Iterable[Any]:
        kept = []
        for item in _every(value):
            one, other = left(item), right(item)
            if one and other and compare(one[0], other[0]):
                kept.append(item)
        return kept

    return step


def _side(text: str) -> Callable[[Any], list[Any]]:
    if text.startswith("@"):
        return parse(text[1:] or ".")
    value = _literal(text)
    return lambda item: [value]


def _ordered(compare: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    def apply(one: Any, other: Any) -> bool:
        both = (int, float)
        fits = (isinstance(one, both) and isinstance(other, both)) or (isinstance(one, str) and isinstance(other, str))
        return fits and compare(one, other)

    return apply


_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "==": lambda one, other: bool(one == other),
    "!=": lambda one, other: bool(one != other),
    "<": _ordered(lambda one, other: one < other),
    ">": _ordered(lambda one, other: one > other),
    "<=": _ordered(lambda one, other: one <= other),
    ">=": _ordered(lambda one, other: one >= other),
}
