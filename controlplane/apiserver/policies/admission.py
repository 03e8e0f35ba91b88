"""The admission plugin ValidatingAdmissionPolicy: policies, their bindings and parameters, and what they decide.

Policies and bindings are read off the watch cache and compiled once for each change. A policy without a binding does
nothing. On the event loop; what one request may cost is bounded by ``cel.engine.Budget``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from controlplane.apiserver import schema
from controlplane.apiserver.api import ApiServer
from controlplane.apiserver.cel import authorization
from controlplane.apiserver.cel.engine import Budget, CelError, Program
from controlplane.apiserver.kinds.base import Kind
from controlplane.apiserver.policies import expressions
from controlplane.apiserver.policies.compiling import Named, compile_expression, compile_message, named
from controlplane.apiserver.request import Request
from controlplane.apiserver.webhooks import matching
from shared import codec
from shared.api import selectors
from shared.api.errors import Cause, Forbidden, Invalid, RequestEntityTooLarge, StatusError, Unauthorized
from shared.api.kinds import (
    NAMESPACES,
    VALIDATING_ADMISSION_POLICIES,
    VALIDATING_ADMISSION_POLICY_BINDINGS,
)
from shared.api.meta import JSON

_REASONS: dict[str, type[StatusError]] = {
    cls.reason: cls for cls in (Forbidden, Invalid, RequestEntityTooLarge, Unauthorized)
}


@dataclass(frozen=True, slots=True)
class Validation:
    """One rule: its expression, and what is said when it is false."""

    source: str
    program: Program
    message: str
    message_program: Program | None
    reason: str


@dataclass(frozen=True, slots=True)
class Failure:
    """A validation that does not hold: which, why, and what is said."""

    index: int
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Policy:
    """A policy, compiled. ``broken`` says why it could not be, which its failurePolicy decides about."""

    name: str
    spec: JSON
    conditions: tuple[Named, ...] = ()
    variables: tuple[Named, ...] = ()
    validations: tuple[Validation, ...] = ()
    audit: tuple[Named, ...] = ()
    """Keys and values of annotations in the audit log."""

    bindings: list[JSON] = field(default_factory=list)
    broken: str = ""

    @property
    def ignores_failures(self) -> bool:
        return self.spec.get("failurePolicy") == "Ignore"


def compile_policy(name: str, spec: JSON) -> Policy:
    try:
        return Policy(
            name,
            spec,
            named(spec.get("matchConditions") or ()),
            named(spec.get("variables") or (), ""),
            tuple(_validation(rule) for rule in spec.get("validations") or ()),
            tuple(
                Named(item["key"], compile_expression(item["valueExpression"], "STRING"))
                for item in spec.get("auditAnnotations") or ()
            ),
        )
    except CelError as error:
        return Policy(name, spec, broken=str(error))


def _validation(rule: JSON) -> Validation:
    source, told = rule["expression"], rule.get("messageExpression")
    return Validation(
        source,
        compile_expression(source),
        rule.get("message") or "",
        compile_message(told) if told else None,
        rule.get("reason") or Invalid.reason,
    )


class PolicyAdmission:
    """A ``DynamicAdmission`` for ``ApiServer.admission``."""

    def __init__(self, api: ApiServer) -> None:
        self._api = api
        self._policies = api.cache.served(VALIDATING_ADMISSION_POLICIES)
        self._bindings = api.cache.served(VALIDATING_ADMISSION_POLICY_BINDINGS)
        self._seen = (-1, -1)
        self._compiled: Sequence[Policy] = ()

    def concerns(self, request: Request, operation: str) -> bool:
        if request.kind.resource.group == matching.OWN_GROUP:
            return False
        return any(_rules_match(policy.spec.get("matchConstraints"), request, operation) for policy in self._bound())

    async def mutate(self, request: Request, operation: str, obj: JSON, old: JSON | None) -> JSON:
        return obj

    async def validate(self, request: Request, operation: str, obj: JSON | None, old: JSON | None) -> None:
        """Raises what the first denying policy says; warnings of others are the request's."""
        budget = Budget()
        seen: JSON | None = None
        for policy in self._bound():
            if not self._matches(policy.spec.get("matchConstraints"), request, operation, obj, old):
                continue
            if seen is None:
                seen = self._look(request, operation, obj, old)
            for binding in policy.bindings:
                spec: JSON = binding["spec"]
                if self._matches(spec.get("matchResources"), request, operation, obj, old, optional=True):
                    name = binding["metadata"]["name"]
                    failures = await self._failures(policy, spec, request, seen, budget)
                    for failure in failures:
                        _act(request, policy.name, name, spec.get("validationActions") or (), failure, obj or old)

    def _bound(self) -> Sequence[Policy]:
        """The policies that have a binding."""
        now = self._policies.changed, self._bindings.changed
        if now != self._seen:
            found = {
                entry.name: compile_policy(entry.name, entry.tree().get("spec") or {})
                for entry in self._policies.entries()
            }
            for entry in self._bindings.entries():
                tree = entry.tree()
                if (policy := found.get(tree["spec"].get("policyName") or "")) is not None:
                    policy.bindings.append(tree)
            self._compiled = [policy for policy in found.values() if policy.bindings]
            self._seen = now
        return self._compiled

    def _matches(
        self, resources: JSON | None, request: Request, operation: str, obj: JSON | None, old: JSON | None, *,
        optional: bool = False,
    ) -> bool:  # fmt: skip
        if not _rules_match(resources, request, operation, obj, optional=optional):
            return False
        resources = resources or {}
        return matching.namespace_selected(
            resources.get("namespaceSelector"), matching.namespace_labels(self._api, request, obj or old)
        ) and matching.object_selected(resources.get("objectSelector"), obj, old)

    def _look(self, request: Request, operation: str, obj: JSON | None, old: JSON | None) -> JSON:
        """What expressions see, but for parameters."""
        seen = expressions.seen_of(request, operation, obj, old)
        if request.namespace and (cache := self._api.cache.find(NAMESPACES.group, NAMESPACES.plural)):
            entry = cache.get("", request.namespace)
            if entry is not None:
                seen["namespaceObject"] = expressions.visible(entry.tree(), schema.shape(cache.kind))
        return seen

    async def _failures(
        self, policy: Policy, binding: JSON, request: Request, seen: JSON, budget: Budget
    ) -> list[Failure]:
        """The validations that do not hold; notes what the policy wants in the audit log."""
        try:
            if policy.broken:
                raise CelError(policy.broken)
            params = await self._params(policy.spec.get("paramKind"), binding.get("paramRef"), request)
        except CelError as error:
            return [] if policy.ignores_failures else [Failure(0, Invalid.reason, str(error))]
        with authorization.asking(self._api.decide, request.user):
            return list(self._judged(policy, params, request, seen, budget))

    def _judged(
        self, policy: Policy, params: list[Any], request: Request, seen: JSON, budget: Budget
    ) -> Iterator[Failure]:
        try:
            for param in params:
                about = {**seen, "params": param}
                if not expressions.all_match(policy.conditions, about, budget):
                    continue
                about = expressions.with_variables(policy.variables, about, budget)
                for index, validation in enumerate(policy.validations):
                    yield from _evaluate(policy, validation, index, about, budget)
                for annotation in policy.audit:
                    _annotate(request, f"{policy.name}/{annotation.name}", annotation.program.evaluate(about, budget))
        except CelError as error:
            if not policy.ignores_failures:
                yield Failure(0, Invalid.reason, str(error))

    async def _params(self, kind: JSON | None, ref: JSON | None, request: Request) -> list[Any]:
        """The parameters that a binding refers to; one None where the policy has none. Raises CelError, also where a
        conversion webhook cannot say what they are."""
        if kind is None:
            return [None]
        if ref is None:
            raise CelError("the policy has a paramKind, and its binding no paramRef")
        row = self._kind(kind)
        if row is None:
            raise CelError(f"failed to find resource referenced by paramKind: {kind['apiVersion']}, {kind['kind']}")
        namespace = (ref.get("namespace") or request.namespace) if row.resource.namespaced else ""
        if row.resource.namespaced and not namespace:
            raise CelError("cannot use namespaced paramRef in policy binding that matches cluster-scoped resources")
        cache, shape = self._api.of(row), schema.shape(row)
        if ref.get("name"):
            entry = cache.get(namespace, ref["name"])
            found = [] if entry is None else [entry]
        else:
            selector = selectors.from_label_selector(ref.get("selector"))
            found = [entry for entry in cache.entries(namespace) if selector.matches(entry.labels)]
        if not found and ref.get("parameterNotFoundAction") != "Allow":
            raise CelError("no params found for policy binding with `Deny` parameterNotFoundAction")
        try:
            shown = await self._api.conversions.show(row, found)
        except StatusError as error:
            raise CelError(error.message) from error
        return [expressions.visible(entry.tree(), shape) for entry in shown]

    def _kind(self, wanted: JSON) -> Kind | None:
        name = wanted.get("apiVersion"), wanted.get("kind")
        return next((row for row in self._api.kinds if (row.resource.api_version, row.resource.kind) == name), None)


