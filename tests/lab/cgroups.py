"""The v1 cgroups of a host: what it is frozen, killed and found by."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from tests.lab.run import LabError

ROOT = Path("/sys/fs/cgroup")
CONTROLLERS = (
    "cpu", "cpuacct", "cpuset", "memory", "devices", "freezer", "blkio", "pids", "systemd", "unified",
)  # fmt: skip


def make(prefix: str, host: int) -> None:
    for controller in CONTROLLERS:
        if (ROOT / controller).is_dir():
            (ROOT / controller / prefix / f"h{host}").mkdir(parents=True, exist_ok=True)
    for group in (prefix, f"{prefix}/h{host}"):
        for name in ("cpus", "mems"):
            value = (ROOT / "cpuset" / f"cpuset.{name}").read_text()
            (ROOT / "cpuset" / group / f"cpuset.{name}").write_text(value)


def joined(prefix: str, host: int) -> list[Path]:
    """The files that a process writes its id to, to be in the host's groups."""
    return [
        ROOT / controller / prefix / f"h{host}" / "cgroup.procs"
        for controller in CONTROLLERS
        if (ROOT / controller).is_dir()
    ]


def processes(prefix: str, host: int) -> list[int]:
    found: list[int] = []
    for directory, _, _ in os.walk(ROOT / "freezer" / prefix / f"h{host}"):  # passes over groups that just went
        try:
            found += [int(line) for line in Path(directory, "cgroup.procs").read_text().split()]
        except OSError:  # the group went while we looked
            continue
    return found


def freeze(prefix: str, host: int, frozen: bool) -> None:
    """Stop or go on, all processes at once; the host's kernel still answers ping and acknowledges TCP."""
    state = ROOT / "freezer" / prefix / f"h{host}" / "freezer.state"
    state.write_text("FROZEN" if frozen else "THAWED")


def kill(prefix: str, host: int) -> None:
    """End every process of the host with nothing seeing another die first."""
    if not (ROOT / "freezer" / prefix / f"h{host}" / "freezer.state").exists():
        return
    freeze(prefix, host, True)
    _signal(prefix, host)
    freeze(prefix, host, False)
    deadline = time.monotonic() + 20
    while processes(prefix, host):
        _signal(prefix, host)
        if time.monotonic() > deadline:
            raise LabError(f"host {host} has processes left: {processes(prefix, host)}")
        time.sleep(0.02)


def _signal(prefix: str, host: int) -> None:
    for pid in processes(prefix, host):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


def remove(prefix: str, host: int | None = None) -> None:
    for controller in CONTROLLERS:
        top = ROOT / controller / prefix / (f"h{host}" if host is not None else "")
        if not top.is_dir():
            continue
        for group in sorted((p for p in top.rglob("*") if p.is_dir()), key=lambda p: -len(p.parts)):
            _rmdir(group)
        _rmdir(top)


def _rmdir(group: Path) -> None:
    try:
        group.rmdir()
    except OSError as error:  # busy for a moment after the last process ends; the next `up` uses it again
        if group.exists() and processes_in(group):
            raise LabError(f"{group} is still in use: {error}") from error


def processes_in(group: Path) -> list[str]:
    try:
        return (group / "cgroup.procs").read_text().split()
    except OSError:
        return []
