"""Writes core/v1 Events about objects, so that people can see what controllers did.

Owns a bounded queue and one task that writes; never blocks, fails or slows the caller: what does not fit is
dropped and counted. The rules are those of client-go's tools/record/events_cache.go:

- the same event again (source, object, type, reason, message) raises ``count`` of the earlier one;
- from the tenth different message of one reason in ten minutes on, they share one event, whose message begins
  with "(combined from similar events): ";
- one object gets ``BURST`` new or changed events from one source at once, then one every five minutes.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from prometheus_client import Counter

from shared.api import kinds
from shared.api.errors import InternalError, NotFound, ServiceUnavailable, StatusError, Timeout, TooManyRequests
from shared.api.kinds import EVENTS, Resource
from shared.api.meta import JSON, Object, timestamp
from shared.client.base import Client
from shared.work.backoff import Backoff
from shared.work.clock import Clock

logger = logging.getLogger(__name__)

BURST, REFILL = 25, 300.0
"""Tokens of an object and source, and seconds for one more."""
SIMILAR, SIMILAR_WINDOW = 10, 600.0
"""Different messages of one reason before they are combined, and seconds that a row of them may pause."""
REMEMBERED = 4096
"""How many events, rows and token buckets are remembered, each."""
ATTEMPTS = 5

WRITTEN = Counter("longboat_events_total", "Events written, by whether a new one or a repeat.", ["kind"])
DROPPED = Counter("longboat_events_dropped_total", "Events that were not written.", ["reason"])

_RETRIED = (InternalError, ServiceUnavailable, Timeout, TooManyRequests)
_RESOURCES: dict[type[Object], Resource[Any]] = {r.type: r for r in kinds.ALL if r.type is not Object}

V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class Happening:
    """One call of ``event``, with all that the Event will say."""

    source: str
    about: tuple[str, str, str, str, str, str]
    """apiVersion, kind, namespace, name, uid, resourceVersion."""
    type: str
    reason: str
    message: str
    when: str

    @property
    def subject(self) -> tuple[str, ...]:
        """Who speaks of whom: what ``BURST`` limits."""
        return (self.source, *self.about[:5])


@dataclass(slots=True)
class _Row:
    messages: set[str] = field(default_factory=set)
    last: float = 0.0


@dataclass(slots=True)
class _Bucket:
    tokens: float
    filled: float


class Recorder:
    """Implements ``controllers.base.EventRecorder``; ``run`` does the writing. ``limit`` bounds the queue."""

    def __init__(
        self,
        client: Client,
        clock: Clock,
        source: str = "longboat",
        *,
        limit: int = 1000,
        rng: random.Random | None = None,
    ) -> None:
        self._client, self._clock, self._source = client, clock, source
        self._rng = rng or random.Random()  # noqa: S311 - names, not secrets
        self._queue: asyncio.Queue[Happening] = asyncio.Queue(limit)
        self._written: _Recent[tuple[str, JSON]] = _Recent(REMEMBERED)
        self._rows: _Recent[_Row] = _Recent(REMEMBERED)
        self._buckets: _Recent[_Bucket] = _Recent(REMEMBERED)
        self._backoff = Backoff(0.5, 30.0)

    def named(self, source: str) -> Named:
        """A recorder whose events come from ``source``, such as ``deployment-controller``; it shares the queue."""
        return Named(self, source)

    def event(self, about: Object, type: str, reason: str, message: str) -> None:
        """Write soon, from this recorder's own source; see ``EventRecorder``."""
        self.record(self._source, about, type, reason, message)

    def record(self, source: str, about: Object, type: str, reason: str, message: str) -> None:
        """Put an event on the queue; drop it when that is full."""
        meta, resource = about.metadata, _RESOURCES.get(about.__class__)
        api_version = about.api_version or (resource.api_version if resource else "")
        kind = about.kind or (resource.kind if resource else "")
        reference = (api_version, kind, meta.namespace, meta.name, meta.uid, meta.resource_version)
        happening = Happening(source, reference, type, reason, message, timestamp(self._clock.now()))
        try:
            self._queue.put_nowait(happening)
        except asyncio.QueueFull:
            DROPPED.labels("queue full").inc()

    async def run(self) -> None:
        """Write what is on the queue, until cancelled."""
        while True:
            happening = await self._queue.get()
            try:
                await self._write(happening)
            finally:
                self._queue.task_done()

    async def flush(self) -> None:
        """Return when everything recorded so far is written or dropped."""
        await self._queue.join()

    async def _write(self, happening: Happening) -> None:
        key, message = self._combine(happening)
        if not self._allowed(happening):
            DROPPED.labels("too many").inc()
            return
        for attempt in range(ATTEMPTS):
            try:
                await self._send(key, happening, message)
                return
            except _RETRIED as error:
                if attempt == ATTEMPTS - 1:
                    self._refused(happening, error)
                    return
                await asyncio.sleep(self._backoff.delay(attempt, self._rng))
            except StatusError as error:  # such as Forbidden in a namespace that is being deleted
                self._refused(happening, error)
                return

    def _refused(self, happening: Happening, error: StatusError) -> None:
        DROPPED.labels("refused").inc()
        extra = {"event": happening.reason, "reason": error.reason, "error": error.message}
        logger.debug("event was refused", extra=extra)

    async def _send(self, key: tuple[str, ...], happening: Happening, message: str) -> None:
        earlier = self._written.get(key)
        namespace = happening.about[2] or "default"
        if earlier is not None:
            name, said = earlier
            said = {"count": said["count"] + 1, "lastTimestamp": happening.when, "message": message}
            try:
                await self._client.patch(EVENTS, name, said, namespace)
            except NotFound:  # its time was over, or someone deleted it: begin a new one
                self._written.forget(key)
            else:
                self._written.put(key, (name, said))
                WRITTEN.labels("repeat").inc()
                return
        obj = self._object(happening, message, namespace)
        await self._client.create(EVENTS, obj, namespace)
        self._written.put(key, (obj["metadata"]["name"], {"count": 1}))
        WRITTEN.labels("new").inc()

    def _object(self, happening: Happening, message: str, namespace: str) -> JSON:
        api_version, kind, about_namespace, name, uid, version = happening.about
        involved = {
            "kind": kind, "namespace": about_namespace, "name": name, "uid": uid, "apiVersion": api_version,
            "resourceVersion": version,
        }  # fmt: skip
        suffix = f"{self._rng.getrandbits(64):016x}"
        return {
            "kind": "Event",
            "apiVersion": "v1",
            "metadata": {"name": f"{name[: 253 - len(suffix) - 1]}.{suffix}", "namespace": namespace},
            "involvedObject": {key: value for key, value in involved.items() if value},
            "reason": happening.reason,
            "message": message,
            "source": {"component": happening.source},
            "firstTimestamp": happening.when,
            "lastTimestamp": happening.when,
            "count": 1,
            "type": happening.type,
            "eventTime": None,
            "reportingComponent": happening.source,
            "reportingInstance": "",
        }

    def _combine(self, happening: Happening) -> tuple[tuple[str, ...], str]:
        """The key that repeats share, and the message: combined when one reason has said too many things."""
        now = self._clock.monotonic()
        row_key = (*happening.subject, happening.type, happening.reason)
        row = self._rows.get(row_key)
        if row is None or now - row.last > SIMILAR_WINDOW:
            row = _Row()
        row.last = now
        if len(row.messages) < SIMILAR:
            row.messages.add(happening.message)
        self._rows.put(row_key, row)
        if len(row.messages) < SIMILAR:
            return (*row_key, happening.message), happening.message
        return row_key, f"(combined from similar events): {happening.message}"

    def _allowed(self, happening: Happening) -> bool:
        now = self._clock.monotonic()
        bucket = self._buckets.get(happening.subject) or _Bucket(BURST, now)
        bucket.tokens = min(BURST, bucket.tokens + (now - bucket.filled) / REFILL)
        bucket.filled = now
        self._buckets.put(happening.subject, bucket)
        if bucket.tokens < 1:
            return False
        bucket.tokens -= 1
        return True


@dataclass(frozen=True, slots=True)
class Named:
    """A Recorder with a source of its own."""

    recorder: Recorder
    source: str

    def event(self, about: Object, type: str, reason: str, message: str) -> None:
        """See ``EventRecorder``."""
        self.recorder.record(self.source, about, type, reason, message)


class _Recent(Generic[V]):
    """A dictionary of the ``limit`` keys used last."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._values: OrderedDict[tuple[str, ...], V] = OrderedDict()

    def get(self, key: tuple[str, ...]) -> V | None:
        if key in self._values:
            self._values.move_to_end(key)
        return self._values.get(key)

    def put(self, key: tuple[str, ...], value: V) -> None:
        self._values[key] = value
        self._values.move_to_end(key)
        if len(self._values) > self._limit:
            self._values.popitem(last=False)

    def forget(self, key: tuple[str, ...]) -> None:
        self._values.pop(key, None)
