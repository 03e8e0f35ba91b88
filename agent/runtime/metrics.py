"""Prometheus metrics of the container runtime, one set for the process. Safe from any thread."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

CALL_SECONDS = Histogram(
    "longboat_docker_call_seconds", "Seconds a call of the Docker daemon took, its wait for a thread included.",
    ["operation", "outcome"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0),
)  # fmt: skip
CALLS_IN_FLIGHT = Gauge("longboat_docker_calls_in_flight", "Calls of the Docker daemon that run or wait for a thread.")
EVENTS = Counter("longboat_docker_events_total", "Events that the Docker daemon sent of our containers.", ["action"])
EVENTS_MISSED = Counter(
    "longboat_docker_events_missed_total",
    "Times that the event stream broke or overflowed and all was looked at again.",
)
