"""Taking fields out of an object that its schema does not know.

Changes the object in place; returns the paths that went. After k8s.io/apiextensions-apiserver
pkg/apiserver/schema/pruning (algorithm.go). Metadata is looked after by others.
"""

from __future__ import annotations

from typing import Any

from controlplane.apiserver.custom.schema import META_FIELDS, Node


def prune(node: Node, obj: dict[str, Any]) -> list[str]:
    """Prune a whole custom object; the unknown fields' paths, in the object's order."""
    gone: list[str] = []
    _map(node, obj, "", gone, resource=True)
    return gone


def prune_value(node: Node, value: Any) -> list[str]:
    """Prune a value of any type, such as a default."""
    gone: list[str] = []
    _value(node, value, "", gone)
    return gone


def _value(node: Node | None, value: Any, path: str, gone: list[str]) -> None:
    if isinstance(value, dict):
        _map(node, value, path, gone, resource=node is not None and node.embedded)
    elif isinstance(value, list):
        items = None if node is None else node.items
        if items is None and node is not None and node.preserve:
            return
        for index, item in enumerate(value):
            _value(items, item, f"{path}[{index}]", gone)


def _map(node: Node | None, value: dict[str, Any], path: str, gone: list[str], resource: bool) -> None:
    preserve = node is not None and node.preserve
    for key in list(value):
        if resource and key in META_FIELDS:
            continue
        inner = None if node is None else node.child(key)
        here = f"{path}.{key}" if path else key
        if inner is not None:
            _value(inner, value[key], here, gone)
        elif not preserve:
            del value[key]
            gone.append(here)
