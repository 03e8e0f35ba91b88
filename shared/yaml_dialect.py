"""YAML with JSON's data model, as Kubernetes reads it. For ``shared.codec`` only, which loads it when it is needed.

Any thread.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import yaml

Mistake = yaml.YAMLError

_Dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """The safe loader without implicit timestamps: Kubernetes' YAML is JSON's data model."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in _Loader.yaml_implicit_resolvers.items()
}


def load(data: bytes | str) -> Any:
    """One document. Raises Mistake."""
    return yaml.load(data, Loader=_Loader)  # noqa: S506 - a subclass of the safe loader


def load_all(data: bytes | str) -> Iterator[Any]:
    """Every document of a stream. Raises Mistake while it is read."""
    return iter(yaml.load_all(data, Loader=_Loader))


def dump(tree: Any) -> bytes:
    """One document, keys in the tree's own order."""
    text: bytes = yaml.dump(tree, Dumper=_Dumper, sort_keys=False, allow_unicode=True, encoding="utf-8", width=2**20)
    return text
