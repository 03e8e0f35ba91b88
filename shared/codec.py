"""JSON and YAML in and out: the only module that knows which library does it.

``decode`` and ``encode`` are safe to call from any thread. Integers past 64 bits are refused, NaN becomes
null (both orjson's rules). Mistakes are ``CodecError`` with a message for the user. YAML's library is loaded by the
first use: an agent never needs it.
"""

from __future__ import annotations

from typing import Any

import orjson


class CodecError(ValueError):
    """The text is not the JSON or YAML it claims to be; the message says where."""


class TooDeep(CodecError):
    """Lists and objects are nested deeper than JSON can be written (254 levels), though it was read."""

    def __init__(self) -> None:
        super().__init__("lists and objects are nested more than 254 deep")


def decode(data: bytes | str) -> Any:
    """Parse JSON. Raises CodecError."""
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise CodecError(f"invalid JSON: {error}") from error


def encode(tree: Any) -> bytes:
    """Compact JSON of a tree of dicts, lists, strings, numbers, booleans, None and ``Raw``. Raises CodecError."""
    try:
        return orjson.dumps(tree)
    except TypeError as error:
        raise _unwritable(error) from error


Raw = orjson.Fragment
"""Bytes that are JSON already; ``encode`` copies them as they are."""


def copy(tree: Any) -> Any:
    """A deep copy of a JSON tree (six times faster than copy.deepcopy). Raises CodecError."""
    try:
        return orjson.loads(orjson.dumps(tree))
    except TypeError as error:
        raise _unwritable(error) from error


def _unwritable(error: TypeError) -> CodecError:
    return TooDeep() if str(error) == "Recursion limit reached" else CodecError(f"cannot be written as JSON: {error}")


def decode_yaml(data: bytes | str) -> Any:
    """Parse one YAML document into what JSON can say: timestamps stay strings, keys become strings.

    Raises CodecError.
    """
    from shared import yaml_dialect

    try:
        return yaml_dialect.load(data)
    except yaml_dialect.Mistake as error:
        raise CodecError(f"invalid YAML: {' '.join(str(error).split())}") from error


def decode_yaml_all(data: bytes | str) -> list[Any]:
    """Parse every YAML document of a stream, empty ones left out. Raises CodecError."""
    from shared import yaml_dialect

    try:
        return [doc for doc in yaml_dialect.load_all(data) if doc is not None]
    except yaml_dialect.Mistake as error:
        raise CodecError(f"invalid YAML: {' '.join(str(error).split())}") from error


def encode_yaml(tree: Any) -> bytes:
    """One YAML document, keys in the tree's own order."""
    from shared import yaml_dialect

    return yaml_dialect.dump(tree)
