"""PodDisruptionBudget, and what scales, as structs to read."""

from __future__ import annotations

from datetime import datetime

from shared.api.meta import Condition, LabelSelector, Object, Struct
from shared.api.selectors import from_label_selector


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


def selects(budget: PodDisruptionBudget, pod: Object) -> bool:
    """Whether the budget is about the pod; an empty selector is about all of the namespace, none about nothing."""
    if budget.spec.selector is None or budget.metadata.namespace != pod.metadata.namespace:
        return False
    return from_label_selector(budget.spec.selector).matches(pod.metadata.labels)


class ScaledSpec(Struct, frozen=True, kw_only=True):
    replicas: int = 1


class StatefulSet(Object, frozen=True, kw_only=True):
    spec: ScaledSpec = ScaledSpec()


class ReplicationController(Object, frozen=True, kw_only=True):
    spec: ScaledSpec = ScaledSpec()
