"""The last steps before a write: admission by the cluster's own webhooks and policies around the kind's validation.

The order is Kubernetes': what mutates, validation of the result, what validates. Without any dynamic admission nothing
is awaited.
"""

from __future__ import annotations

from controlplane.apiserver import admission as built_in
from controlplane.apiserver import strategy
from controlplane.apiserver.api import ApiServer, DynamicAdmission
from controlplane.apiserver.request import Request
from shared.api.meta import JSON

CREATE, UPDATE, DELETE = "CREATE", "UPDATE", "DELETE"


async def create(api: ApiServer, request: Request, draft: JSON) -> JSON:
    """The object to store for a draft. Raises Invalid, and what refuses admission."""
    asked = _asked(api, request, CREATE)
    obj = await _mutated(asked, request, CREATE, draft, None)
    strategy.check_create(request, obj)
    built_in.check(strategy.context_of(api, request), request.kind, obj, None)
    await _validated(asked, request, CREATE, obj, None)
    return obj


async def update(api: ApiServer, request: Request, draft: JSON, old: JSON) -> JSON:
    """The object to store in place of ``old``. Raises as ``create``."""
    asked = _asked(api, request, UPDATE)
    obj = await _mutated(asked, request, UPDATE, draft, old)
    strategy.check_update(request, obj, old)
    if request.subresource in ("", "ephemeralcontainers"):
        built_in.check(strategy.context_of(api, request), request.kind, obj, old)
    await _validated(asked, request, UPDATE, obj, old)
    return obj


async def delete(api: ApiServer, request: Request, old: JSON) -> None:
    """Raises what refuses admission."""
    await _validated(_asked(api, request, DELETE), request, DELETE, None, old)


def _asked(api: ApiServer, request: Request, operation: str) -> list[DynamicAdmission]:
    return [admission for admission in api.admission if admission.concerns(request, operation)]


async def _mutated(
    asked: list[DynamicAdmission], request: Request, operation: str, draft: JSON, old: JSON | None
) -> JSON:
    obj = draft
    for admission in asked:
        mutated = await admission.mutate(request, operation, obj, old)
        if mutated is not obj:
            obj = strategy.readmitted(request, draft, mutated, old)
    return obj


async def _validated(
    asked: list[DynamicAdmission], request: Request, operation: str, obj: JSON | None, old: JSON | None
) -> None:
    for admission in asked:
        await admission.validate(request, operation, obj, old)
