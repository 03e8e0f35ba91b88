"""Prometheus metrics of the store, one set for the process. Safe from any thread."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

COMMITS = Counter("longboat_store_commits_total", "Group commits: SQLite transactions ended by one fsync.")
TRANSACTIONS = Counter(
    "longboat_store_transactions_total", "Requests to the writer by outcome: written, unchanged, refused.", ["result"]
)
GROUP_SIZE = Histogram(
    "longboat_store_group_size", "Requests that shared one group commit.", buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256)
)
COMMIT_SECONDS = Histogram(
    "longboat_store_commit_seconds", "Seconds a COMMIT took, its fsync included.",
    buckets=(0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0),
)  # fmt: skip
SIZE_BYTES = Gauge("longboat_store_size_bytes", "Bytes in use in the database, free pages left out.")
REVISION = Gauge("longboat_store_revision", "Newest revision.")
COMPACTED_REVISION = Gauge("longboat_store_compacted_revision", "Oldest revision that can be asked for.")
WATCHES = Gauge("longboat_store_watches", "Open watches on the store.")
LAGGED = Counter("longboat_store_watches_lagged_total", "Watches cut off since their reader was too slow.")
LEASES = Gauge("longboat_store_leases", "Leases alive.")
EXPIRED = Counter("longboat_store_leases_expired_total", "Leases that ended since nobody kept them alive.")
FULL = Counter("longboat_store_full_total", "Writes refused since the size limit or the disk was reached.")
