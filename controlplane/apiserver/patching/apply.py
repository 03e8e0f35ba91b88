"""Choose the kind of patch by its content type, and apply it.

Pure, see the package.
"""

from __future__ import annotations

from typing import Any

from controlplane.apiserver import schema
from controlplane.apiserver.kinds.base import Kind
from controlplane.apiserver.patching.json_patch import json_patch
from controlplane.apiserver.patching.merge_patch import merge_patch
from controlplane.apiserver.patching.strategic import strategic_merge
from controlplane.apiserver.shapes import Shape
from shared import codec
from shared.api.errors import BadRequest, UnsupportedMediaType
from shared.api.meta import JSON

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_MERGE_PATCH = "application/strategic-merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"
"""Server-side apply, which is no patch in this sense: ``verbs.apply`` has it."""

CONTENT_TYPES = (JSON_PATCH, MERGE_PATCH, STRATEGIC_MERGE_PATCH, APPLY_PATCH)


def apply_patch(content_type: str, kind: Kind, current: JSON, patch: Any, *, shape: Shape | None = None) -> JSON:
    """``current`` with ``patch`` applied, as a tree of its own.

    ``shape`` stands in for the kind's own where a subresource speaks another kind (a Scale). Raises
    UnsupportedMediaType, BadRequest (a malformed patch) or Invalid (a JSON patch that does not fit ``current``).
    """
    media = content_type.partition(";")[0].strip().lower()
    if media == JSON_PATCH:
        patched = json_patch(codec.copy(current), codec.copy(patch))
    elif media == MERGE_PATCH:
        patched = merge_patch(codec.copy(current), _object(patch))
    elif media == STRATEGIC_MERGE_PATCH:
        patched = strategic_merge(codec.copy(current), _object(patch), shape or schema.shape(kind))
    else:
        accepted = ", ".join(CONTENT_TYPES)
        raise UnsupportedMediaType(
            f"the body of the request was in an unknown format - accepted media types include: {accepted}"
        )
    if not isinstance(patched, dict):
        raise BadRequest("the patched document is not an object")
    return patched


def _object(patch: Any) -> JSON:
    if not isinstance(patch, dict):
        raise BadRequest("error decoding patch: a merge patch must be an object")
    copied: JSON = codec.copy(patch)
    return copied
