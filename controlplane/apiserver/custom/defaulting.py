"""Filling in a schema's defaults, and taking out nulls that nothing allows.

Changes the object in place. After k8s.io/apiextensions-apiserver pkg/apiserver/schema/defaulting (algorithm.go,
prunenulls.go): a default stands in for a missing field and for a null that is not nullable; a null that is neither
nullable nor has a default goes.
"""

from __future__ import annotations

from typing import Any

from controlplane.apiserver.custom.schema import Node
from shared import codec


def apply_defaults(node: Node, value: Any) -> None:
    """Defaults of ``node`` and all below it."""
    if isinstance(value, dict):
        for key, inner in node.properties.items():
            if inner.has_default and (key not in value or (value[key] is None and not inner.nullable)):
                value[key] = codec.copy(inner.default)
        for key in list(value):
            found = node.child(key)
            if found is None:
                continue
            if value[key] is None and not found.nullable:
                if found.has_default:
                    value[key] = codec.copy(found.default)
                elif key in node.properties:
                    del value[key]
                    continue
            apply_defaults(found, value[key])
    elif isinstance(value, list) and node.items is not None:
        for index, item in enumerate(value):
            if item is None and not node.items.nullable and node.items.has_default:
                value[index] = codec.copy(node.items.default)
            apply_defaults(node.items, value[index])
