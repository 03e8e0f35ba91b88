"""Expressions about a request: match conditions, variables, validations; ``compiling`` made them.

Pure, within the limits of ``cel.engine``. What an expression sees is a copy of the object in which a field whose name
is a word of CEL can be said both ways, as ``metadata.__namespace__`` and, where the grammar lets one, plainly.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from controlplane.apiserver import schema
from controlplane.apiserver.cel import authorization
from controlplane.apiserver.cel.engine import Budget, CelError
from controlplane.apiserver.cel.values import escaped
from controlplane.apiserver.identity import Attributes
from controlplane.apiserver.policies.compiling import Named
from controlplane.apiserver.request import Request
from controlplane.apiserver.shapes import ListOf, MapOf, Shape, Struct
from controlplane.apiserver.webhooks import reviews
from shared.api.meta import JSON


def all_match(conditions: Sequence[Named], seen: Mapping[str, Any], budget: Budget) -> bool:
    """Whether every condition holds. One that is false decides even where another cannot be evaluated
    (webhook/matchconditions). Raises CelError."""
    failure: CelError | None = None
    for condition in conditions:
        try:
            if condition.program.evaluate(seen, budget) is not True:
                return False
        except CelError as error:
            failure = failure or CelError(f"match condition {condition.name!r}: {error}")
    if failure is not None:
        raise failure
    return True


def with_variables(variables: Sequence[Named], seen: Mapping[str, Any], budget: Budget) -> dict[str, Any]:
    """``seen`` with the values of ``variables``, each of which may use those before it. One that fails is missing, and
    fails only whoever uses it."""
    values: dict[str, Any] = {}
    out = {**seen, "variables": values}
    for variable in variables:
        try:
            values[variable.name] = variable.program.evaluate(out, budget)
        except CelError:
            continue
    return out


def visible(value: Any, shape: Shape | None) -> Any:
    """``value`` as expressions see it; ``shape`` tells fields from keys of maps."""
    if isinstance(value, dict):
        out: dict[str, Any] = {}
        for key, item in value.items():
            seen = visible(item, _inner(shape, key))
            out[key] = seen
            if isinstance(shape, Struct) and (name := escaped(key)) and name != key:
                out[name] = seen
        return out
    if isinstance(value, list):
        inner = shape.item if isinstance(shape, ListOf) else None
        return [visible(item, inner) for item in value]
    return value


def seen_of(request: Request, operation: str, obj: JSON | None, old: JSON | None) -> dict[str, Any]:
    """The variables of an expression about a request; no parameters, variables and namespace."""
    shape = schema.shape(request.kind) if request.sent is None else schema.shape_of(request.sent)
    asked: JSON = reviews.question(request, operation, obj, None, "", "v1")["request"]
    for unseen in ("object", "oldObject", "uid"):
        asked.pop(unseen, None)
    return {
        "object": visible(obj, shape), "oldObject": visible(old, shape), "request": asked, "params": None,
        "namespaceObject": None, "variables": {}, "authorizer": authorization.variable(_own(request)),
    }  # fmt: skip


def _own(request: Request) -> Attributes:
    resource = request.kind.resource
    return Attributes(
        "", "", resource.group, resource.version, resource.plural, request.subresource, request.namespace, request.name
    )


def _inner(shape: Shape | None, key: str) -> Shape | None:
    if isinstance(shape, Struct):
        field = shape.fields.get(key)
        return field.shape if field else None
    return shape.value if isinstance(shape, MapOf) else None
