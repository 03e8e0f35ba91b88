"""Cells that many kinds' tables share: names, ages, containers, selectors.

Pure; what ages is told the time later. The texts are those of Kubernetes' printers (pkg/printers/internalversion) and
of k8s.io/apimachinery/pkg/util/duration.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from controlplane.apiserver.kinds.base import Column
from shared.api.errors import BadRequest
from shared.api.meta import JSON
from shared.api.selectors import from_label_selector

UNKNOWN, NONE = "<unknown>", "<none>"


def human_duration(elapsed: timedelta) -> str:
    """``elapsed`` in two units at most, as kubectl prints ages: 90s, 5m30s, 3h, 2d4h, 3y20d."""
    seconds = int(elapsed.total_seconds())
    if seconds < -1:
        return "<invalid>"
    if seconds < 120:
        return f"{max(seconds, 0)}s"
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86400
    if minutes < 10:
        return _pair(minutes, "m", seconds % 60, "s")
    if minutes < 180:
        return f"{minutes}m"
    if hours < 8:
        return _pair(hours, "h", minutes % 60, "m")
    if hours < 48:
        return f"{hours}h"
    if days < 8:
        return _pair(days, "d", hours % 24, "h")
    if days < 2 * 365:
        return f"{days}d"
    if days < 8 * 365:
        return _pair(days // 365, "y", days % 365, "d")
    return f"{days // 365}y"


def _pair(big: int, big_unit: str, small: int, small_unit: str) -> str:
    return f"{big}{big_unit}{small}{small_unit}" if small else f"{big}{big_unit}"


def instant(text: str | None) -> datetime | None:
    """A metav1.Time or MicroTime; None when it is not set or cannot be read."""
    if not text:
        return None
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        return None
    return when if when.tzinfo else when.replace(tzinfo=UTC)


Aging = str | Callable[[datetime], str]
"""A cell that may change with time; see ``Column``."""


def since(text: str | None) -> Aging:
    """How long ago ``text`` was, or ``<unknown>``."""
    when = instant(text)
    return UNKNOWN if when is None else lambda now: human_duration(now - when)


def at(tree: Any, *path: str, default: Any = None) -> Any:
    """The value at ``path``, or ``default`` where a member is missing or null."""
    for key in path:
        if not isinstance(tree, dict):
            return default
        tree = tree.get(key)
        if tree is None:
            return default
    return tree


def name_column(priority: int = 0) -> Column:
    return Column(
        "Name", "string", "Name of the object, unique within its namespace.", lambda obj: obj["metadata"]["name"],
        format="name", priority=priority,
    )  # fmt: skip


def age_column(priority: int = 0) -> Column:
    return Column(
        "Age", "string", "Time since the object was created.",
        lambda obj: since(obj["metadata"].get("creationTimestamp")), priority=priority,
    )  # fmt: skip


def field_column(name: str, type: str, description: str, *path: str, default: Any, priority: int = 0) -> Column:
    """A column that shows a field as it is, ``default`` where it is not set or empty."""
    return Column(name, type, description, lambda obj: at(obj, *path) or default, priority=priority)


def format_labels(labels: Mapping[str, str] | None) -> str:
    """``a=b,c=d`` in order of keys, or ``<none>``."""
    return ",".join(f"{key}={value}" for key, value in sorted((labels or {}).items())) or NONE


def format_selector(selector: JSON | None) -> str:
    """A label selector's text, or ``<none>``."""
    try:
        return str(from_label_selector(selector)) or NONE
    except BadRequest:
        return "<error>"


def template_columns() -> tuple[Column, ...]:
    """The wide columns of everything that has a pod template and a selector."""
    return (*container_columns("spec", "template"), selector_column("spec", "selector"))


def container_columns(*template: str, priority: int = 1) -> tuple[Column, ...]:
    """Names and images of the containers of the pod template at that path."""

    def containers(obj: JSON) -> Iterable[JSON]:
        listed: Iterable[JSON] = at(obj, *template, "spec", "containers", default=())
        return listed

    return (
        Column(
            "Containers", "string", "Names of each container in the template.",
            lambda obj: ",".join(c.get("name", "") for c in containers(obj)), priority=priority,
        ),
        Column(
            "Images", "string", "Images referenced by each container in the template.",
            lambda obj: ",".join(c.get("image", "") for c in containers(obj)), priority=priority,
        ),
    )  # fmt: skip


def selector_column(*path: str) -> Column:
    """The label selector at that path."""
    return Column(
        "Selector", "string", "Label selector for the pods that belong to the object.",
        lambda obj: format_selector(at(obj, *path)), priority=1,
    )  # fmt: skip


def first_few(items: Iterable[str], empty: str) -> str:
    """The first three, then ``+ n more...``; ``empty`` when there are none."""
    listed = list(items)
    shown = ",".join(listed[:3])
    return f"{shown} + {len(listed) - 3} more..." if len(listed) > 3 else shown or empty
