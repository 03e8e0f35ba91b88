"""The volumes of this node's pods: made, kept up to date, removed. The door between pods and the host's disk.

Idempotent: an agent that was restarted prepares again and finds what is there. Blocking work runs in threads; calls
for one pod come one at a time (from its worker), calls for different pods side by side.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from agent.pods.env import Objects, volume_references
from agent.pods.objects import ObjectCache
from agent.pods.status import NodeFacts
from agent.pods.volumes.atomic import Payload, write_payload
from agent.pods.volumes.base import PodPaths, VolumeFailure
from agent.pods.volumes.empty_dir import make_empty_dir
from agent.pods.volumes.host_files import write_host_files
from agent.pods.volumes.host_path import prepare_host_path
from agent.pods.volumes.memory import mount_memory, unmount_below
from agent.pods.volumes.mounts import container_mounts, is_object_volume
from agent.pods.volumes.nfs import mount_nfs
from agent.pods.volumes.ownership import give_payload
from agent.pods.volumes.payload import config_map_payload, for_group, secret_payload
from agent.pods.volumes.projected import Tokens, downward_api_payload, projected_payload
from agent.pods.volumes.tokens import PodTokens
from agent.runtime.base import Mount
from shared.api.errors import Forbidden, NotFound, StatusError
from shared.api.pod import Container, Pod, Volume

logger = logging.getLogger(__name__)


@contextmanager
def _setting_up(volume: Volume) -> Iterator[None]:
    """Failures inside name the volume, as the kubelet's do."""
    try:
        yield
    except (VolumeFailure, OSError, ValueError) as error:
        raise VolumeFailure(f'MountVolume.SetUp failed for volume "{volume.name}" : {error}') from error


@dataclass(frozen=True, slots=True)
class _Shown:
    """What volumes of a pod show."""

    objects: Objects
    tokens: Tokens


