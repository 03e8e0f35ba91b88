"""PodExecOptions and PodAttachOptions: from a query to what an agent is asked. Pure.

Parsing follows k8s.io/apimachinery/pkg/conversion/queryparams, refusals pkg/kubelet/server/remotecommand.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from shared.api.errors import BadRequest
from shared.api.pod import Pod
from shared.remote_command import RemoteCommand


class Query(Protocol):
    """A query whose keys may stand several times."""

    def getall(self, key: str, default: list[str], /) -> list[str]: ...


@dataclass(frozen=True, slots=True)
class CommandQuery:
    """A parsed query; ``container`` is empty when none was named. A terminal has no stderr of its own."""

    container: str
    command: tuple[str, ...]
    stdin: bool
    stdout: bool
    stderr: bool
    tty: bool

    def of(self, pod: Pod, container: str) -> RemoteCommand:
        meta = pod.metadata
        return RemoteCommand(
            meta.namespace, meta.name, meta.uid, container, self.command,
            self.stdin, self.stdout, self.stderr, self.tty,
        )  # fmt: skip


def parse_query(query: Query, *, attach: bool) -> CommandQuery:
    """Raises BadRequest when there is nothing to run, or no stream to talk over."""

    def first(key: str) -> str:
        return next(iter(query.getall(key, [])), "")

    def is_set(key: str) -> bool:
        """Only absence, ``false`` and ``0`` are false."""
        values = query.getall(key, [])
        return bool(values) and values[0].lower() not in ("false", "0")

    tty = is_set("tty")
    found = CommandQuery(
        container=first("container"),
        command=() if attach else tuple(query.getall("command", [])),
        stdin=is_set("stdin"),
        stdout=is_set("stdout"),
        stderr=is_set("stderr") and not tty,
        tty=tty,
    )
    if not attach and not found.command:
        raise BadRequest("you must specify at least one command for the container")
    if not (found.stdin or found.stdout or found.stderr):
        raise BadRequest("you must specify at least 1 of stdin, stdout, stderr")
    return found


def asked_upgrade(headers: Mapping[str, str]) -> str:
    """``websocket`` or ``spdy/3.1``: what the connection is to become. Raises BadRequest where it is not to, or to
    something else (k8s.io/apimachinery/pkg/util/proxy, UpgradeAwareHandler)."""
    if "upgrade" not in headers.get("Connection", "").lower():
        raise BadRequest("Upgrade request required")
    upgrade = headers.get("Upgrade", "").lower()
    if upgrade not in ("websocket", "spdy/3.1"):
        raise BadRequest(
            f"unable to upgrade: {upgrade or 'nothing'} is no protocol of streams; use websocket or SPDY/3.1"
        )
    return upgrade
