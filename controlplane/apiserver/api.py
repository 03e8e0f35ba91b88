"""What the verbs work on: the store, the watch cache, the registry of kinds, time and randomness.

Owns nothing else; each verb is a function in ``verbs`` that takes an ``ApiServer`` first. One event loop.
"""

from __future__ import annotations

import asyncio
import ipaddress
import random
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Protocol
from weakref import WeakValueDictionary

from controlplane.apiserver.cache import WatchCache
from controlplane.apiserver.cel.authorization import Decide
from controlplane.apiserver.conversions import Conversions
from controlplane.apiserver.custom.serving import CustomKinds
from controlplane.apiserver.encoding import storage_key
from controlplane.apiserver.expiry import EventLeases
from controlplane.apiserver.health import Health
from controlplane.apiserver.identity import User
from controlplane.apiserver.invocations import Invocations
from controlplane.apiserver.kinds.base import Kind
from controlplane.apiserver.registry import Registry
from controlplane.apiserver.request import Request
from controlplane.apiserver.resource_cache import Entry, ResourceCache
from controlplane.apiserver.stored_objects import StoredObjects
from controlplane.store.base import (
    Compare,
    Delete,
    LeaseNotFound,
    Put,
    Store,
    StoreError,
    StoreFull,
    StoreUnavailable,
    TxnResult,
)
from shared.api.errors import Cause, InternalError, NotFound, ServiceUnavailable, Timeout
from shared.api.kinds import EVENTS
from shared.api.meta import JSON, timestamp
from shared.work.clock import Clock, SystemClock

SUFFIX_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
"""Of generated names: no vowels, so no words; no look-alikes (k8s.io/apimachinery/pkg/util/rand)."""

_UUID_RANDOM = ~(0xF000 << 64 | 0xC000 << 48)
_UUID_VERSION_4 = 0x4000 << 64 | 0x8000 << 48

FRESH_WAIT = 3.0
"""Seconds that a read waits for a resourceVersion that is not here yet (the watch cache's blockTimeout)."""


Restriction = Callable[[User, str, str, JSON, JSON | None], None]
"""``(user, group, plural, new, old)``; ``old`` is None for a creation. Raises Forbidden, NotFound."""


class DynamicAdmission(Protocol):
    """Admission that the cluster's users have set up, which may ask others: webhooks, policies."""

    def concerns(self, request: Request, operation: str) -> bool:
        """Whether it might have a say about an operation (``verbs.admit``) on this kind; cheap, and always asked."""
        ...

    async def mutate(
        self, request: Request, operation: str, obj: JSON, old: JSON | None, invocations: Invocations
    ) -> JSON:
        """The object with its changes; ``obj`` itself when there are none. Asked a second time where ``invocations``
        says that somebody is to be invoked again. Raises StatusError to refuse."""
        ...

    async def validate(self, request: Request, operation: str, obj: JSON | None, old: JSON | None) -> None:
        """Raises StatusError to refuse."""
        ...


