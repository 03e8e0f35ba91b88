"""What a namespace's labels ask for: a level and a version for each of enforce, audit and warn.

Pure. After k8s.io/pod-security-admission/api/helpers.go.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum

from controlplane.apiserver.kinds.causes import invalid
from shared.api.errors import Cause

PREFIX = "pod-security.kubernetes.io/"
MODES = ("enforce", "audit", "warn")
_VERSION = re.compile(r"v1\.(0|[1-9][0-9]*)")


class Level(IntEnum):
    """By strictness."""

    PRIVILEGED = 0
    BASELINE = 1
    RESTRICTED = 2


@dataclass(frozen=True, slots=True)
class Standard:
    """A level as of a minor version of Kubernetes; None is the latest."""

    level: Level = Level.PRIVILEGED
    minor: int | None = None

    def __str__(self) -> str:
        version = "latest" if self.minor is None else f"v1.{self.minor}"
        return f"{self.level.name.lower()}:{version}"


@dataclass(frozen=True, slots=True)
class Policy:
    """What holds in a namespace. Without labels everything is privileged."""

    enforce: Standard = Standard()
    audit: Standard = Standard()
    warn: Standard = Standard()

    @property
    def idle(self) -> bool:
        return self == _PRIVILEGED or not any(each.level for each in (self.enforce, self.audit, self.warn))


_PRIVILEGED = Policy()


def parse(labels: Mapping[str, str]) -> tuple[Policy, list[Cause]]:
    """The policy, and what is wrong with the labels: then the strictest level and the latest version are enforced,
    and nothing is audited or warned of."""
    if not any(label.startswith(PREFIX) for label in labels):
        return _PRIVILEGED, []
    wrong: list[Cause] = []
    found: dict[str, Standard] = {}
    for mode in MODES:
        level, minor = Level.PRIVILEGED, None
        key = f"{PREFIX}{mode}"
        if (text := labels.get(key)) is not None:
            known = [each for each in Level if each.name.lower() == text]
            if known:
                level = known[0]
            else:
                level = Level.RESTRICTED if mode == "enforce" else Level.PRIVILEGED
                detail = "must be one of privileged, baseline, restricted"
                wrong.append(invalid(f"metadata.labels[{key}]", text, detail))
        if (text := labels.get(f"{key}-version")) is not None and text != "latest":
            if (match := _VERSION.fullmatch(text)) is not None:
                minor = int(match[1])
            else:
                wrong.append(invalid(f"metadata.labels[{key}-version]", text, 'must be "latest" or "v1.x"'))
        found[mode] = Standard(level, minor)
    return Policy(**found), wrong
