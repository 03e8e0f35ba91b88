"""Space kept back so that a full disk can be mended by deleting.

A deletion is a write too: without room for it, a full disk could not be mended through the API. A file of some
megabytes is allocated beside the database and given back when the disk is full; until it can be had again,
puts are refused and only requests that free something are let through. Used by the writer thread only.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path


class Reserve:
    """The reserved file. ``held`` tells whether the space is in our hands."""

    def __init__(self, path: Path, size: int) -> None:
        self._path, self._size = path, size
        self.held = False

    def take(self) -> bool:
        """Allocate the space if it is not held; whether it is now."""
        if self.held:
            return True
        try:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError:
            return False
        try:
            if self._size:
                os.posix_fallocate(descriptor, 0, self._size)
            self.held = True
        except OSError:
            # No room (or a file system that cannot allocate): what was allocated in part goes back.
            with contextlib.suppress(OSError):
                os.ftruncate(descriptor, 0)
        finally:
            os.close(descriptor)
        return self.held

    def give_back(self) -> bool:
        """Free the space; whether there was any to free."""
        if not self.held:
            return False
        self.held = False
        with contextlib.suppress(OSError):
            os.truncate(self._path, 0)
        return True
