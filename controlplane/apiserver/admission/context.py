"""What an admission step may know besides the object."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from controlplane.apiserver.identity import User
from shared.api.kinds import Resource
from shared.api.meta import JSON


class Objects(Protocol):
    """What is stored at this moment. The trees are shared: nobody changes them."""

    def list(self, resource: Resource[Any], namespace: str = "") -> Sequence[JSON]:
        """All of a kind, or those of one namespace, by name."""
        ...

    def labels(self, namespace: str) -> Mapping[str, str]:
        """The labels of a namespace."""
        ...

    def count(self, resource: Resource[Any], namespace: str) -> int:
        """How many a namespace has."""
        ...

    def some(self, resource: Resource[Any], namespace: str, most: int) -> Iterator[JSON]:
        """The first of them by name, for one look at many; nothing is kept."""
        ...


class Nothing:
    """``Objects`` of an empty cluster."""

    def list(self, resource: Resource[Any], namespace: str = "") -> Sequence[JSON]:
        return ()

    def labels(self, namespace: str) -> Mapping[str, str]:
        return {}

    def count(self, resource: Resource[Any], namespace: str) -> int:
        return 0

    def some(self, resource: Resource[Any], namespace: str, most: int) -> Iterator[JSON]:
        return iter(())


def _unheard(text: str) -> None:
    return None


def _unwritten(key: str, value: str) -> None:
    return None


@dataclass(frozen=True, slots=True)
class Context:
    """Who writes, what there is, and the settings of the steps."""

    user: User
    toleration_seconds: int = 0
    """Seconds that a pod stays on a node that is not ready or unreachable, unless it says otherwise itself."""
    objects: Objects = Nothing()
    warn: Callable[[str], None] = _unheard
    """Tells the client something (the ``Warning:`` header)."""
    annotate: Callable[[str, str], None] = _unwritten
    """Tells the audit log something (an event's annotation)."""


def named(objects: Sequence[JSON], name: str) -> JSON | None:
    """The one of that name."""
    return next((obj for obj in objects if obj["metadata"]["name"] == name), None)
