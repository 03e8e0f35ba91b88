"""LimitRange: defaults, validation, columns. What it does to pods and claims is in ``admission/limit_ranger.py``.

Pure. Rules and texts are those of SetDefaults_LimitRangeItem and ValidateLimitRange in pkg/apis/core.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import Any

from controlplane.apiserver.kinds.base import Column, Kind
from controlplane.apiserver.kinds.causes import all_invalid, duplicate, forbidden, invalid, required
from controlplane.apiserver.kinds.cells import name_column
from controlplane.apiserver.kinds.podspec.defaults import canonical_list
from controlplane.apiserver.kinds.resource_names import overcommit_allowed, validate_container_name, validate_name
from shared.api import kinds, names, quantity
from shared.api.errors import Cause
from shared.api.meta import JSON

TYPES = ("Container", "PersistentVolumeClaim", "Pod")
_LISTS = ("max", "min", "default", "defaultRequest", "maxLimitRequestRatio")


def default(limits: JSON) -> None:
    """A container's default limit is its maximum, its default request the default limit or else the minimum."""
    for item in (limits.get("spec") or {}).get("limits") or ():
        for name in _LISTS:
            if item.get(name):
                canonical_list(item[name])
        if item.get("type") != "Container":
            continue
        limit = {**(item.get("max") or {}), **(item.get("default") or {})}
        request = {**(item.get("min") or {}), **limit, **(item.get("defaultRequest") or {})}
        for name, value in (("default", limit), ("defaultRequest", request)):
            if value:
                item[name] = value


def validate(obj: JSON, old: JSON | None) -> Iterable[Cause]:
    seen: set[str] = set()
    for index, item in enumerate((obj.get("spec") or {}).get("limits") or ()):
        path = f"spec.limits[{index}]"
        type_ = item.get("type") or ""
        yield from _type(type_, f"{path}.type")
        if type_ in seen:
            yield duplicate(f"{path}.type", type_)
        seen.add(type_)
        yield from _item(item, type_, path)


def _type(value: str, path: str) -> list[Cause]:
    if wrong := names.qualified_name(value):
        return all_invalid(path, value, wrong)
    if "/" not in value and value not in TYPES:
        return [invalid(path, value, "must be a standard limit type or fully qualified")]
    return []


def _item(item: JSON, type_: str, path: str) -> Iterator[Cause]:
    check = validate_container_name if type_ in ("Container", "Pod") else validate_name
    lists: dict[str, JSON] = {name: item.get(name) or {} for name in _LISTS}
    if type_ == "Pod":
        for name in ("default", "defaultRequest"):
            if lists[name]:
                yield forbidden(f"{path}.{name}", "may not be specified when `type` is 'Pod'")
                lists[name] = {}
    for name in _LISTS:
        for resource in sorted(lists[name]):
            yield from check(resource, f"{path}.{name}[{resource}]")
    if type_ == "PersistentVolumeClaim" and "storage" not in lists["min"] and "storage" not in lists["max"]:
        detail = "either minimum or maximum storage value is required, but neither was provided"
        yield required(f"{path}.limits", detail)
    for resource in sorted({resource for values in lists.values() for resource in values}):
        yield from _amounts({name: lists[name].get(resource) for name in _LISTS}, resource, path)


def _amounts(given: dict[str, Any], resource: str, path: str) -> Iterator[Cause]:
    """Smaller ones are not above larger ones, for one resource."""
    exact = {name: quantity.parse(amount) for name, amount in given.items() if amount is not None}
    rows = (
        ("min", "max", "min", "min", "min value {} is greater than max value {}"),
        ("min", "defaultRequest", "defaultRequest", "defaultRequest",
         "min value {} is greater than default request value {}"),
        ("defaultRequest", "max", "defaultRequest", "defaultRequest",
         "default request value {} is greater than max value {}"),
        ("defaultRequest", "default", "defaultRequest", "defaultRequest",
         "default request value {} is greater than default limit value {}"),
        ("min", "default", "default", "min", "min value {} is greater than default value {}"),
        ("default", "max", "default", "max", "default value {} is greater than max value {}"),
    )  # fmt: skip
    for less, more, field, shown, text in rows:
        if less in exact and more in exact and exact[less] > exact[more]:
            yield invalid(f"{path}.{field}[{resource}]", given[shown], text.format(given[less], given[more]))
    if "maxLimitRequestRatio" in exact:
        yield from _ratio(given["maxLimitRequestRatio"], exact, f"{path}.maxLimitRequestRatio[{resource}]")
    both = "default" in exact and "defaultRequest" in exact
    if both and not overcommit_allowed(resource) and exact["default"] != exact["defaultRequest"]:
        detail = (
            f"default value {given['default']} must equal to defaultRequest value {given['defaultRequest']} in "
            f"{resource}"
        )
        yield invalid(f"{path}.defaultRequest[{resource}]", given["defaultRequest"], detail)


def _ratio(given: Any, exact: dict[str, Decimal], path: str) -> Iterator[Cause]:
    ratio = exact["maxLimitRequestRatio"]
    if ratio < 1:
        yield invalid(path, given, f"ratio {given} is less than 1")
    if "min" in exact and "max" in exact and exact["min"]:
        most = float(exact["max"]) / float(exact["min"])
        if float(ratio) > most:
            yield invalid(path, given, f"ratio {given} is greater than max/min = {most:f}")


LIMIT_RANGE = Kind(
    resource=kinds.LIMIT_RANGES,
    singular="limitrange",
    short_names=("limits",),
    columns=(
        name_column(),
        Column(
            "Created At", "date", "When the object was created.",
            lambda obj: obj["metadata"].get("creationTimestamp") or "0001-01-01T00:00:00Z",
        ),
    ),
    default=default,
    validate=validate,
)  # fmt: skip
