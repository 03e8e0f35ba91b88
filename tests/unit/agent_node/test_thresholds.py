"""When a host is short of something: the thresholds' grammar, what crosses them, and how long a pressure lasts."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from agent.host import FileSystem, Readings, file_system, readings
from agent.pressure import Pressure
from agent.settings import AgentSettings
from agent.thresholds import DEFAULTS, Reserves, Threshold, parse_reserved, parse_thresholds
from shared.settings import SettingsError
from shared.work.clock import FakeClock

DISK = FileSystem(total=100 << 30, free=50 << 30, inodes=1000, inodes_free=500)
FINE = Readings(
    memory_total=8 << 30, memory_available=4 << 30, nodefs=DISK, imagefs=DISK, pids_used=200, pids_limit=32768
)


def short(found: Readings, **thresholds: str) -> set[str]:
    reserves = Reserves(parse_thresholds({key.replace("_", "."): text for key, text in thresholds.items()}))
    return {shortage.signal for shortage in reserves.shortages(found)}


@pytest.mark.parametrize(
    ("found", "signals"),
    [
        (FINE, set()),
        (replace(FINE, memory_available=(100 << 20) - 1), {"memory.available"}),
        (replace(FINE, memory_available=100 << 20), set()),
        (replace(FINE, nodefs=replace(DISK, free=(10 << 30) - 1)), {"nodefs.available"}),
        (replace(FINE, nodefs=replace(DISK, inodes_free=49)), {"nodefs.inodesFree"}),
        (replace(FINE, imagefs=replace(DISK, free=(15 << 30) - 1)), {"imagefs.available"}),
        (replace(FINE, imagefs=replace(DISK, inodes_free=0)), {"imagefs.inodesFree"}),
        (replace(FINE, imagefs=replace(DISK, inodes=0, inodes_free=0)), set()),
        (replace(FINE, pids_used=32000), {"pid.available"}),
        (Readings(), set()),
    ],
    ids=[
        "fine",
        "memory",
        "just enough",
        "node",
        "node inodes",
        "image",
        "image inodes",
        "no inodes",
        "pid",
        "unknown",
    ],
)
def test_what_is_short(found: Readings, signals: set[str]) -> None:
    assert short(found) == signals


def test_what_is_given_replaces_its_default_alone() -> None:
    found = parse_thresholds({"memory.available": "50%", "pid.available": "0"})
    assert found["memory.available"] == Threshold(share=0.5)
    assert found["pid.available"] == Threshold(0)
    assert found["nodefs.available"] == Threshold(share=0.1)
    assert set(found) == set(DEFAULTS)
    assert not short(replace(FINE, pids_used=32768), pid_available="0")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"eviction_hard": {"memory.free": "1"}}, "--eviction-hard: 'memory.free' is no signal; there are: memory."),
        ({"eviction_hard": {"memory.available": "lots"}}, "memory.available: 'lots' is neither an amount"),
        ({"eviction_hard": {"memory.available": "-1Mi"}}, "memory.available: -1Mi is below 0"),
        ({"eviction_hard": {"nodefs.available": "100%"}}, "nodefs.available: 100% would leave nothing"),
        ({"system_reserved": {"gpu": "1"}}, "--system-reserved: 'gpu' cannot be reserved; there are: cpu,"),
        ({"system_reserved": {"cpu": "x"}}, "--system-reserved: cpu: 'x' is neither"),
    ],
)
def test_bad_settings_name_the_flag_and_the_key(settings: dict[str, dict[str, str]], words: str) -> None:
    with pytest.raises(SettingsError) as refused:
        AgentSettings(**settings)  # type: ignore[arg-type]
    assert words in str(refused.value)


def test_reserved_amounts() -> None:
    assert parse_reserved({"cpu": "1500m", "memory": "1Gi"}) == {"cpu": 1500, "memory": 1 << 30}


def test_a_pressure_outlives_its_shortage_for_a_while() -> None:
    clock = FakeClock(datetime(2026, 1, 1, tzinfo=UTC))
    pressure = Pressure(Reserves(), clock, 300)
    assert set(pressure.look(replace(FINE, memory_available=0))) == {"memory.available"}
    assert pressure.conditions == {"MemoryPressure"}
    clock.advance(299)
    assert pressure.look(FINE) == {}
    assert pressure.conditions == {"MemoryPressure"}
    clock.advance(1)
    pressure.look(FINE)
    assert pressure.conditions == frozenset()


def test_readings_of_this_host(tmp_path) -> None:
    found = readings("/nowhere", tmp_path)
    assert found.imagefs.total == found.nodefs.total == file_system(str(tmp_path)).total > 0
    assert 0 < found.memory_available < found.memory_total
    assert 0 < found.pids_used < found.pids_limit
    assert file_system("/nowhere") == FileSystem()
