"""Swagger 2.0 trees as protobuf: the messages of github.com/google/gnostic-models, openapiv2/OpenAPIv2.proto. Pure.

Only the fields that our documents have. What is free in JSON (defaults, enums, extensions) goes as text, of which
clients read YAML and so JSON. A field that a message does not have is refused, so that nothing is lost unseen.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from typing import Any

from shared import codec
from shared.api.meta import JSON

_Write = Callable[[int, Any], bytes]
"""Field number and value to bytes."""

_EXTENSION = "x-"


def named(number: int, name: str, message: bytes) -> bytes:
    """An entry of a map, in field ``number`` of its holder: maps are lists of pairs."""
    return _field(number, _text(1, name) + _field(2, message))


def path_item(tree: JSON) -> bytes:
    return _encode(_PATH_ITEM, tree)


def schema(tree: JSON) -> bytes:
    return _encode(_SCHEMA, tree)


def document(head: JSON, paths: bytes, definitions: bytes) -> bytes:
    """The whole. ``paths`` are ``named(2, ...)``, ``definitions`` are ``named(1, ...)``, each joined; ``head`` is all
    else."""
    return _encode(_DOCUMENT, head) + _field(8, paths) + _field(9, definitions)


def _encode(message: Mapping[str, tuple[int, _Write]], tree: Mapping[str, Any]) -> bytes:
    parts = []
    for key, value in tree.items():
        known = message.get(key)
        if known is not None:
            parts.append(known[1](known[0], value))
        elif key.startswith(_EXTENSION) and _EXTENSION in message:
            number, write = message[_EXTENSION]
            parts.append(write(number, (key, value)))
        else:
            raise ValueError(f"OpenAPI v2 as protobuf has no field for {key}")
    return b"".join(parts)


# --- fields


def _varint(number: int) -> bytes:
    number &= (1 << 64) - 1
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _field(number: int, data: bytes) -> bytes:
    return b"%b%b%b" % (_varint(number << 3 | 2), _varint(len(data)), data)


def _text(number: int, text: str) -> bytes:
    return _field(number, text.encode())


def _texts(number: int, texts: Any) -> bytes:
    return b"".join([_text(number, text) for text in texts])


def _boolean(number: int, value: Any) -> bytes:
    return _varint(number << 3) + (b"\1" if value else b"\0")


def _integer(number: int, value: Any) -> bytes:
    return _varint(number << 3) + _varint(int(value))


def _double(number: int, value: Any) -> bytes:
    return _varint(number << 3 | 1) + struct.pack("<d", value)


def _any(number: int, value: Any) -> bytes:
    """Any: its ``yaml``."""
    return _field(number, _field(2, codec.encode(value)))


def _anys(number: int, values: Any) -> bytes:
    return b"".join([_any(number, value) for value in values])


def _extension(number: int, pair: Any) -> bytes:
    return _field(number, _text(1, pair[0]) + _any(2, pair[1]))


# --- messages that JSON writes as something else


def _type(number: int, value: str) -> bytes:
    """TypeItem."""
    return _field(number, _text(1, value))


def _schema(number: int, tree: Any) -> bytes:
    return _field(number, schema(tree))


def _items(number: int, tree: Any) -> bytes:
    """ItemsItem."""
    return _field(number, _schema(1, tree))


def _additional(number: int, value: Any) -> bytes:
    """AdditionalPropertiesItem."""
    return _field(number, _boolean(2, value) if isinstance(value, bool) else _schema(1, value))


def _properties(number: int, trees: Any) -> bytes:
    return _field(number, b"".join([named(1, name, schema(tree)) for name, tree in trees.items()]))


def _operation(number: int, tree: Any) -> bytes:
    return _field(number, _encode(_OPERATION, tree))


def _parameters(number: int, trees: Any) -> bytes:
    return b"".join([_field(number, _field(1, _parameter(tree))) for tree in trees])


def _parameter(tree: JSON) -> bytes:
    """Parameter: of the body, or of somewhere else."""
    if tree["in"] == "body":
        return _field(1, _encode(_BODY, tree))
    kind, message = (4, _IN_PATH) if tree["in"] == "path" else (3, _IN_QUERY)
    return _field(2, _field(kind, _encode(message, tree)))


def _responses(number: int, trees: Any) -> bytes:
    return _field(number, b"".join([named(1, code, _field(1, _encode(_RESPONSE, t))) for code, t in trees.items()]))


def _response_schema(number: int, tree: Any) -> bytes:
    """SchemaItem."""
    return _field(number, _schema(1, tree))


def _info(number: int, tree: Any) -> bytes:
    return _field(number, _encode({"title": (1, _text), "version": (2, _text)}, tree))


def _security(number: int, needs: Any) -> bytes:
    """SecurityRequirements, each a map of lists of texts."""
    return b"".join([_field(number, b"".join([named(1, k, _texts(1, v)) for k, v in need.items()])) for need in needs])


def _security_definitions(number: int, trees: Any) -> bytes:
    """Only keys of the API, as one of the kinds in SecurityDefinitionsItem."""
    return _field(number, b"".join([named(1, k, _field(2, _encode(_API_KEY, tree))) for k, tree in trees.items()]))


_SCHEMA: Mapping[str, tuple[int, _Write]] = {
    "$ref": (1, _text), "format": (2, _text), "title": (3, _text), "description": (4, _text), "default": (5, _any),
    "multipleOf": (6, _double), "maximum": (7, _double), "exclusiveMaximum": (8, _boolean), "minimum": (9, _double),
    "exclusiveMinimum": (10, _boolean), "maxLength": (11, _integer), "minLength": (12, _integer),
    "pattern": (13, _text), "maxItems": (14, _integer), "minItems": (15, _integer), "uniqueItems": (16, _boolean),
    "maxProperties": (17, _integer), "minProperties": (18, _integer), "required": (19, _texts), "enum": (20, _anys),
    "additionalProperties": (21, _additional), "type": (22, _type), "items": (23, _items),
    "properties": (25, _properties), _EXTENSION: (31, _extension),
}  # fmt: skip
SCHEMA_KEYS = frozenset(_SCHEMA) - {_EXTENSION}
"""What a schema may have beside extensions."""

_OPERATION: Mapping[str, tuple[int, _Write]] = {
    "tags": (1, _texts), "description": (3, _text), "operationId": (5, _text), "produces": (6, _texts),
    "consumes": (7, _texts), "parameters": (8, _parameters), "responses": (9, _responses), "schemes": (10, _texts),
    _EXTENSION: (13, _extension),
}  # fmt: skip
_PATH_ITEM: Mapping[str, tuple[int, _Write]] = {
    "get": (2, _operation), "put": (3, _operation), "post": (4, _operation), "delete": (5, _operation),
    "options": (6, _operation), "head": (7, _operation), "patch": (8, _operation), "parameters": (9, _parameters),
}  # fmt: skip
_BODY: Mapping[str, tuple[int, _Write]] = {
    "description": (1, _text), "name": (2, _text), "in": (3, _text), "required": (4, _boolean), "schema": (5, _schema),
}  # fmt: skip
_IN_QUERY: Mapping[str, tuple[int, _Write]] = {
    "required": (1, _boolean), "in": (2, _text), "description": (3, _text), "name": (4, _text), "type": (6, _text),
    "uniqueItems": (20, _boolean),
}  # fmt: skip
_IN_PATH = {**_IN_QUERY, "type": (5, _text), "uniqueItems": (19, _boolean)}
_RESPONSE: Mapping[str, tuple[int, _Write]] = {"description": (1, _text), "schema": (2, _response_schema)}
_API_KEY: Mapping[str, tuple[int, _Write]] = {
    "type": (1, _text), "name": (2, _text), "in": (3, _text), "description": (4, _text),
}  # fmt: skip
_DOCUMENT: Mapping[str, tuple[int, _Write]] = {
    "swagger": (1, _text), "info": (2, _info), "security": (12, _security),
    "securityDefinitions": (13, _security_definitions),
}  # fmt: skip
