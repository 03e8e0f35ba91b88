"""The ConfigMaps and Secrets that pods of this node use: fetched through the Client, kept for a short time.

Kept only while a pod refers to them (``release``). While the server cannot be reached the last known object stands
in, so that a container which crashes during an outage starts again, also after a restart of the agent: a copy is kept
beside the secret volumes, in ``<data dir>/memory`` (a tmpfs where the agent may mount one), 0600. Several pods that
want the same object at the same time share one request.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from agent.pods.env import CONFIG_MAP, SECRET, Objects, Reference, pod_references
from shared.api.core import ConfigMap, Secret
from shared.api.errors import Forbidden, NotFound, StatusError
from shared.api.kinds import CONFIG_MAPS, SECRETS, Resource
from shared.api.pod import Pod
from shared.client.base import Client
from shared.work.clock import Clock

logger = logging.getLogger(__name__)

Key = tuple[str, str, str]
"""Kind, namespace, name."""

_RESOURCES: dict[str, Resource[Any]] = {CONFIG_MAP: CONFIG_MAPS, SECRET: SECRETS}


@dataclass(slots=True)
class _Entry:
    value: ConfigMap | Secret | None = None
    fetched: float = float("-inf")
    known: bool = False
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    users: set[str] = field(default_factory=set)


class ObjectCache:
    """``get`` is safe to call concurrently from one event loop."""

    def __init__(self, client: Client, clock: Clock, *, ttl: float, copies: Path) -> None:
        self._client, self._clock, self._ttl, self._copies = client, clock, ttl, copies
        self._entries: dict[Key, _Entry] = {}

    def __len__(self) -> int:
        return len(self._entries)

    async def get(
        self, pod_uid: str, namespace: str, references: set[Reference], *, max_age: float | None = None
    ) -> Objects:
        """The objects, each at most ``max_age`` (else the cache's own age) seconds old.

        Raises StatusError when the server refuses, or cannot be reached and an object was never seen.
        """
        config_maps: dict[str, ConfigMap | None] = {}
        secrets: dict[str, Secret | None] = {}
        for kind, name in sorted(references):
            value = await self._one(pod_uid, (kind, namespace, name), self._ttl if max_age is None else max_age)
            if kind == CONFIG_MAP:
                assert value is None or isinstance(value, ConfigMap)
                config_maps[name] = value
            else:
                assert value is None or isinstance(value, Secret)
                secrets[name] = value
        return Objects(config_maps, secrets)

    def release(self, pod_uid: str) -> None:
        """The pod has ended; objects that no other pod uses are forgotten."""
        for key, entry in list(self._entries.items()):
            entry.users.discard(pod_uid)
            if not entry.users:
                del self._entries[key]
                self._path(key).unlink(missing_ok=True)

    async def keep_only(self, pods: Iterable[Pod]) -> None:
        """Hold what these pods refer to, and drop copies of everything else: of pods that ended while no agent ran."""
        for pod in pods:
            for kind, name in pod_references(pod):
                entry = self._entries.setdefault((kind, pod.metadata.namespace, name), _Entry())
                entry.users.add(pod.metadata.uid)
        await asyncio.to_thread(self._drop_others, {self._path(key).name for key in self._entries})

    def _drop_others(self, names: set[str]) -> None:
        if self._copies.is_dir():
            for path in self._copies.iterdir():
                if path.name not in names:
                    path.unlink(missing_ok=True)

    async def _one(self, pod_uid: str, key: Key, max_age: float) -> ConfigMap | Secret | None:
        entry = self._entries.setdefault(key, _Entry())
        entry.users.add(pod_uid)
        async with entry.lock:
            # that an object is missing is asked anew each time: it may just have been made
            if entry.value is not None and self._clock.monotonic() - entry.fetched < max_age:
                return entry.value
            kind, namespace, name = key
            try:
                entry.value = await self._client.get(_RESOURCES[kind], name, namespace)
            except NotFound:
                entry.value = None
            except Forbidden:
                raise
            except StatusError as error:
                if not entry.known:
                    entry.value = await asyncio.to_thread(self._load, key)
                    if entry.value is None:
                        raise
                    entry.known = True
                extra = {"kind": kind, "namespace": namespace, "object": name, "reason": error.reason}
                logger.info("cannot refresh an object, using the last one seen", extra=extra)
                return entry.value
            entry.fetched, entry.known = self._clock.monotonic(), True
            if entry.value is not None:
                await asyncio.to_thread(self._keep, key, entry.value)
            return entry.value

    # --- copies

    def _path(self, key: Key) -> Path:
        return self._copies / ".".join(key)  # names of namespaces have no dots, so this is unambiguous

    def _keep(self, key: Key, value: ConfigMap | Secret) -> None:
        path = self._path(key)
        content = msgspec.json.encode(value)
        try:
            if path.exists() and path.read_bytes() == content:
                return
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            descriptor = os.open(path.with_name(path.name + ".new"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(content)
            path.with_name(path.name + ".new").replace(path)
        except OSError as error:
            logger.warning("cannot keep a copy of an object", extra={"kind": key[0], "error": str(error)})

    def _load(self, key: Key) -> ConfigMap | Secret | None:
        try:
            found: ConfigMap | Secret = msgspec.json.decode(self._path(key).read_bytes(), type=_RESOURCES[key[0]].type)
            return found
        except (OSError, msgspec.DecodeError):
            return None  # there is none, or only half of one: as if it had never been seen
