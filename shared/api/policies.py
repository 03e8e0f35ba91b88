"""What bounds and classes others: LimitRange, ResourceQuota, PriorityClass, volumes, claims: structs to read."""

from __future__ import annotations

from shared.api.meta import Object, Struct
from shared.api.quantity import Quantity


class LimitRange(Object, frozen=True, kw_only=True):
    """Read as a tree where it is applied."""


class ScopeTerm(Struct, frozen=True, kw_only=True):
    scope_name: str = ""
    operator: str = ""
    values: tuple[str, ...] = ()


class ScopeSelector(Struct, frozen=True, kw_only=True):
    match_expressions: tuple[ScopeTerm, ...] = ()


class ResourceQuotaSpec(Struct, frozen=True, kw_only=True):
    hard: dict[str, Quantity] = {}
    scopes: tuple[str, ...] = ()
    scope_selector: ScopeSelector | None = None


class ResourceQuotaStatus(Struct, frozen=True, kw_only=True):
    hard: dict[str, Quantity] = {}
    used: dict[str, Quantity] = {}


class ResourceQuota(Object, frozen=True, kw_only=True):
    """``status.hard`` is what is enforced: the controller copies it from the spec with what is used."""

    spec: ResourceQuotaSpec = ResourceQuotaSpec()
    status: ResourceQuotaStatus = ResourceQuotaStatus()


class PriorityClass(Object, frozen=True, kw_only=True):
    value: int = 0
    global_default: bool = False
    preemption_policy: str | None = None


class VolumeStatus(Struct, frozen=True, kw_only=True):
    phase: str = ""


class ClaimReference(Struct, frozen=True, kw_only=True):
    namespace: str = ""
    name: str = ""


class PersistentVolumeSpec(Struct, frozen=True, kw_only=True):
    claim_ref: ClaimReference | None = None


class PersistentVolume(Object, frozen=True, kw_only=True):
    spec: PersistentVolumeSpec = PersistentVolumeSpec()
    status: VolumeStatus = VolumeStatus()


class ClaimResources(Struct, frozen=True, kw_only=True):
    requests: dict[str, Quantity] = {}


class PersistentVolumeClaimSpec(Struct, frozen=True, kw_only=True):
    resources: ClaimResources = ClaimResources()
    storage_class_name: str | None = None
    volume_attributes_class_name: str | None = None


class ModifyVolumeStatus(Struct, frozen=True, kw_only=True):
    target_volume_attributes_class_name: str = ""


class PersistentVolumeClaimStatus(Struct, frozen=True, kw_only=True):
    phase: str = ""
    allocated_resources: dict[str, Quantity] = {}
    current_volume_attributes_class_name: str | None = None
    modify_volume_status: ModifyVolumeStatus | None = None


class PersistentVolumeClaim(Object, frozen=True, kw_only=True):
    spec: PersistentVolumeClaimSpec = PersistentVolumeClaimSpec()
    status: PersistentVolumeClaimStatus = PersistentVolumeClaimStatus()

    @property
    def storage_class(self) -> str:
        """The class, wherever it is written; empty for none."""
        annotated = self.metadata.annotations.get("volume.beta.kubernetes.io/storage-class")
        return annotated or self.spec.storage_class_name or ""
