"""patch: a patch applied to the object as it is, then everything that an update goes through.

Retried when somebody else writes in between, unless the patch itself names the resourceVersion that it is for
(k8s.io/apiserver/pkg/endpoints/handlers/patch.go).
"""

from __future__ import annotations

from typing import Any

from controlplane.apiserver import strategy
from controlplane.apiserver.api import ApiServer
from controlplane.apiserver.kinds import causes
from controlplane.apiserver.patching import apply_patch
from controlplane.apiserver.request import Request
from controlplane.apiserver.resource_cache import Entry
from controlplane.apiserver.verbs.answer import Answer
from controlplane.apiserver.verbs.write import modify
from shared import codec
from shared.api.meta import JSON

TRIES = 6
"""The first and MaxRetryWhenPatchConflicts more."""

SHOWN = 1024
"""Characters of a patch that a refusal repeats."""


async def patch(api: ApiServer, request: Request, content_type: str, body: Any) -> Answer:
    """PATCH, also of the status and approval subresources.

    Raises BadRequest, Conflict, Invalid, NotFound, UnsupportedMediaType.
    """
    kind = request.kind

    def change(old: JSON, entry: Entry) -> JSON:
        new = apply_patch(content_type, kind, old, body)
        meta = new.get("metadata")
        version = meta.get("resourceVersion") if isinstance(meta, dict) else None
        if version not in (None, "", old["metadata"]["resourceVersion"]):
            raise strategy.conflict(kind, request.name)
        try:
            return strategy.draft_update(api, request, old, new)
        except strategy.Undecodable as error:
            shown = codec.encode(body).decode()[:SHOWN]
            raise causes.refusal("", "", "", [causes.invalid("patch", shown, error.detail)]) from error

    return await modify(api, request, change, tries=TRIES)
