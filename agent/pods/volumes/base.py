"""Where a pod's files are on the host, and how a volume fails.

``<data dir>/pods/<uid>/`` (0700, which keeps everything below from other users of the host whatever the modes that
pods ask for) holds ``pod.json``, the files that are mounted over those in ``/etc``, and ``volumes/<name>``. Secrets
are in ``<data dir>/memory/<uid>/<name>``, a tmpfs where the agent may mount one.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


class VolumeFailure(Exception):
    """A volume cannot be made; the message is the kubelet's for a FailedMount event."""


@dataclass(frozen=True, slots=True)
class PodPaths:
    """The places of one pod. The uid comes from the server: it is checked to be one plain path component."""

    data_dir: Path
    uid: str

    def __post_init__(self) -> None:
        if not self.uid or self.uid in (".", "..") or "/" in self.uid or "\0" in self.uid:
            raise ValueError(f"{self.uid!r} is not the uid of a pod")

    @property
    def root(self) -> Path:
        return self.data_dir / "pods" / self.uid

    @property
    def checkpoint(self) -> Path:
        return self.root / "pod.json"

    @property
    def hosts(self) -> Path:
        return self.root / "hosts"

    @property
    def hostname(self) -> Path:
        return self.root / "hostname"

    @property
    def resolv_conf(self) -> Path:
        return self.root / "resolv.conf"

    @property
    def memory(self) -> Path:
        return self.data_dir / "memory" / self.uid

    def volume(self, name: str) -> Path:
        return self.root / "volumes" / name

    def sub_path(self, volume: str, container: str, index: int) -> Path:
        """Where a part of a volume is bound to, for one mount of a container."""
        return self.root / "volume-subpaths" / volume / container / str(index)

    def secret(self, name: str) -> Path:
        return self.memory / name
