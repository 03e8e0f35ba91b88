"""The local copy of the pods that are to run here: what a restarted agent goes by while the server is away.

One file a pod, 0600, replaced atomically. A file that cannot be read is left alone and logged: the server's list
settles it later. Only what our structs know is in it, and it is never sent to the server. Blocking work runs in
threads.
"""

from __future__ import annotations

import asyncio
import logging
import os
from pathlib import Path

import msgspec

from agent.pods.volumes.base import PodPaths
from shared.api.pod import Pod

logger = logging.getLogger(__name__)


class Checkpoints:
    """Copies under ``<data dir>/pods``."""

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir

    async def save(self, pod: Pod) -> None:
        """Write the copy of ``pod``. Raises OSError."""
        await asyncio.to_thread(_write, PodPaths(self._data_dir, pod.metadata.uid), msgspec.json.encode(pod))

    async def load(self) -> list[Pod]:
        """Every copy that can be read."""
        return await asyncio.to_thread(self._load)

    def _load(self) -> list[Pod]:
        pods = []
        for path in sorted((self._data_dir / "pods").glob("*/pod.json")):
            try:
                pod = msgspec.json.decode(path.read_bytes(), type=Pod)
            except (OSError, msgspec.DecodeError) as error:
                logger.warning("cannot read the copy of a pod", extra={"path": str(path), "error": str(error)})
                continue
            if pod.metadata.uid == path.parent.name:
                pods.append(pod)
        return pods


def same_checkpoint(old: Pod, new: Pod) -> bool:
    """Whether a copy of ``old`` will do for ``new``: they differ in status and revision at most."""
    a, b = old.metadata, new.metadata
    return (
        old.spec == new.spec
        and a.labels == b.labels
        and a.annotations == b.annotations
        and a.deletion_timestamp == b.deletion_timestamp
        and a.deletion_grace_period_seconds == b.deletion_grace_period_seconds
        and a.finalizers == b.finalizers
        and old.status.start_time == new.status.start_time
    )


def _write(paths: PodPaths, content: bytes) -> None:
    paths.root.mkdir(parents=True, exist_ok=True, mode=0o700)
    fresh = paths.checkpoint.with_suffix(".new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(content)
    fresh.replace(paths.checkpoint)
