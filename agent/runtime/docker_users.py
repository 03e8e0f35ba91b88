"""Who the processes of a container are: what its configuration says, and what the kernel says of its first process.

Reads /proc, blocking. The configuration comes first: a process may have become somebody else since it began, and the
status of a container tells who it was at first (KEP-3619).
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from agent.runtime.base import ProcessUser

PROC = Path("/proc")


def read_user(process_id: int, proc: Path = PROC) -> ProcessUser | None:
    """Who a process is now; None when it has gone."""
    try:
        text = (proc / str(process_id) / "status").read_text()
    except OSError:
        return None
    fields = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    uid, gid = (int(fields[name].split()[0]) for name in ("Uid", "Gid"))
    return ProcessUser(uid, gid, tuple(int(group) for group in fields.get("Groups", "").split()))


def first_user(configured: str, added: Iterable[str], process: ProcessUser | None) -> ProcessUser | None:
    """Who a container's first process was. ``configured`` is ``user``, ``user:group`` or empty for root, ``added`` its
    further groups; None where that is a name, and no process can be asked."""
    name, _, group = (configured or "0:0").partition(":")
    if not name.isdigit() or (group and not group.isdigit()):
        return process
    uid = int(name)
    if process is not None and process.uid == uid and (not group or process.gid == int(group)):
        return ProcessUser(uid, process.gid, _with(process.gid, process.groups))
    if not group:
        return None  # the image's /etc/passwd says it, and only a process knows
    return ProcessUser(uid, int(group), _with(int(group), (int(each) for each in added if each.isdigit())))


def _with(gid: int, groups: Iterable[int]) -> tuple[int, ...]:
    return tuple(sorted({gid, *groups}))
