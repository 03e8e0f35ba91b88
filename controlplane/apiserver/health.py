"""The health endpoints' checks: named, cheap, and told to operators line by line.

After k8s.io/apiserver/pkg/server/healthz. ``livez`` asks only whether this process answers; ``readyz`` and
``healthz`` ask every check. Reasons go to the log, never to a caller who has not said who he is.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

logger = logging.getLogger(__name__)

Check = Callable[[], str | None]
"""None when all is well, else what is wrong. Must not block."""


class Health:
    """The checks of a process, in the order of their adding."""

    def __init__(self) -> None:
        self._checks: dict[str, Check] = {"ping": lambda: None}

    def add(self, name: str, check: Check) -> None:
        self._checks[name] = check

    def report(self, endpoint: str, *, verbose: bool = False, exclude: frozenset[str] = frozenset()) -> tuple[int, str]:
        """HTTP code and text of ``healthz``, ``livez`` or ``readyz``."""
        lines, failed = [], []
        for name, check in self._checks.items():
            if name in exclude:
                lines.append(f"[+]{name} excluded: ok")
                continue
            if endpoint == "livez" and name != "ping":
                continue
            if (wrong := check()) is None:
                lines.append(f"[+]{name} ok")
            else:
                failed.append(name)
                lines.append(f"[-]{name} failed: reason withheld")
                logger.warning("health check failed", extra={"check": name, "cause": wrong})
        if failed:
            return 500, "\n".join([*lines, f"{endpoint} check failed", ""])
        if verbose:
            return 200, "\n".join([*lines, f"{endpoint} check passed", ""])
        return 200, "ok"

    def one(self, name: str) -> tuple[int, str]:
        """HTTP code and text of a single check, as ``readyz/<name>`` asks for it; 404 when there is none."""
        if name not in self._checks:
            return 404, f"no check is named {name}"
        if (wrong := self._checks[name]()) is None:
            return 200, "ok"
        logger.warning("health check failed", extra={"check": name, "cause": wrong})
        return 500, "internal server error: reason withheld"
