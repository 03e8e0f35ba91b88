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


class PersistentVolume(Object, frozen=True, kw_only=True):
    status: VolumeStatus = VolumeStatus()


class PersistentVolumeClaim(Object, frozen=True, kw_only=True):
    status: VolumeStatus = VolumeStatus()
