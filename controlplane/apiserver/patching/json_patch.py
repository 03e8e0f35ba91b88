"""JSON patch (RFC 6902), with the error classes of Kubernetes.

Changes and returns its first argument, and takes over parts of the second: give it copies. A patch that is not a
list of operations is a BadRequest; one that does not fit the document (a failed test, a missing path) is Invalid.
"""

from __future__ import annotations

import re
from typing import Any

from shared import codec
from shared.api.errors import BadRequest, Invalid, RequestEntityTooLarge


class TestFailed(Invalid):
    """An operation ``test`` whose value is not there."""


MAX_OPERATIONS = 10_000
"""Kubernetes' limit for one patch."""

_INDEX = re.compile("0|[1-9][0-9]{0,8}")


def json_patch(document: Any, operations: Any) -> Any:
    """Apply all operations in order; the document afterwards."""
    if not isinstance(operations, list) or not all(isinstance(op, dict) for op in operations):
        raise BadRequest("error decoding patch: a JSON patch must be a list of operations")
    if len(operations) > MAX_OPERATIONS:
        raise RequestEntityTooLarge(
            f"The allowed maximum operations in a JSON patch is {MAX_OPERATIONS}, got {len(operations)}"
        )
    for operation in operations:
        document = _apply(document, operation)
    return document


def _apply(document: Any, operation: dict[str, Any]) -> Any:
    kind = operation.get("op")
    path = _pointer(operation, "path")
    if kind == "remove":
        return _remove(document, path)[0]
    if kind == "move":
        origin = _pointer(operation, "from")
        if path[: len(origin)] == origin and path != origin:
            raise _refuse(f"a value cannot be moved into itself: {_text(path)}")
        document, value = _remove(document, origin)
        return _add(document, path, value)
    if kind == "copy":
        return _add(document, path, codec.copy(_find(document, _pointer(operation, "from"))))
    if kind not in ("add", "replace", "test"):
        raise _refuse(f"Unexpected kind: {kind}")
    if "value" not in operation:
        raise _refuse(f"operation {kind} at {_text(path)} has no value")
    if kind == "add":
        return _add(document, path, operation["value"])
    if kind == "replace":
        return _replace(document, path, operation["value"])
    _test(document, path, operation["value"])
    return document


def _pointer(operation: dict[str, Any], name: str) -> list[str]:
    text = operation.get(name)
    if not isinstance(text, str):
        raise _refuse(f"operation {operation.get('op')} has no {name}")
    if text and not text.startswith("/"):
        raise _refuse(f"{name} must begin with a slash: {text}")
    return [part.replace("~1", "/").replace("~0", "~") for part in text.split("/")[1:]]


def _find(document: Any, path: list[str]) -> Any:
    for depth, part in enumerate(path):
        document = _child(document, part, path[: depth + 1])
    return document


def _child(parent: Any, part: str, path: list[str]) -> Any:
    if isinstance(parent, dict) and part in parent:
        return parent[part]
    if isinstance(parent, list):
        return parent[_index(part, len(parent), path)]
    raise _refuse(f"path does not exist: {_text(path)}")


def _index(part: str, length: int, path: list[str]) -> int:
    """An index below ``length``."""
    if not _INDEX.fullmatch(part) or int(part) >= length:
        raise _refuse(f"path does not exist: {_text(path)}")
    return int(part)


def _add(document: Any, path: list[str], value: Any) -> Any:
    if not path:
        return value
    parent, last = _find(document, path[:-1]), path[-1]
    if isinstance(parent, dict):
        parent[last] = value
    elif isinstance(parent, list):
        parent.insert(len(parent) if last == "-" else _index(last, len(parent) + 1, path), value)
    else:
        raise _refuse(f"path does not exist: {_text(path)}")
    return document


def _replace(document: Any, path: list[str], value: Any) -> Any:
    if not path:
        return value
    parent = _find(document, path[:-1])
    _child(parent, path[-1], path)
    parent[path[-1] if isinstance(parent, dict) else int(path[-1])] = value
    return document


def _remove(document: Any, path: list[str]) -> tuple[Any, Any]:
    """The document without what was at ``path``, and that."""
    if not path:
        raise _refuse("remove operation does not apply: the whole document cannot be removed")
    parent = _find(document, path[:-1])
    _child(parent, path[-1], path)
    return document, parent.pop(path[-1] if isinstance(parent, dict) else int(path[-1]))


def _test(document: Any, path: list[str], value: Any) -> None:
    parent = _find(document, path[:-1])
    if isinstance(parent, dict) and path and path[-1] not in parent:
        if value is not None:
            raise TestFailed(_words(f"testing value {_text(path)} failed"))
        return
    if not same(_child(parent, path[-1], path) if path else parent, value):
        raise TestFailed(_words(f"testing value {_text(path)} failed"))


def same(left: Any, right: Any) -> bool:
    """Equality of JSON values; a boolean is no number."""
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, bool) is not isinstance(right, bool):
        return False
    return bool(left == right)


def _text(path: list[str]) -> str:
    return "".join(f"/{part.replace('~', '~0').replace('/', '~1')}" for part in path)


def _refuse(reason: str) -> Invalid:
    return Invalid(_words(reason))


def _words(reason: str) -> str:
    return f"the server rejected our request due to an error in our request: {reason}"
