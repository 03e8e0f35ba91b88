"""ServiceCIDR and IPAddress: validation, columns.

Pure. Rules and texts are those of pkg/apis/networking.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from controlplane.apiserver.kinds.base import Column, Kind, Subresource
from controlplane.apiserver.kinds.causes import all_invalid, immutable, invalid, required
from controlplane.apiserver.kinds.cells import NONE, age_column, at, name_column
from shared.api import kinds, names
from shared.api.errors import Cause
from shared.api.meta import JSON

_IMMUTABLE = "field is immutable"


def validate_cidrs(obj: JSON, old: JSON | None) -> Iterable[Cause]:
    """At most one of each family; an object with one may get the other later, and nothing else changes."""
    cidrs = at(obj, "spec", "cidrs", default=[])
    path = "spec.cidrs"
    if old is None:
        yield from _new(cidrs, path)
        return
    before = at(old, "spec", "cidrs", default=[])
    if len(cidrs) == len(before):
        for index, (new, was) in enumerate(zip(cidrs, before, strict=True)):
            if new != was:
                yield invalid(f"{path}[{index}]", new, _IMMUTABLE)
    elif len(before) == 1 and len(cidrs) == 2:
        if cidrs[0] != before[0]:
            yield invalid(f"{path}[0]", cidrs[0], _IMMUTABLE)
        yield from _new(cidrs, path)
    else:
        yield invalid(path, cidrs, _IMMUTABLE)


def _new(cidrs: list[str], path: str) -> Iterator[Cause]:
    if not cidrs:
        yield required(path, "at least one CIDR required")
        return
    if len(cidrs) > 2:
        yield invalid(path, {"cidrs": cidrs}, "may only hold up to 2 values")
        return
    wrong = False
    for index, cidr in enumerate(cidrs):
        texts = names.canonical_cidr(cidr)
        wrong = wrong or bool(texts)
        yield from all_invalid(f"{path}[{index}]", cidr, texts)
    if len(cidrs) == 2 and not wrong and (":" in cidrs[0]) == (":" in cidrs[1]):
        detail = "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64"
        yield invalid(path, cidrs, detail)


def validate_address(obj: JSON, old: JSON | None) -> Iterable[Cause]:
    parent = at(obj, "spec", "parentRef")
    path = "spec.parentRef"
    if old is not None:
        yield from immutable(path, parent, at(old, "spec", "parentRef"))
        return
    if parent is None:
        yield required(path)
        return
    if group := parent.get("group"):
        yield from all_invalid(f"{path}.group", group, names.dns_subdomain(group))
    for field in ("resource", "name"):
        if not (value := parent.get(field) or ""):
            yield required(f"{path}.{field}")
        else:
            yield from all_invalid(f"{path}.{field}", value, names.path_segment(value))
    if namespace := parent.get("namespace"):
        yield from all_invalid(f"{path}.namespace", namespace, names.path_segment(namespace))


def _parent(obj: JSON) -> str:
    parent = at(obj, "spec", "parentRef")
    if parent is None:
        return NONE
    group = f".{parent['group']}" if parent.get("group") else ""
    parts = (f"{parent.get('resource') or ''}{group}".lower(), parent.get("namespace"), parent.get("name"))
    return "/".join(part for part in parts if part)


SERVICE_CIDR = Kind(
    resource=kinds.SERVICE_CIDRS,
    singular="servicecidr",
    columns=(
        name_column(),
        Column("CIDRs", "string", "Ranges of service addresses.",
               lambda obj: ",".join(at(obj, "spec", "cidrs", default=()))),
        age_column(),
    ),
    subresources=(Subresource("status", ("get", "patch", "update")),),
    validate=validate_cidrs,
)  # fmt: skip
IP_ADDRESS = Kind(
    resource=kinds.IP_ADDRESSES,
    singular="ipaddress",
    short_names=("ip",),
    columns=(name_column(), Column("ParentRef", "string", "What has the address.", _parent)),
    validate=validate_address,
    name_rule="ip-address",
)
