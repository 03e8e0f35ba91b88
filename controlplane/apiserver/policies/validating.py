"""The admission plugin ValidatingAdmissionPolicy: what policies decide about a request.

On the event loop; what one request may cost is bounded by ``cel.engine.Budget``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from controlplane.apiserver.api import ApiServer
from controlplane.apiserver.cel import authorization
from controlplane.apiserver.cel.engine import Budget, CelError, Program
from controlplane.apiserver.invocations import Invocations
from controlplane.apiserver.policies import expressions
from controlplane.apiserver.policies.compiling import Named, compile_expression, compile_message, named
from controlplane.apiserver.policies.hooks import Hooks, Param, Policy
from controlplane.apiserver.request import Request
from shared import codec
from shared.api.errors import Cause, Forbidden, Invalid, RequestEntityTooLarge, StatusError, Unauthorized
from shared.api.kinds import VALIDATING_ADMISSION_POLICIES, VALIDATING_ADMISSION_POLICY_BINDINGS
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
class ValidatingPolicy(Policy):
    """A policy, compiled."""

    validations: tuple[Validation, ...] = ()
    audit: tuple[Named, ...] = ()
    """Keys and values of annotations in the audit log."""


def compile_policy(name: str, spec: JSON) -> ValidatingPolicy:
    try:
        return ValidatingPolicy(
            name,
            spec,
            named(spec.get("matchConditions") or ()),
            named(spec.get("variables") or (), ""),
            validations=tuple(_validation(rule) for rule in spec.get("validations") or ()),
            audit=tuple(
                Named(item["key"], compile_expression(item["valueExpression"], "STRING"))
                for item in spec.get("auditAnnotations") or ()
            ),
        )
    except CelError as error:
        return ValidatingPolicy(name, spec, broken=str(error))


def _validation(rule: JSON) -> Validation:
    source, told = rule["expression"], rule.get("messageExpression")
    return Validation(
        source,
        compile_expression(source),
        rule.get("message") or "",
        compile_message(told) if told else None,
        rule.get("reason") or Invalid.reason,
    )


class ValidatingPolicies:
    """A ``DynamicAdmission`` for ``ApiServer.admission``."""

    def __init__(self, api: ApiServer) -> None:
        self._api = api
        self._hooks = Hooks(api, VALIDATING_ADMISSION_POLICIES, VALIDATING_ADMISSION_POLICY_BINDINGS, compile_policy)

    def concerns(self, request: Request, operation: str) -> bool:
        return self._hooks.concerns(request, operation)

    async def mutate(
        self, request: Request, operation: str, obj: JSON, old: JSON | None, invocations: Invocations
    ) -> JSON:
        return obj

    async def validate(self, request: Request, operation: str, obj: JSON | None, old: JSON | None) -> None:
        """Raises what the first denying policy says; warnings of others are the request's."""
        budget = Budget()
        seen: JSON | None = None
        for policy, binding in self._hooks.matching(request, operation, obj, old):
            if seen is None:
                seen = self._hooks.look(request, operation, obj, old)
            actions = binding["spec"].get("validationActions") or ()
            for failure in await self._failures(policy, binding, request, seen, budget):
                _act(request, policy.name, binding["metadata"]["name"], actions, failure, obj or old)

    async def _failures(
        self, policy: ValidatingPolicy, binding: JSON, request: Request, seen: JSON, budget: Budget
    ) -> list[Failure]:
        """The validations that do not hold; notes what the policy wants in the audit log."""
        try:
            params = await self._hooks.params(policy, binding, request)
        except CelError as error:
            return [] if policy.ignores_failures else [Failure(0, Invalid.reason, str(error))]
        with authorization.asking(self._api.decide, request.user):
            return list(self._judged(policy, params, request, seen, budget))

    def _judged(
        self, policy: ValidatingPolicy, params: list[Param], request: Request, seen: JSON, budget: Budget
    ) -> Iterator[Failure]:
        try:
            for param in params:
                about = {**seen, "params": param.value}
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


def _annotate(request: Request, key: str, value: Any) -> None:
    """Add a value to an annotation of the request's audit event; null is none, and each is said once."""
    if isinstance(value, str) and value:
        known = request.annotations.get(key)
        if known is None:
            request.annotations[key] = value
        elif value not in known.split(", "):
            request.annotations[key] = f"{known}, {value}"


def _evaluate(
    policy: ValidatingPolicy, validation: Validation, index: int, seen: JSON, budget: Budget
) -> Iterator[Failure]:
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
