"""Prometheus metrics of the pod network, one set for the process. Safe from any thread."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

OPERATION_SECONDS = Histogram(
    "longboat_network_operation_seconds",
    "Seconds an operation of the pod network took, its wait for the others included.",
    ["operation", "outcome"],
    buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0),
)
ADDRESSES = Gauge("longboat_network_pod_addresses", "Pod addresses in use on this node, warm sandboxes included.")
REPAIRS = Counter("longboat_network_repairs_total", "Times that the host's network differed from ours and was mended.")
