"""x-kubernetes-validations: CEL rules on an object and on its change.

After k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel (validation.go, compilation.go). A rule that names
``oldSelf`` is about a change and is asked only where there is an old value to compare with: of properties, of values of
maps, and of items of lists of type map. A value that an update leaves as it was is not asked again, unless a rule is
about its change. Compiled on first use, then immutable.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from controlplane.apiserver.cel.engine import Budget, CelError, OutOfBudget, Program, compiled
from controlplane.apiserver.cel.values import visible
from controlplane.apiserver.custom.schema import Node, Rule, has_rules
from controlplane.apiserver.custom.validation import NOWHERE
from controlplane.apiserver.kinds.causes import duplicate, forbidden, invalid, required
from shared.api.errors import Cause
from shared.api.meta import JSON

MAX_MESSAGE = 5 << 10
"""Bytes of an evaluated messageExpression (celconfig.MaxEvaluatedMessageExpressionSizeBytes)."""

REASONS = ("FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired")
_OLD = re.compile(r"\boldSelf\b")
_TEXTS = re.compile(r"'(?:\\.|[^'\\])*'|\"(?:\\.|[^\"\\])*\"")
_VARIABLES = ("self", "oldSelf")


def uses_old(expression: str) -> bool:
    """Whether an expression names ``oldSelf``."""
    return _OLD.search(_TEXTS.sub("''", expression)) is not None


def compile_rule(rule: Rule) -> Program:
    """Raises CelError."""
    return compiled(rule.rule, _VARIABLES, "BOOL")


def compile_message(rule: Rule) -> Program:
    """Raises CelError."""
    return compiled(rule.message_expression, _VARIABLES, "STRING")


def _optional(expression: str, there: bool) -> str:
    """The expression with ``oldSelf`` as an optional value: the engine has no other way to be given one."""
    value = "optional.of(oldSelf)" if there else "optional.none()"
    return f"[{value}].map(oldSelf, {expression}\n)[0]"


@dataclass(frozen=True)
class _Compiled:
    rule: Rule

    @cached_property
    def uses_old(self) -> bool:
        return uses_old(self.rule.rule)

    @cached_property
    def plain(self) -> Program:
        return compile_rule(self.rule)

    @cached_property
    def with_old(self) -> Program:
        return compiled(_optional(self.rule.rule, True), _VARIABLES)

    @cached_property
    def without_old(self) -> Program:
        return compiled(_optional(self.rule.rule, False), _VARIABLES)

    @cached_property
    def message(self) -> Program | None:
        return compile_message(self.rule) if self.rule.message_expression else None


_NONE = object()


class Rules:
    """All rules of a schema."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._any = has_rules(node)
        self._compiled: dict[int, list[_Compiled]] = {}
        self._below: dict[int, bool] = {}

    def validate(self, obj: JSON, old: JSON | None, budget: Budget | None = None) -> list[Cause]:
        """What the rules find wrong; ``old`` is None on create. When the budget is spent, that is the last cause."""
        if not self._any:
            return []
        found: list[Cause] = []
        try:
            before = _NONE if old is None else old
            for cause in self._walk(self._node, obj, before, "", budget or Budget(), resource=True, ratchet=True):
                found.append(cause)
        except OutOfBudget as error:
            found.append(invalid(NOWHERE, "object", str(error)))
        return found

    def validate_value(self, value: Any, path: str) -> list[Cause]:
        """The same for one value, such as a default."""
        if not self._any:
            return []
        resource = self._node.embedded
        try:
            return list(self._walk(self._node, value, _NONE, path, Budget(), resource=resource, ratchet=False))
        except OutOfBudget as error:
            return [invalid(path, _type(self._node, value), str(error))]

    def _walk(
        self, node: Node, value: Any, old: Any, path: str, budget: Budget, *, resource: bool, ratchet: bool
    ) -> Iterator[Cause]:
        if value is None or not self._has(node):
            return
        if node.rules:
            yield from self._own(node, value, old, path, budget, resource=resource, ratchet=ratchet)
        for inner in node.all_of:
            spine = _on_spine(inner, node)
            yield from self._walk(spine, value, old, path, budget, resource=resource, ratchet=False)
        if isinstance(value, dict):
            correlated = isinstance(old, dict) and node.map_type != "atomic"
            for key, item in value.items():
                inner_ = node.child(key)
                if inner_ is None:
                    continue
                at = (f"{path}.{key}" if path else key) if key in node.properties else f"{path}[{key}]"
                was = old.get(key, _NONE) if correlated else _NONE
                yield from self._walk(inner_, item, was, at, budget, resource=inner_.embedded, ratchet=ratchet)
        elif isinstance(value, list) and node.items is not None:
            before = _by_key(node, old)
            for index, item in enumerate(value):
                was = before.get(_key(node, item), _NONE) if before else _NONE
                yield from self._walk(
                    node.items, item, was, f"{path}[{index}]", budget, resource=node.items.embedded, ratchet=ratchet
                )

    def _own(
        self, node: Node, value: Any, old: Any, path: str, budget: Budget, *, resource: bool, ratchet: bool
    ) -> Iterator[Cause]:
        rules = self._compiled.get(id(node))
        if rules is None:
            rules = self._compiled[id(node)] = [_Compiled(rule) for rule in node.rules]
        there = old is not _NONE and old is not None
        unchanged = ratchet and there and value == old
        variables = {"self": visible(node, value, resource)}
        if there:
            variables["oldSelf"] = visible(node, old, resource)
        for one in rules:
            rule = one.rule
            if one.uses_old and not there and not rule.optional_old_self:
                continue
            if unchanged and not one.uses_old:
                continue
            try:
                if rule.optional_old_self and one.uses_old:
                    good = (one.with_old if there else one.without_old).evaluate(variables, budget)
                else:
                    good = one.plain.evaluate(variables, budget)
            except OutOfBudget:
                raise
            except CelError as error:
                yield invalid(path or NOWHERE, _type(node, value), f"{error} evaluating rule: {_title(rule)}")
                continue
            if good is not True:
                yield _refusal(rule, one.message, node, value, path, variables, budget)

    def _has(self, node: Node) -> bool:
        found = self._below.get(id(node))
        if found is None:
            found = self._below[id(node)] = has_rules(node)
        return found


