"""A custom kind's shape for server-side apply: which maps and lists are one value, and by what items are told apart.

Made from structural schema nodes as ``shapes.Compiler`` makes those of built-in kinds. Pure.
"""

from __future__ import annotations

from controlplane.apiserver.custom.schema import META_FIELDS, Node
from controlplane.apiserver.shapes import ANYTHING, Field, ListOf, MapOf, Shape, Struct


def shape_of(node: Node, kind: str, metadata: Shape) -> Struct:
    """The shape of a whole object. ``metadata`` is that of every kind's metadata."""
    struct = _struct(node, kind)
    for name in META_FIELDS:
        shape = metadata if name == "metadata" else ANYTHING
        struct.fields[name] = Field(shape)
        struct.checks[name] = shape.entry()
    return struct


def _struct(node: Node, name: str) -> Struct:
    struct = Struct(name, atomic=node.map_type == "atomic")
    for key, inner in node.properties.items():
        shape = _shape(inner, key)
        struct.fields[key] = Field(shape)
        struct.checks[key] = shape.entry()
    return struct


def _shape(node: Node, name: str) -> Shape:
    if node.properties:
        return _struct(node, name)
    if node.additional is not None:
        return MapOf(_shape(node.additional, name), atomic=node.map_type == "atomic")
    if node.items is not None:
        keys = sorted(node.map_keys) if node.list_type == "map" else ()
        defaults = {key: node.items.properties[key].default for key in keys if key in node.items.properties}
        return ListOf(
            _shape(node.items, name),
            associative=node.list_type in ("map", "set"),
            keys=tuple((key, defaults.get(key)) for key in keys),
        )
    if node.type == "object" and node.map_type == "atomic":
        return Struct(name, atomic=True)
    return ANYTHING