def _annotate(request: Request, key: str, value: Any) -> None:
    """Add a value to an annotation of the request's audit event; null is none, and each is said once."""
    if isinstance(value, str) and value:
        known = request.annotations.get(key)
        if known is None:
            request.annotations[key] = value
        elif value not in known.split(", "):
            request.annotations[key] = f"{known}, {value}"


def _evaluate(policy: Policy, validation: Validation, index: int, seen: JSON, budget: Budget) -> Iterator[Failure]:
    try:
        held = validation.program.evaluate(seen, budget)
    except CelError as error:
        if not policy.ignores_failures:
            yield Failure(index, Invalid.reason, f"expression '{validation.source}' resulted in error: {error}")
        return
    if held is not True:
        yield Failure(index, validation.reason, _message(validation, seen, budget))


def _message(validation: Validation, seen: JSON, budget: Budget) -> str:
    if validation.message_program is not None:
        try:
            told = validation.message_program.evaluate(seen, budget)
        except CelError:
            told = None  # the plain message stands in (policy/validating/validator.go)
        if isinstance(told, str) and told.strip() and "\n" not in told:
            return told
    return validation.message.strip() or f"failed expression: {validation.source.strip()}"


AUDITED = "validation.policy.admission.k8s.io/validation_failure"
"""The audit annotation that lists what did not hold, as JSON."""


