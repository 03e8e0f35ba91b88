"""How admission refuses, in Kubernetes' words.

Pure. After k8s.io/apiserver/pkg/admission/errors.go.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from shared.api.errors import Cause, Forbidden
from shared.api.kinds import Resource
from shared.api.meta import JSON


def forbidden(resource: Resource[Any], obj: JSON, why: str, causes: Iterable[Cause] = ()) -> Forbidden:
    """403: ``pods "x" is forbidden: why``."""
    meta = obj["metadata"]
    name = meta.get("name") or meta.get("generateName") or ""
    return Forbidden(
        f'{resource.group_resource} "{name}" is forbidden: {why}',
        group=resource.group, kind=resource.plural, name=name, causes=causes,
    )  # fmt: skip


def aggregate(reasons: list[str]) -> str:
    """Several reasons as one text, each once (k8s.io/apimachinery/pkg/util/errors)."""
    unique = list(dict.fromkeys(reasons))
    return unique[0] if len(unique) == 1 else f"[{', '.join(unique)}]"
