"""The Client protocol on the verbs themselves, for the parts that run inside the server.

Reads give the structs that the watch cache holds, decoded once for everybody; nothing is copied and nothing goes
over a socket. Writes go through the same steps as a request's, without authorization: the control plane may all.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from typing import Any, TypeVar

import msgspec

from controlplane.apiserver.api import ApiServer
from controlplane.apiserver.identity import CONTROL_PLANE, User
from controlplane.apiserver.kinds.base import Kind
from controlplane.apiserver.request import DeleteOptions, ListOptions, Request, WriteOptions
from controlplane.apiserver.resource_cache import Entry
from controlplane.apiserver.unserved import nothing
from controlplane.apiserver.verbs import bind, delete, patch, read, scale, watch, write
from shared.api.errors import MethodNotAllowed, StatusError
from shared.api.kinds import PODS, Resource
from shared.api.meta import JSON, Object, ObjectMeta
from shared.client.base import Binding, EventType, ObjectList, PatchType, WatchEvent

T = TypeVar("T", bound=Object)

logger = logging.getLogger(__name__)

_OPTIONS = WriteOptions(field_validation="Ignore", field_manager="longboat")


class LocalClient:
    """See ``shared.client.base.Client``. Safe for concurrent use from the server's event loop."""

    def __init__(self, api: ApiServer, user: User = CONTROL_PLANE) -> None:
        self._api, self._user = api, user

    async def get(self, resource: Resource[T], name: str, namespace: str = "") -> T:
        entry = await read.get(self._api, self._request(resource, namespace, name))
        obj: T = entry.object
        return obj

    async def list(
        self,
        resource: Resource[T],
        namespace: str = "",
        *,
        label_selector: str = "",
        field_selector: str = "",
        resource_version: str = "",
    ) -> ObjectList[T]:
        options = ListOptions(label_selector, field_selector, resource_version)
        page = await read.list_(self._api, self._request(resource, namespace), options)
        items = [obj for entry in page.entries if (obj := _readable(entry)) is not None]
        return ObjectList(items, str(page.revision))

    async def watch(
        self,
        resource: Resource[T],
        namespace: str = "",
        *,
        resource_version: str,
        label_selector: str = "",
        field_selector: str = "",
    ) -> AsyncIterator[WatchEvent[T]]:
        options = ListOptions(label_selector, field_selector, resource_version, allow_bookmarks=True)
        stream = await watch.watch(self._api, self._request(resource, namespace), options)
        try:
            async with aclosing(stream.batches()) as batches:
                async for batch in batches:
                    for type_, entry in batch.events:
                        if (obj := _readable(entry)) is not None:
                            yield WatchEvent(type_, obj)
                    if batch.bookmark:
                        meta = ObjectMeta(resource_version=str(batch.bookmark))
                        yield WatchEvent(EventType.BOOKMARK, resource.type(metadata=meta))
        finally:
            stream.close()

    async def create(
        self, resource: Resource[T], obj: JSON, namespace: str = "", *, name: str = "", subresource: str = ""
    ) -> JSON:
        namespace = namespace or (obj.get("metadata") or {}).get("namespace", "")
        request = self._request(resource, namespace, name, subresource)
        if subresource == "binding":
            return (await bind.bind(self._api, request, obj)).tree()
        return (await write.create(self._api, request, _own(obj))).tree()

    async def replace(self, resource: Resource[T], obj: JSON, *, subresource: str = "") -> JSON:
        meta = obj.get("metadata") or {}
        request = self._request(resource, meta.get("namespace", ""), meta.get("name", ""), subresource)
        if subresource == "scale":
            return (await scale.update(self._api, request, obj)).tree()
        return (await write.update(self._api, request, _own(obj))).tree()

    async def patch(
        self,
        resource: Resource[T],
        name: str,
        patch_: Any,
        namespace: str = "",
        *,
        type: PatchType = PatchType.MERGE,
        subresource: str = "",
    ) -> JSON:
        request = self._request(resource, namespace, name, subresource)
        if subresource == "scale":
            return (await scale.patch(self._api, request, type.value, patch_)).tree()
        return (await patch.patch(self._api, request, type.value, patch_)).tree()

    async def delete(
        self,
        resource: Resource[T],
        name: str,
        namespace: str = "",
        *,
        grace_period_seconds: int | None = None,
        propagation_policy: str | None = None,
        uid: str = "",
        resource_version: str = "",
    ) -> None:
        options = DeleteOptions(grace_period_seconds, propagation_policy or "", uid, resource_version)
        await delete.delete(self._api, self._request(resource, namespace, name), options)

    async def bind(self, bindings: Sequence[Binding]) -> Sequence[StatusError | None]:
        return await bind.bind_many(self._api, self._request(PODS, ""), bindings)

    def _request(self, resource: Resource[Any], namespace: str, name: str = "", subresource: str = "") -> Request:
        kind = self.kind_of(resource)
        if subresource and not any(sub.name == subresource for sub in kind.subresources):
            raise nothing()
        if not resource.namespaced:
            namespace = ""
        return Request(self._user, kind, namespace, name, subresource, _OPTIONS)

    def kind_of(self, resource: Resource[Any]) -> Kind:
        """The row of a resource. Raises MethodNotAllowed when it is not served."""
        kind = self._api.kind(resource.group, resource.version, resource.plural)
        if kind is None:
            raise MethodNotAllowed(f"{resource.group_resource} is not served")
        return kind


def _own(obj: JSON) -> JSON:
    """A copy for the verbs to change; callers keep theirs."""
    return {**obj, "metadata": {**(obj.get("metadata") or {})}}


def _readable(entry: Entry) -> Any:
    """The struct, or None when the object does not fit it, which must not blind its readers to all the others."""
    try:
        return entry.object
    except msgspec.ValidationError as error:
        logger.error(
            "an object cannot be read and is left out",
            extra={"resource": entry.cache.kind.resource.group_resource, "object": entry.key, "cause": str(error)},
        )
        return None
