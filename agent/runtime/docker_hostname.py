"""The host name of a running container, set from outside in its UTS namespace.

For containers whose sandbox came from the warm pool: Docker gave them the sandbox's name. Blocking, for a worker
thread. Entering a namespace concerns one thread only, so each call uses a thread that lives for that call: no
thread of a pool can be left in the wrong namespace. ``os.setns`` comes with Python 3.12; until then ctypes.
"""

from __future__ import annotations

import ctypes
import os
import socket
import threading

_CLONE_NEWUTS = 0x04000000
_LIMIT_SECONDS = 5.0


def set_hostname(process_id: int, hostname: str) -> None:
    """Raises OSError: no rights, or the process is gone."""
    failures: list[OSError] = []

    def enter() -> None:
        try:
            _set(process_id, hostname)
        except OSError as error:
            failures.append(error)

    thread = threading.Thread(target=enter, name="hostname", daemon=True)
    thread.start()
    thread.join(_LIMIT_SECONDS)
    if thread.is_alive():
        raise TimeoutError(f"the host name of process {process_id} could not be set in {_LIMIT_SECONDS:g} s")
    if failures:
        raise failures[0]


def _set(process_id: int, hostname: str) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    namespace = os.open(f"/proc/{process_id}/ns/uts", os.O_RDONLY | os.O_CLOEXEC)
    try:
        ours, theirs = os.stat("/proc/thread-self/ns/uts"), os.fstat(namespace)
        if (ours.st_dev, ours.st_ino) == (theirs.st_dev, theirs.st_ino):
            return  # the host's own namespace (hostNetwork): never rename the host
        if libc.setns(namespace, _CLONE_NEWUTS) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        socket.sethostname(hostname)
    finally:
        os.close(namespace)
