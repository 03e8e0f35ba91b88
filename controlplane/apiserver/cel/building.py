"""Functions that ``macros`` writes, and what mutations make with them: objects of which fields are to be set, and
operations of JSON patches.

Pure. An object is a map of its fields with a member ``TYPE``, the name of its type; an operation of a JSON patch has
one too. After apiserver/pkg/cel/mutation and cel-go's ext/comprehensions.go.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from cel_expr_python import cel

from controlplane.apiserver.cel import macros
from controlplane.apiserver.cel.formatting import shown
from controlplane.apiserver.cel.functions import Functions
from controlplane.apiserver.cel.values import escaped
from shared.api.meta import JSON

TYPE = "\ue000type"
"""A name that no field has: its first character is for private use."""

OBJECT, PATCH = "Object", "JSONPatch"

T = cel.Type
MAX_KEYS = 10_000
"""Of what a loop of two variables can go over: the library's own limit of iterations."""


class NotBuilt(ValueError):
    """An expression made something that sets no fields; the message says what."""


def declare_loops(made: Functions) -> None:
    made.add(macros.KEYS, T.List(T.INT), [T.INT], _keys, member=False)
    made.add(macros.ENTRIES, T.DYN, [T.List(T.DYN)], lambda pairs: _merged({key: value} for key, value in pairs),
             member=False)  # fmt: skip
    made.add(macros.MERGED, T.DYN, [T.List(T.DYN)], _merged, member=False)


def declare(made: Functions, *, checked: bool) -> None:
    """The functions of mutations: ``checked`` with the types that they have for Kubernetes, which the library can
    compile but not run."""
    known = T.AbstractType if checked else lambda name, parameters: T.MAP
    fields = T.Map(T.STRING, T.DYN)
    made.add(macros.OBJECT, known(OBJECT, []), [T.STRING, fields], _typed, member=False)
    made.add(macros.PART, known("Object.field", []), [T.STRING, fields], _typed, member=False)
    made.add(macros.PATCH, known(PATCH, []), [fields], lambda given: _typed(PATCH, given), member=False)
    made.add(macros.TEXT, T.STRING, [T.STRING], str, member=False)
    made.add("jsonpatch.escapeKey", T.STRING, [T.STRING],
             lambda key: key.replace("~", "~0").replace("/", "~1"), member=False)  # fmt: skip


def _keys(size: int) -> list[int]:
    if size > MAX_KEYS:
        raise ValueError(f"a loop of two variables over more than {MAX_KEYS} items")
    return list(range(size))


def _merged(maps: Any) -> dict[Any, Any]:
    out: dict[Any, Any] = {}
    for each in maps:
        for key, value in each.items():
            if key in out:
                raise ValueError(f"insert failed: key {key!r} already exists")
            out[key] = value
    return out


def _typed(name: str, fields: dict[str, Any]) -> dict[str, Any]:
    return {TYPE: name, **fields}


# --- what came of it


def fields_of(value: Any) -> JSON:
    """The fields that an Object sets. Raises NotBuilt."""
    if not isinstance(value, dict) or value.get(TYPE) != OBJECT:
        raise NotBuilt("must evaluate to Object")
    found: JSON = _built(value, (OBJECT,))
    return found


def operations_of(value: Any) -> list[JSON]:
    """The operations of a JSON patch. Raises NotBuilt."""
    if not isinstance(value, list):
        raise NotBuilt("type mismatch: JSONPatchType.expression should evaluate to array")
    return [_operation(each) for each in value]


def _operation(value: Any) -> JSON:
    if not isinstance(value, dict) or value.get(TYPE) != PATCH:
        raise NotBuilt("type mismatch: JSONPatchType.expression should evaluate to array of JSONPatch")
    out: JSON = {"op": value.get("op", ""), "path": value.get("path", "")}
    if value.get("from"):
        out["from"] = value["from"]
    for key in ("op", "path", "from"):
        if not isinstance(out.get(key, ""), str):
            raise NotBuilt(f"type mismatch: {key} of JSONPatch must be a string")
    if "value" in value:
        inner = value["value"]
        path = tuple(inner[TYPE].split(".")) if isinstance(inner, dict) and TYPE in inner else ()
        out["value"] = _built(inner, path)
    return out


def _built(value: Any, path: Sequence[str]) -> Any:
    """As JSON has it; objects in it must be of the types that their place says."""
    if isinstance(value, dict):
        name = value.get(TYPE)
        if name is not None and path and name != ".".join(path):
            raise NotBuilt(
                f'type mismatch: unexpected type name "{name}", expected "{".".join(path)}", '
                "which matches field name path from root Object type"
            )
        out = {}
        twins = _twins(value)
        for key, item in value.items():
            if not isinstance(key, str):
                raise NotBuilt(f"map key {key!r} is not string")
            if key != TYPE and key not in twins:
                out[key] = _built(item, (*path, key) if name is not None and path else path)
        return out
    if isinstance(value, list):
        return [_built(item, path) for item in value]
    return _scalar(value)


def _twins(value: dict[Any, Any]) -> set[str]:
    """Names under which expressions see a field a second time (``policies.expressions.visible``)."""
    return {
        name for key, item in value.items()
        if isinstance(key, str) and (name := escaped(key)) and name != key and name in value and value[name] == item
    }  # fmt: skip


def _scalar(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise NotBuilt(f"{value} cannot be written as JSON")
        return int(value) if value.is_integer() and abs(value) < 1 << 53 else value
    if isinstance(value, bytes | bytearray):
        return base64.b64encode(value).decode()
    if isinstance(value, datetime | timedelta):
        return shown(value)
    raise NotBuilt(f"a value of the type {type(value).__name__} cannot be written as JSON")
