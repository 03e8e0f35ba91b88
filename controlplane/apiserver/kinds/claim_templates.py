"""The claims that a StatefulSet makes for each of its pods: defaults and validation of ``volumeClaimTemplates``.

Pure. The rules are those of PersistentVolumeClaims.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from controlplane.apiserver.kinds import persistentvolumeclaim
from controlplane.apiserver.kinds.causes import all_invalid, required
from shared.api import names
from shared.api.errors import Cause
from shared.api.meta import JSON


def default_claims(claims: Iterable[JSON]) -> None:
    """Defaults of each claim, in place."""
    for claim in claims:
        claim.setdefault("kind", "PersistentVolumeClaim")
        claim.setdefault("apiVersion", "v1")
        if claim.get("metadata") is None:
            claim["metadata"] = {}
        if claim.get("spec") is None:
            claim["spec"] = {}
        persistentvolumeclaim.default(claim)


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
        found += persistentvolumeclaim.validate_spec(claim.get("spec") or {}, f"{here}.spec")
    return found
