"""The audit policy: how much of a request is logged, by the first rule that matches it.

Pure. The file is Kubernetes' own (audit.k8s.io/v1 Policy), the rules of matching are those of
k8s.io/apiserver/pkg/audit/policy/checker.go.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from pathlib import Path
from typing import Any

import msgspec
import yaml

from controlplane.apiserver.identity import Attributes, User
from shared.api.meta import camel


class PolicyError(Exception):
    """The policy cannot be used; the message names the file and the field."""


class Level(IntEnum):
    """How much is logged, each more than the one before."""

    NONE = 0
    METADATA = 1
    REQUEST = 2
    REQUEST_RESPONSE = 3

    def __str__(self) -> str:
        return self.name.title().replace("_", "")


class Stage(StrEnum):
    RECEIVED = "RequestReceived"
    STARTED = "ResponseStarted"
    COMPLETE = "ResponseComplete"
    PANIC = "Panic"


class _Struct(msgspec.Struct, frozen=True, rename=camel, forbid_unknown_fields=True):
    pass


class GroupResources(_Struct, frozen=True):
    group: str = ""
    resources: tuple[str, ...] = ()
    resource_names: tuple[str, ...] = ()


class Rule(_Struct, frozen=True):
    """Empty lists match everything."""

    level: str
    users: tuple[str, ...] = ()
    user_groups: tuple[str, ...] = ()
    verbs: tuple[str, ...] = ()
    resources: tuple[GroupResources, ...] = ()
    namespaces: tuple[str, ...] = ()
    non_resource_urls: tuple[str, ...] = msgspec.field(default=(), name="nonResourceURLs")
    omit_stages: tuple[Stage, ...] = ()
    omit_managed_fields: bool | None = None


class _File(_Struct, frozen=True):
    api_version: str
    kind: str
    rules: tuple[Rule, ...]
    metadata: dict[str, Any] = {}
    omit_stages: tuple[Stage, ...] = ()
    omit_managed_fields: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is logged of a request."""

    level: Level = Level.NONE
    omit_stages: frozenset[Stage] = frozenset()
    omit_managed_fields: bool = False


_NOTHING = Verdict()


class Policy:
    """The rules of a file."""

    def __init__(self, rules: Iterable[tuple[Rule, Verdict]]) -> None:
        self._rules = tuple(rules)

    def verdict(self, user: User | None, attributes: Attributes) -> Verdict:
        """Of the first rule that matches; nothing is logged when none does."""
        return next((verdict for rule, verdict in self._rules if _matches(rule, user, attributes)), _NOTHING)


def load(path: Path) -> Policy:
    """Raises PolicyError."""
    try:
        tree = yaml.safe_load(path.read_text())
    except OSError as error:
        raise PolicyError(f"{path} cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise PolicyError(f"{path} is not YAML: {error}") from error
    return parse(tree, str(path))


def parse(tree: Any, where: str) -> Policy:
    """A policy from its decoded text; ``where`` names it in messages. Raises PolicyError."""
    try:
        file = msgspec.convert(tree, _File)
    except msgspec.ValidationError as error:
        raise PolicyError(f"{where}: {error}") from error
    if (file.api_version, file.kind) != ("audit.k8s.io/v1", "Policy"):
        raise PolicyError(f"{where}: is {file.api_version} {file.kind}, not audit.k8s.io/v1 Policy")
    return Policy((rule, _verdict(file, rule, f"{where}: rules[{index}]")) for index, rule in enumerate(file.rules))


def _verdict(file: _File, rule: Rule, where: str) -> Verdict:
    levels: Mapping[str, Level] = {str(level): level for level in Level}
    if rule.level not in levels:
        raise PolicyError(f"{where}.level: {rule.level!r} is none of {', '.join(levels)}")
    if rule.non_resource_urls and (rule.resources or rule.namespaces):
        raise PolicyError(f"{where}: a rule has resources and namespaces, or nonResourceURLs, not both")
    if any(group.resource_names and not group.resources for group in rule.resources):
        raise PolicyError(f"{where}.resources: resourceNames need at least one resource")
    for url in rule.non_resource_urls:
        if url != "*" and (not url.startswith("/") or "*" in url[:-1]):
            raise PolicyError(f"{where}.nonResourceURLs: {url!r} must begin with / and may have a * at its end only")
    managed = file.omit_managed_fields if rule.omit_managed_fields is None else rule.omit_managed_fields
    return Verdict(levels[rule.level], frozenset(file.omit_stages + rule.omit_stages), managed)


def _matches(rule: Rule, user: User | None, attributes: Attributes) -> bool:
    if rule.users and (user is None or user.name not in rule.users):
        return False
    if rule.user_groups and (user is None or not set(user.groups) & set(rule.user_groups)):
        return False
    if rule.verbs and attributes.verb not in rule.verbs:
        return False
    if rule.namespaces or rule.resources:
        return attributes.is_resource and _matches_resource(rule, attributes)
    if rule.non_resource_urls:
        return not attributes.is_resource and any(_matches_path(url, attributes.path) for url in rule.non_resource_urls)
    return True


def _matches_resource(rule: Rule, attributes: Attributes) -> bool:
    if rule.namespaces and attributes.namespace not in rule.namespaces:
        return False
    if not rule.resources:
        return True
    for group in rule.resources:
        if group.group != attributes.group or (group.resources and not _named(group.resources, attributes)):
            continue
        if not group.resource_names or attributes.name in group.resource_names:
            return True
    return False


def _named(resources: Iterable[str], attributes: Attributes) -> bool:
    """``pods`` is only the resource itself, ``pods/log`` a subresource, ``pods/*`` the resource with all of them,
    ``*/log`` that one of every resource, ``*`` everything."""
    resource, sub = attributes.resource, attributes.subresource
    whole = f"{resource}/{sub}" if sub else resource
    return any(
        wanted in ("*", whole, f"{resource}/*") or (sub and wanted == f"*/{sub}") for wanted in resources
    )  # fmt: skip


def _matches_path(pattern: str, path: str) -> bool:
    return pattern in ("*", path) or (pattern.endswith("*") and path.startswith(pattern[:-1]))
