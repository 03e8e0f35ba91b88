"""PodDisruptionBudget, and what scales, as structs to read."""

from __future__ import annotations

from datetime import datetime

from shared.api.meta import Condition, LabelSelector, Object, Struct


class PodDisruptionBudgetSpec(Struct, frozen=True, kw_only=True):
    """One of ``min_available`` and ``max_unavailable``, a number or a percentage."""

    min_available: int | str | None = None
    max_unavailable: int | str | None = None
    selector: LabelSelector | None = None
    unhealthy_pod_eviction_policy: str = ""


class PodDisruptionBudgetStatus(Struct, frozen=True, kw_only=True):
    """``disrupted_pods`` were let go and have not ended yet: name of the pod, and when."""

    observed_generation: int = 0
    disrupted_pods: dict[str, datetime] = {}
    disruptions_allowed: int = 0
    current_healthy: int = 0
    desired_healthy: int = 0
    expected_pods: int = 0
    conditions: tuple[Condition, ...] = ()


class PodDisruptionBudget(Object, frozen=True, kw_only=True):
    spec: PodDisruptionBudgetSpec = PodDisruptionBudgetSpec()
    status: PodDisruptionBudgetStatus = PodDisruptionBudgetStatus()


class ScaledSpec(Struct, frozen=True, kw_only=True):
    replicas: int = 1


class StatefulSet(Object, frozen=True, kw_only=True):
    spec: ScaledSpec = ScaledSpec()


class ReplicationController(Object, frozen=True, kw_only=True):
    spec: ScaledSpec = ScaledSpec()
