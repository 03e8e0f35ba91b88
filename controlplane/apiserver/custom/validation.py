"""A custom object against its schema: types, limits, patterns, alternatives, lists that are sets or maps.

Pure. Texts, paths and reasons are those of k8s.io/kube-openapi (pkg/validation) as
apiextensions-apiserver/pkg/apiserver/validation turns them into causes; alternatives that fail have the path
``<nil>``, as there.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from controlplane.apiserver.custom import formats
from controlplane.apiserver.custom.schema import META_FIELDS, Node
from controlplane.apiserver.kinds.causes import duplicate, invalid, not_supported, required, too_long, too_many
from shared import codec
from shared.api.errors import Cause

NOWHERE = "<nil>"


_NONE = object()
"""In place of an old value where there is none to compare with."""


def validate(node: Node, obj: dict[str, Any], old: dict[str, Any] | None = None) -> list[Cause]:
    """What is wrong with a whole object; its metadata is not looked at, beyond what the schema says of the name.

    What an update of ``old`` leaves as it was may be wrong (KEP-4008, CRD validation ratcheting).
    """
    before = _NONE if old is None else old
    return [*_check(node, obj, "", before), *_lists(node, obj, "", before)]


def validate_value(node: Node, value: Any, path: str) -> list[Cause]:
    """What is wrong with one value, such as a default."""
    return [*_check(node, value, path), *_lists(node, value, path)]


def _check(node: Node, value: Any, path: str, old: Any = _NONE) -> Iterator[Cause]:
    if old is not _NONE and _same(value, old):
        return
    if (wrong := _type(node, value, path)) is not None:
        yield wrong
    if value is None:
        return
    if "enum" in node.raw and node.raw["enum"] and not any(_same(value, choice) for choice in node.raw["enum"]):
        yield not_supported(path, value, [_word(choice) for choice in node.raw["enum"]])
    if isinstance(value, str):
        yield from _text(node, value, path)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield from _number(node, value, path)
    elif isinstance(value, list):
        yield from _array(node, value, path, old)
    elif isinstance(value, dict):
        yield from _object(node, value, path, old)
    if node.all_of or node.any_of or node.one_of or node.not_ is not None:
        yield from _alternatives(node, value, path)


def _type(node: Node, value: Any, path: str) -> Cause | None:
    wanted = ("integer", "string") if node.int_or_string else ((node.type,) if node.type else ())
    if not wanted or (value is None and node.nullable):
        return None
    have = type_name(value)
    if have in wanted or (have == "integer" and "number" in wanted):
        return None
    if have == "number" and "integer" in wanted and math.isfinite(value) and value == int(value):
        return None
    return type_invalid(path, have, _in_body(path, f'must be of type {",".join(wanted)}: "{have}"'))


def type_name(value: Any) -> str:
    """JSON schema's name of a value's type."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "integer"
    return {float: "number", str: "string", list: "array", dict: "object"}[type(value)]


def type_invalid(path: str, value: Any, detail: str) -> Cause:
    """field.TypeInvalid, which has a reason of its own."""
    return Cause("FieldValueTypeInvalid", invalid(path, value, detail).message, path)


def _in_body(path: str, text: str) -> str:
    return f"{path} in body {text}"


def _same(left: Any, right: Any) -> bool:
    if isinstance(left, bool) is not isinstance(right, bool):
        return False
    return bool(left == right)


def _word(value: Any) -> str:
    return value if isinstance(value, str) else codec.encode(value).decode()


# --- scalars


def _text(node: Node, value: str, path: str) -> Iterator[Cause]:
    raw = node.raw
    if (most := raw.get("maxLength")) is not None and len(value) > most:
        yield too_long(path, most)
    if (least := raw.get("minLength")) is not None and len(value) < least:
        yield invalid(path, value, _in_body(path, f"should be at least {least} chars long"))
    if node.matches is not None and not node.matches(value):
        yield invalid(path, value, _in_body(path, f"should match '{raw['pattern']}'"))
    name = raw.get("format") or ""
    if (check := formats.CHECKS.get(name)) is not None and not check(value):
        yield type_invalid(path, value, _in_body(path, f"must be of type {name}: {json.dumps(value)}"))


def _number(node: Node, value: float, path: str) -> Iterator[Cause]:
    raw = node.raw
    if (step := raw.get("multipleOf")) is not None and not _is_multiple(value, step):
        yield invalid(path, value, _in_body(path, f"should be a multiple of {_plain(step)}"))
    if (most := raw.get("maximum")) is not None:
        if raw.get("exclusiveMaximum") and value >= most:
            yield invalid(path, value, _in_body(path, f"should be less than {_plain(most)}"))
        elif value > most:
            yield invalid(path, value, _in_body(path, f"should be less than or equal to {_plain(most)}"))
    if (least := raw.get("minimum")) is not None:
        if raw.get("exclusiveMinimum") and value <= least:
            yield invalid(path, value, _in_body(path, f"should be greater than {_plain(least)}"))
        elif value < least:
            yield invalid(path, value, _in_body(path, f"should be greater than or equal to {_plain(least)}"))


def _is_multiple(value: float, step: float) -> bool:
    if step <= 0:
        return False
    if isinstance(value, int) and isinstance(step, int):
        return value % step == 0
    ratio = value / step
    return math.isfinite(ratio) and abs(ratio - round(ratio)) < 1e-9


def _plain(number: float) -> str:
    """As Go's %v writes a float64: whole ones without a point."""
    return str(int(number)) if float(number).is_integer() else str(number)


