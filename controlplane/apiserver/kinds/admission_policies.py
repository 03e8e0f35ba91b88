"""ValidatingAdmissionPolicy, MutatingAdmissionPolicy and their bindings: defaults, validation, columns.

Pure. Rules and texts are those of pkg/apis/admissionregistration. Expressions are compiled here, so that one that
cannot work is refused when it is written.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from controlplane.apiserver.cel.engine import OBJECT, PATCH
from controlplane.apiserver.kinds.admission_rules import (
    default_rules,
    validate_conditions,
    validate_expression,
    validate_message,
    validate_mutation,
    validate_rules,
)
from controlplane.apiserver.kinds.base import Column, Kind, Subresource
from controlplane.apiserver.kinds.causes import all_invalid, duplicate, forbidden, invalid, not_supported, required
from controlplane.apiserver.kinds.cells import age_column, at, field_column, name_column
from controlplane.apiserver.kinds.podspec.scheduling import validate_label_selector
from shared.api import kinds, names
from shared.api.errors import Cause
from shared.api.meta import JSON

_REASONS = ("Forbidden", "Invalid", "RequestEntityTooLarge", "Unauthorized")
_ACTIONS = ("Audit", "Deny", "Warn")
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


# --- policies


def default_policy(obj: JSON) -> None:
    spec = obj.setdefault("spec", {})
    if not spec.get("failurePolicy"):
        spec["failurePolicy"] = "Fail"
    if spec.get("matchConstraints") is not None:
        default_match(spec["matchConstraints"])
    if obj.get("status") is None:
        obj["status"] = {}


def default_match(resources: JSON) -> None:
    """MatchResources, in place."""
    if not resources.get("matchPolicy"):
        resources["matchPolicy"] = "Equivalent"
    for field in ("namespaceSelector", "objectSelector"):
        if resources.get(field) is None:
            resources[field] = {}
    for field in ("resourceRules", "excludeResourceRules"):
        default_rules(resources.get(field) or ())


def default_mutating_policy(obj: JSON) -> None:
    """Its reinvocationPolicy has no default: who writes the policy must say (validation of 1.36)."""
    spec = obj.setdefault("spec", {})
    if not spec.get("failurePolicy"):
        spec["failurePolicy"] = "Fail"
    if spec.get("matchConstraints") is not None:
        default_match(spec["matchConstraints"])


def _policy(spec: JSON, *, builds: bool) -> Iterator[Cause]:
    """What policies of either kind have in common; with ``builds`` variables may make objects."""
    if (policy := spec.get("failurePolicy")) not in ("Fail", "Ignore"):
        yield not_supported("spec.failurePolicy", policy, ("Fail", "Ignore"))
    if (kind := spec.get("paramKind")) is not None:
        for field in ("apiVersion", "kind"):
            if not kind.get(field):
                yield required(f"spec.paramKind.{field}")
    constraints = spec.get("matchConstraints")
    if constraints is None:
        yield required("spec.matchConstraints")
    else:
        if not constraints.get("resourceRules"):
            yield required("spec.matchConstraints.resourceRules")
        yield from _match(constraints, "spec.matchConstraints")
    yield from validate_conditions(spec.get("matchConditions") or (), "spec.matchConditions")
    yield from _variables(spec.get("variables") or (), "spec.variables", builds=builds)


def validate_policy(obj: JSON, old: JSON | None) -> Iterable[Cause]:
    spec: JSON = obj.get("spec") or {}
    yield from _policy(spec, builds=False)
    rules, annotations = spec.get("validations") or (), spec.get("auditAnnotations") or ()
    if not rules and not annotations:
        yield required("spec.validations", "validations or auditAnnotations must be specified")
    for index, rule in enumerate(rules):
        yield from _validation(rule, f"spec.validations[{index}]")
    for index, annotation in enumerate(annotations):
        here, key = f"spec.auditAnnotations[{index}]", annotation.get("key") or ""
        if not key:
            yield required(f"{here}.key")
        else:
            yield from all_invalid(f"{here}.key", key, names.qualified_name(key))
        if key in {other.get("key") for other in annotations[:index]}:
            yield duplicate(f"{here}.key", key)
        yield from validate_expression(annotation.get("valueExpression") or "", f"{here}.valueExpression", "STRING")


def validate_mutating_policy(obj: JSON, old: JSON | None) -> Iterable[Cause]:
    spec: JSON = obj.get("spec") or {}
    yield from _policy(spec, builds=True)
    if not (policy := spec.get("reinvocationPolicy")):
        yield required("spec.reinvocationPolicy")
    elif policy not in ("Never", "IfNeeded"):
        yield not_supported("spec.reinvocationPolicy", policy, ("IfNeeded", "Never"))
    if not (mutations := spec.get("mutations") or ()):
        yield required("spec.mutations", "mutations must contain at least one item")
    for index, mutation in enumerate(mutations):
        yield from _mutation(mutation, f"spec.mutations[{index}]")


_PATCHES = {"ApplyConfiguration": ("applyConfiguration", OBJECT), "JSONPatch": ("jsonPatch", PATCH)}
"""By patchType: the field with the expression, and what that makes."""


def _mutation(mutation: JSON, path: str) -> Iterator[Cause]:
    kind = mutation.get("patchType")
    if not kind:
        yield required(f"{path}.patchType")
    elif kind not in _PATCHES:
        yield not_supported(f"{path}.patchType", kind, tuple(_PATCHES))
    for name, (field, result) in _PATCHES.items():
        given: JSON | None = mutation.get(field)
        if name == kind:
            if given is None:
                yield required(f"{path}.{field}", f"must be specified when patchType is {name}")
                continue
            yield from validate_mutation(given.get("expression") or "", f"{path}.{field}.expression", result)
        elif kind in _PATCHES and given is not None:
            yield invalid(f"{path}.{field}", given, f"must not be specified when patchType is {kind}")


def _match(resources: JSON, path: str) -> Iterator[Cause]:
    if (policy := resources.get("matchPolicy")) not in (None, "Equivalent", "Exact"):
        yield not_supported(f"{path}.matchPolicy", policy, ("Equivalent", "Exact"))
    for field in ("namespaceSelector", "objectSelector"):
        yield from validate_label_selector(resources.get(field) or {}, f"{path}.{field}")
    for field in ("resourceRules", "excludeResourceRules"):
        yield from validate_rules(resources.get(field) or (), f"{path}.{field}")


def _variables(variables: Sequence[JSON], path: str, *, builds: bool) -> Iterator[Cause]:
    seen: set[str] = set()
    for index, variable in enumerate(variables):
        here, name = f"{path}[{index}]", variable.get("name") or ""
        if not name:
            yield required(f"{here}.name", "name is not specified")
        elif not _IDENTIFIER.fullmatch(name):
            yield invalid(f"{here}.name", name, "name is not a valid CEL identifier")
        if name in seen:
            yield duplicate(f"{here}.name", name)
        seen.add(name)
        source = variable.get("expression") or ""
        if builds:
            yield from validate_mutation(source, f"{here}.expression")
        else:
            yield from validate_expression(source, f"{here}.expression", "")


def _validation(rule: JSON, path: str) -> Iterator[Cause]:
    yield from validate_expression(rule.get("expression") or "", f"{path}.expression", "BOOL")
    message = rule.get("message")
    if message is not None and not message.strip():
        yield invalid(f"{path}.message", message, "message must be non-empty if specified")
    elif message and "\n" in message.strip():
        yield invalid(f"{path}.message", message, "message must not contain line breaks")
    if (told := rule.get("messageExpression")) is not None:
        yield from validate_message(told, f"{path}.messageExpression")
    if (reason := rule.get("reason")) not in (None, *_REASONS):
        yield not_supported(f"{path}.reason", reason, _REASONS)


# --- bindings


def default_binding(obj: JSON) -> None:
    spec = obj.setdefault("spec", {})
    if spec.get("matchResources") is not None:
        default_match(spec["matchResources"])


def validate_mutating_binding(obj: JSON, old: JSON | None) -> Iterable[Cause]:
    spec: JSON = obj.get("spec") or {}
    if not (name := spec.get("policyName")):
        yield required("spec.policyName")
    else:
        yield from all_invalid("spec.policyName", name, names.dns_subdomain(name))
    if (resources := spec.get("matchResources")) is not None:
        yield from _match(resources, "spec.matchResources")
    if (ref := spec.get("paramRef")) is not None:
        yield from _param_ref(ref, "spec.paramRef")


def validate_binding(obj: JSON, old: JSON | None) -> Iterable[Cause]:
    yield from validate_mutating_binding(obj, old)
    spec: JSON = obj.get("spec") or {}
    actions = spec.get("validationActions") or ()
    if not actions:
        yield required("spec.validationActions", "at least one validation action is required")
    for index, action in enumerate(actions):
        if action not in _ACTIONS:
            yield not_supported(f"spec.validationActions[{index}]", action, _ACTIONS)
        elif action in actions[:index]:
            yield duplicate(f"spec.validationActions[{index}]", action)
    if {"Deny", "Warn"} <= set(actions):
        detail = "must not contain both Deny and Warn (repeating the same validation failure information in the API "
        yield invalid("spec.validationActions", list(actions), f"{detail}response and headers serves no purpose)")


def _param_ref(ref: JSON, path: str) -> Iterator[Cause]:
    name, selector = ref.get("name"), ref.get("selector")
    if name and selector is not None:
        yield forbidden(f"{path}.name", "name and selector are mutually exclusive")
    elif not name and selector is None:
        yield required(path, "one of name or selector must be specified")
    if selector is not None:
        yield from validate_label_selector(selector, f"{path}.selector")
    if not (action := ref.get("parameterNotFoundAction")):
        yield required(f"{path}.parameterNotFoundAction")
    elif action not in ("Allow", "Deny"):
        yield not_supported(f"{path}.parameterNotFoundAction", action, ("Allow", "Deny"))


# --- columns


def _param_kind(obj: JSON) -> str:
    kind = at(obj, "spec", "paramKind")
    return "<unset>" if kind is None else f"{kind.get('apiVersion')}/{kind.get('kind')}"


def _param(obj: JSON) -> str:
    ref = at(obj, "spec", "paramRef")
    if ref is None:
        return "<unset>"
    return f"{ref.get('namespace') or '*'}/{ref.get('name') or '*'}"


VALIDATING_ADMISSION_POLICY = Kind(
    resource=kinds.VALIDATING_ADMISSION_POLICIES,
    singular="validatingadmissionpolicy",
    categories=("api-extensions",),
    columns=(
        name_column(),
        Column("Validations", "integer", "Number of rules that the policy has.",
               lambda obj: len(at(obj, "spec", "validations", default=()))),
        Column("ParamKind", "string", "Kind of the objects that parametrise the policy.", _param_kind),
        age_column(),
    ),
    subresources=(Subresource("status", ("get", "patch", "update")),),
    default=default_policy,
    validate=validate_policy,
    has_generation=True,
)  # fmt: skip
VALIDATING_ADMISSION_POLICY_BINDING = Kind(
    resource=kinds.VALIDATING_ADMISSION_POLICY_BINDINGS,
    singular="validatingadmissionpolicybinding",
    categories=("api-extensions",),
    columns=(
        name_column(),
        field_column("PolicyName", "string", "The policy that is bound.", "spec", "policyName", default=""),
        Column("ParamRef", "string", "The objects that parametrise it.", _param),
        age_column(),
    ),
    default=default_binding,
    validate=validate_binding,
    has_generation=True,
)
MUTATING_ADMISSION_POLICY = Kind(
    resource=kinds.MUTATING_ADMISSION_POLICIES,
    singular="mutatingadmissionpolicy",
    categories=("api-extensions",),
    columns=(
        name_column(),
        Column("Mutations", "integer", "Number of mutations that the policy has.",
               lambda obj: len(at(obj, "spec", "mutations", default=()))),
        Column("ParamKind", "string", "Kind of the objects that parametrise the policy.", _param_kind),
        age_column(),
    ),
    default=default_mutating_policy,
    validate=validate_mutating_policy,
    has_generation=True,
)  # fmt: skip
MUTATING_ADMISSION_POLICY_BINDING = Kind(
    resource=kinds.MUTATING_ADMISSION_POLICY_BINDINGS,
    singular="mutatingadmissionpolicybinding",
    categories=("api-extensions",),
    columns=VALIDATING_ADMISSION_POLICY_BINDING.columns,
    default=default_binding,
    validate=validate_mutating_binding,
    has_generation=True,
)
