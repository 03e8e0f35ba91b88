"""Prometheus metrics: bucket rows that our histograms share, and the text that /metrics answers with.

Owns no metric itself: each module declares its own, at import, on prometheus_client's default registry, which
also has the process figures (memory, CPU, open files). Names that Kubernetes has are used as Kubernetes has them
(https://kubernetes.io/docs/reference/instrumentation/metrics/); ours begin with ``longboat_``. Any thread.
"""

from __future__ import annotations

from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest

FAST = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
"""Seconds, for what happens inside a process: queues, commits, scheduling."""

REQUEST = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0)
"""Seconds, for requests over a network."""

SLOW = (0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 8.0, 15.0, 30.0, 60.0, 120.0, 300.0)
"""Seconds, for what containers do: start, stop, pull."""

CONTENT_TYPE = CONTENT_TYPE_LATEST


def exposition(registry: CollectorRegistry = REGISTRY) -> bytes:
    """Every metric in Prometheus' text format; serve it with ``CONTENT_TYPE``. Some milliseconds of work."""
    return generate_latest(registry)
