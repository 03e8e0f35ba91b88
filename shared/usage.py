"""What nodes, pods and containers use of CPU and memory, as agents tell it over their tunnel. Pure data.

The terms are those of the resource metrics API (metrics.k8s.io/v1beta1): CPU is a mean over a window, memory the
working set at its end.
"""

from __future__ import annotations

import msgspec

INTERVAL = 15.0
"""Seconds between two looks (metrics-server's --metric-resolution)."""

STALE = 4 * INTERVAL
"""Seconds after which what a node said is no longer told."""


class ContainerUsage(msgspec.Struct, frozen=True):
    """``cpu`` in billionths of a core, ``memory`` in bytes."""

    name: str
    cpu: int
    memory: int


class PodUsage(msgspec.Struct, frozen=True):
    """A pod's containers; ``window`` in seconds, ``at`` its end in RFC 3339."""

    namespace: str
    name: str
    uid: str
    at: str
    window: float
    containers: tuple[ContainerUsage, ...]


class NodeUsage(msgspec.Struct, frozen=True):
    """A node, as ``ContainerUsage`` and ``PodUsage``, and its pods."""

    at: str
    window: float
    cpu: int
    memory: int
    pods: tuple[PodUsage, ...] = ()
