"""Containers of ours that nobody will come back for. Pure.

Docker may have made or started a container although the call failed for us (moby answers late, the connection
breaks, the agent is killed in between). Where such a container has a name that the next try will use, it is found
by that name and adopted. What is listed here is the rest: it would stay for ever.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

ABANDONED_AFTER = 120.0
"""Seconds after which a container is taken for abandoned: longer than any call that makes one may last."""


@dataclass(frozen=True, slots=True)
class Listed:
    """A container with our node's label as Docker lists it. ``warm``: a sandbox of the warm pool; ``pod_uid``,
    ``container`` and ``attempt`` are those of an app container."""

    id: str
    name: str
    status: str
    created_at: datetime
    sandbox: bool = False
    warm: bool = False
    pod_uid: str = ""
    container: str = ""
    attempt: int = 0


@dataclass(frozen=True, slots=True)
class Orphan:
    id: str
    name: str
    reason: str


def find_orphans(listed: Iterable[Listed], now: datetime) -> list[Orphan]:
    """What to remove. A warm sandbox that does not run, what is neither sandbox nor a pod's container, and a
    container that was never started while its pod is at a later attempt."""
    everything = list(listed)
    newest = _newest_attempts(everything)
    orphans = []
    for one in everything:
        if (now - one.created_at).total_seconds() < ABANDONED_AFTER:
            continue
        if reason := _reason(one, newest):
            orphans.append(Orphan(one.id, one.name, reason))
    return orphans


def _newest_attempts(listed: Iterable[Listed]) -> dict[tuple[str, str], int]:
    newest: dict[tuple[str, str], int] = {}
    for one in listed:
        if one.container:
            key = (one.pod_uid, one.container)
            newest[key] = max(newest.get(key, 0), one.attempt)
    return newest


def _reason(one: Listed, newest: Mapping[tuple[str, str], int]) -> str:
    if one.warm:
        return "" if one.status == "running" else "a warm sandbox that does not run"
    if one.sandbox:
        return ""
    if not one.container:
        return "neither a sandbox nor a pod's container"
    if one.status == "created" and one.attempt < newest[one.pod_uid, one.container]:
        return "never started, and its pod went on to a later attempt"
    return ""
