"""``[USER@]HOST[:PORT]`` as the command line takes it. Pure."""

from __future__ import annotations

import getpass
import re
from collections.abc import Sequence
from dataclasses import dataclass

from deploy.nodes.errors import TargetError

_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.%]+\]")
_USER = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")


@dataclass(frozen=True, slots=True)
class Target:
    """Where to go over SSH. ``text`` is what the person typed."""

    text: str
    user: str
    host: str
    port: int


def parse(text: str) -> Target:
    """One target. Raises TargetError."""
    user, at, rest = text.rpartition("@")
    if at and not _USER.fullmatch(user):
        raise TargetError(f"{text}: {user!r} is not a user's name")
    host, colon, port = rest, "", ""
    if rest.startswith("[") or rest.count(":") <= 1:
        host, colon, port = rest.rpartition(":") if re.search(r":\d*$", rest) else (rest, "", "")
    if colon and not (port.isdigit() and 0 < int(port) < 65536):
        raise TargetError(f"{text}: {port!r} is not a port")
    if not _HOST.fullmatch(host) and host.count(":") < 2:
        raise TargetError(f"{text}: write [USER@]HOST[:PORT]")
    return Target(text, user or getpass.getuser(), host.strip("[]"), int(port) if colon else 22)


def parse_all(texts: Sequence[str]) -> list[Target]:
    """All of them, none twice. Raises TargetError."""
    targets = [parse(text) for text in texts]
    seen: set[tuple[str, int]] = set()
    for target in targets:
        if (target.host, target.port) in seen:
            raise TargetError(f"{target.text}: is named twice")
        seen.add((target.host, target.port))
    return targets
