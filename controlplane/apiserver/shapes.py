"""Kubernetes' schemas as small linked objects that one walk checks an object against, without building anything.

Owns the compiled shapes of the kinds that are asked for; built from ``definitions`` on first use, then immutable.
A shape also knows how a strategic merge patch treats each field, and what server-side apply takes for one value or
for many. Single-threaded while compiling.

A struct's ``checks`` pair the Python type that a field's value must have with what looks deeper, so that a scalar
costs no call.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from controlplane.apiserver import definitions
from shared.api import quantity

Path = tuple[Any, ...]
"""A field's path as nested pairs (parent, key or index), written out only for a message."""


@dataclass(slots=True)
class Findings:
    """What one walk found."""

    type_errors: list[str] = field(default_factory=list)
    unknown_fields: list[str] = field(default_factory=list)
    has_nulls: bool = False


Deeper = Callable[[Any, Path, Findings], None]
Entry = tuple[type | None, Deeper | None]
"""The exact type wanted (None: whatever, the function decides), and what looks deeper."""


class Shape:
    """What a value must look like. ``go`` is the type's name in messages, ``zero`` what null stands for in a map."""

    __slots__ = ("go", "zero")

    def __init__(self, go: str, zero: Any = None) -> None:
        self.go, self.zero = go, zero

    def entry(self) -> Entry:
        """How a parent checks a value of this shape."""
        return None, None

    def prune(self, value: Any) -> None:
        """Take nulls out of ``value``, in place."""


