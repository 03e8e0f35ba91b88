"""pods/eviction: a deletion that asks the pod's disruption budget first (pkg/registry/core/pod/storage/eviction.go)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from controlplane.apiserver import schema
from controlplane.apiserver.api import ApiServer
from controlplane.apiserver.request import DeleteOptions, Request, delete_options
from controlplane.apiserver.resource_cache import Entry
from controlplane.apiserver.verbs import admit, budgets
from controlplane.apiserver.verbs.answer import Answer, success
from controlplane.apiserver.verbs.delete import delete
from shared.api.errors import BadRequest, Conflict
from shared.api.meta import JSON

GVK = ("policy", "v1", "Eviction")
_VERSIONS = ("policy/v1", "policy/v1beta1")
"""What upstream takes too (EvictionREST.AcceptsGroupVersion): kubectl before 1.22 drains with the older."""

LOOKS = 5
"""How often the pod is looked at anew when it changes between the decision and the deletion."""


async def evict(api: ApiServer, request: Request, tree: Any) -> Answer:
    """POST an Eviction to the pod ``request.name``.

    Raises BadRequest, Conflict, Invalid, NotFound, TooManyRequests (the budget does not allow it now), and
    InternalError where several budgets select the pod.
    """
    options = _options(request, tree)
    tree["metadata"] = {**(tree.get("metadata") or {}), "namespace": request.namespace}
    admitted = await admit.sent(api, replace(request, sent=GVK), admit.CREATE, tree)
    if admitted is not tree:
        options = _options(request, admitted)
    for look in range(LOOKS):
        entry = api.entry(request.kind, request.namespace, request.name)
        pod = entry.tree()
        if options.uid and options.uid != pod["metadata"]["uid"]:
            break  # the deletion says so
        asked = await _ask(api, request, entry, pod, options)
        guarded = (
            options if asked or options.resource_version else replace(options, resource_version=str(entry.revision))
        )
        try:
            await delete(api, request, guarded, also=lambda marked: _told(api, marked), admitted=True)
        except Conflict:
            if guarded is options or look == LOOKS - 1:
                raise
            continue  # the pod has changed, and may be one that a budget has to be asked about by now
        return success(201)
    await delete(api, request, options, admitted=True)
    return success(201)


async def _ask(api: ApiServer, request: Request, entry: Entry, pod: JSON, options: DeleteOptions) -> bool:
    """Whether a budget was asked, and has let the pod go. Raises TooManyRequests."""
    if budgets.may_go_unasked(pod):
        return False
    budget = budgets.budget_of(api, entry)
    if budget is None:
        return True
    if not budgets.is_asked(pod, budget.tree()):
        return False
    dry = replace(request.options, dry_run=options.dry_run)
    await budgets.count_down(api, replace(request, options=dry), budget)
    return True


def _told(api: ApiServer, pod: JSON) -> JSON:
    """The pod with the condition that says why it goes (KEP-3329). It comes with the deletion, so that it never stays
    on a pod whose deletion failed."""
    status = pod.get("status") or {}
    others = [c for c in status.get("conditions") or () if c.get("type") != "DisruptionTarget"]
    why = {
        "type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI",
        "message": "Eviction API: evicting", "lastTransitionTime": api.now(),
    }  # fmt: skip
    return {**pod, "status": {**status, "conditions": [*others, why]}}


def _options(request: Request, tree: Any) -> DeleteOptions:
    """How to delete the pod, from a checked body. Raises BadRequest."""
    if not isinstance(tree, dict) or tree.get("kind", GVK[2]) != GVK[2]:
        raise BadRequest("the body must be an Eviction")
    if tree.get("apiVersion", "policy/v1") not in _VERSIONS:
        raise BadRequest(f"the body must be an Eviction of policy/v1, not of {tree['apiVersion']}")
    tree |= {"kind": GVK[2], "apiVersion": "policy/v1"}
    if wrong := schema.check_gvk(GVK, tree).type_errors:
        raise BadRequest(wrong[0])
    named = (tree.get("metadata") or {}).get("name") or request.name
    if named != request.name:
        raise BadRequest(f"name in URL does not match name in Eviction object: {request.name}, {named}")
    runs = {"dryRun": "All"} if request.options.dry_run else {}
    return delete_options(runs, tree.get("deleteOptions"))