def _on_spine(inner: Node, node: Node) -> Node:
    """A nested validation with the structure of the schema that it is nested in, which says what can be seen."""
    return inner if inner.properties or not inner.rules else node if node.rules == inner.rules else _merged(inner, node)


def _merged(inner: Node, node: Node) -> Node:
    made = Node(node.raw, type=node.type, properties=node.properties, additional=node.additional, items=node.items)
    made.rules = inner.rules
    return made


def _type(node: Node, value: Any) -> str:
    return node.type or {dict: "object", list: "array", str: "string", bool: "boolean", int: "integer"}.get(
        type(value), "number"
    )


def _title(rule: Rule) -> str:
    return (rule.message or rule.rule).strip()


def _refusal(
    rule: Rule, message: Program | None, node: Node, value: Any, path: str, variables: JSON, budget: Budget
) -> Cause:
    detail = _message(message, variables, budget) if message is not None else ""
    if not detail:
        detail = rule.message.strip() if rule.message else f"failed rule: {rule.rule.strip()}"
    below = field_path(rule.field_path)
    at = (f"{path}{below}" if below.startswith("[") else f"{path}.{below}" if path else below) if below else path
    at, shown = at or NOWHERE, _type(node, value)
    if rule.reason == "FieldValueForbidden":
        return forbidden(at, detail)
    if rule.reason == "FieldValueRequired":
        return required(at, detail)
    if rule.reason == "FieldValueDuplicate":
        return duplicate(at, shown)
    return invalid(at, shown, detail)


def _message(program: Program, variables: JSON, budget: Budget) -> str:
    """The text of a messageExpression; empty where it has none to use, so that the message stands in."""
    try:
        text = program.evaluate(variables, budget)
    except OutOfBudget:
        raise
    except CelError:
        return ""
    text = text.strip() if isinstance(text, str) else ""
    return "" if "\n" in text or len(text.encode()) > MAX_MESSAGE else text


_STEP = re.compile(r"\.([^.\[\]']+)|\['((?:\\.|[^'\\])*)'\]")


def field_path(path: str) -> str:
    """A rule's fieldPath (``.spec.x``, ``['a.b']``) as it stands in a cause; empty where it is none."""
    out = ""
    at = 0
    text = path.strip()
    while at < len(text):
        if (match := _STEP.match(text, at)) is None:
            return ""
        out += f".{match[1]}" if match[1] is not None else f"[{match[2]}]"
        at = match.end()
    return out.lstrip(".")


def _by_key(node: Node, old: Any) -> dict[str, Any]:
    """The old items of a list of type map by their keys; of other lists nobody can tell which was which."""
    if node.list_type != "map" or not isinstance(old, list):
        return {}
    return {_key(node, item): item for item in old if isinstance(item, dict)}


def _key(node: Node, item: Any) -> str:
    return repr([item.get(key) for key in node.map_keys]) if isinstance(item, dict) else ""
