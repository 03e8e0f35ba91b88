"""Admission of volumes and claims: StorageObjectInUseProtection.

Pure. After plugin/pkg/admission/storage/storageobjectinuseprotection: what is in use is not deleted under its user.
"""

from __future__ import annotations

from controlplane.apiserver.admission.context import Context
from shared.api.meta import JSON

CLAIM_PROTECTION, VOLUME_PROTECTION = "kubernetes.io/pvc-protection", "kubernetes.io/pv-protection"


def protect_claim(context: Context, claim: JSON) -> None:
    """A claim stays until no pod uses it."""
    _protect(claim, CLAIM_PROTECTION)


def protect_volume(context: Context, volume: JSON) -> None:
    """A volume stays until it is bound to no claim."""
    _protect(volume, VOLUME_PROTECTION)


def _protect(obj: JSON, finalizer: str) -> None:
    held = obj["metadata"].get("finalizers") or []
    if finalizer not in held:
        obj["metadata"]["finalizers"] = [*held, finalizer]
