"""The admission plugin MutatingAdmissionPolicy: policies that change objects.

Each policy with each of its bindings and parameters sees what those before it have made of the object, its mutations
one another's results. On the event loop; what one request may cost is bounded by ``cel.engine.Budget``. After
apiserver/pkg/admission/plugin/policy/mutating/dispatcher.go.
"""

from __future__ import annotations

from dataclasses import dataclass

from controlplane.apiserver import schema
from controlplane.apiserver.api import ApiServer
from controlplane.apiserver.cel import authorization
from controlplane.apiserver.cel.engine import OBJECT, PATCH, Budget, CelError
from controlplane.apiserver.invocations import Invocations
from controlplane.apiserver.policies import expressions
from controlplane.apiserver.policies.compiling import compile_mutation, named
from controlplane.apiserver.policies.hooks import Hooks, Param, Policy
from controlplane.apiserver.policies.patches import APPLY_CONFIGURATION, ApplyConfiguration, JSONPatch, Mutation
from controlplane.apiserver.request import Request
from shared.api.errors import Cause, Forbidden, Invalid, StatusError
from shared.api.kinds import MUTATING_ADMISSION_POLICIES, MUTATING_ADMISSION_POLICY_BINDINGS
from shared.api.meta import JSON


@dataclass(frozen=True, slots=True)
class MutatingPolicy(Policy):
    """A policy, compiled."""

    mutations: tuple[Mutation, ...] = ()

    @property
    def reinvoked(self) -> bool:
        return self.spec.get("reinvocationPolicy") == "IfNeeded"


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a policy could not do its work; ``error`` is what its failurePolicy makes of it."""

    message: str
    error: type[StatusError]


def compile_policy(name: str, spec: JSON) -> MutatingPolicy:
    try:
        return MutatingPolicy(
            name,
            spec,
            named(spec.get("matchConditions") or ()),
            named(spec.get("variables") or (), "", builds=True),
            mutations=tuple(_mutation(mutation) for mutation in spec.get("mutations") or ()),
        )
    except CelError as error:
        return MutatingPolicy(name, spec, broken=str(error))


def _mutation(mutation: JSON) -> Mutation:
    if mutation["patchType"] == APPLY_CONFIGURATION:
        return ApplyConfiguration(compile_mutation(mutation["applyConfiguration"]["expression"], OBJECT))
    return JSONPatch(compile_mutation(mutation["jsonPatch"]["expression"], PATCH))


class MutatingPolicies:
    """A ``DynamicAdmission`` for ``ApiServer.admission``."""

    def __init__(self, api: ApiServer) -> None:
        self._api = api
        self._hooks = Hooks(api, MUTATING_ADMISSION_POLICIES, MUTATING_ADMISSION_POLICY_BINDINGS, compile_policy)

    def concerns(self, request: Request, operation: str) -> bool:
        return self._hooks.concerns(request, operation)

    async def mutate(
        self, request: Request, operation: str, obj: JSON, old: JSON | None, invocations: Invocations
    ) -> JSON:
        """Raises what policies that fail and may not are refused with."""
        failures: list[Failure] = []
        budget = Budget()
        current = obj
        for policy, binding in list(self._hooks.matching(request, operation, obj, old)):
            told: list[Failure] = []
            try:
                params = await self._hooks.params(policy, binding, request)
            except CelError as error:
                told.append(_failure(policy, binding, f"failed to configure binding: {error}", Forbidden))
                params = []
            for param in params:
                key = policy.name, binding["metadata"]["name"], param.name
                if invocations.wanted(key):
                    with authorization.asking(self._api.decide, request.user):
                        new = self._mutated(policy, binding, param, request, operation, current, old, budget, told)
                    if new is not None:
                        invocations.done(key, changed=new != current, reinvoked=policy.reinvoked)
                        current = new
            if not policy.ignores_failures:
                failures += told
        if failures:
            raise _refusal(request, obj, failures)
        return current

    async def validate(self, request: Request, operation: str, obj: JSON | None, old: JSON | None) -> None:
        """Nothing: the result is for validation, and for others."""

    def _mutated(
        self, policy: MutatingPolicy, binding: JSON, param: Param, request: Request, operation: str, obj: JSON,
        old: JSON | None, budget: Budget, told: list[Failure],
    ) -> JSON | None:  # fmt: skip
        """What the policy makes of the object; None where its match conditions leave it out. What fails goes into
        ``told``, and the mutations after it still happen."""
        current = obj
        seen = self._seen(request, operation, obj, old, param)
        try:
            if not expressions.all_match(policy.conditions, seen, budget):
                return None
        except CelError as error:
            told.append(_failure(policy, binding, str(error), Invalid))
            return None
        for mutation in policy.mutations:
            try:
                about = expressions.with_variables(policy.variables, seen, budget)
                new = mutation.applied(request, current, mutation.program.evaluate(about, budget))
            except CelError as error:
                told.append(_failure(policy, binding, str(error), Invalid))
                continue
            if new is not current:
                current = _defaulted(request, new)
                seen = self._seen(request, operation, current, old, param)
        return current

    def _seen(self, request: Request, operation: str, obj: JSON, old: JSON | None, param: Param) -> JSON:
        return {**self._hooks.look(request, operation, obj, old), "params": param.value}


def _defaulted(request: Request, obj: JSON) -> JSON:
    """The object, which nobody else holds, with what is null taken out and the defaults of its kind."""
    if request.sent is None:
        schema.prune_nulls(obj, request.kind)
        request.kind.default(obj)
    else:
        schema.prune_nulls(obj)
    return obj


def _failure(policy: MutatingPolicy, binding: JSON, message: str, error: type[StatusError]) -> Failure:
    return Failure(
        f"policy '{policy.name}' with binding '{binding['metadata']['name']}' denied request: {message}", error
    )


def _refusal(request: Request, obj: JSON, failures: list[Failure]) -> StatusError:
    resource = request.kind.resource
    return failures[0].error(
        failures[0].message,
        group=resource.group,
        kind=resource.plural,
        name=request.name or (obj.get("metadata") or {}).get("name") or "",
        causes=[Cause("", failure.message) for failure in failures],
    )