class PodVolumes:
    """See the module. ``data_dir`` is the agent's own directory; ``memory`` is whether secrets may have a tmpfs."""

    def __init__(
        self,
        data_dir: Path,
        objects: ObjectCache,
        tokens: PodTokens,
        node: NodeFacts,
        *,
        memory: bool = True,
        recursive_read_only: bool = False,
    ) -> None:
        self._data_dir, self._objects, self._tokens, self._node = data_dir, objects, tokens, node
        self._memory, self._recursive_read_only = memory, recursive_read_only

    def paths(self, uid: str) -> PodPaths:
        return PodPaths(self._data_dir, uid)

    async def setup(self) -> None:
        """Make the directories, and a tmpfs for secrets where that may be mounted. Raises OSError."""
        await asyncio.to_thread(self._setup)

    async def prepare(self, pod: Pod) -> None:
        """Make every volume of the pod. Raises VolumeFailure."""
        shown = await self._fetch(pod, None)
        try:
            await asyncio.to_thread(self._prepare, pod, shown)
        except (OSError, ValueError) as error:
            raise VolumeFailure(f"volumes of the pod cannot be made: {error}") from error

    async def refresh(self, pod: Pod, max_age: float) -> bool:
        """Bring files of ConfigMaps, Secrets and tokens up to date; whether one changed.

        ``max_age`` in seconds bounds how old the objects may be. An object that is gone or refused leaves its files as
        they were. Raises VolumeFailure when an object cannot be shown any more.
        """
        if not any(is_object_volume(volume) for volume in pod.spec.volumes):
            return False
        shown = await self._fetch(pod, max_age)
        try:
            return await asyncio.to_thread(self._write_objects, pod, shown)
        except (OSError, ValueError) as error:
            raise VolumeFailure(f"volumes of the pod cannot be updated: {error}") from error

    async def write_host_files(self, pod: Pod, address: str, hostname: str) -> None:
        """/etc/hosts and its like. Raises VolumeFailure."""
        paths = self.paths(pod.metadata.uid)
        try:
            await asyncio.to_thread(write_host_files, paths, pod, address, hostname)
        except OSError as error:
            raise VolumeFailure(f"files of the pod cannot be written: {error}") from error

    async def mounts(self, pod: Pod, container: Container, variables: Mapping[str, str]) -> tuple[Mount, ...]:
        """What to mount in ``container``, whose environment is ``variables``. Raises VolumeFailure."""
        return await asyncio.to_thread(self._mounts, pod, container, variables)

    async def cleanup(self, uid: str) -> None:
        """Remove everything of the pod, mounts first; no error if there is nothing. Raises OSError."""
        self._objects.release(uid)
        self._tokens.forget(uid)
        await asyncio.to_thread(self._cleanup, uid)

    # --- in threads

    def _setup(self) -> None:
        for name in ("pods", "memory"):
            path = self._data_dir / name
            path.mkdir(parents=True, exist_ok=True, mode=0o700)
            path.chmod(0o700)
        if self._memory:
            mount_memory(self._data_dir / "memory", mode=0o700)

    def _prepare(self, pod: Pod, shown: _Shown) -> None:
        paths = self.paths(pod.metadata.uid)
        paths.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        for volume in pod.spec.volumes:
            if volume.empty_dir is not None:
                with _setting_up(volume):
                    make_empty_dir(paths.volume(volume.name), volume.empty_dir, pod, self._node.memory_bytes)
            elif volume.nfs is not None:
                with _setting_up(volume):
                    mount_nfs(paths.volume(volume.name), volume.nfs)
            elif volume.host_path is not None:
                with _setting_up(volume):
                    prepare_host_path(volume.host_path)
            elif not is_object_volume(volume):
                raise VolumeFailure(f'volume "{volume.name}" is of a type that this agent does not know')
        self._write_objects(pod, shown)

    def _write_objects(self, pod: Pod, shown: _Shown) -> bool:
        paths, changed = self.paths(pod.metadata.uid), False
        for volume in pod.spec.volumes:
            with _setting_up(volume):
                payload = self._payload(pod, volume, shown)
                if payload is None:
                    continue
                secret = volume.secret is not None or volume.projected is not None
                path = paths.secret(volume.name) if secret else paths.volume(volume.name)
                changed |= write_payload(path, payload)
                give_payload(path, pod.spec.security_context.fs_group)
        return changed

    def _payload(self, pod: Pod, volume: Volume, shown: _Shown) -> Payload | None:
        """The files of a volume that shows something; None for another one. Raises VolumeFailure."""
        objects, group = shown.objects, pod.spec.security_context.fs_group
        if volume.config_map is not None:
            config_map = objects.config_maps.get(volume.config_map.name)
            return for_group(config_map_payload(volume.config_map, config_map), group)
        if volume.secret is not None:
            secret = objects.secrets.get(volume.secret.secret_name)
            return for_group(secret_payload(volume.secret, secret), group)
        if volume.downward_api is not None:
            return downward_api_payload(volume.downward_api, pod, self._node)
        if volume.projected is not None:
            return projected_payload(volume.projected, pod, objects, shown.tokens, self._node)
        return None

    def _mounts(self, pod: Pod, container: Container, variables: Mapping[str, str]) -> tuple[Mount, ...]:
        paths = self.paths(pod.metadata.uid)
        sources: dict[str, Mount] = {}
        for volume in pod.spec.volumes:
            if volume.host_path is not None:
                sources[volume.name] = Mount(volume.host_path.path, "")
            elif volume.secret is not None or volume.projected is not None:
                sources[volume.name] = Mount(str(paths.secret(volume.name)), "", read_only=True)
            else:
                read_only = volume.config_map is not None or volume.downward_api is not None
                sources[volume.name] = Mount(str(paths.volume(volume.name)), "", read_only=read_only)
        return container_mounts(
            pod, container, sources, paths, variables, recursive_read_only=self._recursive_read_only
        )

    def _cleanup(self, uid: str) -> None:
        paths = self.paths(uid)
        if paths.root.exists():
            unmount_below(paths.root)
            shutil.rmtree(paths.root)
        if paths.memory.exists():
            shutil.rmtree(paths.memory)

    def _kept_tokens(self, pod: Pod) -> Tokens | None:
        """The tokens that the pod's files hold; None where one is missing."""
        paths, kept = self.paths(pod.metadata.uid), {}
        for volume in pod.spec.volumes:
            for source in volume.projected.sources if volume.projected is not None else ():
                if (token := source.service_account_token) is not None:
                    try:
                        kept[token] = (paths.secret(volume.name) / token.path).read_text()
                    except OSError:
                        return None
        return kept

    # --- objects

    async def _fetch(self, pod: Pod, max_age: float | None) -> _Shown:
        meta = pod.metadata
        try:
            objects = await self._objects.get(meta.uid, meta.namespace, volume_references(pod), max_age=max_age)
        except StatusError as error:
            raise VolumeFailure(f"an object that a volume shows cannot be read: {error.message}") from error
        try:
            return _Shown(objects, await self._tokens.of(pod))
        except StatusError as error:
            if not isinstance(error, Forbidden | NotFound):
                kept = await asyncio.to_thread(self._kept_tokens, pod)
                if kept is not None:  # the server is away: a container that crashed meanwhile starts again with these
                    return _Shown(objects, kept)
            account = f'"{meta.namespace}"/"{pod.spec.service_account_name}"'
            raise VolumeFailure(f"failed to fetch token of service account {account}: {error.message}") from error
