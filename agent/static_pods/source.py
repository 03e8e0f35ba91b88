"""Has the pods of a directory run: looks at its files now and then, and keeps mirrors of them in the API.

Owns which static pods there are. A file that does not hold a pod any more leaves the pod that it held, until it is
mended or removed; names that begin with a dot are not looked at. While the server is away the pods run all the same.
One task; files are read in a thread.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from agent.static_pods.manifest import BadManifest, StaticPod, parse
from shared.api.errors import AlreadyExists, NotFound, StatusError
from shared.api.kinds import NODES, PODS
from shared.api.pod import Pod
from shared.api.static_pods import MIRROR
from shared.client.base import Client

logger = logging.getLogger(__name__)

INTERVAL = 5.0
"""Seconds between looks at the directory."""
MIRRORS = 10.0
"""Seconds between looks whether the API still shows every mirror, when nothing has changed."""
MOST_BYTES = 1 << 20
SUFFIXES = (".yaml", ".yml", ".json")


class Pods(Protocol):
    """See ``agent.pods.dispatcher.Dispatcher``."""

    def run_static(self, pod: Pod) -> None: ...
    def drop_static(self, uid: str) -> None: ...


class StaticPods:
    """``mirrors`` gives the pods of this node as the API has them."""

    def __init__(
        self,
        directory: Path,
        node: str,
        pods: Pods,
        client: Client,
        mirrors: Iterable[Pod],
        *,
        interval: float = INTERVAL,
    ) -> None:
        self._directory, self._node, self._pods, self._client = directory, node, pods, client
        self._mirrors, self._interval = mirrors, interval
        self._files: dict[str, tuple[bytes, StaticPod | None]] = {}
        self._node_uid = ""
        self._due = True

    async def run(self) -> None:
        """Look again and again, until cancelled."""
        waited = 0.0
        while True:
            await asyncio.sleep(self._interval)
            waited += self._interval
            changed = await self.look()
            if changed or self._due or waited >= MIRRORS:
                waited = 0.0
                await self.reflect()

    async def look(self) -> bool:
        """Run what is in the directory, and end what is no longer; whether anything changed."""
        try:
            found = await asyncio.to_thread(_read, self._directory)
        except OSError as error:
            logger.warning("static pods cannot be read", extra={"path": str(self._directory), "error": str(error)})
            return False
        before = self.pods
        for name in [name for name in self._files if name not in found]:
            del self._files[name]
        for name, content in found.items():
            known = self._files.get(name)
            if known is not None and known[0] == content:
                continue
            kept = known[1] if known is not None else None
            try:
                kept = parse(content, self._node)
            except BadManifest as error:
                logger.error("a file holds no static pod", extra={"file": name, "error": str(error)})
            self._files[name] = content, kept
        now = self.pods
        for uid in before.keys() - now.keys():
            self._pods.drop_static(uid)
        for uid in now.keys() - before.keys():
            self._pods.run_static(now[uid].pod)
        return before.keys() != now.keys()

    @property
    def pods(self) -> dict[str, StaticPod]:
        """The static pods by uid; of two of one name the first file's."""
        found: dict[str, StaticPod] = {}
        taken: set[str] = set()
        for _, (_, static) in sorted(self._files.items()):
            if static is not None and static.pod.key not in taken:
                taken.add(static.pod.key)
                found[static.uid] = static
        return found

    async def reflect(self) -> None:
        """Make the API's mirrors those of what is here; what fails is tried again soon."""
        self._due = False
        wanted = self.pods
        shown: set[str] = set()
        try:
            for mirror in list(self._mirrors):
                uid = mirror.metadata.annotations.get(MIRROR)
                if uid is None:
                    continue
                if uid in wanted and mirror.metadata.deletion_timestamp is None:
                    shown.add(uid)
                    continue
                await self._delete(mirror)
                self._due = True  # what takes its place is made once it is seen to be gone
            for uid in wanted.keys() - shown:
                await self._create(wanted[uid])
        except StatusError as error:
            self._due = True
            logger.info("the API cannot be shown the static pods", extra={"error": error.message})

    async def _delete(self, mirror: Pod) -> None:
        meta = mirror.metadata
        try:
            await self._client.delete(PODS, meta.name, meta.namespace, grace_period_seconds=0, uid=meta.uid)
        except NotFound:
            return

    async def _create(self, static: StaticPod) -> None:
        if not self._node_uid:
            self._node_uid = (await self._client.get(NODES, self._node)).metadata.uid
        try:
            await self._client.create(PODS, static.mirror(self._node, self._node_uid), static.pod.metadata.namespace)
        except AlreadyExists:
            self._due = True  # an earlier one that is on its way out, or somebody else's pod of that name


def _read(directory: Path) -> dict[str, bytes]:
    found = {}
    for path in sorted(directory.iterdir()):
        if path.name.startswith(".") or path.suffix not in SUFFIXES or not path.is_file():
            continue
        if path.stat().st_size > MOST_BYTES:
            logger.error("a static pod's file is too large", extra={"file": path.name, "limit": MOST_BYTES})
            continue
        found[path.name] = path.read_bytes()
    return found