class ApiServer:
    """Construct, give ``run()`` to a supervisor, await ``ready()``; ``close()`` ends the watches.

    ``history`` is how many events of each resource a watch may reach back; ``toleration_seconds`` how long pods stay
    bound to a lost node where they do not say so themselves; ``event_ttl`` how many seconds Events are kept;
    ``service_cidr`` what Services get their addresses from, None for none.
    """

    def __init__(
        self,
        store: Store,
        kinds: Iterable[Kind],
        *,
        clock: Clock | None = None,
        rng: random.Random | None = None,
        history: int = 10_000,
        toleration_seconds: int = 0,
        event_ttl: float = 3600.0,
        service_cidr: ipaddress.IPv4Network | None = None,
    ) -> None:
        self.store = store
        self.kinds = Registry(kinds)
        self.clock = clock or SystemClock()
        self.rng = rng or random.Random()  # noqa: S311 - names and uids are no secrets
        self.toleration_seconds = toleration_seconds
        self.service_cidr = service_cidr
        self.cache = WatchCache(store, self.kinds, history=history)
        CustomKinds(self.kinds, self.cache)
        self.conversions = Conversions(self.cache)
        self.restrictions: list[Restriction] = []
        """Asked before every write of an object whether its writer may write just that."""
        self.admission: list[DynamicAdmission] = []
        """Asked in order after the server's own admission."""
        self.decide: Decide = lambda user, attributes: None
        """What expressions ask about permissions; nobody has any until the server says who decides."""
        self.objects = StoredObjects(self.cache)
        self._quota_locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._now = datetime.min.replace(tzinfo=UTC), ""
        self._event_leases = EventLeases(store, self.clock, event_ttl)
        self.health = Health()
        self.health.add("watch-cache", lambda: None if self.cache.ready else "the watch cache is not in step yet")

    async def run(self) -> None:
        """Keep the watch cache true, until cancelled or closed. An essential service: its failure is the server's."""
        await self.cache.run()

    async def ready(self) -> None:
        """Return once reads and writes may begin."""
        await self.cache.wait_ready()

    def close(self) -> None:
        """End every watch cleanly. The store is the caller's to close, afterwards."""
        self.cache.close()

    # --- finding things

    def kind(self, group: str, version: str, plural: str) -> Kind | None:
        """The kind that a path names."""
        return self.kinds.find(group, version, plural)

    def is_served(self, kind: Kind, verb: str) -> bool:
        """Whether a kind that was found before an await is still there, with this verb."""
        resource = kind.resource
        now = self.kinds.find(resource.group, resource.version, resource.plural)
        return now is not None and verb in now.verbs

    def of(self, kind: Kind) -> ResourceCache:
        """The objects of a kind as they are stored. Raises NotFound when its definition went meanwhile."""
        return self.cache.of(kind)

    def entry(self, kind: Kind, namespace: str, name: str) -> Entry:
        """One object as it is stored now. Raises NotFound."""
        entry = self.cache.of(kind).get(namespace, name)
        if entry is None:
            raise not_found(kind, name)
        return entry

    async def shown(self, kind: Kind, namespace: str, name: str) -> Entry:
        """One object as ``kind`` shows what is stored now. Raises NotFound, and StatusError when a conversion webhook
        cannot say."""
        entry = self.entry(kind, namespace, name)
        return entry if not kind.is_view else (await self.conversions.show(kind, [entry]))[0]

    async def fresh(self, revision: int) -> None:
        """Wait until ``revision`` is here. Raises Timeout (504, ResourceVersionTooLarge) after 3 seconds."""
        if revision <= self.cache.revision:
            return
        if not await self.cache.reaches(revision, FRESH_WAIT):
            raise Timeout(
                f"Too large resource version: {revision}, current: {self.cache.revision}",
                causes=[Cause("ResourceVersionTooLarge", "Too large resource version")],
                retry_after_seconds=1,
            )

    # --- writing

    async def transact(self, compare: Sequence[Compare], ops: Sequence[Put | Delete]) -> TxnResult:
        """One store transaction, applied to the cache before this returns. Raises InternalError when the store is
        full, ServiceUnavailable when it cannot be reached."""
        try:
            result = await self.store.txn(compare, ops)
        except LeaseNotFound as error:
            self._event_leases.forget()
            raise ServiceUnavailable("the lease of new events has ended", retry_after_seconds=1) from error
        except StoreFull as error:
            raise InternalError(f"Internal error occurred: no space left in the store: {error}") from error
        except StoreUnavailable as error:
            raise ServiceUnavailable(f"the store is not available: {error}", retry_after_seconds=1) from error
        if result.succeeded:
            await self.cache.wait(result.revision)
        else:
            await self.cache.wait(max((pair.mod_revision for _, pair in result.failed if pair), default=0))
        return result

    async def put(self, kind: Kind, key: str, data: bytes) -> Put:
        """The write of an object's bytes, with the lease that objects of its kind end with."""
        if kind.stored_as.resource != EVENTS:
            return Put(key, data)
        try:
            return Put(key, data, await self._event_leases.current())
        except StoreError as error:
            raise ServiceUnavailable(f"the store is not available: {error}", retry_after_seconds=1) from error

    def quota_lock(self, namespace: str) -> asyncio.Lock:
        """Held while a write is charged against a namespace's quotas, so that many creations take turns instead of
        failing each other's comparisons."""
        return self._quota_locks.setdefault(namespace, asyncio.Lock())

    def key(self, kind: Kind, namespace: str, name: str) -> str:
        return storage_key(kind.stored_as.resource, namespace, name)

    # --- values

    def now(self) -> str:
        """The time as metav1.Time is written."""
        now = self.clock.now().replace(microsecond=0)
        if now != self._now[0]:
            self._now = now, timestamp(now)
        return self._now[1]

    def new_uid(self) -> str:
        """A random UUID (RFC 9562, version 4), without the cost of ``uuid.UUID``."""
        digits = f"{self.rng.getrandbits(128) & _UUID_RANDOM | _UUID_VERSION_4:032x}"
        return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"

    def new_suffix(self) -> str:
        """Five random characters for generateName."""
        return "".join(self.rng.choices(SUFFIX_ALPHABET, k=5))


def not_found(kind: Kind, name: str) -> NotFound:
    resource = kind.resource
    return NotFound(
        f'{resource.group_resource} "{name}" not found', group=resource.group, kind=resource.plural, name=name
    )


def metadata(tree: JSON) -> JSON:
    """The object's metadata, for reading; empty if it has none."""
    meta: JSON = tree.get("metadata") or {}
    return meta
