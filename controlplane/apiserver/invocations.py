"""Which mutating webhooks and policies one request has met, and which of them are to see it again.

After reinvocationPolicy of k8s.io/api/admissionregistration: one that says IfNeeded is invoked once more where another
has changed the object since; one that says Never is invoked once. One request, one task.
"""

from __future__ import annotations

from collections.abc import Hashable


class Invocations:
    """Made for each request. ``again`` is whether everybody has been asked once."""

    def __init__(self) -> None:
        self.again = False
        self._changes = 0
        self._seen: dict[Hashable, int] = {}

    def wanted(self, key: Hashable) -> bool:
        """Whether to invoke ``key``, the whole name of a webhook or policy."""
        return not self.again or self._seen.get(key, self._changes) < self._changes

    def done(self, key: Hashable, *, changed: bool, reinvoked: bool) -> None:
        """``key`` was invoked and has ``changed`` the object or not; ``reinvoked`` is whether it wants to be again."""
        self._changes += changed
        if reinvoked:
            self._seen[key] = self._changes

    @property
    def pending(self) -> bool:
        """Whether anybody is to be asked again."""
        return any(seen < self._changes for seen in self._seen.values())
