"""Policies with their bindings and parameters, and what of them concerns a request: what validating and mutating have
in common.

Policies and bindings are read off the watch cache and compiled once for each change. A policy without a binding does
nothing. On the event loop. After apiserver/pkg/admission/plugin/policy/generic.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from controlplane.apiserver import schema
from controlplane.apiserver.api import ApiServer
from controlplane.apiserver.cel.engine import CelError
from controlplane.apiserver.kinds.base import Kind
from controlplane.apiserver.policies import expressions
from controlplane.apiserver.policies.compiling import Named
from controlplane.apiserver.request import Request
from controlplane.apiserver.webhooks import matching
from shared.api import selectors
from shared.api.errors import StatusError
from shared.api.kinds import NAMESPACES, Resource
from shared.api.meta import JSON


@dataclass(frozen=True, slots=True)
class Policy:
    """What policies of either kind have. ``broken`` says why one could not be compiled, which its failurePolicy decides
    about."""

    name: str
    spec: JSON
    conditions: tuple[Named, ...] = ()
    variables: tuple[Named, ...] = ()
    bindings: list[JSON] = field(default_factory=list)
    broken: str = ""

    @property
    def ignores_failures(self) -> bool:
        return self.spec.get("failurePolicy") == "Ignore"


P = TypeVar("P", bound=Policy)


@dataclass(frozen=True, slots=True)
class Param:
    """One object that parametrises a policy, as expressions see it; ``name`` with its namespace, empty for none."""

    name: str = ""
    value: Any = None


class Hooks(Generic[P]):
    """The policies of one kind that have a binding."""

    def __init__(
        self, api: ApiServer, policies: Resource[Any], bindings: Resource[Any], compile: Callable[[str, JSON], P]
    ) -> None:
        self._api, self._compile = api, compile
        self._policies, self._bindings = api.cache.served(policies), api.cache.served(bindings)
        self._seen = (-1, -1)
        self._bound: Sequence[P] = ()

    def bound(self) -> Sequence[P]:
        """By their names, their bindings by theirs."""
        now = self._policies.changed, self._bindings.changed
        if now != self._seen:
            found = {
                entry.name: self._compile(entry.name, entry.tree().get("spec") or {})
                for entry in self._policies.entries()
            }
            for entry in self._bindings.entries():
                tree = entry.tree()
                if (policy := found.get(tree["spec"].get("policyName") or "")) is not None:
                    policy.bindings.append(tree)
            self._bound = [policy for policy in found.values() if policy.bindings]
            self._seen = now
        return self._bound

    def concerns(self, request: Request, operation: str) -> bool:
        """Whether any may have a say; cheap."""
        if request.kind.resource.group == matching.OWN_GROUP:
            return False
        return any(_rules_match(policy.spec.get("matchConstraints"), request, operation) for policy in self.bound())

    def matching(
        self, request: Request, operation: str, obj: JSON | None, old: JSON | None
    ) -> Iterator[tuple[P, JSON]]:
        """The policies, each with a binding, that are for this request."""
        for policy in self.bound():
            if self._matches(policy.spec.get("matchConstraints"), request, operation, obj, old):
                for binding in policy.bindings:
                    resources = binding["spec"].get("matchResources")
                    if self._matches(resources, request, operation, obj, old, optional=True):
                        yield policy, binding

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

    def look(self, request: Request, operation: str, obj: JSON | None, old: JSON | None) -> JSON:
        """What expressions see, but for parameters."""
        seen = expressions.seen_of(request, operation, obj, old)
        if request.namespace and (cache := self._api.cache.find(NAMESPACES.group, NAMESPACES.plural)):
            entry = cache.get("", request.namespace)
            if entry is not None:
                seen["namespaceObject"] = expressions.visible(entry.tree(), schema.shape(cache.kind))
        return seen

    async def params(self, policy: P, binding: JSON, request: Request) -> list[Param]:
        """The parameters that a binding refers to; one of None where it refers to none. Raises CelError, also where a
        policy could not be compiled or a conversion webhook cannot say what its parameters are."""
        if policy.broken:
            raise CelError(policy.broken)
        kind, ref = policy.spec.get("paramKind"), binding["spec"].get("paramRef")
        if kind is None or ref is None:
            return [Param()]
        row = self._kind(kind)
        if row is None:
            raise CelError(f"failed to find resource referenced by paramKind: {kind['apiVersion']}, {kind['kind']}")
        if ref.get("namespace") and not row.resource.namespaced:
            raise CelError("paramRef.namespace must not be provided for a cluster-scoped `paramKind`")
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
        return [
            Param(f"{entry.namespace}/{entry.name}", expressions.visible(entry.tree(), shape)) for entry in shown
        ]  # fmt: skip

    def _kind(self, wanted: JSON) -> Kind | None:
        name = wanted.get("apiVersion"), wanted.get("kind")
        return next((row for row in self._api.kinds if (row.resource.api_version, row.resource.kind) == name), None)


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
