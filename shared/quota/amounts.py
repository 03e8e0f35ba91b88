"""Resource lists: quantities by resource name, added, compared and printed without losing their form.

Pure. After k8s.io/apiserver/pkg/quota/v1/resources.go.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal

from shared.api import quantity
from shared.api.quantity import Quantity

Amounts = dict[str, Quantity]


def add(one: Mapping[str, Quantity], other: Mapping[str, Quantity]) -> Amounts:
    """The sums, over the names of both."""
    total = dict(one)
    for name, amount in other.items():
        total[name] = quantity.add(total[name], amount) if name in total else amount
    return total


def total(parts: Iterable[Mapping[str, Quantity]], names: Iterable[str]) -> Amounts:
    """The sums of ``names`` over many lists; "0" of what none has."""
    sums: dict[str, tuple[Decimal, Quantity]] = {name: (Decimal(0), "0") for name in names}
    for part in parts:
        for name, amount in part.items():
            if name in sums:
                value, form = sums[name]
                sums[name] = value + quantity.parse(amount), form if value else amount
    return {name: quantity.in_form_of(form, value) for name, (value, form) in sums.items()}


def largest(one: Mapping[str, Quantity], other: Mapping[str, Quantity]) -> Amounts:
    """The larger of each, over the names of both."""
    found = dict(one)
    for name, amount in other.items():
        if name not in found or quantity.parse(amount) > quantity.parse(found[name]):
            found[name] = amount
    return found


def growth(new: Mapping[str, Quantity], old: Mapping[str, Quantity]) -> Amounts:
    """How much more ``new`` is than ``old``, names without growth left out."""
    found: Amounts = {}
    for name, amount in new.items():
        more = quantity.add(amount, quantity.negative(old[name])) if name in old else amount
        if quantity.parse(more) > 0:
            found[name] = more
    return found


def only(amounts: Mapping[str, Quantity], names: Iterable[str]) -> Amounts:
    """Those of ``names`` that are there."""
    chosen = set(names)
    return {name: amount for name, amount in amounts.items() if name in chosen}


def same(one: Mapping[str, Quantity], other: Mapping[str, Quantity]) -> bool:
    """Whether both have the same names with the same values, however written."""
    return one.keys() == other.keys() and all(
        quantity.parse(amount) == quantity.parse(other[name]) for name, amount in one.items()
    )


def text(amounts: Mapping[str, Quantity]) -> str:
    """``cpu=1,pods=2``, as messages have it."""
    return ",".join(f"{name}={quantity.canonical(amount)}" for name, amount in sorted(amounts.items()))
