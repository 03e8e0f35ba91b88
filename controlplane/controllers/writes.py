"""API writes as data: what a plan is made of, and the one place that carries them out.

A plan's writes are frozen, so that tests compare them and a dry run prints them. ``apply`` sends them side by
side, bounded; it decides nothing. One event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import msgspec

from shared import codec
from shared.api.errors import AlreadyExists, NotFound, StatusError
from shared.api.kinds import Resource
from shared.api.meta import JSON, Struct
from shared.client.base import Client, PatchType

PARALLEL = 64
"""Writes of one plan under way at a time: the store commits all that wait in one transaction, so many at once
cost little more than one, and a lost node's pods must not queue behind each other."""


@dataclass(frozen=True, slots=True)
class Create:
    """POST ``obj``. That one of its name is there already is no error: its cache will tell of it."""

    resource: Resource[Any]
    obj: JSON
    namespace: str = ""


@dataclass(frozen=True, slots=True)
class Patch:
    """PATCH; put ``metadata.uid`` or ``metadata.resourceVersion`` in ``patch`` to make it conditional."""

    resource: Resource[Any]
    name: str
    patch: JSON
    namespace: str = ""
    type: PatchType = PatchType.MERGE
    subresource: str = ""


@dataclass(frozen=True, slots=True)
class Delete:
    """DELETE with preconditions, Conflict when they do not hold. That the object is gone is no error."""

    resource: Resource[Any]
    name: str
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    grace_period_seconds: int | None = None
    propagation_policy: str | None = None


Write = Create | Patch | Delete


def tree_of(made: Struct) -> JSON:
    """The JSON tree of a struct that was made here, whole; never of one that was read, which lacks fields."""
    tree: JSON = codec.decode(msgspec.json.encode(made))
    return tree


async def apply(
    client: Client,
    writes: Iterable[Write],
    *,
    wrote: Callable[[JSON], None] | None = None,
    parallel: int = PARALLEL,
) -> None:
    """Send all of ``writes``, at most ``parallel`` at a time; ``wrote`` is told each answer as it comes.

    There is no answer to a deletion, nor to a write whose object is gone or was there before. All are tried; then
    the first error, if any, is raised: a StatusError, or whatever the client raised.
    """
    gate = asyncio.Semaphore(parallel)

    async def one(write: Write) -> None:
        async with gate:
            answer = await send(client, write)
        if wrote is not None and answer is not None:
            wrote(answer)

    results = await asyncio.gather(*(one(write) for write in writes), return_exceptions=True)
    errors = [result for result in results if result is not None]
    if errors:
        # A bug before a refusal: it must not hide behind a Conflict, which is retried quietly.
        raise next((error for error in errors if not isinstance(error, StatusError)), errors[0])


async def send(client: Client, write: Write) -> JSON | None:
    """Send one write; None if there is no answer (see ``apply``). Raises StatusError."""
    match write:
        case Create(resource, obj, namespace):
            try:
                return await client.create(resource, obj, namespace)
            except AlreadyExists:
                return None
        case Patch(resource, name, patch, namespace, type, subresource):
            try:
                return await client.patch(resource, name, patch, namespace, type=type, subresource=subresource)
            except NotFound:
                return None
        case Delete():
            with contextlib.suppress(NotFound):
                await client.delete(
                    write.resource,
                    write.name,
                    write.namespace,
                    grace_period_seconds=write.grace_period_seconds,
                    propagation_policy=write.propagation_policy,
                    uid=write.uid,
                    resource_version=write.resource_version,
                )
            return None
