"""YAML with JSON's data model, as Kubernetes reads it. For ``shared.codec`` only, which loads it when it is needed.

What comes out of here can be written as JSON: keys are strings (sigs.k8s.io/yaml turns numbers and booleans into
them), there are no dates, sets or bytes, and nothing is deep or large enough to hurt who reads it. The parser recurses
in C, where no exception stops it, so the text's depth is looked at first; and aliases let a few lines stand for
gigabytes, so what they add is counted (Go's yaml refuses both too). Any thread.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import yaml

Mistake = yaml.YAMLError

MAX_DEPTH = 250
"""Levels of lists and maps in one another; a little less than what JSON can be written with (``codec.TooDeep``)."""
MAX_ALIASED = 4 << 20
"""Characters and nodes that all aliases of a text may stand for."""

_Dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """The safe loader in JSON's data model."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[str, Any]:
        if not isinstance(node, yaml.MappingNode):
            raise yaml.constructor.ConstructorError(None, None, "this is no map", node.start_mark)
        self.flatten_mapping(node)
        made = {}
        for key, value in node.value:  # key by key: in Python's own dict 1 and true would be the same
            made[_key(self.construct_object(key, deep=True), key)] = self.construct_object(value, deep=deep)
        return made

    def construct_yaml_int(self, node: Any) -> int | float:
        number: int = super().construct_yaml_int(node)
        return number if -(2**63) <= number < 2**64 else float(number)


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in _Loader.yaml_implicit_resolvers.items()
}
_Loader.yaml_constructors = {
    tag: constructor
    for tag, constructor in _Loader.yaml_constructors.items()
    if str(tag).rpartition(":")[2] not in ("timestamp", "binary", "omap", "pairs", "set")
}
_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_yaml_int)


def load(data: bytes | str) -> Any:
    """One document. Raises Mistake."""
    try:
        _check(data)
        return yaml.load(data, Loader=_Loader)  # noqa: S506 - a subclass of the safe loader
    except _NONSENSE as error:
        raise Mistake(f"a value does not fit its tag: {error}") from error


def load_all(data: bytes | str) -> Iterator[Any]:
    """Every document of a stream. Raises Mistake while it is read."""
    try:
        _check(data)
        yield from yaml.load_all(data, Loader=_Loader)
    except _NONSENSE as error:
        raise Mistake(f"a value does not fit its tag: {error}") from error


def dump(tree: Any) -> bytes:
    """One document, keys in the tree's own order."""
    text: bytes = yaml.dump(tree, Dumper=_Dumper, sort_keys=False, allow_unicode=True, encoding="utf-8", width=2**20)
    return text


_NONSENSE = (ValueError, LookupError, AttributeError, TypeError, ArithmeticError)
"""What the loader's own conversions raise where a tag is written out and the text is not of it (``!!bool 7``)."""


def _key(key: Any, node: Any) -> str:
    if isinstance(key, str):
        return key
    if isinstance(key, bool):
        return "true" if key else "false"
    if isinstance(key, int | float):
        return str(key)
    raise yaml.constructor.ConstructorError(None, None, "a key is neither text nor a number", node.start_mark)


def _check(data: bytes | str) -> None:
    """Raises Mistake for a text that is too deep, or that its aliases make too large."""
    weights: list[tuple[str | None, int]] = [(None, 0)]
    """Of each open list or map its anchor and what it stands for so far."""
    anchored: dict[str, int] = {}
    aliased = 0
    for event in yaml.parse(data, Loader=_Loader):
        weight = 1
        if isinstance(event, yaml.CollectionStartEvent):
            if len(weights) > MAX_DEPTH:
                raise Mistake(f"lists and maps are nested more than {MAX_DEPTH} deep")
            weights.append((event.anchor, 0))
            continue
        if isinstance(event, yaml.ScalarEvent):
            weight += len(event.value)
            if event.anchor:
                anchored[event.anchor] = weight
        elif isinstance(event, yaml.AliasEvent):
            name = str(event.anchor)
            if any(anchor == name for anchor, _ in weights):
                raise Mistake(f"the anchor {name!r} contains itself")
            weight = anchored.get(name, 0)
            aliased += weight
            if aliased > MAX_ALIASED:
                raise Mistake("the aliases stand for too much text")
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, inside = weights.pop()
            weight += inside
            if anchor:
                anchored[anchor] = weight
        weights[-1] = (weights[-1][0], weights[-1][1] + weight)
