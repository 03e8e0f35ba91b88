"""Names of resources: which stand in a container, a quota or a limit range, and which amounts they take.

Pure. After pkg/apis/core/helper and the resource rules of pkg/apis/core/validation.
"""

from __future__ import annotations

from typing import Any

from controlplane.apiserver.kinds.causes import all_invalid, invalid
from shared.api import names, quantity
from shared.api.errors import Cause

HUGE_PAGES = "hugepages-"
COMPUTE = ("cpu", "memory", "ephemeral-storage")
COUNTED = frozenset(
    (
        "pods", "resourcequotas", "services", "replicationcontrollers", "secrets", "configmaps",
        "persistentvolumeclaims", "services.nodeports", "services.loadbalancers",
    )
)  # fmt: skip
"""What a quota counts under a name of its own; whole numbers only."""

_QUOTA = frozenset(
    (
        *COMPUTE,
        *(f"requests.{name}" for name in (*COMPUTE, "storage")),
        *(f"limits.{name}" for name in COMPUTE),
        *COUNTED,
    )
)
_STANDARD = _QUOTA | {"storage"}
_CONTAINER = frozenset(COMPUTE)


def is_native(name: str) -> bool:
    """Kubernetes' own: without a domain, or in one of kubernetes.io."""
    return "/" not in name or "kubernetes.io/" in name


def is_extended(name: str) -> bool:
    """A resource of somebody else's domain, such as a device plugin's."""
    if is_native(name) or name.startswith("requests."):
        return False
    return not names.qualified_name(f"requests.{name}")


def is_standard_quota(name: str) -> bool:
    return name in _QUOTA or name.startswith((HUGE_PAGES, f"requests.{HUGE_PAGES}"))


def overcommit_allowed(name: str) -> bool:
    """Whether more may be promised than there is: not of huge pages and extended resources."""
    return is_native(name) and not name.startswith(HUGE_PAGES)


def validate_name(name: str, path: str) -> list[Cause]:
    """A resource of any kind."""
    if wrong := names.qualified_name(name):
        return all_invalid(path, name, wrong)
    if "/" in name or name in _STANDARD or name.startswith((HUGE_PAGES, f"requests.{HUGE_PAGES}")):
        return []
    return [invalid(path, name, "must be a standard resource type or fully qualified")]


def validate_container_name(name: str, path: str) -> list[Cause]:
    """A resource that a container may ask for."""
    found = validate_name(name, path)
    if "/" not in name and name not in _CONTAINER and not name.startswith(HUGE_PAGES):
        found.append(invalid(path, name, "must be a standard resource for containers"))
    return found


def validate_quota_name(name: str, path: str) -> list[Cause]:
    """A resource that a quota may limit."""
    found = validate_name(name, path)
    if "/" not in name and not is_standard_quota(name):
        found.append(invalid(path, name, "must be a standard resource for quota"))
    return found


def validate_amount(name: str, amount: Any, path: str) -> list[Cause]:
    """Not negative; a whole number of what comes in pieces."""
    exact = quantity.parse(amount)
    found: list[Cause] = []
    if exact < 0:
        found.append(invalid(path, amount, "must be greater than or equal to 0"))
    if (name in COUNTED or is_extended(name)) and exact != exact.to_integral_value():
        found.append(invalid(path, amount, "must be an integer"))
    return found
