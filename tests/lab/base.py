"""The base tree that every host of the lab shares as the lower layer of its overlay: a minimal Debian.

Built once with mmdebstrap (under a minute) and kept in the lab's cache until its recipe changes.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from pathlib import Path

SUITE = "bookworm"
PACKAGES = (
    "systemd", "systemd-sysv", "dbus", "openssh-server", "docker.io", "iproute2", "nftables", "iptables",
    "python3", "ca-certificates", "procps", "curl", "iputils-ping", "sudo", "kmod", "libpam-systemd",
)  # fmt: skip

MASKED = (
    "getty@tty1.service", "console-getty.service", "systemd-udevd.service", "systemd-udevd-control.socket",
    "systemd-udevd-kernel.socket", "systemd-udev-trigger.service", "systemd-udev-settle.service",
    "apt-daily.timer", "apt-daily-upgrade.timer", "e2scrub_all.timer", "e2scrub_reap.service", "fstrim.timer",
    "dpkg-db-backup.timer", "systemd-pstore.service", "systemd-modules-load.service", "sys-kernel-debug.mount",
    "sys-kernel-tracing.mount", "sys-kernel-config.mount", "sys-fs-fuse-connections.mount", "dev-hugepages.mount",
    "dev-mqueue.mount", "proc-sys-fs-binfmt_misc.automount", "proc-sys-fs-binfmt_misc.mount",
    "systemd-binfmt.service", "systemd-timesyncd.service", "systemd-firstboot.service", "systemd-sysctl.service",
)  # fmt: skip
"""Units that a container cannot run or that only slow its boot."""

FILES = {
    "etc/docker/daemon.json": '{"log-driver":"json-file","log-opts":{"max-size":"5m"}}\n',
    "etc/systemd/journald.conf.d/lab.conf": "[Journal]\nStorage=persistent\nSystemMaxUse=32M\nReadKMsg=no\n",
    # nspawn mounts the v1 cgroup controllers read-only; Docker and systemd need them writable.
    "usr/local/sbin/lab-init": (
        "#!/bin/sh\n"
        'for d in /sys/fs/cgroup/*/; do mount -o remount,rw,bind "$d"; done\n'
        "[ -s /etc/lab-meminfo ] && mount --bind /etc/lab-meminfo /proc/meminfo\n"
        "exec /lib/systemd/systemd\n"
    ),
}


def recipe() -> str:
    """A digest of everything that the tree is made from."""
    text = repr((SUITE, PACKAGES, MASKED, sorted(FILES.items())))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def ensure(directory: Path) -> Path:
    """The base tree in ``directory``, built if it is missing or made from an older recipe."""
    marker = directory / "etc/lab-recipe"
    if marker.exists() and marker.read_text() == recipe():
        return directory
    building = directory.with_name(directory.name + ".new")
    for stale in (building, directory):
        shutil.rmtree(stale, ignore_errors=True)
    building.parent.mkdir(parents=True, exist_ok=True)
    excluded = [f"--dpkgopt=path-exclude=/usr/share/{part}/*" for part in ("man", "locale", "doc")]
    subprocess.run(
        ["mmdebstrap", "--quiet", "--variant=minbase", "--dpkgopt=force-unsafe-io", *excluded,
         f"--include={','.join(PACKAGES)}", SUITE, str(building)],
        check=True, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    for path in [*building.glob("etc/ssh/ssh_host_*"), building / "var/lib/dbus/machine-id"]:
        path.unlink(missing_ok=True)
    (building / "etc/machine-id").write_text("")
    (building / "etc/default/locale").write_text("")
    for unit in MASKED:
        link = building / "etc/systemd/system" / unit
        link.unlink(missing_ok=True)
        link.symlink_to("/dev/null")
    for name, text in FILES.items():
        path = building / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (building / "usr/local/sbin/lab-init").chmod(0o755)
    (building / "var/log/journal").mkdir(parents=True, exist_ok=True)
    (building / "etc/lab-recipe").write_text(recipe())
    building.rename(directory)
    return directory
