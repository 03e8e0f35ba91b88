"""watch: a stream of batches of events, with bookmarks, until its time is over or the server ends it.

The stream holds selected entries, not text: the HTTP side sends their bytes, the local client their structs.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass

from controlplane.apiserver.api import ApiServer
from controlplane.apiserver.kinds.base import Kind
from controlplane.apiserver.request import ListOptions, Request
from controlplane.apiserver.resource_cache import Event
from controlplane.apiserver.verbs.read import _invalid, parse_revision, selection
from controlplane.apiserver.watching import Selected, Selection, ViewWatch, Watch
from shared.api.errors import Expired

BOOKMARK_SECONDS = 60.0
"""How often a watch that asked for bookmarks gets one (the cacher's defaultBookmarkFrequency)."""

TIMEOUT_SECONDS = 1800
"""A watch without timeoutSeconds lives this long to twice as long, at random so that not all return at once
(kube-apiserver's --min-request-timeout)."""

GATHER_SECONDS, GATHER_MOST = 0.02, 0.04
"""After events were sent to somebody far away, those that follow gather this long. The first after a pause goes out at
once. In a storm of writes twenty watches cost a quarter as much, since each send over TLS costs as much as ten events:
so the time doubles, up to ``GATHER_MOST``, while ``STORM`` or more come together."""

STORM = 10
"""Events that gathered which make the next ones gather longer: 500 a second."""

LOOK_SECONDS = 10.0
"""How often an idle stream gives its reader an empty batch, to see whether the client is still there."""


def gather_for(last: float, events: int) -> float:
    """How many seconds the next events gather, when ``events`` came in the ``last`` ones."""
    return min(2 * last, GATHER_MOST) if events >= STORM else GATHER_SECONDS


@dataclass(frozen=True, slots=True)
class Batch:
    """Events in order; after them, where ``bookmark`` is not 0, a bookmark of that revision.

    ``initial_end`` marks the bookmark that follows the initial events of a streaming list (KEP-3157).
    """

    events: list[Selected]
    bookmark: int = 0
    initial_end: bool = False


class WatchStream:
    """An open watch; iterate ``batches`` once, then ``close``."""

    def __init__(self, watch: Watch, seconds: float, bookmarks: bool, initial_bookmark: bool) -> None:
        self._watch, self._seconds = watch, seconds
        self._bookmarks, self._initial_bookmark = bookmarks, initial_bookmark

    async def batches(self, *, gather: bool = False) -> AsyncGenerator[Batch, None]:
        """Batches until the timeout, the server's end, or ``close``. An empty one now and then says: still here. Raises
        StatusError when objects of another version cannot be converted.

        Those that ``gather`` come some time after one another, so that many small ones become one.
        """
        loop, watch = asyncio.get_running_loop(), self._watch
        deadline = loop.time() + self._seconds
        bookmark_at = loop.time() + BOOKMARK_SECONDS
        awaiting_initial = self._initial_bookmark
        not_before, gathering = 0.0, GATHER_SECONDS
        while True:
            if awaiting_initial and (revision := watch.revision):
                awaiting_initial = False
                yield Batch([], revision, initial_end=True)
            now = loop.time()
            wait = max(0.0, min(deadline - now, bookmark_at - now, LOOK_SECONDS))
            events = await watch.next(wait, not_before=not_before)
            if events is None:
                return
            now = loop.time()
            bookmark = 0
            if self._bookmarks and (now >= bookmark_at or now >= deadline) and not awaiting_initial:
                bookmark = watch.revision
                bookmark_at = now + BOOKMARK_SECONDS
            elif now >= bookmark_at:
                bookmark_at = now + BOOKMARK_SECONDS
            yield Batch(events, bookmark)
            if gather:
                gathering = gather_for(gathering, len(events))
                not_before = loop.time() + gathering
            if now >= deadline and not (awaiting_initial and events):
                return

    def close(self) -> None:
        self._watch.close()


async def watch(api: ApiServer, request: Request, options: ListOptions) -> WatchStream:
    """Open a watch. ``resourceVersion`` empty or ``0`` begins with every object as ADDED; N with what came after N.

    Raises BadRequest, Invalid, Expired (N is older than the kept history), Timeout (N is in the future).
    """
    chosen = selection(request.kind, request.namespace, options.label_selector, options.field_selector)
    streaming_list = _check_initial_events(options)
    revision = parse_revision(options.resource_version)
    if revision:
        await api.fresh(revision)
    opened = _watch(api, request.kind, chosen)
    if revision and not streaming_list:
        opened.open_at(revision)
    elif options.send_initial_events is False:
        opened.open_at(api.cache.revision)
    else:
        opened.open_now()
    if not api.cache.ready:
        opened.close()
        raise Expired("the server's watch cache is starting over")
    seconds = options.timeout_seconds
    if not seconds or seconds < 0:
        seconds = api.rng.randint(TIMEOUT_SECONDS, 2 * TIMEOUT_SECONDS)
    return WatchStream(opened, float(seconds), options.allow_bookmarks, streaming_list and options.allow_bookmarks)


def _watch(api: ApiServer, kind: Kind, chosen: Selection) -> Watch:
    if not kind.is_view:
        return Watch(api.cache, api.of(kind), chosen)

    async def tell(events: list[Event], before: bool) -> list[Event]:
        return await api.conversions.tell(kind, events, before=before)

    return ViewWatch(api.cache, api.of(kind), chosen, tell)


def _check_initial_events(options: ListOptions) -> bool:
    """Whether a streaming list is asked for; metav1's ValidateListOptions for a watch."""
    match = options.resource_version_match
    if options.send_initial_events is None:
        if match:
            raise _invalid("resourceVersionMatch", "Forbidden: resourceVersionMatch is forbidden for watch unless "
                           "sendInitialEvents is provided")  # fmt: skip
        return False
    if match != "NotOlderThan":
        raise _invalid("resourceVersionMatch", "Forbidden: sendInitialEvents requires setting resourceVersionMatch to "
                       "NotOlderThan")  # fmt: skip
    return options.send_initial_events
