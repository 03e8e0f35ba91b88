"""Which rules and selectors match a request. Pure, but for reading a namespace off the watch cache.

After k8s.io/apiserver/pkg/admission/plugin/webhook/predicates. Used for webhooks and for policies.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from controlplane.apiserver.api import ApiServer
from controlplane.apiserver.request import Request
from shared.api import selectors
from shared.api.kinds import NAMESPACES
from shared.api.meta import JSON

OWN_GROUP = "admissionregistration.k8s.io"
"""Its objects are never sent to a webhook, which could otherwise keep anybody from removing it."""


def rules_match(rules: Sequence[JSON], request: Request, operation: str) -> bool:
    """Whether any RuleWithOperations names what is asked."""
    return any(_rule_matches(rule, request, operation) for rule in rules)


def _rule_matches(rule: JSON, request: Request, operation: str) -> bool:
    resource = request.kind.resource
    return (
        _names(rule.get("operations"), operation)
        and _names(rule.get("apiGroups"), resource.group)
        and _names(rule.get("apiVersions"), resource.version)
        and any(_resource(pattern, resource.plural, request.subresource) for pattern in rule.get("resources") or ())
        and rule.get("scope", "*") in ("*", "Namespaced" if resource.namespaced else "Cluster")
    )


def _names(listed: Sequence[str] | None, value: str) -> bool:
    return any(item in ("*", value) for item in listed or ())


def _resource(pattern: str, plural: str, subresource: str) -> bool:
    wanted, _, wanted_sub = pattern.partition("/")
    if pattern == "*/*":
        return True
    return wanted in ("*", plural) and wanted_sub in ((subresource,) if not subresource else (subresource, "*"))


def object_selected(selector: JSON | None, *trees: JSON | None) -> bool:
    """Whether an objectSelector selects the new or the old object."""
    if not selector:
        return True
    parsed = selectors.from_label_selector(selector)
    # What has no metadata, such as the options of CONNECT, is selected by none.
    metas = [tree["metadata"] for tree in trees if tree is not None and tree.get("metadata") is not None]
    return any(parsed.matches(meta.get("labels") or {}) for meta in metas)


def namespace_selected(selector: JSON | None, labels: Mapping[str, str] | None) -> bool:
    """Whether a namespaceSelector selects the object's namespace, whose ``labels`` are given: None is for an object
    that has none, which every selector lets pass. A Namespace is selected by its own labels."""
    if not selector or labels is None:
        return True
    return selectors.from_label_selector(selector).matches(labels)


def is_namespace(request: Request) -> bool:
    return (request.kind.resource.group, request.kind.resource.plural) == ("", NAMESPACES.plural)


def namespace_labels(api: ApiServer, request: Request, tree: JSON | None) -> Mapping[str, str] | None:
    """Labels of the object's namespace, which for a Namespace are its own; None for what is in none."""
    if is_namespace(request):
        own: dict[str, str] = ((tree or {}).get("metadata") or {}).get("labels") or {}
        return own
    if not request.namespace:
        return None
    cache = api.cache.find(NAMESPACES.group, NAMESPACES.plural)
    entry = cache.get("", request.namespace) if cache else None
    return entry.labels if entry else {}
