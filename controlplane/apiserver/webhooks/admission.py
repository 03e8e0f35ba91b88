"""The admission plugins MutatingAdmissionWebhook and ValidatingAdmissionWebhook.

Mutating webhooks are asked one after the other, by the names of their configurations; validating ones side by side.
What one cannot answer is refused or let pass by its failurePolicy. The configurations are read off the watch cache
and parsed once for each change. On the event loop.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType

from prometheus_client import Counter

from controlplane.apiserver.api import ApiServer
from controlplane.apiserver.cel import authorization
from controlplane.apiserver.cel.engine import Budget, CelError
from controlplane.apiserver.invocations import Invocations
from controlplane.apiserver.policies import expressions
from controlplane.apiserver.policies.compiling import Named, named
from controlplane.apiserver.request import Request
from controlplane.apiserver.resource_cache import ResourceCache
from controlplane.apiserver.webhooks import matching, reviews
from controlplane.apiserver.webhooks.caller import Caller, CallFailed
from controlplane.apiserver.webhooks.configuration import MUTATING, VALIDATING
from controlplane.apiserver.webhooks.proofs import NOTHING, Proofs
from shared.api.errors import InternalError
from shared.api.kinds import MUTATING_WEBHOOK_CONFIGURATIONS, VALIDATING_WEBHOOK_CONFIGURATIONS
from shared.api.meta import JSON

logger = logging.getLogger(__name__)

ASKED = Counter(
    "longboat_admission_webhook_requests_total", "Questions to webhooks, by what came of them.", ["webhook", "outcome"]
)


@dataclass(frozen=True)
class Webhook:
    """One webhook of a configuration."""

    name: str
    spec: JSON

    @cached_property
    def conditions(self) -> Sequence[Named]:
        """Its match conditions, compiled. Raises CelError."""
        return named(self.spec.get("matchConditions") or ())

    @property
    def reinvoked(self) -> bool:
        return self.spec.get("reinvocationPolicy") == "IfNeeded"


class _Configured:
    """The webhooks of all configurations of one kind, as the watch cache has them now."""

    def __init__(self, cache: ResourceCache) -> None:
        self._cache = cache
        self._revision = -1
        self._webhooks: Sequence[Webhook] = ()

    def all(self) -> Sequence[Webhook]:
        if self._cache.changed != self._revision:
            self._webhooks = [
                Webhook(spec["name"], spec)
                for entry in self._cache.entries()
                for spec in entry.tree().get("webhooks") or ()
            ]
            self._revision = self._cache.changed
        return self._webhooks


class WebhookAdmission:
    """A ``DynamicAdmission`` for ``ApiServer.admission``."""

    def __init__(self, api: ApiServer, caller: Caller, proofs: Mapping[str, Proofs] = MappingProxyType({})) -> None:
        """``proofs`` is by plugin."""
        self._api, self._caller = api, caller
        self._proofs = {plugin: proofs.get(plugin, NOTHING) for plugin in (MUTATING, VALIDATING)}
        self._mutating = _Configured(api.cache.served(MUTATING_WEBHOOK_CONFIGURATIONS))
        self._validating = _Configured(api.cache.served(VALIDATING_WEBHOOK_CONFIGURATIONS))

    def concerns(self, request: Request, operation: str) -> bool:
        if request.kind.resource.group == matching.OWN_GROUP:
            return False
        return any(
            matching.rules_match(hook.spec.get("rules") or (), request, operation)
            for configured in (self._mutating, self._validating)
            for hook in configured.all()
        )

    async def mutate(
        self, request: Request, operation: str, obj: JSON, old: JSON | None, invocations: Invocations
    ) -> JSON:
        current = obj
        for hook in self._mutating.all():
            if invocations.wanted(hook.name):
                new = await self._mutated(hook, request, operation, current, old)
                invocations.done(hook.name, changed=new != current, reinvoked=hook.reinvoked)
                current = new
        return current

    async def _mutated(self, hook: Webhook, request: Request, operation: str, obj: JSON, old: JSON | None) -> JSON:
        if not self._matches(hook, request, operation, obj, old):
            return obj
        verdict = await self._ask(hook, request, operation, obj, old, mutates=True)
        if verdict is None or not verdict.patch:
            return obj
        try:
            return reviews.patched(obj, verdict.patch)
        except reviews.BadAnswer as error:
            self._failed(hook, error)
            return obj

    async def validate(self, request: Request, operation: str, obj: JSON | None, old: JSON | None) -> None:
        hooks = [hook for hook in self._validating.all() if self._matches(hook, request, operation, obj, old)]
        if not hooks:
            return
        # The first refusal in order is told, whichever comes first; each question has its own time limit.
        results = await asyncio.gather(
            *(self._ask(hook, request, operation, obj, old, mutates=False) for hook in hooks), return_exceptions=True
        )
        for result in results:
            if isinstance(result, BaseException):
                raise result

    def _matches(self, hook: Webhook, request: Request, operation: str, obj: JSON | None, old: JSON | None) -> bool:
        spec = hook.spec
        labels = matching.namespace_labels(self._api, request, obj or old)
        if not (
            matching.rules_match(spec.get("rules") or (), request, operation)
            and matching.namespace_selected(spec.get("namespaceSelector"), labels)
            and matching.object_selected(spec.get("objectSelector"), obj, old)
        ):
            return False
        if not spec.get("matchConditions"):
            return True
        try:
            seen = expressions.seen_of(request, operation, obj, old)
            with authorization.asking(self._api.decide, request.user):
                return expressions.all_match(hook.conditions, seen, Budget())
        except CelError as error:
            self._failed(hook, error)
            return False

    async def _ask(
        self, hook: Webhook, request: Request, operation: str, obj: JSON | None, old: JSON | None, *, mutates: bool
    ) -> reviews.Verdict | None:
        """None when it could not be asked and that is to be ignored. Raises its refusal, or InternalError."""
        uid = str(uuid.uuid4())
        versions = hook.spec.get("admissionReviewVersions") or ()
        version = next((version for version in versions if version in ("v1", "v1beta1")), "v1")
        body = reviews.question(request, operation, obj, old, uid, version)
        timeout = float(hook.spec.get("timeoutSeconds") or 10)
        try:
            proofs = self._proofs[MUTATING if mutates else VALIDATING]
            answer = await self._caller.ask(hook.spec.get("clientConfig") or {}, body, timeout, proofs)
            verdict = reviews.read(answer, uid, hook.name, mutates=mutates)
        except (CallFailed, reviews.BadAnswer) as error:
            self._failed(hook, error)
            return None
        request.warnings.extend(verdict.warnings)
        ASKED.labels(hook.name, "denied" if verdict.refusal else "allowed").inc()
        if verdict.refusal is not None:
            raise verdict.refusal
        return verdict

    def _failed(self, hook: Webhook, error: Exception) -> None:
        ASKED.labels(hook.name, "failed").inc()
        logger.warning("a webhook gave no usable answer", extra={"webhook": hook.name, "cause": str(error)})
        if hook.spec.get("failurePolicy") != "Ignore":
            raise InternalError(
                f'Internal error occurred: failed calling webhook "{hook.name}": failed to call webhook: {error}'
            ) from error
