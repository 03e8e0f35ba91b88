"""When a host is short of something, and what is kept from pods so that it seldom is.

Pure. Signals, defaults and what they mean are the kubelet's (https://kubernetes.io/docs/concepts/scheduling-eviction/
node-pressure-eviction/), but that pid.available has a default too. ``imagefs`` is the file system of the engine's data,
``nodefs`` that of the agent's, which is often the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from shared.api import quantity

if TYPE_CHECKING:
    from agent.host import Readings  # the settings need the grammar alone

MEMORY, NODE_DISK, NODE_INODES, IMAGE_DISK, IMAGE_INODES, PROCESSES = (
    "memory.available", "nodefs.available", "nodefs.inodesFree", "imagefs.available", "imagefs.inodesFree",
    "pid.available",
)  # fmt: skip
DEFAULTS: Mapping[str, str] = {
    MEMORY: "100Mi", NODE_DISK: "10%", NODE_INODES: "5%", IMAGE_DISK: "15%", IMAGE_INODES: "5%", PROCESSES: "10%",
}  # fmt: skip
CONDITIONS: Mapping[str, tuple[str, ...]] = {
    "MemoryPressure": (MEMORY,),
    "DiskPressure": (NODE_DISK, NODE_INODES, IMAGE_DISK, IMAGE_INODES),
    "PIDPressure": (PROCESSES,),
}
LASTS = 300.0
"""Seconds that a pressure is told after it has ended (the kubelet's evictionPressureTransitionPeriod)."""

RESERVABLE = ("cpu", "memory", "ephemeral-storage")
_PERCENT = re.compile(r"(\d+(?:\.\d+)?)%")


@dataclass(frozen=True, slots=True)
class Threshold:
    """So much, or such a share of all there is (0 to 1), is to be left."""

    amount: int = 0
    share: float = 0.0

    def of(self, capacity: int) -> int:
        return int(capacity * self.share) if self.share else self.amount


def parse_thresholds(given: Mapping[str, str]) -> dict[str, Threshold]:
    """The defaults with what is given in their place; 0 is none. Raises ValueError, which names the key."""
    for signal in given:
        if signal not in DEFAULTS:
            raise ValueError(f"{signal!r} is no signal; there are: {', '.join(DEFAULTS)}")
    found: dict[str, Threshold] = {}
    for signal, text in {**DEFAULTS, **given}.items():
        if match := _PERCENT.fullmatch(text):
            share = float(match[1]) / 100
            if share >= 1:
                raise ValueError(f"{signal}: {text} would leave nothing; a share is below 100%")
            found[signal] = Threshold(share=share)
        else:
            found[signal] = Threshold(_amount(signal, text))
    return found


def parse_reserved(given: Mapping[str, str]) -> dict[str, int]:
    """CPU in thousandths, the others in bytes or pieces. Raises ValueError, which names the key."""
    for name in given:
        if name not in RESERVABLE:
            raise ValueError(f"{name!r} cannot be reserved; there are: {', '.join(RESERVABLE)}")
    return {name: _amount(name, text, milli=name == "cpu") for name, text in given.items()}


def _amount(key: str, text: str, *, milli: bool = False) -> int:
    try:
        found = quantity.milli(text) if milli else quantity.value(text)
    except ValueError as error:
        raise ValueError(f"{key}: {text!r} is neither an amount such as 500Mi nor a share such as 10%") from error
    if found < 0:
        raise ValueError(f"{key}: {text} is below 0")
    return found


@dataclass(frozen=True, slots=True)
class Shortage:
    """What there is less of than wanted."""

    signal: str
    available: int
    threshold: int


@dataclass(frozen=True, slots=True)
class Reserves:
    """What is kept from pods: for the system, and as thresholds of eviction."""

    thresholds: Mapping[str, Threshold] = field(default_factory=lambda: parse_thresholds({}))
    system: Mapping[str, int] = field(default_factory=dict)

    def kept(self, resource: str, signal: str, capacity: int) -> int:
        """How much of a resource pods do not get."""
        least = self.thresholds.get(signal)
        return self.system.get(resource, 0) + (least.of(capacity) if least is not None else 0)

    def shortages(self, readings: Readings) -> Iterator[Shortage]:
        """The signals whose threshold is crossed; what is not known is no shortage."""
        for signal, (available, capacity) in signals(readings).items():
            least = self.thresholds[signal].of(capacity)
            if available >= 0 and capacity > 0 and available < least:
                yield Shortage(signal, available, least)


def signals(readings: Readings) -> dict[str, tuple[int, int]]:
    """What is available and what there is in all, by signal; below 0 where it is not known."""
    node, image = readings.nodefs, readings.imagefs
    left = readings.pids_limit - readings.pids_used if readings.pids_used >= 0 else -1
    return {
        MEMORY: (readings.memory_available, readings.memory_total),
        NODE_DISK: (node.free, node.total),
        NODE_INODES: (node.inodes_free, node.inodes),
        IMAGE_DISK: (image.free, image.total),
        IMAGE_INODES: (image.inodes_free, image.inodes),
        PROCESSES: (left, readings.pids_limit),
    }
