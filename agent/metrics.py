"""Prometheus metrics of an agent's pods; one set for the process. Docker's own are in ``agent.runtime.metrics``."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

from shared.observe.metrics import FAST, SLOW

START_SECONDS = Histogram(
    "longboat_pod_start_seconds",
    "What a pod's start took, by phase: seen (after it was bound; the server's clock), volumes, sandbox, pull, create,"
    " start, running (from seen until all its containers run).",
    ["phase"],
    buckets=(0.005, 0.01, 0.025, *SLOW),
)
RUNNING_PODS = Gauge("longboat_agent_running_pods", "Pods of this node with a running container.")
RESTARTS = Counter("longboat_container_restarts_total", "Containers started again, by why.", ["reason"])
QUEUE_SECONDS = Histogram("longboat_pod_queue_seconds", "How long a pod waited for its worker.", buckets=FAST)
QUEUE_DEPTH = Gauge("longboat_pod_queue_depth", "Pods that wait for a worker.")
WARM_SANDBOXES = Gauge("longboat_warm_sandboxes", "Sandboxes that stand ready.")
WARM_CLAIMS = Counter(
    "longboat_warm_sandbox_claims_total", "Pods that could take a warm sandbox, by whether they got one.", ["outcome"]
)
STATUS_PATCHES = Counter("longboat_pod_status_patches_total", "Status patches sent, by outcome.", ["outcome"])
PROBES = Counter("longboat_probe_total", "Probes made.", ["type", "result"])
STEP_FAILURES = Counter("longboat_pod_step_failures_total", "Steps of pods that failed.", ["step", "reason"])
EVICTIONS = Counter("longboat_agent_evictions_total", "Pods evicted since the host was short, by signal.", ["signal"])
IMAGES_REMOVED = Counter("longboat_agent_images_removed_total", "Images removed since nobody used them.")
EVENTS_DROPPED = Counter("longboat_agent_events_dropped_total", "Events about pods that were not written.")
