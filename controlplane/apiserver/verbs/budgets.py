"""Whether a pod's disruption budget lets it go, and the count-down of the budget when it does.

After pkg/registry/core/pod/storage/eviction.go. The count-down is a compare-and-set of the budget's status, so that two
evictions never share the last disruption that is allowed.
"""

from __future__ import annotations

from controlplane.apiserver.api import ApiServer
from controlplane.apiserver.kinds.base import Kind
from controlplane.apiserver.request import Request
from controlplane.apiserver.resource_cache import Entry
from controlplane.apiserver.verbs.write import modify
from shared.api.disruption import selects
from shared.api.errors import Cause, Conflict, Forbidden, InternalError, NotFound, TooManyRequests
from shared.api.kinds import POD_DISRUPTION_BUDGETS
from shared.api.meta import JSON

TRIES = 20
"""How often a count-down that others were faster with is tried again (EvictionsRetry)."""

MAX_DISRUPTED = 2000
"""Evictions of one budget that its controller has not confirmed yet (MaxDisruptedPodSize)."""

RETRY_AFTER = 10
"""Seconds that a client is told to wait while the budget is not worked out yet."""

_REFUSED = "Cannot evict pod as it would violate the pod's disruption budget."


def budget_of(api: ApiServer, pod: Entry) -> Entry | None:
    """The one budget that selects the pod, if any. Raises InternalError where several do."""
    budgets = api.cache.served(POD_DISRUPTION_BUDGETS).entries(pod.namespace)
    found = [entry for entry in budgets if selects(entry.object, pod.object)]
    if len(found) > 1:
        raise InternalError(
            "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."
        )
    return found[0] if found else None


def is_asked(pod: JSON, budget: JSON) -> bool:
    """Whether the budget has to be asked: not about a pod that is not running anyway, nor one that is not ready where
    that does not make it worse (unhealthyPodEvictionPolicy)."""
    if _is_ready(pod):
        return True
    if (budget.get("spec") or {}).get("unhealthyPodEvictionPolicy") == "AlwaysAllow":
        return False
    status = budget.get("status") or {}
    healthy, desired = status.get("currentHealthy") or 0, status.get("desiredHealthy") or 0
    return not (healthy >= desired > 0)


def may_go_unasked(pod: JSON) -> bool:
    """Pods that no budget counts (canIgnorePDB)."""
    phase = (pod.get("status") or {}).get("phase")
    return phase in ("Succeeded", "Failed", "Pending") or bool(pod["metadata"].get("deletionTimestamp"))


def _is_ready(pod: JSON) -> bool:
    listed = (pod.get("status") or {}).get("conditions") or ()
    return any(condition.get("type") == "Ready" and condition.get("status") == "True" for condition in listed)


async def count_down(api: ApiServer, request: Request, budget: Entry) -> None:
    """Take one disruption off the budget for the pod ``request.name``. Raises TooManyRequests, Forbidden, Conflict."""
    kind = budget.cache.kind
    asked = Request(request.user, kind, budget.namespace, budget.name, "status", request.options)

    def change(old: JSON, entry: Entry) -> JSON:
        status = {**(old.get("status") or {})}
        _check(kind, old, status)
        status["disruptionsAllowed"] -= 1
        status["disruptedPods"] = {**(status.get("disruptedPods") or {}), request.name: api.now()}
        if status["disruptionsAllowed"] == 0:
            status["conditions"] = [_used_up(c, api.now()) for c in status.get("conditions") or ()]
        return {**old, "status": status}

    try:
        await modify(api, asked, change, tries=TRIES, admits=None)
    except NotFound:
        return  # a budget that is gone asks nothing
    except Conflict as error:
        raise TooManyRequests(
            f'couldn\'t update PodDisruptionBudget "{budget.name}" due to conflicts', retry_after_seconds=RETRY_AFTER
        ) from error


def _check(kind: Kind, budget: JSON, status: JSON) -> None:
    meta, resource = budget["metadata"], kind.resource
    name = meta["name"]
    if (status.get("observedGeneration") or 0) < (meta.get("generation") or 0):
        raise _refusal(f"The disruption budget {name} is still being processed by the server.", RETRY_AFTER)
    if len(status.get("disruptedPods") or ()) > MAX_DISRUPTED:
        raise Forbidden(
            f'{resource.group_resource} "{name}" is forbidden: DisruptedPods map too big - too many evictions not '
            "confirmed by PDB controller",
            group=resource.group, kind=resource.plural, name=name,
        )  # fmt: skip
    if (status.get("disruptionsAllowed") or 0) <= 0:
        needs, has = status.get("desiredHealthy") or 0, status.get("currentHealthy") or 0
        raise _refusal(f"The disruption budget {name} needs {needs} healthy pods and has {has} currently")


def _refusal(why: str, retry_after: int = 0) -> TooManyRequests:
    return TooManyRequests(_REFUSED, causes=[Cause("DisruptionBudget", why)], retry_after_seconds=retry_after)


def _used_up(condition: JSON, now: str) -> JSON:
    if condition.get("type") != "DisruptionAllowed" or condition.get("status") != "True":
        return condition
    return {**condition, "status": "False", "reason": "InsufficientPods", "message": "", "lastTransitionTime": now}
