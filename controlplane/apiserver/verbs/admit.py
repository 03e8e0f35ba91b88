"""The last steps before a write: admission by the cluster's own webhooks and policies around the kind's validation.

The order is Kubernetes': what mutates, validation of the result, what validates. Without any dynamic admission nothing
is awaited.
"""

from __future__ import annotations

from collections.abc import Callable

from controlplane.apiserver import admission as built_in
from controlplane.apiserver import strategy
from controlplane.apiserver.api import ApiServer, DynamicAdmission
from controlplane.apiserver.invocations import Invocations
from controlplane.apiserver.request import Request
from shared.api.meta import JSON

CREATE, UPDATE, DELETE, CONNECT = "CREATE", "UPDATE", "DELETE", "CONNECT"


async def create(api: ApiServer, request: Request, draft: JSON) -> JSON:
    """The object to store for a draft. Raises Invalid, and what refuses admission."""
    asked = _asked(api, request, CREATE)
    obj = await _mutated(
        asked, request, CREATE, draft, None, lambda was, new: strategy.readmitted(request, was, new, None)
    )
    strategy.check_create(request, obj)
    built_in.check(strategy.context_of(api, request), request.kind, obj, None)
    await _validated(asked, request, CREATE, obj, None)
    return obj


async def update(api: ApiServer, request: Request, draft: JSON, old: JSON) -> JSON:
    """The object to store in place of ``old``. Raises as ``create``."""
    asked = _asked(api, request, UPDATE)
    obj = await _mutated(
        asked, request, UPDATE, draft, old, lambda was, new: strategy.readmitted(request, was, new, old)
    )
    strategy.check_update(request, obj, old)
    if request.subresource in ("", "ephemeralcontainers"):
        built_in.check(strategy.context_of(api, request), request.kind, obj, old)
    elif request.subresource == "resize":
        built_in.check_resize(strategy.context_of(api, request), obj, old)
    await _validated(asked, request, UPDATE, obj, old)
    return obj


async def delete(api: ApiServer, request: Request, old: JSON) -> None:
    """Raises what refuses admission."""
    await _validated(_asked(api, request, DELETE), request, DELETE, None, old)


async def sent(
    api: ApiServer,
    request: Request,
    operation: str,
    obj: JSON,
    old: JSON | None = None,
    check: Callable[[JSON], None] | None = None,
) -> JSON:
    """What admission from outside makes of ``obj``, which is sent to a subresource and stored by no verb: a Scale, an
    Eviction, a Binding, a TokenRequest, the options of a connection; ``request.sent`` is its kind.

    ``check`` looks at what became of it before it is validated. Raises what refuses admission, and what ``check`` does.
    """
    asked = _asked(api, request, operation)
    obj = await _mutated(asked, request, operation, obj, old, lambda _, mutated: mutated)
    if check is not None:
        check(obj)
    await _validated(asked, request, operation, obj, old)
    return obj


def is_asked(api: ApiServer, request: Request, operation: str) -> bool:
    """Whether anybody outside the server has a say."""
    return any(admission.concerns(request, operation) for admission in api.admission)


def _asked(api: ApiServer, request: Request, operation: str) -> list[DynamicAdmission]:
    return [admission for admission in api.admission if admission.concerns(request, operation)]


def _readmission(request: Request, old: JSON | None) -> Callable[[JSON, JSON], JSON]:
    return lambda draft, mutated: strategy.readmitted(request, draft, mutated, old)


async def _mutated(
    asked: list[DynamicAdmission], request: Request, operation: str, obj: JSON, old: JSON | None,
    readmitted: Callable[[JSON, JSON], JSON],
) -> JSON:  # fmt: skip
    """What everybody asked makes of ``obj``; who wants to see what others have changed since is asked twice
    (apiserver/pkg/admission/reinvocation.go). ``readmitted`` puts back what is not theirs to change."""
    invocations = Invocations()
    draft = obj
    while True:
        for admission in asked:
            mutated = await admission.mutate(request, operation, obj, old, invocations)
            if mutated is not obj:
                obj = readmitted(draft, mutated)
        if invocations.again or not invocations.pending:
            return obj
        invocations.again = True


async def _validated(
    asked: list[DynamicAdmission], request: Request, operation: str, obj: JSON | None, old: JSON | None
) -> None:
    for admission in asked:
        await admission.validate(request, operation, obj, old)
