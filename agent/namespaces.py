"""Work inside a namespace of another process: its network, its host name, its IPC objects.

Entering a namespace concerns one thread only, so each call uses a thread that lives for that call: no thread of a pool
can be left in the wrong namespace. Blocking, for a worker thread. ``os.setns`` comes with Python 3.12; until then
ctypes.
"""

from __future__ import annotations

import ctypes
import os
import socket
import threading
from collections.abc import Callable
from enum import IntEnum
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")
LIMIT = 5.0
"""Seconds that work inside may take."""
_SYSV = ("shm", "sem", "msg")


class Kind(IntEnum):
    """The ``CLONE_NEW*`` flags of setns(2)."""

    UTS = 0x04000000
    IPC = 0x08000000
    NETWORK = 0x40000000


def call_in(namespace: int, kind: Kind, work: Callable[[], T], limit: float = LIMIT) -> T:
    """What ``work`` returns inside of the namespace behind a descriptor. Raises what it raises, OSError when the
    namespace cannot be entered, TimeoutError after ``limit`` seconds."""
    results: list[T] = []
    failures: list[Exception] = []

    def enter() -> None:
        try:
            if ctypes.CDLL(None, use_errno=True).setns(namespace, int(kind)) != 0:
                number = ctypes.get_errno()
                raise OSError(number, os.strerror(number))
            results.append(work())
        except Exception as error:  # handed to the caller below
            failures.append(error)

    thread = threading.Thread(target=enter, name=f"in {kind.name} namespace", daemon=True)
    thread.start()
    thread.join(limit)
    if failures:
        raise failures[0]
    if not results:
        raise TimeoutError(f"work in a {kind.name} namespace took more than {limit:g} s")
    return results[0]


def same_namespace(one: int, other: int) -> bool:
    """Whether two descriptors mean the same namespace."""
    first, second = os.fstat(one), os.fstat(other)
    return (first.st_dev, first.st_ino) == (second.st_dev, second.st_ino)


def set_hostname(process_id: int, hostname: str) -> None:
    """Give a running container its host name, from outside. Raises OSError: no rights, or the process is gone."""
    namespace = os.open(f"/proc/{process_id}/ns/uts", os.O_RDONLY | os.O_CLOEXEC)
    try:
        ours = os.open("/proc/thread-self/ns/uts", os.O_RDONLY | os.O_CLOEXEC)
        try:
            if same_namespace(ours, namespace):
                return  # the host's own (hostNetwork): never rename the host
        finally:
            os.close(ours)
        call_in(namespace, Kind.UTS, lambda: socket.sethostname(hostname))
    finally:
        os.close(namespace)


def ipc_objects(process_id: int) -> list[str]:
    """What processes left behind in the IPC namespace of ``process_id``: names of System V objects, message queues
    and files of shared memory. Raises OSError: no rights, or the process is gone."""
    root = Path(f"/proc/{process_id}/root/dev")
    found = [f"{directory}/{entry}" for directory in ("shm", "mqueue") for entry in _entries(root / directory)]
    namespace = os.open(f"/proc/{process_id}/ns/ipc", os.O_RDONLY | os.O_CLOEXEC)
    try:
        return found + call_in(namespace, Kind.IPC, _system_v)
    finally:
        os.close(namespace)


def _entries(directory: Path) -> list[str]:
    """A container without /dev/mqueue has no queues that outlive it."""
    return os.listdir(directory) if directory.is_dir() else []


def _system_v() -> list[str]:
    """Those of the calling thread's namespace (sysvipc(7)): one line each after a heading."""
    return [f"{kind} {line.split()[1]}" for kind in _SYSV for line in _lines(Path("/proc/sysvipc", kind))[1:]]


def _lines(file: Path) -> list[str]:
    return file.read_text().splitlines()
