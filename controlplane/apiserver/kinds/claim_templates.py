"""The claims that a StatefulSet makes for each of its pods: defaults and validation of ``volumeClaimTemplates``.

Pure. Rules and texts are those of PersistentVolumeClaims in pkg/apis/core.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from controlplane.apiserver.kinds.causes import all_invalid, forbidden, invalid, not_supported, required
from controlplane.apiserver.kinds.podspec.defaults import canonical_list
from shared.api import names, quantity
from shared.api.errors import Cause
from shared.api.meta import JSON

_MODES = ("ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod")
_VOLUME_MODES = ("Block", "Filesystem")


def default_claims(claims: Iterable[JSON]) -> None:
    """Defaults of each claim, in place."""
    for claim in claims:
        claim.setdefault("kind", "PersistentVolumeClaim")
        claim.setdefault("apiVersion", "v1")
        if claim.get("metadata") is None:
            claim["metadata"] = {}
        spec = claim.get("spec") or {}
        claim["spec"] = spec
        if not spec.get("volumeMode"):
            spec["volumeMode"] = "Filesystem"
        resources = spec.get("resources") or {}
        spec["resources"] = resources
        for field in ("limits", "requests"):
            if resources.get(field):
                canonical_list(resources[field])
        status = claim.get("status") or {}
        claim["status"] = status
        status.setdefault("phase", "Pending")


def claim_names(claims: Iterable[JSON]) -> list[str]:
    """Names of the claims, each of which is a volume in the pods."""
    return [name for claim in claims if (name := (claim.get("metadata") or {}).get("name"))]


def validate_claims(claims: Sequence[JSON], path: str) -> list[Cause]:
    """Names, access modes and sizes of the claims, under ``path``."""
    found: list[Cause] = []
    for index, claim in enumerate(claims):
        here = f"{path}[{index}]"
        name = (claim.get("metadata") or {}).get("name") or ""
        if name:
            found += all_invalid(f"{here}.metadata.name", name, names.dns_label(name))
        else:
            found.append(required(f"{here}.metadata.name"))
        found += _spec(claim.get("spec") or {}, f"{here}.spec")
    return found


def _spec(spec: JSON, path: str) -> list[Cause]:
    modes: Any = spec.get("accessModes") or ()
    found: list[Cause] = []
    if not modes:
        found.append(required(f"{path}.accessModes", "at least 1 access mode is required"))
    found += [not_supported(f"{path}.accessModes", mode, _MODES) for mode in modes if mode not in _MODES]
    if "ReadWriteOncePod" in modes and len(modes) > 1:
        detail = "may not use ReadWriteOncePod with other access modes"
        found.append(forbidden(f"{path}.accessModes", detail))
    size = ((spec.get("resources") or {}).get("requests") or {}).get("storage")
    if size is None:
        found.append(required(f"{path}.resources[storage]"))
    elif quantity.parse(size) <= 0:
        found.append(invalid(f"{path}.resources[storage]", size, "must be greater than zero"))
    if (mode := spec.get("volumeMode")) not in _VOLUME_MODES:
        found.append(not_supported(f"{path}.volumeMode", mode, _VOLUME_MODES))
    return found
