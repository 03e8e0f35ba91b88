"""Bodies of requests: text to trees, with the mistakes that only the text shows.

Pure.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from controlplane.apiserver import protobuf
from controlplane.apiserver.negotiation import YAML_TYPE
from shared import codec
from shared.api.errors import BadRequest


def decode(data: bytes, media_type: str, validation: str, warnings: list[str]) -> Any:
    """The tree of a JSON, YAML or protobuf body. Raises BadRequest.

    A member that stands twice is refused under ``validation`` Strict and warned about under Warn; the last counts.
    """
    if not data.strip():
        raise BadRequest("the request has no body, where an object is expected")
    if media_type == protobuf.MEDIA_TYPE:
        unknown: list[str] = []
        tree = protobuf.decode(data, unknown)
        if unknown and validation == "Strict":
            raise BadRequest(f"strict decoding error: {', '.join(unknown)}")
        warnings.extend(unknown if validation == "Warn" else ())
        return tree
    try:
        if media_type == YAML_TYPE:
            return _yaml(data)
        tree = codec.decode(data)
    except codec.CodecError as error:
        raise BadRequest(f"the object provided is unrecognized: {error}") from error
    # A doubled member leaves fewer quotes when written again; escapes can only make this look where it need not.
    if validation != "Ignore" and isinstance(tree, dict) and data.count(b'"') != codec.encode(tree).count(b'"'):
        doubled = [f'duplicate field "{path}"' for path in _duplicates(data)]
        if doubled and validation == "Strict":
            raise BadRequest(f"strict decoding error: {', '.join(doubled)}")
        warnings.extend(doubled)
    return tree


def may_be_json(data: bytes) -> bool:
    """Whether a YAML body looks like JSON, as most that clients send do: that is read in a thousandth of the time."""
    return data[:64].lstrip().startswith(b"{")


def _yaml(data: bytes) -> Any:
    if may_be_json(data):
        try:
            return codec.decode(data)
        except codec.CodecError:
            return codec.decode_yaml(data)  # YAML's own notation of objects, or a mistake that YAML words better
    return codec.decode_yaml(data)


class _Pairs(list[tuple[str, Any]]):
    """An object's members as they stand in the text."""


def _duplicates(data: bytes) -> list[str]:
    try:
        return list(_walk(json.loads(data, object_pairs_hook=_Pairs), ""))
    except (ValueError, RecursionError):
        return []  # the two parsers disagree about what JSON is; the stricter one has had its say


def _walk(value: Any, path: str) -> Iterator[str]:
    if isinstance(value, _Pairs):
        seen: set[str] = set()
        for key, member in value:
            at = f"{path}.{key}" if path else key
            if key in seen:
                yield at
            seen.add(key)
            yield from _walk(member, at)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _walk(item, f"{path}[{index}]")
