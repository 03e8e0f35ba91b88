"""Prometheus metrics of the scheduler, under Kubernetes' names where it has them."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

from shared.observe.metrics import FAST, REQUEST

ATTEMPTS = Counter(
    "scheduler_schedule_attempts_total",
    "Attempts to schedule a pod, by result: scheduled, unschedulable (no node takes it), error (could not be bound).",
    ["result"],
)
POD_SECONDS = Histogram(
    "scheduler_pod_scheduling_sli_duration_seconds",
    "From a pod's being seen, back-off included, to its being bound.",
    buckets=REQUEST,
)
DECISION_SECONDS = Histogram(
    "scheduler_scheduling_algorithm_duration_seconds", "One decision, over all pods of a batch.", buckets=FAST
)
BATCH_SIZE = Histogram(
    "longboat_scheduler_batch_size", "Pods decided at once.", buckets=(1, 2, 5, 10, 20, 50, 100, 200, 500)
)
PENDING = Gauge("scheduler_pending_pods", "Pods that wait, by queue: active, backoff, unschedulable.", ["queue"])
