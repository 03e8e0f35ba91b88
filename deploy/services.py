"""Background services on this machine: systemd units where systemd runs, supervised processes elsewhere."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from deploy import supervise

UNITS = Path("/etc/systemd/system")
ENVIRONMENT = {
    "PYTHONUNBUFFERED": "1",
    # glibc gives every thread an arena of its own and hands little of it back; two are enough for our threads.
    "MALLOC_ARENA_MAX": "2",
}
MARK = "# Written by longboat up; removed by longboat down --purge.\n"


class ServiceError(Exception):
    """A service could not be started or stopped; the message says where to look."""


@dataclass(frozen=True, slots=True)
class Service:
    """A service by name, what it runs, and what it needs to have been started before it."""

    name: str
    command: tuple[str, ...]
    after: str = "network-online.target"
    environ: tuple[tuple[str, str], ...] = ()


class Services(Protocol):
    def start(self, service: Service) -> bool:
        """Make it run; False if it ran already with the same command. Raises ServiceError."""
        ...

    def running(self, name: str) -> bool: ...

    def stop(self, name: str) -> bool:
        """End it; False if it did not run."""
        ...

    def remove(self, name: str) -> None:
        """End it and take away what made it start."""
        ...

    def log_hint(self, name: str) -> str:
        """The command that shows its log."""
        ...


def choose(state: Path) -> Services:
    """What this machine has. ``state`` holds process ids and logs where no systemd runs."""
    return Systemd() if Path("/run/systemd/system").is_dir() else Supervised(state / "run", state / "log")


class Systemd:
    """Units in /etc/systemd/system. Stopping a unit leaves containers alone: they are Docker's children."""

    def start(self, service: Service) -> bool:
        unit = UNITS / f"{service.name}.service"
        text = self._unit(service)
        if unit.exists() and unit.read_text() == text and self.running(service.name):
            return False
        unit.write_text(text)
        _systemctl("daemon-reload")
        _systemctl("enable", "--quiet", service.name)
        _systemctl("restart", service.name)
        return True

    def stop(self, name: str) -> bool:
        if not self.running(name):
            return False
        _systemctl("stop", name)
        return True

    def remove(self, name: str) -> None:
        unit = UNITS / f"{name}.service"
        if unit.exists() and MARK in unit.read_text():
            _systemctl("disable", "--quiet", "--now", name)
            unit.unlink()
            _systemctl("daemon-reload")

    def log_hint(self, name: str) -> str:
        return f"journalctl -u {name}"

    def running(self, name: str) -> bool:
        done = subprocess.run(["systemctl", "is-active", "--quiet", name], timeout=30)
        return done.returncode == 0

    def _unit(self, service: Service) -> str:
        command = " ".join(_quoted(word) for word in service.command)
        given = ENVIRONMENT | dict(service.environ)
        environ = "".join(f"Environment={_quoted(f'{key}={value}')}\n" for key, value in given.items())
        return (
            f"{MARK}[Unit]\nDescription=Longboat {service.name}\nAfter={service.after}\nWants=network-online.target\n"
            f"StartLimitIntervalSec=0\n\n[Service]\nExecStart={command}\n{environ}"
            "Restart=always\nRestartSec=1\nKillMode=mixed\nTimeoutStopSec=90\nLimitNOFILE=65536\n\n"
            "[Install]\nWantedBy=multi-user.target\n"
        )


class Supervised:
    """Processes under ``deploy.supervise``, each with a pid file, a command file and a log."""

    def __init__(self, run: Path, log: Path) -> None:
        self._run, self._log = run, log

    def start(self, service: Service) -> bool:
        pid_file, command_file = self._run / f"{service.name}.pid", self._run / f"{service.name}.command"
        command = "\n".join(service.command)
        if supervise.running(pid_file):
            if command_file.exists() and command_file.read_text() == command:
                return False
            supervise.stop(pid_file)
        self._run.mkdir(parents=True, exist_ok=True)
        command_file.write_text(command)
        root = str(Path(__file__).resolve().parent.parent)
        path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH", ""))))
        environ = os.environ | {"PYTHONPATH": path} | ENVIRONMENT | dict(service.environ)
        supervise.start(service.command, pid_file=pid_file, log_file=self._log / f"{service.name}.log", environ=environ)
        return True

    def running(self, name: str) -> bool:
        return bool(supervise.running(self._run / f"{name}.pid"))

    def stop(self, name: str) -> bool:
        return supervise.stop(self._run / f"{name}.pid")

    def remove(self, name: str) -> None:
        self.stop(name)
        (self._run / f"{name}.command").unlink(missing_ok=True)

    def log_hint(self, name: str) -> str:
        return f"tail {self._log / name}.log"


def longboat_command(*arguments: str) -> tuple[str, ...]:
    """``longboat ARGUMENTS`` as this interpreter runs it."""
    return (sys.executable, "-m", "deploy.cli", *arguments)


def _quoted(word: str) -> str:
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{escaped}"'


def _systemctl(*arguments: str) -> None:
    command: Sequence[str] = ("systemctl", *arguments)
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    if done.returncode:
        raise ServiceError(f"{' '.join(command)}: {done.stderr.strip()}")
