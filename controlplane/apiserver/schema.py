"""Whether an object has the types and fields of its kind: the check before defaulting and validation.

Owns the compiled shapes of the built-in kinds. ``check`` never changes an object of those, ``prune_nulls`` does, in
place. The shapes are compiled on first use (some 10 ms for all kinds together) and then only read.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from controlplane.apiserver import definitions
from controlplane.apiserver.kinds.base import Kind
from controlplane.apiserver.shapes import Compiler, Findings, Shape, Struct
from shared.api.meta import JSON

SchemaResult = Findings
"""``type_errors`` with Go-like texts (answered 400), ``unknown_fields`` as paths (a warning, or 400 when strict),
``has_nulls`` whether ``prune_nulls`` has anything to do."""

_EXTRA: Sequence[tuple[str, str, str]] = (
    ("autoscaling", "v1", "Scale"),
    ("", "v1", "Binding"),
    ("policy", "v1", "Eviction"),
    ("authentication.k8s.io", "v1", "TokenRequest"),
)
"""Kinds that are spoken by subresources only."""


def prepare() -> None:
    """Compile now, in any thread, what the first use would wait for."""
    _shapes()


def check(kind: Kind, obj: JSON) -> SchemaResult:
    """Compare a decoded body with its kind's schema; quantities, times and base64 are read too.

    Of a custom kind, unknown fields are also taken out of ``obj``; what is wrong with its values is for validation.
    """
    if kind.custom is not None:
        found: SchemaResult = kind.custom.check(obj)
        return found
    return check_gvk((kind.resource.group, kind.resource.version, kind.resource.kind), obj)


def check_gvk(gvk: tuple[str, str, str], obj: JSON) -> SchemaResult:
    """The same for (group, version, kind), such as a Scale or a Binding. Raises KeyError for a kind not known."""
    found = Findings()
    _shapes()[gvk].check(obj, (), found)
    return found


def prune_nulls(tree: JSON, kind: Kind | None = None) -> None:
    """Take members that are null out of ``tree``, in place, as decoding into a Go struct does.

    In a map such as labels null is the empty value (Go's encoding/json): that needs ``kind``; without it such a
    member goes too. What the schema does not know is left as it is.
    """
    if kind is not None and kind.custom is None:
        shape(kind).prune(tree)
        return
    for key in [key for key, value in tree.items() if value is None]:
        del tree[key]
    for value in tree.values():
        _prune(value)


def _prune(value: Any) -> None:
    if isinstance(value, dict):
        prune_nulls(value)
    elif isinstance(value, list):
        for item in value:
            _prune(item)


def shape(kind: Kind) -> Struct:
    """The compiled shape of a kind, with its patch strategies."""
    if kind.custom is not None:
        found: Struct = kind.custom.shape
        return found
    return _shapes()[kind.resource.group, kind.resource.version, kind.resource.kind]


def shape_of(gvk: tuple[str, str, str]) -> Struct | None:
    """The shape of (group, version, kind); None of one that only connecting to a subresource speaks."""
    return _shapes().get(gvk)


def metadata_shape() -> Struct:
    """The shape of every kind's metadata."""
    found = _shapes()["", "v1", "ConfigMap"].fields["metadata"].shape
    assert isinstance(found, Struct)
    return found


@cache
def _shapes() -> dict[tuple[str, str, str], Struct]:
    from controlplane.apiserver.kinds.table import KINDS  # rows may import us: what checks expressions knows shapes

    source = definitions.load()
    names = definitions.by_gvk(source)
    compiler = Compiler(source)
    wanted = [(kind.resource.group, kind.resource.version, kind.resource.kind) for kind in KINDS]
    compiled: dict[tuple[str, str, str], Struct] = {}
    for gvk in (*wanted, *_EXTRA):
        found: Shape = compiler.named(names[gvk])
        assert isinstance(found, Struct)
        compiled[gvk] = found
    return compiled
