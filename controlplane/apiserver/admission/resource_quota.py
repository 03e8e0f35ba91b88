"""Admission by ResourceQuotas: whether one more object, or one that grows, still fits, and what is used then.

Pure; writing what is used is the verbs' own. After k8s.io/apiserver/pkg/admission/plugin/resourcequota.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec

from controlplane.apiserver.admission.refusals import forbidden
from controlplane.apiserver.kinds.base import Kind
from shared.api import quantity
from shared.api.meta import JSON
from shared.api.policies import ResourceQuota
from shared.quota import amounts
from shared.quota.amounts import Amounts
from shared.quota.evaluate import evaluator, matches


@dataclass(frozen=True, slots=True)
class Charge:
    """What a quota's ``status.used`` becomes with the write."""

    quota: ResourceQuota
    used: Amounts


def charges(
    quotas: Sequence[ResourceQuota], kind: Kind, new: JSON, old: JSON | None, now: datetime
) -> Sequence[Charge]:
    """The quotas that the write counts against, and how. Raises Forbidden when it does not fit into one of them."""
    how = evaluator(kind.resource)
    if how is None or (old is not None and not how.changes):
        return ()
    obj = msgspec.convert(new, kind.resource.type, strict=False)
    before = None if old is None else msgspec.convert(old, kind.resource.type, strict=False)
    concerned: list[ResourceQuota] = []
    for quota in quotas:
        limited = how.names(quota.status.hard)
        if not limited or not matches(quota, how, obj):
            continue
        if lacking := how.missing(limited, obj):
            raise forbidden(kind.resource, new, f"failed quota: {quota.metadata.name}: must specify {lacking}")
        if any(name not in quota.status.used for name in limited):
            names = ",".join(sorted(limited))
            why = f"status unknown for quota: {quota.metadata.name}, resources: {names}"
            raise forbidden(kind.resource, new, why)
        concerned.append(quota)
    if not concerned:
        return ()
    usage = how.usage(obj, now)
    if negative := sorted(name for name, amount in usage.items() if quantity.parse(amount) < 0):
        raise forbidden(kind.resource, new, f"quota usage is negative for resource(s): {','.join(negative)}")
    found: list[Charge] = []
    for quota in concerned:
        counted_before = before is not None and matches(quota, how, before)
        more = amounts.growth(usage, how.usage(before, now) if counted_before else {})
        wanted = amounts.only(more, quota.status.hard)
        if wanted:
            found.append(_fitted(quota, kind, new, wanted))
    return found


def _fitted(quota: ResourceQuota, kind: Kind, new: JSON, wanted: Amounts) -> Charge:
    hard, used = quota.status.hard, quota.status.used
    total = amounts.add(used, wanted)
    exceeded = [name for name in wanted if quantity.parse(total[name]) > quantity.parse(hard[name])]
    if exceeded:
        parts = (amounts.text(amounts.only(part, exceeded)) for part in (wanted, used, hard))
        text = "requested: {}, used: {}, limited: {}".format(*parts)
        raise forbidden(kind.resource, new, f"exceeded quota: {quota.metadata.name}, {text}")
    return Charge(quota, total)