# --- compounds


def _array(node: Node, value: list[Any], path: str, old: Any) -> Iterator[Cause]:
    raw = node.raw
    if (most := raw.get("maxItems")) is not None and len(value) > most:
        yield too_many(path, len(value), most)
    if (least := raw.get("minItems")) is not None and len(value) < least:
        yield invalid(path, len(value), _in_body(path, f"should have at least {least} items"))
    if node.items is not None:
        before = {_key(node, item): item for item in old} if node.list_type == "map" and isinstance(old, list) else {}
        for index, item in enumerate(value):
            was = before.get(_key(node, item), _NONE) if before else _NONE
            yield from _check(node.items, item, f"{path}[{index}]", was)


def _object(node: Node, value: dict[str, Any], path: str, old: Any) -> Iterator[Cause]:
    raw = node.raw
    if (most := raw.get("maxProperties")) is not None and len(value) > most:
        yield too_many(path, len(value), most)
    if (least := raw.get("minProperties")) is not None and len(value) < least:
        yield invalid(path, len(value), _in_body(path, f"should have at least {least} properties"))
    for key in node.required:
        if key not in value:
            yield required(_join(path, key))
    resource = not path or node.embedded
    correlated = isinstance(old, dict) and node.map_type != "atomic"
    for key, item in value.items():
        inner = node.child(key)
        if inner is not None:
            yield from _check(inner, item, _join(path, key), old.get(key, _NONE) if correlated else _NONE)
        elif not node.open and not (resource and key in META_FIELDS):
            at = _join(path, key)
            yield invalid(at, "", _in_body(at, "is a forbidden property"))
    if node.embedded:
        yield from _embedded(value, path)


def _embedded(value: dict[str, Any], path: str) -> Iterator[Cause]:
    """What an embedded resource must say of itself (pkg/apiserver/schema/objectmeta/validation.go)."""
    for key in ("apiVersion", "kind"):
        if not value.get(key):
            yield required(_join(path, key), "must not be empty")
    if not isinstance(value.get("metadata", {}), dict):
        at = _join(path, "metadata")
        yield type_invalid(at, type_name(value["metadata"]), _in_body(at, "must be of type object"))


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


# --- alternatives


def _alternatives(node: Node, value: Any, path: str) -> Iterator[Cause]:
    if node.any_of and not node.int_or_string:
        failures = [list(_check(inner, value, path)) for inner in node.any_of]
        if all(failures):
            yield invalid(NOWHERE, "", f'"{path}" must validate at least one schema (anyOf)')
            yield from failures[0]
    if node.one_of:
        failures = [list(_check(inner, value, path)) for inner in node.one_of]
        good = sum(not found for found in failures)
        if good != 1:
            what = f"Found {good} valid alternatives" if good else "Found none valid"
            yield invalid(NOWHERE, "", f'"{path}" must validate one and only one schema (oneOf). {what}')
            if not good:
                yield from failures[0]
    if node.all_of:
        yield from _all_of(node.all_of, value, path)
    if node.not_ is not None and not any(True for _ in _check(node.not_, value, path)):
        yield invalid(NOWHERE, "", f'"{path}" must not validate the schema (not)')


def _all_of(nodes: Sequence[Node], value: Any, path: str) -> Iterator[Cause]:
    failures = [list(_check(inner, value, path)) for inner in nodes]
    if not any(failures):
        return
    for found in failures:
        yield from found
    none = ". None validated" if all(failures) else ""
    yield invalid(NOWHERE, "", f'"{path}" must validate all the schemas (allOf){none}')


# --- sets and maps (pkg/apiserver/schema/listtype)


def _lists(node: Node, value: Any, path: str, old: Any = _NONE) -> Iterator[Cause]:
    if old is not _NONE and _same(value, old):
        return
    if isinstance(value, dict):
        before = old if isinstance(old, dict) else {}
        for key, item in value.items():
            if isinstance(item, dict | list) and (inner := node.child(key)) is not None:
                at = f"{path}[{key}]" if key not in node.properties else _join(path, key)
                yield from _lists(inner, item, at, before.get(key, _NONE))
    elif isinstance(value, list):
        if node.list_type == "set":
            yield from _duplicates(value, value, path)
        elif node.list_type == "map":
            yield from _keyed(node, value, path)
        if node.items is not None:
            for index, item in enumerate(value):
                yield from _lists(node.items, item, f"{path}[{index}]")


def _key(node: Node, item: Any) -> str:
    return repr([item.get(key) for key in node.map_keys]) if isinstance(item, dict) else ""


def _keyed(node: Node, value: list[Any], path: str) -> Iterator[Cause]:
    for index, item in enumerate(value):
        if item is not None and not isinstance(item, dict):
            yield invalid(f"{path}[{index}]", item, "must be an object for an array of list-type map")
            return
    keys = [{key: item[key] for key in node.map_keys if key in item} if item else {} for item in value]
    yield from _duplicates(keys, keys, path)


def _duplicates(keys: Iterable[Any], shown: Sequence[Any], path: str) -> Iterator[Cause]:
    """One cause for each key that is there more than once, at its second place."""
    seen: dict[str, int] = {}
    for index, key in enumerate(keys):
        text = json.dumps(key, sort_keys=True)
        seen[text] = seen.get(text, 0) + 1
        if seen[text] == 2:
            yield duplicate(f"{path}[{index}]", shown[index])
