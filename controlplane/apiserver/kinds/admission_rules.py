"""What configurations of webhooks and admission policies have in common: rules, match conditions, expressions.

Pure. Rules and texts are those of pkg/apis/admissionregistration. Expressions are compiled here, so that one that
cannot work is refused when it is written.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence

from controlplane.apiserver.cel.engine import CelError
from controlplane.apiserver.kinds.causes import all_invalid, duplicate, invalid, not_supported, required
from controlplane.apiserver.policies.compiling import compile_expression, compile_message, compile_mutation
from shared.api import names
from shared.api.errors import Cause
from shared.api.meta import JSON

_OPERATIONS = ("*", "CONNECT", "CREATE", "DELETE", "UPDATE")
_SCOPES = ("*", "Cluster", "Namespaced")
_RESOURCE = re.compile(r"\*|[a-z0-9*]([-a-z0-9]*[a-z0-9])?(/(\*|[a-z0-9]([-a-z0-9]*[a-z0-9])?))?")
MAX_CONDITIONS = 64


def default_rules(rules: Iterable[JSON]) -> None:
    """The scope of RuleWithOperations, in place."""
    for rule in rules:
        if not rule.get("scope"):
            rule["scope"] = "*"


def validate_rules(rules: Sequence[JSON], path: str) -> Iterator[Cause]:
    """RuleWithOperations, as policies have them too."""
    for index, rule in enumerate(rules):
        at = f"{path}[{index}]"
        for field in ("operations", "apiGroups", "apiVersions", "resources"):
            values = rule.get(field) or ()
            if not values:
                yield required(f"{at}.{field}")
            elif "*" in values and len(values) > 1 and field != "resources":
                detail = f"if '*' is present, must not specify other {_WORDS[field]}"
                yield invalid(f"{at}.{field}", list(values), detail)
        for position, operation in enumerate(rule.get("operations") or ()):
            if operation not in _OPERATIONS:
                yield not_supported(f"{at}.operations[{position}]", operation, _OPERATIONS)
        for position, resource in enumerate(rule.get("resources") or ()):
            if not _RESOURCE.fullmatch(resource):
                yield invalid(f"{at}.resources[{position}]", resource, "must be a resource, or resource/subresource")
        if (scope := rule.get("scope")) not in (None, *_SCOPES):
            yield not_supported(f"{at}.scope", scope, _SCOPES)


_WORDS = {"operations": "operations", "apiGroups": "API groups", "apiVersions": "API versions"}


def validate_conditions(conditions: Sequence[JSON], path: str) -> Iterator[Cause]:
    """Match conditions, of policies and webhooks."""
    if len(conditions) > MAX_CONDITIONS:
        yield invalid(path, len(conditions), f"must have at most {MAX_CONDITIONS} items")
    seen: set[str] = set()
    for index, condition in enumerate(conditions):
        here = f"{path}[{index}]"
        name = condition.get("name") or ""
        if not name:
            yield required(f"{here}.name")
        else:
            yield from all_invalid(f"{here}.name", name, names.qualified_name(name))
        if name in seen:
            yield duplicate(f"{here}.name", name)
        seen.add(name)
        yield from validate_expression(condition.get("expression") or "", f"{here}.expression", "BOOL")


def validate_expression(source: str, path: str, result: str) -> Iterator[Cause]:
    """An expression that must have a result of that type (BOOL, STRING), any where it is empty."""
    if not source.strip():
        yield required(path, "expression is not specified")
        return
    yield from _compiled(source, path, lambda: compile_expression(source, result))


def validate_mutation(source: str, path: str, result: str = "") -> Iterator[Cause]:
    """An expression of a mutation (``engine.OBJECT``, ``engine.PATCH``) or of a variable beside one."""
    if not source.strip():
        yield required(path, "expression is not specified")
        return
    yield from _compiled(source, path, lambda: compile_mutation(source, result))


def validate_message(source: str, path: str) -> Iterator[Cause]:
    """A messageExpression."""
    if not source.strip():
        yield required(path, "expression is not specified")
        return
    yield from _compiled(source, path, lambda: compile_message(source))


def _compiled(source: str, path: str, compile: Callable[[], object]) -> Iterator[Cause]:
    try:
        compile()
    except CelError as error:
        yield invalid(path, source, str(error))
