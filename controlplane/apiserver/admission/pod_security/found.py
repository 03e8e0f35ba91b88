"""What a check finds, and the words that many checks share.

Pure. After k8s.io/pod-security-admission/policy/{checks,helpers,visitor}.go.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from shared.api.meta import JSON


@dataclass(frozen=True, slots=True)
class Violation:
    """Why a pod is not allowed: ``reason (detail)``."""

    reason: str
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.reason} ({self.detail})" if self.detail else self.reason


Check = Callable[[JSON, JSON], Violation | None]
"""``(metadata, spec)`` of a pod or a template."""


def containers(spec: JSON) -> Iterator[JSON]:
    for field in ("initContainers", "containers", "ephemeralContainers"):
        yield from spec.get(field) or ()


def context(holder: JSON) -> JSON:
    """The security context of a pod's spec or of a container."""
    found: JSON = holder.get("securityContext") or {}
    return found


def quoted(items: Iterable[str]) -> str:
    return ", ".join(f'"{item}"' for item in items)


def plural(word: str, count: int, many: str = "") -> str:
    return word if count == 1 else many or f"{word}s"


def named(spec: JSON, bad: Callable[[JSON], object]) -> list[str]:
    """The names of containers that are bad."""
    return [container.get("name") or "" for container in containers(spec) if bad(container)]


def those(names: list[str]) -> str:
    """``container "a"`` or ``containers "a", "b"``."""
    return f"{plural('container', len(names))} {quoted(names)}"


def setters(pod: bool, names: list[str]) -> str:
    """``pod and container "a"``: who sets something."""
    return " and ".join([*(["pod"] if pod else ()), *([those(names)] if names else ())])


def on_windows(spec: JSON) -> bool:
    return (spec.get("os") or {}).get("name") == "windows"


def in_user_namespace(spec: JSON) -> bool:
    """Whether the pod's root is not the host's (KEP-127)."""
    return spec.get("hostUsers") is False
