"""What an expression sees of an object: its fields under names that CEL can say.

Pure. After k8s.io/apiserver/pkg/cel (escaping.go) and apiextensions' schema/cel (values.go): a property's name is
escaped, a map's key is not; fields that the schema does not name cannot be seen. Texts of format date-time and
duration stay texts: an expression makes times of them with ``timestamp()`` and ``duration()``, which Kubernetes
allows too.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Protocol

RESERVED = frozenset(
    (
        "true", "false", "null", "in", "as", "break", "const", "continue", "else", "for", "function", "if", "import",
        "let", "loop", "package", "namespace", "return", "var", "void", "while",
    )
)  # fmt: skip
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_PARTS = re.compile(r"__|[./-]")
_ESCAPES = {"__": "__underscores__", ".": "__dot__", "-": "__dash__", "/": "__slash__"}


def escaped(name: str) -> str:
    """A property's name as an expression writes it; empty for one that cannot be written."""
    if name in RESERVED:
        return f"__{name}__"
    text = _PARTS.sub(lambda match: _ESCAPES[match[0]], name)
    return text if _IDENTIFIER.fullmatch(text) else ""


class Shape(Protocol):
    """What is asked of a schema's node (``custom.schema.Node``)."""

    @property
    def type(self) -> str: ...
    @property
    def properties(self) -> Mapping[str, Any]: ...
    @property
    def additional(self) -> Any: ...
    @property
    def items(self) -> Any: ...
    @property
    def embedded(self) -> bool: ...
    @property
    def preserve(self) -> bool: ...


def visible(node: Shape, value: Any, resource: bool = False) -> Any:
    """``value`` as an expression sees it. Of a ``resource`` its kind, apiVersion and metadata's names are seen too."""
    if isinstance(value, dict):
        return _object(node, value, resource or node.embedded)
    if isinstance(value, list):
        return [visible(node.items, item) for item in value] if node.items is not None else value
    return value


def _object(node: Shape, value: dict[str, Any], resource: bool) -> dict[str, Any]:
    out: dict[str, Any] = {}
    if resource:
        for key in ("apiVersion", "kind"):
            if key in value:
                out[key] = value[key]
        meta = value.get("metadata")
        if isinstance(meta, dict):
            out["metadata"] = {key: meta[key] for key in ("name", "generateName") if key in meta}
    for key, item in value.items():
        if key in node.properties:
            if name := escaped(key):
                out.setdefault(name, visible(node.properties[key], item))
        elif node.additional is not None:
            out[key] = visible(node.additional, item)
        elif node.preserve and not node.properties and not resource:
            out[key] = item
    return out
