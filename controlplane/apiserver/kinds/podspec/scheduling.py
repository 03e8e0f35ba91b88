"""What is wrong with where a pod may run: node selector, affinity, tolerations, spread constraints.

Pure. Rules and texts are those of pkg/apis/core/validation and k8s.io/apimachinery/pkg/apis/meta/v1/validation.
"""

from __future__ import annotations

from typing import Any

from controlplane.apiserver.kinds.causes import (
    all_invalid,
    forbidden,
    invalid,
    not_supported,
    required,
)
from controlplane.apiserver.kinds.metadata import validate_labels
from shared.api import names
from shared.api.errors import Cause
from shared.api.meta import JSON

TAINT_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"


def validate_scheduling(spec: JSON, path: str) -> list[Cause]:
    """Everything of a spec that the scheduler reads."""
    found = validate_labels(spec.get("nodeSelector"), f"{path}.nodeSelector")
    found += _affinity(spec.get("affinity") or {}, f"{path}.affinity")
    found += validate_tolerations(spec.get("tolerations") or (), f"{path}.tolerations")
    for index, spread in enumerate(spec.get("topologySpreadConstraints") or ()):
        found += _spread(spread, f"{path}.topologySpreadConstraints[{index}]")
    return found


def _affinity(affinity: JSON, at: str) -> list[Cause]:
    found: list[Cause] = []
    if (node := affinity.get("nodeAffinity")) is not None:
        here = f"{at}.nodeAffinity"
        if (must := node.get(_REQUIRED)) is not None:
            found += validate_node_selector(must, f"{here}.{_REQUIRED}")
        for index, term in enumerate(node.get(_PREFERRED) or ()):
            place = f"{here}.{_PREFERRED}[{index}]"
            found += _weight(term, place) + _node_term(term.get("preference") or {}, f"{place}.preference")
    for name in ("podAffinity", "podAntiAffinity"):
        if (pods := affinity.get(name)) is not None:
            for index, term in enumerate(pods.get(_REQUIRED) or ()):
                found += _pod_term(term, f"{at}.{name}.{_REQUIRED}[{index}]")
            for index, term in enumerate(pods.get(_PREFERRED) or ()):
                place = f"{at}.{name}.{_PREFERRED}[{index}]"
                found += _weight(term, place) + _pod_term(term.get("podAffinityTerm") or {}, f"{place}.podAffinityTerm")
    return found


def _weight(term: JSON, at: str) -> list[Cause]:
    weight = term.get("weight") or 0
    return [] if 1 <= weight <= 100 else [invalid(f"{at}.weight", weight, "must be in the range 1-100")]


def validate_node_selector(selector: JSON, at: str) -> list[Cause]:
    """The terms of which a node must match one."""
    terms = selector.get("nodeSelectorTerms") or ()
    if not terms:
        return [required(f"{at}.nodeSelectorTerms", "must have at least one node selector term")]
    found: list[Cause] = []
    for index, term in enumerate(terms):
        found += _node_term(term, f"{at}.nodeSelectorTerms[{index}]")
    return found


def _node_term(term: JSON, at: str) -> list[Cause]:
    found: list[Cause] = []
    for index, expression in enumerate(term.get("matchExpressions") or ()):
        found += _node_expression(expression, f"{at}.matchExpressions[{index}]")
    for index, expression in enumerate(term.get("matchFields") or ()):
        found += _node_field(expression, f"{at}.matchFields[{index}]")
    return found


def _node_expression(expression: JSON, at: str) -> list[Cause]:
    operator, values = expression.get("operator") or "", expression.get("values") or ()
    key = expression.get("key") or ""
    found: list[Cause] = []
    if operator in ("In", "NotIn"):
        if not values:
            detail = "must be specified when `operator` is 'In' or 'NotIn'"
            found.append(required(f"{at}.values", detail))
    elif operator in ("Exists", "DoesNotExist"):
        if values:
            detail = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
            found.append(forbidden(f"{at}.values", detail))
    elif operator in ("Gt", "Lt"):
        if len(values) != 1:
            found.append(required(f"{at}.values", "must be specified single value when `operator` is 'Lt' or 'Gt'"))
    else:
        found.append(invalid(f"{at}.operator", operator, "not a valid selector operator"))
    found += all_invalid(f"{at}.key", key, names.qualified_name(key))
    for index, value in enumerate(values):
        found += all_invalid(f"{at}.values[{index}]", value, names.label_value(value))
    return found


