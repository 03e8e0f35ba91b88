"""MutatingWebhookConfiguration and ValidatingWebhookConfiguration: defaults, validation, columns.

Pure. Rules and texts are those of pkg/apis/admissionregistration.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from controlplane.apiserver.kinds.admission_rules import default_rules, validate_conditions, validate_rules
from controlplane.apiserver.kinds.base import Column, Kind
from controlplane.apiserver.kinds.causes import all_invalid, duplicate, invalid, not_supported, required
from controlplane.apiserver.kinds.cells import age_column, name_column
from controlplane.apiserver.kinds.podspec.scheduling import validate_label_selector
from controlplane.apiserver.kinds.webhook_client import default_client, validate_client
from shared.api import kinds, names
from shared.api.errors import Cause
from shared.api.meta import JSON

_VERSIONS = ("v1", "v1beta1")
_DEFAULTS: Mapping[str, Any] = {"failurePolicy": "Fail", "matchPolicy": "Equivalent", "timeoutSeconds": 10}


def default_validating(obj: JSON) -> None:
    for hook in obj.get("webhooks") or ():
        for field, value in _DEFAULTS.items():
            if hook.get(field) is None:
                hook[field] = value
        for field in ("namespaceSelector", "objectSelector"):
            if hook.get(field) is None:
                hook[field] = {}
        default_rules(hook.get("rules") or ())
        default_client(hook.get("clientConfig"))


def default_mutating(obj: JSON) -> None:
    default_validating(obj)
    for hook in obj.get("webhooks") or ():
        if not hook.get("reinvocationPolicy"):
            hook["reinvocationPolicy"] = "Never"


def validate(obj: JSON, old: JSON | None) -> Iterable[Cause]:
    seen: set[str] = set()
    for index, hook in enumerate(obj.get("webhooks") or ()):
        path = f"webhooks[{index}]"
        yield from _webhook(hook, path)
        if (name := hook.get("name") or "") in seen:
            yield duplicate(f"{path}.name", name)
        seen.add(name)


def _webhook(hook: JSON, path: str) -> Iterator[Cause]:
    name: str = hook.get("name") or ""
    if not name:
        yield required(f"{path}.name")
    else:
        yield from all_invalid(f"{path}.name", name, names.dns_subdomain(name))
        if name.count(".") < 2:
            yield invalid(f"{path}.name", name, "should be a domain with at least three segments separated by dots")
    yield from validate_rules(hook.get("rules") or (), f"{path}.rules")
    for field, valid in (("failurePolicy", ("Fail", "Ignore")), ("matchPolicy", ("Equivalent", "Exact"))):
        if (value := hook.get(field)) not in valid:
            yield not_supported(f"{path}.{field}", value, valid)
    effects = ("None", "NoneOnDryRun")
    if (effect := hook.get("sideEffects")) is None:
        yield required(f"{path}.sideEffects", f"must specify one of {', '.join(effects)}")
    elif effect not in effects:
        yield not_supported(f"{path}.sideEffects", effect, effects)
    if (policy := hook.get("reinvocationPolicy")) not in (None, "Never", "IfNeeded"):
        yield not_supported(f"{path}.reinvocationPolicy", policy, ("IfNeeded", "Never"))
    seconds = hook.get("timeoutSeconds")
    if seconds is not None and not 1 <= seconds <= 30:
        yield invalid(f"{path}.timeoutSeconds", seconds, "the timeout value must be between 1 and 30 seconds")
    for field in ("namespaceSelector", "objectSelector"):
        yield from validate_label_selector(hook.get(field) or {}, f"{path}.{field}")
    yield from validate_conditions(hook.get("matchConditions") or (), f"{path}.matchConditions")
    yield from validate_client(hook.get("clientConfig") or {}, f"{path}.clientConfig")
    versions = hook.get("admissionReviewVersions") or ()
    if not versions:
        yield required(f"{path}.admissionReviewVersions", f"must specify one of {', '.join(_VERSIONS)}")
    elif not set(versions) & set(_VERSIONS):
        detail = f"must include at least one of {', '.join(_VERSIONS)}"
        yield invalid(f"{path}.admissionReviewVersions", list(versions), detail)


def _count(obj: JSON) -> int:
    return len(obj.get("webhooks") or ())


_COLUMNS = (
    name_column(),
    Column("Webhooks", "integer", "Number of webhooks that the configuration has.", _count),
    age_column(),
)

MUTATING_WEBHOOK_CONFIGURATION = Kind(
    resource=kinds.MUTATING_WEBHOOK_CONFIGURATIONS,
    singular="mutatingwebhookconfiguration",
    categories=("api-extensions",),
    columns=_COLUMNS,
    default=default_mutating,
    validate=validate,
    has_generation=True,
    spec_fields=("webhooks",),
)
VALIDATING_WEBHOOK_CONFIGURATION = Kind(
    resource=kinds.VALIDATING_WEBHOOK_CONFIGURATIONS,
    singular="validatingwebhookconfiguration",
    categories=("api-extensions",),
    columns=_COLUMNS,
    default=default_validating,
    validate=validate,
    has_generation=True,
    spec_fields=("webhooks",),
)
