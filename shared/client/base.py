"""The Client protocol: the API's verbs as controllers, the scheduler, agents and the command line call them.

Two implementations: ``shared.client.http.HttpClient`` over the wire, and the API server's own local client,
which calls the same verbs without HTTP. Every method raises the classes of ``shared.api.errors``, and nothing
of the transport's own. All are safe to call concurrently from one event loop.

Reads give frozen structs; objects from a watch may be shared, so they are never changed in place. Writes take
and give JSON trees, since a struct holds only the fields that we use.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Generic, Protocol, TypeVar

from shared.api.errors import StatusError
from shared.api.kinds import Resource
from shared.api.meta import JSON, Object

T = TypeVar("T", bound=Object)


class PatchType(StrEnum):
    """Content types of PATCH."""

    JSON = "application/json-patch+json"
    MERGE = "application/merge-patch+json"
    STRATEGIC = "application/strategic-merge-patch+json"


class EventType(StrEnum):
    ADDED = "ADDED"
    MODIFIED = "MODIFIED"
    DELETED = "DELETED"
    BOOKMARK = "BOOKMARK"


@dataclass(frozen=True, slots=True)
class ObjectList(Generic[T]):
    """A list and the revision that it is true at; ``continue_`` is set when a limit cut it short."""

    items: Sequence[T]
    resource_version: str
    continue_: str = ""


@dataclass(frozen=True, slots=True)
class WatchEvent(Generic[T]):
    """One change. Of a BOOKMARK only ``object.metadata.resource_version`` means anything."""

    type: EventType
    object: T


class Client(Protocol):
    """The verbs. ``namespace`` is empty for cluster-scoped kinds, and for lists over all namespaces."""

    async def get(self, resource: Resource[T], name: str, namespace: str = "") -> T:
        """One object. Raises NotFound."""
        ...

    async def list(
        self,
        resource: Resource[T],
        namespace: str = "",
        *,
        label_selector: str = "",
        field_selector: str = "",
        resource_version: str = "",
    ) -> ObjectList[T]:
        """All objects that match; an HTTP client follows ``continue`` itself."""
        ...

    def watch(
        self,
        resource: Resource[T],
        namespace: str = "",
        *,
        resource_version: str,
        label_selector: str = "",
        field_selector: str = "",
    ) -> AsyncIterator[WatchEvent[T]]:
        """Changes after ``resource_version``, in order, each once, with bookmarks; ends when the server ends it.

        Raises Expired when the history no longer reaches back so far: list again.
        """
        ...

    async def create(
        self, resource: Resource[T], obj: JSON, namespace: str = "", *, name: str = "", subresource: str = ""
    ) -> JSON:
        """Create ``obj``, or with ``name`` and ``subresource`` POST to that (binding). Raises AlreadyExists."""
        ...

    async def replace(self, resource: Resource[T], obj: JSON, *, subresource: str = "") -> JSON:
        """PUT ``obj`` at its own name and namespace. Raises Conflict on a stale resourceVersion."""
        ...

    async def patch(
        self,
        resource: Resource[T],
        name: str,
        patch: Any,
        namespace: str = "",
        *,
        type: PatchType = PatchType.MERGE,
        subresource: str = "",
    ) -> JSON:
        """Patch one object; with ``metadata.resourceVersion`` in the patch, only that version (Conflict)."""
        ...

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
        """Delete one object; ``uid`` and ``resource_version`` are preconditions (Conflict). Raises NotFound."""
        ...

    async def bind(self, bindings: Sequence[Binding]) -> Sequence[StatusError | None]:
        """Bind pods to nodes (pods/binding), in one transaction where the client can; an outcome for each."""
        ...


@dataclass(frozen=True, slots=True)
class Binding:
    """A decision of the scheduler; ``uid`` guards against a pod of the same name made since."""

    namespace: str
    name: str
    uid: str
    node: str
