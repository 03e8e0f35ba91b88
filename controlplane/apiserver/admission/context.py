"""What an admission step may know besides the object."""

from __future__ import annotations

from dataclasses import dataclass

from controlplane.apiserver.identity import User


@dataclass(frozen=True, slots=True)
class Context:
    """Who writes, and the settings of the steps."""

    user: User
    toleration_seconds: int = 0
    """Seconds that a pod stays on a node that is not ready or unreachable, unless it says otherwise itself."""
