"""Writing an object together with what its namespace's quotas count it as, in one transaction.

Either both are stored or neither, so no creation is ever counted without being there, and none is there uncounted;
what goes away is taken off by the quota controller. Writes into a namespace with quotas take turns.
"""

from __future__ import annotations

from collections.abc import Sequence

from controlplane.apiserver import strategy
from controlplane.apiserver.admission.resource_quota import Charge, charges
from controlplane.apiserver.api import ApiServer
from controlplane.apiserver.encoding import stored
from controlplane.apiserver.request import Request
from controlplane.apiserver.resource_cache import Entry
from controlplane.apiserver.verbs.allocate import Allocation
from controlplane.store.base import Compare, Delete, Put, TxnResult
from shared import codec
from shared.api.kinds import RESOURCE_QUOTAS
from shared.api.meta import JSON
from shared.quota.evaluate import evaluator

TRIES = 10
"""How often a charge is worked out anew when somebody else, such as the quota controller, writes a quota meanwhile."""


def check(api: ApiServer, request: Request, new: JSON, old: JSON | None) -> None:
    """Whether the write would fit, for a dry run. Raises Forbidden."""
    if quotas := _quotas(api, request, old):
        _charges(api, request, new, old, quotas)


async def transact(
    api: ApiServer, request: Request, compare: Compare, op: Put | Delete, given: Allocation, old: JSON | None
) -> TxnResult:
    """Do ``op`` and what the object is ``given`` if ``compare`` and that hold, charged to the quotas; not successful
    only where one of these does not hold.

    Raises Forbidden when a quota is exceeded, Conflict when the quotas do not stand still.
    """
    if isinstance(op, Delete) or not _quotas(api, request, old):
        return await api.transact([compare, *given.compares], [op, *given.ops])
    async with api.quota_lock(request.namespace):
        for _ in range(TRIES):
            quotas = _quotas(api, request, old)
            found = _charges(api, request, given.obj, old, quotas)
            compares, puts = await _writes(api, quotas, found)
            result = await api.transact([compare, *given.compares, *compares], [op, *given.ops, *puts])
            if result.succeeded or given.lost(result) or any(key == compare.key for key, _ in result.failed):
                return result
    raise strategy.conflict(
        request.kind, request.name or given.obj["metadata"]["name"], "the namespace's quotas change"
    )


def _quotas(api: ApiServer, request: Request, old: JSON | None) -> Sequence[Entry]:
    """The namespace's, where the write can change what is used at all."""
    how = evaluator(request.kind.resource)
    if how is None or (request.subresource not in how.changes if old is not None else request.subresource):
        return ()
    found = api.cache.find(RESOURCE_QUOTAS.group, RESOURCE_QUOTAS.plural)
    return found.entries(request.namespace) if found is not None and len(found) else ()


def _charges(
    api: ApiServer, request: Request, new: JSON, old: JSON | None, quotas: Sequence[Entry]
) -> Sequence[Charge]:
    return charges([entry.object for entry in quotas], request.kind, new, old, api.clock.now())


async def _writes(api: ApiServer, quotas: Sequence[Entry], found: Sequence[Charge]) -> tuple[list[Compare], list[Put]]:
    compares: list[Compare] = []
    puts: list[Put] = []
    for charge in found:
        name = charge.quota.metadata.name
        entry = next(entry for entry in quotas if entry.name == name)
        tree = codec.decode(entry.data)
        tree["status"]["used"] = charge.used
        kind = entry.cache.kind
        key = api.key(kind, entry.namespace, name)
        compares.append(Compare(key, entry.revision))
        puts.append(await api.put(kind, key, stored(kind.resource, tree)))
    return compares, puts
