"""Claims that pods use, and volumes that are bound to claims, outlive their deletion until nobody needs them.

Writes one finalizer each, kubernetes.io/pvc-protection and kubernetes.io/pv-protection: puts it on where it is
missing, takes it off what is being deleted and not in use. After k8s.io/kubernetes
pkg/controller/volume/{pvcprotection,pvprotection}. One sync at a time for each object.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from controlplane.controllers.base import Context, Key, Watch
from controlplane.controllers.writes import Patch, apply
from shared.api.kinds import PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, PODS, Resource
from shared.api.meta import Object
from shared.api.pod import Pod
from shared.client.base import Client

CLAIM_PROTECTION, VOLUME_PROTECTION = "kubernetes.io/pvc-protection", "kubernetes.io/pv-protection"
_CLAIM = "claim"


def decide(resource: Resource[Any], obj: Object, finalizer: str, *, used: bool) -> Patch | None:
    """Put the finalizer on, or take it off."""
    meta = obj.metadata
    has, going = finalizer in meta.finalizers, meta.deletion_timestamp is not None
    if going and has and not used:
        finalizers = [each for each in meta.finalizers if each != finalizer]
    elif not going and not has:
        finalizers = [*meta.finalizers, finalizer]
    else:
        return None
    patch = {"metadata": {"resourceVersion": meta.resource_version, "uid": meta.uid, "finalizers": finalizers}}
    return Patch(resource, meta.name, patch, meta.namespace)


def claims_of(pod: Pod) -> Iterable[str]:
    """``namespace/name`` of the claims that a pod uses; one that is on no node yet uses none, and may be refused."""
    if not pod.spec.node_name:
        return
    for volume in pod.spec.volumes:
        if volume.persistent_volume_claim is not None:
            yield f"{pod.metadata.namespace}/{volume.persistent_volume_claim.claim_name}"
        elif volume.ephemeral is not None:
            yield f"{pod.metadata.namespace}/{pod.metadata.name}-{volume.name}"


class ClaimProtection:
    """See the module."""

    name = "pvc-protection"

    def __init__(self, context: Context) -> None:
        self._client: Client = context.client
        self._claims = context.informers.cache(PERSISTENT_VOLUME_CLAIMS)
        self._pods = context.informers.cache(PODS)
        self._pods.add_index(_CLAIM, claims_of)

    def watches(self) -> Sequence[Watch]:
        return Watch(PERSISTENT_VOLUME_CLAIMS, _own), Watch(PODS, self._gone)

    def _gone(self, old: Pod | None, new: Pod | None) -> Iterable[Key]:
        """The claims that a pod used and uses no longer."""
        if old is None:
            return
        held = set(claims_of(new)) if new is not None and new.metadata.uid == old.metadata.uid else set()
        for key in claims_of(old):
            if key not in held:
                namespace, _, name = key.partition("/")
                yield namespace, name

    async def sync(self, key: Key) -> float | None:
        """See ``Controller.sync``; the key is a claim's."""
        namespace, name = key
        claim = self._claims.get(name, namespace)
        if claim is None:
            return None
        used = bool(self._pods.by_index(_CLAIM, f"{namespace}/{name}"))
        if used or claim.metadata.deletion_timestamp is None:
            write = decide(PERSISTENT_VOLUME_CLAIMS, claim, CLAIM_PROTECTION, used=used)
        else:
            # The informer may be behind: before the claim goes, the API itself is asked.
            listed = (await self._client.list(PODS, namespace)).items
            used = any(f"{namespace}/{name}" in claims_of(pod) for pod in listed)
            write = decide(PERSISTENT_VOLUME_CLAIMS, claim, CLAIM_PROTECTION, used=used)
        if write is not None:
            await apply(self._client, (write,))
        return None


class VolumeProtection:
    """See the module."""

    name = "pv-protection"

    def __init__(self, context: Context) -> None:
        self._client: Client = context.client
        self._volumes = context.informers.cache(PERSISTENT_VOLUMES)

    def watches(self) -> Sequence[Watch]:
        return (Watch(PERSISTENT_VOLUMES, _own),)

    async def sync(self, key: Key) -> float | None:
        """See ``Controller.sync``; the key is a volume's."""
        volume = self._volumes.get(key[1])
        if volume is None:
            return None
        used = volume.status.phase == "Bound"
        write = decide(PERSISTENT_VOLUMES, volume, VOLUME_PROTECTION, used=used)
        if write is not None:
            await apply(self._client, (write,))
        return None


def _own(old: Object | None, new: Object | None) -> Iterable[Key]:
    return () if new is None else ((new.metadata.namespace, new.metadata.name),)
