"""The database file of the SQLite backend: its directory, its lock, its connections, its schema version.

Owns everything that can be wrong with a data directory, told as DataDirError. The store's files stand in
``<data dir>/store`` (0700): ``store.db`` (and SQLite's -wal and -shm, all 0600) and ``lock``. Blocking; called
from the store's own threads.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from contextlib import closing
from importlib import resources
from pathlib import Path

from controlplane.store.base import DataDirError

SCHEMA_VERSION = 1
APPLICATION_ID = 0x4C6F6E67  # "Long": tells our database from another program's
PAGE_SIZE = 4096


class DataDir:
    """A data directory held by this process until ``release``."""

    def __init__(self, root: Path) -> None:
        """Make what is missing and take the lock.

        Raises DataDirError when the directory is not writable or held by another process. The lock is flock's:
        the kernel lets go of it when its holder dies, so a crash leaves nothing to clean up.
        """
        self.directory = root / "store"
        self.path = self.directory / "store.db"
        try:
            root.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.directory.mkdir(mode=0o700, exist_ok=True)
            self.directory.chmod(0o700)
            self._lock = os.open(self.directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise DataDirError(f"the data directory {root} is not writable: {error.strerror}") from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._lock)
            self._lock = -1
            raise DataDirError(f"the data directory {root} is in use by another server") from error

    def release(self) -> None:
        """Let another server have the directory. Idempotent."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def prepare(self) -> None:
        """Create or check the database. Raises DataDirError; a database made by a newer version is left untouched."""
        try:
            # SQLite gives -wal and -shm the mode of the database, so this is the one place that sets it.
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            with closing(connect(self.path, journal=False)) as db:
                self._prepare(db)
        except OSError as error:
            raise DataDirError(f"{self.path} is not writable: {error.strerror}") from error
        except sqlite3.Error as error:
            raise DataDirError(f"{self.path} cannot be used: {error}") from error

    def _prepare(self, db: sqlite3.Connection) -> None:
        version = int(db.execute("PRAGMA user_version").fetchone()[0])
        if version > SCHEMA_VERSION:
            raise DataDirError(
                f"{self.path} was made by a newer version of Longboat (schema {version}, this one knows "
                f"{SCHEMA_VERSION}): start that version"
            )
        if version == 0:
            if db.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()[0]:
                raise DataDirError(f"{self.path} is not a database of Longboat")
            schema = resources.files("controlplane.store").joinpath("schema.sql").read_text("utf-8")
            # Both must be set before the first table; auto_vacuum lets compaction give pages back step by step.
            db.execute(f"PRAGMA page_size={PAGE_SIZE}")
            db.execute("PRAGMA auto_vacuum=INCREMENTAL")
            db.execute("PRAGMA journal_mode=WAL")
            db.execute("PRAGMA synchronous=FULL")
            db.executescript(
                f"BEGIN IMMEDIATE;\n{schema}\nPRAGMA application_id={APPLICATION_ID};\n"
                f"PRAGMA user_version={SCHEMA_VERSION};\nCOMMIT;"
            )
        elif int(db.execute("PRAGMA application_id").fetchone()[0]) != APPLICATION_ID:
            raise DataDirError(f"{self.path} is not a database of Longboat")


def connect(
    path: Path, *, cache_bytes: int = 2 << 20, read_only: bool = False, journal: bool = True
) -> sqlite3.Connection:
    """A connection in autocommit mode, to be used by one thread at a time.

    WAL with synchronous=FULL: a commit is on disk when it returns, readers and the writer do not wait for each
    other. The busy timeout only matters against a foreign process (a person with the sqlite3 shell).
    """
    db = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=rw", uri=True, isolation_level=None, check_same_thread=False,
        cached_statements=256, timeout=5.0,
    )  # fmt: skip
    try:
        if journal:
            db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=FULL")
        db.execute(f"PRAGMA cache_size=-{cache_bytes >> 10}")
        # Checkpoints come every 16 MB: pages that many commits touch are copied into the database once.
        db.execute(f"PRAGMA wal_autocheckpoint={(16 << 20) // PAGE_SIZE}")
        db.execute(f"PRAGMA journal_size_limit={16 << 20}")
        db.execute("PRAGMA temp_store=MEMORY")
        if read_only:
            db.execute("PRAGMA query_only=ON")
    except BaseException:
        db.close()
        raise
    return db
