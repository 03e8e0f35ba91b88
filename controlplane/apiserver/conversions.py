"""Reads and writes of kinds in other versions than the stored one, through a conversion webhook where there is one.

Owns which conversions are under way, so that twenty readers of one new object ask the webhook once; what was converted
is kept by the entries (``versions``). Reads are of what the watch cache holds when they begin. On the event loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Protocol

from controlplane.apiserver.cache import WatchCache
from controlplane.apiserver.encoding import stored
from controlplane.apiserver.kinds.base import Kind
from controlplane.apiserver.resource_cache import Entry, Event, restamped
from controlplane.apiserver.versions import VersionView, written
from shared import codec
from shared.api.errors import InternalError, StatusError
from shared.api.meta import JSON
from shared.client.base import EventType


class Convert(Protocol):
    """Asks a webhook; see ``webhooks.conversion``."""

    async def __call__(self, webhook: JSON, trees: Sequence[JSON], api_version: str) -> list[JSON]:
        """``trees`` of one kind, none of them of ``api_version``, as that one shows them, in their order.

        ``webhook`` is ``spec.conversion.webhook`` of a CustomResourceDefinition. Raises StatusError.
        """
        ...


async def nobody(webhook: JSON, trees: Sequence[JSON], api_version: str) -> list[JSON]:
    """A ``Convert`` of a server that asks no webhooks."""
    raise InternalError(f"conversion to {api_version} failed: this server asks no webhooks")


class Conversions:
    """See the module. ``convert`` is set by whoever wires the server."""

    def __init__(self, cache: WatchCache) -> None:
        self._cache = cache
        self._flights: dict[tuple[VersionView, Entry], asyncio.Future[StatusError | None]] = {}
        self.convert: Convert = nobody

    async def show(self, kind: Kind, entries: list[Entry]) -> list[Entry]:
        """Entries of what is stored as ``kind`` shows them. Raises StatusError when a webhook cannot say."""
        if not kind.is_view:
            return entries
        view = self._cache.view(kind)
        if kind.conversion is not None:
            await self._fill(view, kind.conversion, entries)
        return [view.shown(entry) for entry in entries]

    async def tell(self, kind: Kind, events: list[Event], *, before: bool) -> list[Event]:
        """Changes of what is stored as ``kind`` tells them, with what was ``before`` them where that is wanted.
        Raises StatusError when a webhook cannot say."""
        read: list[Entry] = []
        for event in events:
            if event.previous is not None and (before or event.type is EventType.DELETED):
                read.append(event.previous)
            if event.type is not EventType.DELETED:
                read.append(event.entry)
        shown = dict(zip(read, await self.show(kind, read), strict=True))
        told: list[Event] = []
        for event in events:
            previous = None if event.previous is None else shown.get(event.previous)
            # What is deleted is what was there before, under the deletion's revision: asked for once.
            gone = event.type is EventType.DELETED and previous is not None
            entry = restamped(previous, event.revision) if gone and previous else shown[event.entry]
            told.append(Event(event.type, entry, previous))
        return told

    async def written(self, kind: Kind, tree: JSON) -> tuple[bytes, bytes]:
        """``versions.written``, also where a webhook has to convert. Raises StatusError when it cannot."""
        if kind.conversion is None or kind.to_stored is None or kind.from_stored is None:
            return written(kind, tree)
        resource, kept = kind.resource, kind.stored_as.resource
        (made,) = await self.convert(kind.conversion, [codec.decode(stored(resource, tree))], kept.api_version)
        data = stored(kept, kind.to_stored(made))
        (back,) = await self.convert(kind.conversion, [codec.decode(data)], resource.api_version)
        return stored(resource, kind.from_stored(back)), data

    async def _fill(self, view: VersionView, webhook: JSON, entries: Iterable[Entry]) -> None:
        """Have every entry that needs the webhook converted. Whoever comes while one is asked for waits for that
        answer, good or bad; when its asker went away the next one asks."""
        wanted = dict.fromkeys(entry for entry in entries if view.needs_webhook(entry))
        while missing := [entry for entry in wanted if view.known(entry) is None]:
            flights = {flight for entry in missing if (flight := self._flights.get((view, entry))) is not None}
            if not flights:
                await self._fly(view, webhook, missing)
                return
            for flight in flights:
                if (error := await asyncio.shield(flight)) is not None:
                    raise error

    async def _fly(self, view: VersionView, webhook: JSON, missing: list[Entry]) -> None:
        flight: asyncio.Future[StatusError | None] = asyncio.get_running_loop().create_future()
        for entry in missing:
            self._flights[view, entry] = flight
        failure: StatusError | None = None
        try:
            trees = [entry.tree() for entry in missing]
            made = await self.convert(webhook, trees, view.kind.resource.api_version)
            for entry, tree in zip(missing, made, strict=True):
                view.keep(entry, tree)
        except StatusError as error:
            failure = error
            raise
        finally:
            for entry in missing:
                del self._flights[view, entry]
            flight.set_result(failure)