def _act(
    request: Request, policy: str, binding: str, actions: Sequence[str], failure: Failure, tree: JSON | None
) -> None:
    """Note, warn or refuse, as the binding says. Raises the refusal."""
    message = failure.message
    if "Audit" in actions:
        noted = codec.decode(request.annotations.get(AUDITED, "[]"))
        noted.append({
            "message": message, "policy": policy, "binding": binding, "expressionIndex": failure.index,
            "validationActions": list(actions),
        })  # fmt: skip
        request.annotations[AUDITED] = codec.encode(noted).decode()
    if "Warn" in actions:
        request.warnings.append(
            f"Validation failed for ValidatingAdmissionPolicy '{policy}' with binding '{binding}': {message}"
        )
    if "Deny" not in actions:
        return
    resource = request.kind.resource
    name = request.name or ((tree or {}).get("metadata") or {}).get("name") or ""
    denied = f"ValidatingAdmissionPolicy '{policy}' with binding '{binding}' denied request: {message}"
    cls = _REASONS.get(failure.reason, Invalid)
    raise cls(
        f'{resource.group_resource} "{name}" is forbidden: {denied}',
        group=resource.group, kind=resource.plural, name=name, causes=[Cause("", denied)],
    )  # fmt: skip


def _rules_match(
    resources: JSON | None, request: Request, operation: str, obj: JSON | None = None, *, optional: bool = False
) -> bool:
    """MatchResources: its rules, less those it excludes. Without rules an ``optional`` one lets everything pass."""
    resources = resources or {}
    rules = resources.get("resourceRules") or ()
    if not rules and not optional:
        return False
    name = request.name or ((obj or {}).get("metadata") or {}).get("name") or ""
    named = [rule for rule in rules if _is_named(rule, name)]
    if rules and not matching.rules_match(named, request, operation):
        return False
    excluded = [rule for rule in resources.get("excludeResourceRules") or () if _is_named(rule, name)]
    return not matching.rules_match(excluded, request, operation)


def _is_named(rule: JSON, name: str) -> bool:
    listed = rule.get("resourceNames")
    return not listed or not name or name in listed
