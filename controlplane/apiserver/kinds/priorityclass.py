"""PriorityClass: defaults, validation, columns.

Pure. Rules and texts are those of pkg/apis/scheduling.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from controlplane.apiserver.kinds.base import Kind
from controlplane.apiserver.kinds.causes import forbidden, immutable, not_supported, required
from controlplane.apiserver.kinds.cells import age_column, field_column, name_column
from shared.api import kinds
from shared.api.errors import Cause
from shared.api.meta import JSON

HIGHEST_OF_USERS = 1_000_000_000
SYSTEM: Mapping[str, int] = {"system-cluster-critical": 2_000_000_000, "system-node-critical": 2_000_001_000}
"""The two that every cluster has."""

_PREFIX = "system-"
_POLICIES = ("Never", "PreemptLowerPriority")


def default(obj: JSON) -> None:
    if obj.get("value") is None:
        obj["value"] = 0
    if obj.get("preemptionPolicy") is None:
        obj["preemptionPolicy"] = "PreemptLowerPriority"
    if obj.get("globalDefault") is False:
        del obj["globalDefault"]  # as Go's omitempty


def validate(obj: JSON, old: JSON | None) -> Iterable[Cause]:
    name, value = (obj.get("metadata") or {}).get("name") or "", obj.get("value") or 0
    if old is not None:
        if value != (old.get("value") or 0):
            yield forbidden("value", "may not be changed in an update.")
        yield from immutable("preemptionPolicy", obj.get("preemptionPolicy"), old.get("preemptionPolicy"))
        return
    if name.startswith(_PREFIX):
        if why := _not_known(name, value, bool(obj.get("globalDefault"))):
            detail = f"priority class names with '{_PREFIX}' prefix are reserved for system use only. error: {why}"
            yield forbidden("metadata.name", detail)
    elif value > HIGHEST_OF_USERS:
        yield forbidden("value", f"maximum allowed value of a user defined priority is {HIGHEST_OF_USERS}")
    policy = obj.get("preemptionPolicy")
    if policy == "":
        yield required("preemptionPolicy")
    elif policy not in (None, *_POLICIES):
        yield not_supported("preemptionPolicy", policy, _POLICIES)


def _not_known(name: str, value: int, is_default: bool) -> str:
    if name not in SYSTEM:
        return f"{name} is not a known system priority class"
    if value != SYSTEM[name]:
        return f"value of {name} PriorityClass must be {SYSTEM[name]}"
    return f"globalDefault of {name} PriorityClass must be false" if is_default else ""


PRIORITY_CLASS = Kind(
    resource=kinds.PRIORITY_CLASSES,
    singular="priorityclass",
    short_names=("pc",),
    columns=(
        name_column(),
        field_column("Value", "integer", "The priority of pods of this class.", "value", default=0),
        field_column("Global-Default", "boolean", "Whether pods without a class have this one.", "globalDefault",
                     default=False),
        age_column(),
        field_column("PreemptionPolicy", "string", "Whether such pods displace others.", "preemptionPolicy",
                     default=""),
    ),
    default=default,
    validate=validate,
    has_generation=True,
    spec_fields=(),
)  # fmt: skip
