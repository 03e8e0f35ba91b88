"""A whole lab: hosts on a switch, in one directory, brought up and taken down together."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests.lab import base, cgroups
from tests.lab.host import Host
from tests.lab.run import LabError, tool
from tests.lab.switch import Switch

INOTIFY = Path("/proc/sys/fs/inotify/max_user_instances")
INOTIFY_NEEDED = 8192
"""The kernel's limit counts for all hosts together; the usual 128 are too few for six systemds."""


@dataclass(frozen=True)
class Lab:
    """``directory`` holds everything; ``prefix`` and ``network`` keep labs apart."""

    directory: Path
    prefix: str = "lb"
    network: str = "10.98.0"

    @property
    def switch(self) -> Switch:
        return Switch(self.prefix, self.network)

    @property
    def key(self) -> Path:
        return self.directory / "id_ed25519"

    def host(self, number: int) -> Host:
        if not 1 <= number <= 200:
            raise LabError(f"host {number}: hosts are numbered from 1 to 200")
        return Host(number, self.directory / f"h{number}", self.directory / "base", self.key, self.switch)

    def hosts(self) -> list[Host]:
        """The hosts that have a disk, on or off."""
        numbers = sorted(int(path.name[1:]) for path in self.directory.glob("h[0-9]*"))
        return [self.host(number) for number in numbers]

    def up(self, count: int) -> list[Host]:
        """Hosts 1 to ``count`` on and answering. Raises LabError."""
        if os.geteuid() != 0:
            raise LabError("the lab needs root: it makes network namespaces, cgroups and containers")
        self.directory.mkdir(parents=True, exist_ok=True)
        base.ensure(self.directory / "base")
        if not self.key.exists():
            tool("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self.key))
        self._raise_inotify()
        self.switch.up()
        hosts = [self.host(number) for number in range(1, count + 1)]
        for host in hosts:
            host.directory.mkdir(exist_ok=True)
            host.boot()
        with ThreadPoolExecutor(max_workers=max(1, count)) as pool:
            list(pool.map(Host.wait, hosts))
        return hosts

    def load_image(self, archive: Path, hosts: Sequence[Host]) -> None:
        """Put an image into several hosts side by side."""
        with ThreadPoolExecutor(max_workers=max(1, len(hosts))) as pool:
            list(pool.map(lambda host: host.load_image(archive), hosts))

    def down(self, keep: bool = False) -> None:
        """All hosts off and everything of the lab gone; with ``keep`` the disks stay. Idempotent."""
        hosts = self.hosts()
        with ThreadPoolExecutor(max_workers=max(1, len(hosts))) as pool:
            list(pool.map(Host.poweroff, hosts))
        self.switch.down()
        cgroups.remove(self.prefix)
        was = self.directory / "inotify.was"
        if was.exists():
            INOTIFY.write_text(was.read_text())
            was.unlink()
        if not keep:
            for host in hosts:
                host.erase()

    def _raise_inotify(self) -> None:
        now = INOTIFY.read_text()
        if int(now) < INOTIFY_NEEDED:
            (self.directory / "inotify.was").write_text(now)
            INOTIFY.write_text(str(INOTIFY_NEEDED))
