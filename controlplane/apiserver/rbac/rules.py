"""What a rule allows, and how rules are shown. Pure.

The rules are those of k8s.io/kubernetes pkg/apis/rbac/v1/evaluation_helpers.go; what covers what is in
``shared.rbac``.
"""

from __future__ import annotations

from controlplane.apiserver.identity import Attributes
from shared.api.rbac import PolicyRule
from shared.rbac import ALL, is_path, is_resource


def allows(rule: PolicyRule, attributes: Attributes) -> bool:
    """Whether ``rule`` permits what is asked."""
    if ALL not in rule.verbs and attributes.verb not in rule.verbs:
        return False
    if not attributes.is_resource:
        return any(is_path(url, attributes.path) for url in rule.non_resource_urls)
    return (
        (ALL in rule.api_groups or attributes.group in rule.api_groups)
        and is_resource(rule.resources, attributes.resource, attributes.subresource)
        and (not rule.resource_names or attributes.name in rule.resource_names)
    )


def shown(rule: PolicyRule) -> str:
    """As Go shows it: ``{APIGroups:[""], Resources:["pods"], Verbs:["get" "list"]}``."""
    parts = [
        f"{name}:[{' '.join(_quoted(value) for value in values)}]"
        for name, values in (
            ("NonResourceURLs", rule.non_resource_urls), ("APIGroups", rule.api_groups), ("Resources", rule.resources),
            ("ResourceNames", rule.resource_names), ("Verbs", rule.verbs),
        )
        if values
    ]  # fmt: skip
    return "{" + ", ".join(parts) + "}"


def _quoted(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