class Scalar(Shape):
    """A string, number or boolean, with a rule of its own or none."""

    __slots__ = ("deeper", "want")

    def __init__(self, go: str, want: type | None, zero: Any, deeper: Deeper | None = None) -> None:
        super().__init__(go, zero)
        self.want, self.deeper = want, deeper

    def entry(self) -> Entry:
        return self.want, self.deeper


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a struct: its shape, and its patch strategy (``merge``, ``retainKeys``, ``replace``)."""

    shape: Shape
    strategies: frozenset[str] = frozenset()
    merge_key: str = ""


class Struct(Shape):
    """An object with known fields."""

    __slots__ = ("atomic", "checks", "fields", "name")

    def __init__(self, name: str, *, atomic: bool = False) -> None:
        package, _, kind = name.rpartition(".")
        super().__init__(f"{package.rpartition('.')[2]}.{kind}")
        self.name, self.atomic = kind, atomic
        self.fields: dict[str, Field] = {}
        self.checks: dict[str, Entry] = {}

    def entry(self) -> Entry:
        return dict, self.check

    def check(self, value: dict[str, Any], path: Path, found: Findings) -> None:
        """Add to ``found`` what is wrong below ``path``."""
        checks = self.checks
        for key, item in value.items():
            entry = checks.get(key)
            if entry is None:
                found.unknown_fields.append(render((path, key)))
            elif item is None:
                found.has_nulls = True
            else:
                want, deeper = entry
                if want is not None and type(item) is not want:
                    found.type_errors.append(self._mismatch(item, path, key))
                elif deeper is not None:
                    deeper(item, (path, key), found)

    def prune(self, value: dict[str, Any]) -> None:
        for key in [key for key, item in value.items() if item is None and key in self.fields]:
            del value[key]
        for key, item in value.items():
            if key in self.fields:
                self.fields[key].shape.prune(item)

    def _mismatch(self, item: Any, path: Path, key: str) -> str:
        where = f"Go struct field {self.name}.{render((path, key))} of type {self.fields[key].shape.go}"
        return f"json: cannot unmarshal {go_kind(item)} into {where}"


class ListOf(Shape):
    """A list of values of one shape. With ``associative`` its items are told apart by ``keys``, pairs of a key and its
    default, or by themselves where there are none (a set); else the list is one value, as x-kubernetes-list-type says.
    """

    __slots__ = ("associative", "deeper", "item", "keys", "want")

    def __init__(self, item: Shape, *, associative: bool = False, keys: tuple[tuple[str, Any], ...] = ()) -> None:
        super().__init__(f"[]{item.go}")
        self.item, self.associative, self.keys = item, associative, keys
        self.want, self.deeper = item.entry()

    def entry(self) -> Entry:
        return list, self.check

    def check(self, value: list[Any], path: Path, found: Findings) -> None:
        want, deeper = self.want, self.deeper
        for index, item in enumerate(value):
            if item is None:
                found.has_nulls = True
            elif want is not None and type(item) is not want:
                found.type_errors.append(mismatch(item, (path, index), self.item.go))
            elif deeper is not None:
                deeper(item, (path, index), found)

    def prune(self, value: list[Any]) -> None:
        for index, item in enumerate(value):
            if item is None:
                value[index] = empty(self.item)
            else:
                self.item.prune(item)


class MapOf(Shape):
    """A map from any name to values of one shape; ``atomic`` when it is one value to server-side apply."""

    __slots__ = ("atomic", "deeper", "value", "want")

    def __init__(self, value: Shape, *, atomic: bool = False) -> None:
        super().__init__(f"map[string]{value.go}")
        self.value, self.atomic = value, atomic
        self.want, self.deeper = value.entry()

    def entry(self) -> Entry:
        return dict, self.check

    def check(self, value: dict[str, Any], path: Path, found: Findings) -> None:
        want, deeper = self.want, self.deeper
        for key, item in value.items():
            if item is None:
                found.has_nulls = True
            elif want is not None and type(item) is not want:
                found.type_errors.append(mismatch(item, (path, key), self.value.go))
            elif deeper is not None:
                deeper(item, (path, key), found)

    def prune(self, value: dict[str, Any]) -> None:
        for key, item in value.items():
            if item is None:
                value[key] = empty(self.value)
            else:
                self.value.prune(item)


def empty(shape: Shape) -> Any:
    """What Go makes of null as an element of a list or map: the zero value."""
    if isinstance(shape, Struct | MapOf):
        return {}
    return [] if isinstance(shape, ListOf) else shape.zero


def render(path: Path) -> str:
    """``spec.containers[0].image`` of a nested path."""
    parts: list[str] = []
    while path:
        path, key = path
        parts.append(f"[{key}]" if isinstance(key, int) else f".{key}")
    return "".join(reversed(parts)).lstrip(".")


def mismatch(item: Any, path: Path, go: str) -> str:
    return f"json: cannot unmarshal {go_kind(item)} into Go struct field {render(path)} of type {go}"


def go_kind(item: Any) -> str:
    """What encoding/json calls a JSON value in its errors."""
    if isinstance(item, bool):
        return "bool"
    if isinstance(item, str):
        return "string"
    return "object" if isinstance(item, dict) else "array" if isinstance(item, list) else "number"


# --- scalars --------------------------------------------------------------------------------------------------

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)")


def _int32(item: int, path: Path, found: Findings) -> None:
    if not -0x80000000 <= item <= 0x7FFFFFFF:
        found.type_errors.append(
            f"json: cannot unmarshal number {item} into Go struct field {render(path)} of type int32"
        )


def _int_or_string(item: Any, path: Path, found: Findings) -> None:
    if type(item) is int:
        _int32(item, path, found)
    elif type(item) is not str:
        found.type_errors.append(mismatch(item, path, "intstr.IntOrString"))


def _number(item: Any, path: Path, found: Findings) -> None:
    if type(item) not in (int, float):
        found.type_errors.append(mismatch(item, path, "float64"))


def _quantity(item: Any, path: Path, found: Findings) -> None:
    if type(item) not in (str, int, float):
        found.type_errors.append(mismatch(item, path, "resource.Quantity"))
        return
    try:
        quantity.parse(item)
    except ValueError as error:
        found.type_errors.append(f"{render(path)}: {error}")


def _bytes(item: str, path: Path, found: Findings) -> None:
    try:
        binascii.a2b_base64(item.replace("\n", "").replace("\r", ""), strict_mode=True)
    except (binascii.Error, ValueError):
        legal = re.match(r"[A-Za-z0-9+/]*={0,2}", item)
        place = legal.end() if legal and legal.end() < len(item) else max(len(item) - 1, 0)
        found.type_errors.append(f"{render(path)}: illegal base64 data at input byte {place}")


def _time(item: str, path: Path, found: Findings) -> None:
    try:
        if _TIME.fullmatch(item):
            datetime.fromisoformat(item)
            return
    except ValueError:
        pass
    found.type_errors.append(f'{render(path)}: parsing time "{item}" as "2006-01-02T15:04:05Z07:00": cannot parse')


ANYTHING = Shape("interface {}")
_OBJECT = Scalar("runtime.RawExtension", dict, {})
_SCALARS: Mapping[tuple[str, str], Scalar] = {
    ("string", ""): Scalar("string", str, ""),
    ("string", "byte"): Scalar("[]uint8", str, "", _bytes),
    ("string", "date-time"): Scalar("v1.Time", str, None, _time),
    ("integer", ""): Scalar("int64", int, 0),
    ("integer", "int64"): Scalar("int64", int, 0),
    ("integer", "int32"): Scalar("int32", int, 0, _int32),
    ("number", "double"): Scalar("float64", None, 0, _number),
    ("boolean", ""): Scalar("bool", bool, False),
}
_SPECIAL: Mapping[str, Scalar] = {
    "io.k8s.apimachinery.pkg.api.resource.Quantity": Scalar("resource.Quantity", None, "0", _quantity),
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": Scalar("intstr.IntOrString", None, 0, _int_or_string),
}


# --- compiling ------------------------------------------------------------------------------------------------


class Compiler:
    """Turns definitions into shapes; each definition once, so that kinds share what they have in common."""

    def __init__(self, source: definitions.Definitions) -> None:
        self._source = source
        self._done: dict[str, Shape] = {}

    def named(self, name: str) -> Shape:
        """The shape of a definition. Raises KeyError when there is none of that name."""
        if name in _SPECIAL:
            return _SPECIAL[name]
        if name in self._done:
            return self._done[name]
        schema = self._source[name]
        properties = schema.get("properties")
        if not properties:
            self._done[name] = self._inline(schema)
            return self._done[name]
        struct = self._done[name] = Struct(name, atomic=_is_atomic(schema))
        for key, inner in properties.items():
            shape = self._inline(inner)
            strategies = frozenset((inner.get("x-kubernetes-patch-strategy") or "").split(",")) - {""}
            struct.fields[key] = Field(shape, strategies, inner.get("x-kubernetes-patch-merge-key") or "")
            struct.checks[key] = shape.entry()
        return struct

    def _inline(self, schema: Mapping[str, Any]) -> Shape:
        if ref := schema.get("$ref"):
            return self.named(ref.removeprefix(definitions.REF_PREFIX))
        kinds: Iterable[str] = schema.get("type") or ()
        kind = kinds if isinstance(kinds, str) else next((k for k in kinds if k != "null"), "")
        if kind == "array":
            item, how = self._inline(schema.get("items") or {}), schema.get("x-kubernetes-list-type")
            keys = sorted(schema.get("x-kubernetes-list-map-keys") or ()) if how == "map" else ()
            pairs = tuple((key, _KEY_DEFAULTS.get(key)) for key in keys)
            return ListOf(item, associative=how in ("map", "set"), keys=pairs)
        if kind == "object":
            inner = schema.get("additionalProperties")
            return MapOf(self._inline(inner), atomic=_is_atomic(schema)) if isinstance(inner, dict) else _OBJECT
        return _SCALARS.get((kind, schema.get("format") or ""), ANYTHING)


_KEY_DEFAULTS: Mapping[str, Any] = {"protocol": "TCP"}
"""Of keys of lists that may be left out (ContainerPort and ServicePort in Kubernetes' OpenAPI document, whose defaults
the package of schemas does not have)."""


def _is_atomic(schema: Mapping[str, Any]) -> bool:
    return schema.get("x-kubernetes-map-type") == "atomic"
