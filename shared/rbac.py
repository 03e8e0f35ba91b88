"""Whether rules of roles cover others. Pure.

After k8s.io/component-helpers/auth/rbac/validation/policy_comparator.go and
k8s.io/kubernetes pkg/registry/rbac/validation/policy_compact.go.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import product

from shared.api.rbac import PolicyRule

ALL = "*"


def is_resource(resources: Sequence[str], resource: str, subresource: str) -> bool:
    """Whether a rule's ``resources`` include this one: ``pods``, ``pods/log``, ``*/scale`` or ``*``."""
    if ALL in resources:
        return True
    if not subresource:
        return resource in resources
    return f"{resource}/{subresource}" in resources or f"*/{subresource}" in resources


def is_path(pattern: str, path: str) -> bool:
    """Whether a nonResourceURL includes a path; a ``*`` may stand at its end."""
    return pattern in (ALL, path) or (pattern.endswith(ALL) and path.startswith(pattern[:-1]))


def missing(held: Iterable[PolicyRule], wanted: Iterable[PolicyRule]) -> list[PolicyRule]:
    """What of ``wanted`` is not among ``held``, one verb on one thing each; empty when all is covered."""
    owners = tuple(held)
    return [part for rule in wanted for part in _parts(rule) if not any(_covers(owner, part) for owner in owners)]


def compact(rules: Iterable[PolicyRule]) -> list[PolicyRule]:
    """Rules that differ in their verbs only as one, in the order of their first."""
    verbs: dict[PolicyRule, list[str]] = {}
    for rule in rules:
        without = PolicyRule(
            api_groups=rule.api_groups, resources=rule.resources, resource_names=rule.resource_names,
            non_resource_urls=rule.non_resource_urls,
        )  # fmt: skip
        verbs.setdefault(without, []).extend(verb for verb in rule.verbs if verb not in verbs.get(without, ()))
    return [
        PolicyRule(
            verbs=tuple(found), api_groups=rule.api_groups, resources=rule.resources,
            resource_names=rule.resource_names, non_resource_urls=rule.non_resource_urls,
        )
        for rule, found in verbs.items()
    ]  # fmt: skip


def _parts(rule: PolicyRule) -> Iterator[PolicyRule]:
    for verb, group, resource in product(rule.verbs, rule.api_groups, rule.resources):
        for name in rule.resource_names or ("",):
            yield PolicyRule(
                verbs=(verb,), api_groups=(group,), resources=(resource,), resource_names=(name,) if name else ()
            )
    for verb, url in product(rule.verbs, rule.non_resource_urls):
        yield PolicyRule(verbs=(verb,), non_resource_urls=(url,))


def _covers(owner: PolicyRule, part: PolicyRule) -> bool:
    if ALL not in owner.verbs and part.verbs[0] not in owner.verbs:
        return False
    if part.non_resource_urls:
        return any(is_path(url, part.non_resource_urls[0]) for url in owner.non_resource_urls)
    resource, _, subresource = part.resources[0].partition("/")
    return (
        (ALL in owner.api_groups or part.api_groups[0] in owner.api_groups)
        and is_resource(owner.resources, resource, subresource)
        and (not owner.resource_names or set(part.resource_names or ("",)) <= set(owner.resource_names))
    )
