"""pods/eviction: a deletion that asks first (pkg/registry/core/pod/storage/eviction.go).

What it asks are PodDisruptionBudgets, which are not served yet: until then an eviction is a graceful deletion, as it
is in Kubernetes for a pod that no budget selects.
"""

from __future__ import annotations

from typing import Any

from controlplane.apiserver import schema
from controlplane.apiserver.api import ApiServer
from controlplane.apiserver.request import Request, delete_options
from controlplane.apiserver.verbs.answer import Answer, success
from controlplane.apiserver.verbs.delete import delete
from shared.api.errors import BadRequest

GVK = ("policy", "v1", "Eviction")


async def evict(api: ApiServer, request: Request, tree: Any) -> Answer:
    """POST an Eviction to the pod ``request.name``. Raises BadRequest, Conflict, Invalid, NotFound."""
    if not isinstance(tree, dict) or tree.get("kind", GVK[2]) != GVK[2]:
        raise BadRequest("the body must be an Eviction")
    if tree.get("apiVersion", "policy/v1") != "policy/v1":
        raise BadRequest(f"the body must be an Eviction of policy/v1, not of {tree['apiVersion']}")
    tree |= {"kind": GVK[2], "apiVersion": "policy/v1"}
    if wrong := schema.check_gvk(GVK, tree).type_errors:
        raise BadRequest(wrong[0])
    named = (tree.get("metadata") or {}).get("name") or request.name
    if named != request.name:
        raise BadRequest(f"name in URL does not match name in Eviction object: {request.name}, {named}")
    runs = {"dryRun": "All"} if request.options.dry_run else {}
    await delete(api, request, delete_options(runs, tree.get("deleteOptions")))
    return success(201)
