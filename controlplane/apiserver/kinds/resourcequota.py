"""ResourceQuota: defaults, validation, columns. What it refuses is in ``admission/resource_quota.py``.

Pure. Rules and texts are those of ValidateResourceQuota in pkg/apis/core/validation.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from controlplane.apiserver.kinds.base import Column, Kind, Subresource
from controlplane.apiserver.kinds.causes import invalid, required
from controlplane.apiserver.kinds.cells import age_column, at, name_column
from controlplane.apiserver.kinds.podspec.defaults import canonical_list
from controlplane.apiserver.kinds.resource_names import is_standard_quota, validate_amount, validate_quota_name
from shared.api import kinds
from shared.api.errors import Cause
from shared.api.meta import JSON

SCOPES = (
    "Terminating", "NotTerminating", "BestEffort", "NotBestEffort", "PriorityClass", "CrossNamespacePodAffinity",
    "VolumeAttributesClass",
)  # fmt: skip
_ONLY_EXISTS = frozenset(("Terminating", "NotTerminating", "BestEffort", "NotBestEffort", "CrossNamespacePodAffinity"))
_CONFLICTS = (("BestEffort", "NotBestEffort"), ("Terminating", "NotTerminating"))
_OF_PODS = frozenset(
    ("pods", "cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory")
)  # fmt: skip
_OF_CLAIMS = frozenset(("persistentvolumeclaims", "requests.storage"))


def default(obj: JSON) -> None:
    """Amounts in canonical form."""
    if obj.get("status") is None:
        obj["status"] = {}
    for part, name in (("spec", "hard"), ("status", "hard"), ("status", "used")):
        if amounts := (obj.get(part) or {}).get(name):
            canonical_list(amounts)


def validate(obj: JSON, old: JSON | None) -> Iterable[Cause]:
    spec: JSON = obj.get("spec") or {}
    yield from _amounts(spec.get("hard"), "spec.hard")
    yield from _scopes(spec)
    if (selector := spec.get("scopeSelector")) is not None:
        yield from _selector(selector, spec)
    if old is not None:
        before = (old.get("spec") or {}).get("scopes") or ()
        if set(spec.get("scopes") or ()) != set(before):
            yield invalid("spec.scopes", spec.get("scopes"), "field is immutable")


def validate_status(obj: JSON, old: JSON | None) -> Iterable[Cause]:
    status: JSON = obj.get("status") or {}
    for name in ("hard", "used"):
        yield from _amounts(status.get(name), f"status.{name}")


def _amounts(amounts: JSON | None, path: str) -> Iterator[Cause]:
    for name, amount in sorted((amounts or {}).items()):
        yield from validate_quota_name(name, f"{path}[{name}]")
        yield from validate_amount(name, amount, f"{path}[{name}]")


def _valid_for(scope: str, resource: str) -> bool:
    if scope == "BestEffort":
        return resource == "pods"
    if scope == "VolumeAttributesClass":
        return resource in _OF_CLAIMS
    return scope not in SCOPES or resource in _OF_PODS


def _scopes(spec: JSON) -> Iterator[Cause]:
    scopes: Sequence[str] = spec.get("scopes") or ()
    for scope in scopes:
        if scope not in SCOPES:
            yield invalid("spec.scopes", scopes, "unsupported scope")
        for resource in sorted(spec.get("hard") or ()):
            if is_standard_quota(resource) and not _valid_for(scope, resource):
                yield invalid("spec.scopes", scopes, "unsupported scope applied to resource")
    yield from _conflicts(scopes, scopes, "spec.scopes")


def _selector(selector: JSON, spec: JSON) -> Iterator[Cause]:
    path = "spec.scopeSelector.matchExpressions"
    wanted = selector.get("matchExpressions") or ()
    for term in wanted:
        scope, operator = term.get("scopeName") or "", term.get("operator") or ""
        values = term.get("values") or ()
        if scope not in SCOPES:
            yield invalid(f"{path}.scopeName", scope, "unsupported scope")
        for resource in sorted(spec.get("hard") or ()):
            if is_standard_quota(resource) and not _valid_for(scope, resource):
                yield invalid(path, selector, "unsupported scope applied to resource")
        if scope in _ONLY_EXISTS and operator != "Exists":
            detail = (
                "must be 'Exist' when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, "
                "ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or "
                "ResourceQuotaScopeCrossNamespacePodAffinity"
            )
            yield invalid(f"{path}.operator", operator, detail)
        if operator in ("In", "NotIn"):
            if not values:
                detail = "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector"
                yield required(f"{path}.values", detail)
        elif operator in ("Exists", "DoesNotExist"):
            if values:
                detail = "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector"
                yield invalid(f"{path}.values", values, detail)
        else:
            yield invalid(f"{path}.operator", operator, "not a valid selector operator")
    yield from _conflicts([term.get("scopeName") or "" for term in wanted], spec.get("scopes"), path)


def _conflicts(scopes: Sequence[str], shown: Any, path: str) -> Iterator[Cause]:
    for one, other in _CONFLICTS:
        if one in scopes and other in scopes:
            yield invalid(path, shown, "conflicting scopes")


def _usage(limits: bool) -> Any:
    def cell(obj: JSON) -> str:
        hard, used = at(obj, "status", "hard", default={}), at(obj, "status", "used", default={})
        chosen = [name for name in sorted(hard) if name.startswith("limits.") is limits]
        return ", ".join(f"{name}: {used.get(name, '0')}/{hard[name]}" for name in chosen)

    return cell


RESOURCE_QUOTA = Kind(
    resource=kinds.RESOURCE_QUOTAS,
    singular="resourcequota",
    short_names=("quota",),
    columns=(
        name_column(),
        Column("Request", "string", "Used and allowed of what is counted and requested.", _usage(False)),
        Column("Limit", "string", "Used and allowed of limits.", _usage(True)),
        age_column(),
    ),
    subresources=(Subresource("status", ("get", "patch", "update")),),
    default=default,
    validate=validate,
    validate_status=validate_status,
)
