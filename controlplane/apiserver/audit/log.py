"""Audit events as JSON lines in a file of its own (0600) that is rotated by size.

Writes at once, on the event loop: a line costs some microseconds, and none may be lost with the process. A disk that
is full stops the log, which is counted and told once, not the server.
"""

from __future__ import annotations

import logging
import os
from io import TextIOWrapper
from logging.handlers import RotatingFileHandler
from pathlib import Path

from prometheus_client import Counter

from shared import codec
from shared.api.meta import JSON

logger = logging.getLogger(__name__)

EVENTS = Counter("apiserver_audit_event_total", "Audit events written.")
ERRORS = Counter("apiserver_audit_error_total", "Audit events that could not be written.")


class AuditLog:
    """Appends to ``path``. ``megabytes`` is when it is rotated, ``backups`` how many older files are kept."""

    def __init__(self, path: Path, megabytes: int, backups: int) -> None:
        """Raises OSError."""
        self._handler = _Handler(path, maxBytes=megabytes << 20, backupCount=backups, encoding="utf-8")
        self._failing = False

    def write(self, event: JSON) -> None:
        record = logging.LogRecord("audit", logging.INFO, "", 0, codec.encode(event).decode(), None, None)
        try:
            self._handler.emit(record)
        except OSError as error:
            ERRORS.inc()
            if not self._failing:
                logger.error("the audit log cannot be written", extra={"error": str(error)})
            self._failing = True
            return
        EVENTS.inc()
        self._failing = False

    def close(self) -> None:
        self._handler.close()


class _Handler(RotatingFileHandler):
    def _open(self) -> TextIOWrapper:
        descriptor = os.open(self.baseFilename, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        return open(descriptor, "a", encoding=self.encoding)

    def handleError(self, record: logging.LogRecord) -> None:
        raise
