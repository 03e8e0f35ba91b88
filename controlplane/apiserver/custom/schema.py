"""A structural schema as linked nodes that pruning, defaulting, validation and rules walk.

Compiled once for each version of a CustomResourceDefinition, then immutable. Pure. The model is that of
k8s.io/apiextensions-apiserver/pkg/apiserver/schema (structural.go); validations nested in allOf, anyOf, oneOf and not
are nodes too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from controlplane.apiserver.cel.regex import matcher
from shared.api.meta import JSON

META_FIELDS = frozenset(("apiVersion", "kind", "metadata"))
"""What every resource has, whether or not its schema says so."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One of x-kubernetes-validations."""

    rule: str
    message: str = ""
    message_expression: str = ""
    reason: str = ""
    field_path: str = ""
    optional_old_self: bool | None = None


@dataclass(slots=True, eq=False)
class Node:
    """What a schema says of one value. ``raw`` is the schema itself."""

    raw: JSON
    type: str = ""
    nullable: bool = False
    has_default: bool = False
    default: Any = None
    properties: dict[str, Node] = field(default_factory=dict)
    additional: Node | None = None
    """The schema of a map's values."""
    open: bool = True
    """Whether properties that are not named are allowed at all."""
    items: Node | None = None
    preserve: bool = False
    embedded: bool = False
    int_or_string: bool = False
    list_type: str = "atomic"
    map_keys: tuple[str, ...] = ()
    map_type: str = "granular"
    required: tuple[str, ...] = ()
    all_of: tuple[Node, ...] = ()
    any_of: tuple[Node, ...] = ()
    one_of: tuple[Node, ...] = ()
    not_: Node | None = None
    matches: Callable[[str], bool] | None = None
    """Whether a text fits ``pattern``."""
    rules: tuple[Rule, ...] = ()
    has_defaults: bool = False
    """Whether this node or one below it has a default or drops a null."""

    def child(self, key: str) -> Node | None:
        """The node of a member, whether it is a property or a map's value."""
        return self.properties.get(key) or self.additional


def compiled(schema: Mapping[str, Any]) -> Node:
    """The node of a schema as JSON. Raises ValueError for a pattern that is no regular expression."""
    raw = dict(schema)
    node = Node(raw, type=raw.get("type") or "", nullable=bool(raw.get("nullable")))
    node.has_default = "default" in raw and raw["default"] is not None
    node.default = raw.get("default")
    node.properties = {name: compiled(inner) for name, inner in (raw.get("properties") or {}).items()}
    additional = raw.get("additionalProperties")
    if isinstance(additional, dict):
        node.additional = compiled(additional)
    elif additional is True:
        node.additional = Node({}, preserve=True)
    elif additional is False:
        node.open = False
    items = raw.get("items")
    node.items = compiled(items) if isinstance(items, dict) else None
    node.preserve = bool(raw.get("x-kubernetes-preserve-unknown-fields"))
    node.embedded = bool(raw.get("x-kubernetes-embedded-resource"))
    node.int_or_string = bool(raw.get("x-kubernetes-int-or-string"))
    node.list_type = raw.get("x-kubernetes-list-type") or "atomic"
    node.map_keys = tuple(raw.get("x-kubernetes-list-map-keys") or ())
    node.map_type = raw.get("x-kubernetes-map-type") or "granular"
    node.required = tuple(raw.get("required") or ())
    node.all_of = _each(raw.get("allOf"))
    node.any_of = _each(raw.get("anyOf"))
    node.one_of = _each(raw.get("oneOf"))
    node.not_ = compiled(raw["not"]) if isinstance(raw.get("not"), dict) else None
    node.matches = matcher(raw["pattern"]) if raw.get("pattern") else None
    node.rules = tuple(map(_rule, raw.get("x-kubernetes-validations") or ()))
    below = (*node.properties.values(), node.additional, node.items)
    node.has_defaults = node.has_default or any(inner is not None and inner.has_defaults for inner in below)
    return node


def _each(schemas: Sequence[Mapping[str, Any]] | None) -> tuple[Node, ...]:
    return tuple(compiled(schema) for schema in schemas or ())


def _rule(rule: Mapping[str, Any]) -> Rule:
    return Rule(
        rule.get("rule") or "",
        rule.get("message") or "",
        rule.get("messageExpression") or "",
        rule.get("reason") or "",
        rule.get("fieldPath") or "",
        rule.get("optionalOldSelf"),
    )


def has_rules(node: Node | None) -> bool:
    """Whether the node or one below it has rules."""
    if node is None:
        return False
    below = (*node.properties.values(), node.additional, node.items, *node.all_of)
    return bool(node.rules) or any(map(has_rules, below))