def _node_field(expression: JSON, at: str) -> list[Cause]:
    key, values = expression.get("key") or "", expression.get("values") or ()
    found: list[Cause] = []
    if (operator := expression.get("operator") or "") in ("In", "NotIn"):
        if len(values) != 1:
            detail = "must be only one value when `operator` is 'In' or 'NotIn' for node field selector"
            found.append(required(f"{at}.values", detail))
    else:
        found.append(invalid(f"{at}.operator", operator, "not a valid selector operator"))
    if key != "metadata.name":
        return [*found, invalid(f"{at}.key", key, "not a valid field selector key")]
    for index, value in enumerate(values):
        found += all_invalid(f"{at}.values[{index}]", value, names.dns_subdomain(value))
    return found


def _pod_term(term: JSON, at: str) -> list[Cause]:
    found = validate_label_selector(term.get("labelSelector"), f"{at}.labelSelector")
    found += validate_label_selector(term.get("namespaceSelector"), f"{at}.namespaceSelector")
    for index, namespace in enumerate(term.get("namespaces") or ()):
        found += all_invalid(f"{at}.namespaces[{index}]", namespace, names.dns_label(namespace))
    if not (key := term.get("topologyKey") or ""):
        return [*found, required(f"{at}.topologyKey", "can not be empty")]
    return found + all_invalid(f"{at}.topologyKey", key, names.qualified_name(key))


def validate_label_selector(selector: JSON | None, at: str) -> list[Cause]:
    """A ``matchLabels``/``matchExpressions`` selector; None is fine."""
    if selector is None:
        return []
    found = validate_labels(selector.get("matchLabels"), f"{at}.matchLabels")
    for index, expression in enumerate(selector.get("matchExpressions") or ()):
        here = f"{at}.matchExpressions[{index}]"
        operator, values = expression.get("operator") or "", expression.get("values") or ()
        if operator in ("In", "NotIn"):
            if not values:
                detail = "must be specified when `operator` is 'In' or 'NotIn'"
                found.append(required(f"{here}.values", detail))
        elif operator in ("Exists", "DoesNotExist"):
            if values:
                detail = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
                found.append(forbidden(f"{here}.values", detail))
        else:
            found.append(invalid(f"{here}.operator", operator, "not a valid selector operator"))
        key = expression.get("key") or ""
        found += all_invalid(f"{here}.key", key, names.qualified_name(key))
        for position, value in enumerate(values):
            found += all_invalid(f"{here}.values[{position}]", value, names.label_value(value))
    return found


def validate_tolerations(tolerations: Any, path: str) -> list[Cause]:
    """Keys, operators, values and effects."""
    found: list[Cause] = []
    for index, toleration in enumerate(tolerations):
        at = f"{path}[{index}]"
        key, operator = toleration.get("key") or "", toleration.get("operator") or ""
        value, effect = toleration.get("value") or "", toleration.get("effect") or ""
        if key:
            found += all_invalid(f"{at}.key", key, names.qualified_name(key))
        elif operator != "Exists":
            detail = 'operator must be Exists when `key` is empty, which means "match all values and all keys"'
            found.append(invalid(f"{at}.operator", operator, detail))
        if toleration.get("tolerationSeconds") is not None and effect != "NoExecute":
            detail = "effect must be 'NoExecute' when `tolerationSeconds` is set"
            found.append(invalid(f"{at}.effect", effect, detail))
        if operator in ("", "Equal"):
            found += all_invalid(f"{at}.operator", value, names.label_value(value))
        elif operator == "Exists":
            if value:
                found.append(invalid(f"{at}.operator", toleration, "value must be empty when `operator` is 'Exists'"))
        else:
            found.append(not_supported(f"{at}.operator", operator, ("Equal", "Exists")))
        if effect:
            found += validate_effect(effect, f"{at}.effect")
    return found


def validate_effect(effect: str, at: str) -> list[Cause]:
    """The effect of a taint or toleration."""
    return [] if effect in TAINT_EFFECTS else [not_supported(at, effect, TAINT_EFFECTS)]


def _spread(spread: JSON, at: str) -> list[Cause]:
    found: list[Cause] = []
    if (skew := spread.get("maxSkew") or 0) <= 0:
        found.append(invalid(f"{at}.maxSkew", skew, "must be greater than zero"))
    if not (key := spread.get("topologyKey") or ""):
        found.append(required(f"{at}.topologyKey", "can not be empty"))
    else:
        found += all_invalid(f"{at}.topologyKey", key, names.qualified_name(key))
    when, valid = spread.get("whenUnsatisfiable") or "", ("DoNotSchedule", "ScheduleAnyway")
    if when not in valid:
        found.append(not_supported(f"{at}.whenUnsatisfiable", when, valid))
    return found + validate_label_selector(spread.get("labelSelector"), f"{at}.labelSelector")
