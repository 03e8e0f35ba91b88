"""What the API server counts: requests, their latency, open watches.

Names as in Kubernetes (k8s.io/apiserver/pkg/endpoints/metrics); the label rows of hot paths are looked up once.
"""

from __future__ import annotations

from functools import lru_cache

from prometheus_client import Counter, Gauge, Histogram

from shared.observe.metrics import REQUEST

REQUESTS = Counter("apiserver_request_total", "Requests answered.", ["verb", "resource", "subresource", "code"])
SECONDS = Histogram(
    "apiserver_request_duration_seconds", "Time to answer a request; watches are not counted.",
    ["verb", "resource", "subresource"], buckets=REQUEST,
)  # fmt: skip
IN_FLIGHT = Gauge("apiserver_current_inflight_requests", "Requests being answered, watches left out.")
WATCHES = Gauge("apiserver_longrunning_requests", "Open watches.", ["resource"])
WATCH_EVENTS = Counter("apiserver_watch_events_total", "Events sent to watches over HTTP.", ["resource"])
WATCHES_CUT = Counter("apiserver_terminated_watchers_total", "Watches ended because they were too slow.", ["resource"])


@lru_cache(maxsize=4096)
def _row(verb: str, resource: str, subresource: str, code: int) -> tuple[Counter, Histogram]:
    return REQUESTS.labels(verb, resource, subresource, code), SECONDS.labels(verb, resource, subresource)


def count(verb: str, resource: str, subresource: str, code: int, seconds: float) -> None:
    """One answered request. What it names must come from the table of kinds, or be empty: labels stay few."""
    requests, latency = _row(verb, resource, subresource, code)
    requests.inc()
    if verb != "watch":
        latency.observe(seconds)
