"""What is wrong with a container's requests and limits.

Pure. Rules and texts are those of ValidateContainerResourceRequirements in pkg/apis/core/validation.
"""

from __future__ import annotations

from typing import Any

from controlplane.apiserver.kinds.causes import all_invalid, invalid, required
from shared.api import names, quantity
from shared.api.errors import Cause
from shared.api.meta import JSON

_STANDARD = frozenset(("cpu", "memory", "ephemeral-storage"))


def validate_resources(resources: JSON, at: str) -> list[Cause]:
    """Names, amounts, and that no request is above its limit."""
    limits: JSON = resources.get("limits") or {}
    requests: JSON = resources.get("requests") or {}
    if not limits and not requests:
        return []
    found: list[Cause] = []
    for name, amount in sorted(limits.items()):
        found += _name(name, f"{at}.limits[{name}]")
        found += _amount(name, amount, f"{at}.limits[{name}]")
    for name, amount in sorted(requests.items()):
        found += _name(name, f"{at}.requests[{name}]")
        found += _amount(name, amount, f"{at}.requests[{name}]")
        if name in limits:
            found += _compare(name, amount, limits[name], at)
        elif not _overcommittable(name):
            found.append(required(f"{at}.limits", "Limit must be set for non overcommitable resources"))
    return found


def _compare(name: str, request: Any, limit: Any, at: str) -> list[Cause]:
    want, allowed = quantity.parse(request), quantity.parse(limit)
    if not _overcommittable(name) and want != allowed:
        return [invalid(f"{at}.requests", request, f"must be equal to {name} limit of {limit}")]
    if want > allowed:
        return [invalid(f"{at}.requests", request, f"must be less than or equal to {name} limit of {limit}")]
    return []


def _name(name: str, at: str) -> list[Cause]:
    if wrong := names.qualified_name(name):
        return all_invalid(at, name, wrong)
    if "/" in name or name in _STANDARD or name.startswith("hugepages-"):
        return []
    return [invalid(at, name, "must be a standard resource for containers")]


def _amount(name: str, amount: Any, at: str) -> list[Cause]:
    exact = quantity.parse(amount)
    if exact < 0:
        return [invalid(at, amount, "must be greater than or equal to 0")]
    if "/" in name and exact != exact.to_integral_value():
        return [invalid(at, amount, "must be an integer")]
    return []


def _overcommittable(name: str) -> bool:
    """Kubernetes' own resources may be promised more than once, huge pages and extended resources not."""
    return ("/" not in name or "kubernetes.io/" in name) and not name.startswith("hugepages-")
