"""Zones of nodes: how much of each is lost, and whether pods may be evicted from a lost node.

Owns the count of ready and unready nodes by zone; never reads or writes an object by itself. When a large share
vanishes together it is rather the network, or this server, that is broken than all those hosts: then evicting
would move the whole cluster's pods onto the few nodes that are left. States and thresholds are those of
k8s.io/kubernetes pkg/controller/nodelifecycle (ComputeZoneState, setLimiterInZone); unlike there, a zone in its
normal state evicts without a limit, since failover must not queue behind another lost node. One event loop.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from shared.api.core import Node

ZONE, REGION = "topology.kubernetes.io/zone", "topology.kubernetes.io/region"
EXCLUDED = "node.kubernetes.io/exclude-disruption"
"""Label: such a node does not count in its zone."""


class ZoneState(StrEnum):
    NORMAL = "Normal"
    PARTIAL = "PartialDisruption"
    FULL = "FullDisruption"


@dataclass(frozen=True, slots=True)
class DisruptionSettings:
    """Kubernetes' --unhealthy-zone-threshold, --large-cluster-size-threshold, --secondary-node-eviction-rate."""

    unhealthy_share: float = 0.55
    """From this share of unready nodes on, and more than two of them, a zone is partially disrupted."""
    large_zone: int = 50
    """A partially disrupted zone of more nodes evicts slowly, a smaller one not at all."""
    slow_rate: float = 0.01
    """Nodes a second whose pods are evicted in a large, partially disrupted zone."""
    recovery: float = 10.0
    """Seconds without a new eviction after every node was lost: they come back one by one, and the first must not
    make the others look like a minority. Kubernetes gives each node its grace period anew."""


@dataclass(frozen=True, slots=True)
class ZoneView:
    """A zone as one of its nodes sees it."""

    state: ZoneState = ZoneState.NORMAL
    size: int = 0
    everything_down: bool = False
    """No node is ready in any zone."""
    last_slow_eviction: float | None = None
    """When (monotonic seconds) the zone's slow rate was last used."""
    recovered: float | None = None
    """When (monotonic seconds) a first node came back after all were lost."""


def state_of(ready: int, unready: int, settings: DisruptionSettings) -> ZoneState:
    """The state of a zone with so many nodes (ComputeZoneState)."""
    if ready == 0 and unready > 0:
        return ZoneState.FULL
    if unready > 2 and unready / (ready + unready) >= settings.unhealthy_share:
        return ZoneState.PARTIAL
    return ZoneState.NORMAL


def eviction_delay(zone: ZoneView, settings: DisruptionSettings, now: float) -> float | None:
    """Seconds until a lost node's pods may be evicted: 0 at once, None not in this state.

    A zone that is wholly lost while others live is evicted as in its normal state, as in Kubernetes.
    """
    if zone.everything_down or (zone.state is ZoneState.PARTIAL and zone.size <= settings.large_zone):
        return None
    delay = 0.0
    if zone.recovered is not None:
        delay = max(delay, zone.recovered + settings.recovery - now)
    if zone.state is ZoneState.PARTIAL and zone.last_slow_eviction is not None:
        delay = max(delay, zone.last_slow_eviction + 1 / settings.slow_rate - now)
    return delay


def zone_of(node: Node) -> str:
    """The node's zone: region and zone labels; empty strings where it has none."""
    labels = node.metadata.labels
    return f"{labels.get(REGION, '')}/{labels.get(ZONE, '')}"


@dataclass(slots=True)
class _Place:
    zone: str
    ready: bool
    counted: bool


class Zones:
    """Every node's zone and whether it is ready, counted as nodes change."""

    def __init__(self, settings: DisruptionSettings) -> None:
        self._settings = settings
        self._places: dict[str, _Place] = {}
        self._members: dict[str, set[str]] = {}
        self._ready: dict[str, int] = {}
        self._unready: dict[str, int] = {}
        self._slow: dict[str, float] = {}
        self._recovered: float | None = None

    def put(self, name: str, zone: str, now: float, *, ready: bool, counted: bool = True) -> Iterable[str]:
        """Note a node; the unready nodes whose treatment may have changed by it. ``now`` in monotonic seconds."""
        before = self._states()
        self._remove(name)
        self._places[name] = _Place(zone, ready, counted)
        self._members.setdefault(zone, set()).add(name)
        if counted:
            counts = self._ready if ready else self._unready
            counts[zone] = counts.get(zone, 0) + 1
        return self._affected(before, now)

    def remove(self, name: str, now: float) -> Iterable[str]:
        """Forget a node; the unready nodes whose treatment may have changed by it."""
        before = self._states()
        self._remove(name)
        return self._affected(before, now)

    def view(self, zone: str) -> ZoneView:
        """The zone as it is now."""
        ready, unready = self._ready.get(zone, 0), self._unready.get(zone, 0)
        return ZoneView(
            state=state_of(ready, unready, self._settings),
            size=ready + unready,
            everything_down=self._states()[0],
            last_slow_eviction=self._slow.get(zone),
            recovered=self._recovered,
        )

    def evicted_slowly(self, zone: str, now: float) -> None:
        """The zone's slow rate was used at ``now`` (monotonic seconds)."""
        self._slow[zone] = now

    def _states(self) -> tuple[bool, Mapping[str, ZoneState]]:
        zones = self._ready.keys() | self._unready.keys()
        states = {z: state_of(self._ready.get(z, 0), self._unready.get(z, 0), self._settings) for z in zones}
        return bool(states) and all(state is ZoneState.FULL for state in states.values()), states

    def _affected(self, before: tuple[bool, Mapping[str, ZoneState]], now: float) -> list[str]:
        down, states = self._states()
        if before[0] and not down and states:
            self._recovered = now
        zones = (
            self._members.keys()
            if down != before[0]
            else [z for z, state in states.items() if state is not before[1].get(z, ZoneState.NORMAL)]
        )
        return [name for zone in zones for name in self._members.get(zone, ()) if not self._places[name].ready]

    def _remove(self, name: str) -> None:
        place = self._places.pop(name, None)
        if place is None:
            return
        members = self._members[place.zone]
        members.discard(name)
        if not members:
            del self._members[place.zone]
        if place.counted:
            counts = self._ready if place.ready else self._unready
            counts[place.zone] -= 1
            if not counts[place.zone]:
                del counts[place.zone]
