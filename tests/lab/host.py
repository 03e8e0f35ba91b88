"""One host of the lab: its disk, its boot, its power, and commands in it over SSH."""

from __future__ import annotations

import secrets
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from tests.lab import cgroups
from tests.lab.run import LabError, lines, tool
from tests.lab.switch import Switch

NSPAWN = (
    "--quiet", "--keep-unit", "--register=no", "--capability=all",
    "--drop-capability=CAP_SYS_TIME,CAP_SYS_MODULE,CAP_SYS_RAWIO", "--system-call-filter=add_key keyctl bpf",
    "--resolv-conf=off", "--timezone=off", "--link-journal=no", "--console=read-only",
    "--kill-signal=SIGRTMIN+3",
)  # fmt: skip


@dataclass(frozen=True)
class Host:
    """Host ``number`` of a lab in ``directory``; its disk (a directory, an overlay's upper) survives power-off."""

    number: int
    directory: Path
    base: Path
    key: Path
    switch: Switch

    @property
    def address(self) -> str:
        return self.switch.address(self.number)

    @property
    def name(self) -> str:
        return f"host{self.number}"

    @property
    def on(self) -> bool:
        return bool(cgroups.processes(self.switch.prefix, self.number))

    def boot(self) -> None:
        """Switch on; returns at once, see ``wait``. On already: nothing."""
        if self.on:
            return
        self.switch.unplug(self.number)
        self._disk()
        self.switch.plug(self.number)
        cgroups.make(self.switch.prefix, self.number)
        root, disk = self.directory / "root", self.directory / "disk"
        root.mkdir(exist_ok=True)
        script = self.directory / "start"
        layers = f"lowerdir={self.base},upperdir={disk}/upper,workdir={disk}/work"
        script.write_text(
            lines(
                [
                    *(f"echo $$ > {file}" for file in cgroups.joined(self.switch.prefix, self.number)),
                    "cd /",
                    f"mount -t overlay {self.switch.prefix}{self.name} -o {layers} {root} || exit 1",
                    "export SYSTEMD_NSPAWN_API_VFS_WRITABLE=network SYSTEMD_NSPAWN_LOCK=0",
                    f"exec systemd-nspawn {' '.join(repr(option) for option in NSPAWN)} -M {self.name} -D {root}"
                    f" --network-namespace-path=/run/netns/{self.switch.host_netns(self.number)}"
                    f" --bind={disk}/docker:/var/lib/docker --bind={disk}/containerd:/var/lib/containerd"
                    " /usr/local/sbin/lab-init",
                ]
            )
        )
        with (self.directory / "console").open("ab") as console:
            subprocess.Popen(
                ["unshare", "-m", "--propagation", "slave", "bash", str(script)],
                stdin=subprocess.DEVNULL, stdout=console, stderr=console, start_new_session=True,
            )  # fmt: skip

    def wait(self, timeout: float = 60.0) -> None:
        """Until SSH and Docker answer. Raises LabError."""
        deadline = time.monotonic() + timeout
        while True:
            if self.ssh("docker", "info", check=False, timeout=10) is not None:
                return
            if time.monotonic() > deadline:
                raise LabError(f"{self.name} did not come up in {timeout:.0f} s; see {self.directory / 'console'}")
            time.sleep(0.1)

    def poweroff(self) -> None:
        """Pull the plug: everything ends at once, nothing is told."""
        if self.on:
            self.switch.carrier(self.number, up=False)
            cgroups.kill(self.switch.prefix, self.number)
        self.switch.unplug(self.number)
        cgroups.remove(self.switch.prefix, self.number)

    def freeze(self) -> None:
        cgroups.freeze(self.switch.prefix, self.number, True)

    def thaw(self) -> None:
        cgroups.freeze(self.switch.prefix, self.number, False)

    def erase(self) -> None:
        """Throw the disk away; the host must be off."""
        shutil.rmtree(self.directory, ignore_errors=True)

    def ssh_command(self, *command: str) -> list[str]:
        return [
            "ssh", "-n", "-i", str(self.key), "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null",
            "-o", "LogLevel=ERROR", "-o", "ConnectTimeout=2", "-o", "BatchMode=yes", f"root@{self.address}", *command,
        ]  # fmt: skip

    def ssh(self, *command: str, check: bool = True, timeout: float = 60.0) -> str | None:
        """Run a command line in the host; its stdout, or None when it failed and ``check`` is False."""
        try:
            done = subprocess.run(self.ssh_command(*command), capture_output=True, text=True, timeout=timeout)
        except subprocess.TimeoutExpired:
            if check:
                raise LabError(f"{self.name}: {' '.join(command)}: no end after {timeout:.0f} s") from None
            return None
        if done.returncode:
            if check:
                raise LabError(f"{self.name}: {' '.join(command)}: {done.stderr.strip() or done.returncode}")
            return None
        return done.stdout

    def load_image(self, archive: Path) -> None:
        """``docker load`` of an archive on this machine."""
        command = self.ssh_command("docker", "load", "-q")
        command.remove("-n")
        with archive.open("rb") as source:
            done = subprocess.run(command, stdin=source, capture_output=True, text=True, timeout=120)
        if done.returncode:
            raise LabError(f"{self.name}: docker load: {done.stderr.strip()}")

    def _disk(self) -> None:
        upper = self.directory / "disk/upper"
        if upper.exists():
            return
        for name in ("upper/etc/ssh", "upper/root/.ssh", "work", "docker", "containerd"):
            (self.directory / "disk" / name).mkdir(parents=True, exist_ok=True)
        for name in ("upper", "upper/etc", "upper/etc/ssh"):
            (self.directory / "disk" / name).chmod(0o755)
        (upper / "etc/hostname").write_text(self.name + "\n")
        (upper / "etc/machine-id").write_text(secrets.token_hex(16) + "\n")
        known = [f"{self.switch.address(i)} host{i}" for i in range(1, 9)]
        (upper / "etc/hosts").write_text(lines(["127.0.0.1 localhost", *known]))
        tool("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(upper / "etc/ssh/ssh_host_ed25519_key"))
        (upper / "root").chmod(0o700)
        (upper / "root/.ssh").chmod(0o700)
        authorized = upper / "root/.ssh/authorized_keys"
        authorized.write_bytes(self.key.with_suffix(".pub").read_bytes())
        authorized.chmod(0o600)
