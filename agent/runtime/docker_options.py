"""How the Docker daemon is reached and used, as plain data; the agent fills it from its settings."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DockerOptions:
    """How the daemon is reached and used; seconds and bytes."""

    host: str = "unix:///var/run/docker.sock"
    threads: int = 16
    """Short calls side by side."""
    read_timeout: float = 30.0
    """For what only looks."""
    write_timeout: float = 120.0
    """For create, start, remove: on a busy host these take seconds. The kubelet's runtime-request-timeout."""
    pull_timeout: float = 120.0
    """A pull without any progress for so long has failed."""
    pulls: int = 4
    execs: int = 32
    stops: int = 128
    """More than pods fit on a node, so that no stop waits for the grace of another."""
    log_streams: int = 64
    log_max_size: str = "10m"
    log_max_file: int = 3
    pids: int = 0
    """Processes that a container may have; 0 for what the daemon allows."""
    sandbox_memory: int = 32 * 1024 * 1024
    image_cache_seconds: float = 30.0
