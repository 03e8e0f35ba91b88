"""Admission by PriorityClasses: a pod's class becomes its number, and there is one default class at most.

Pure. After plugin/pkg/admission/priority.
"""

from __future__ import annotations

from controlplane.apiserver.admission.context import Context, named
from controlplane.apiserver.admission.refusals import forbidden
from controlplane.apiserver.kinds.priorityclass import SYSTEM
from shared.api.kinds import PODS, PRIORITY_CLASSES
from shared.api.meta import JSON

_PREEMPTS = "PreemptLowerPriority"


def resolve(context: Context, pod: JSON) -> None:
    """The number and the preemption policy of the pod's class, or of the default one. Raises Forbidden."""
    spec = pod["spec"]
    name = spec.get("priorityClassName") or ""
    found = _class(context, name) if name else _default(context)
    if name and found is None:
        raise forbidden(PODS, pod, f"no PriorityClass with name {name} was found")
    value, policy = 0, _PREEMPTS
    if found is not None:
        value, policy = found.get("value") or 0, found.get("preemptionPolicy") or _PREEMPTS
        spec["priorityClassName"] = found["metadata"]["name"]
    tail = f"must not be provided in pod spec; priority admission controller computed {{}} from the given {_CLASS}"
    if spec.get("priority") not in (None, value):
        raise forbidden(PODS, pod, f"the integer value of priority ({spec['priority']}) {tail.format(value)}")
    if spec.get("preemptionPolicy") not in (None, "", policy):
        said = spec["preemptionPolicy"]
        raise forbidden(PODS, pod, f"the string value of PreemptionPolicy ({said}) {tail.format(policy)}")
    spec["priority"], spec["preemptionPolicy"] = value, policy


_CLASS = "PriorityClass name"


def _class(context: Context, name: str) -> JSON | None:
    found = named(context.objects.list(PRIORITY_CLASSES), name)
    if found is None and name in SYSTEM:  # they are made at the start, and count before that too
        return {"metadata": {"name": name}, "value": SYSTEM[name]}
    return found


def _default(context: Context) -> JSON | None:
    """Of several that were made at the same moment, the lowest."""
    marked = [each for each in context.objects.list(PRIORITY_CLASSES) if each.get("globalDefault")]
    return min(marked, key=lambda each: int(each.get("value") or 0), default=None)


def one_default(context: Context, obj: JSON, old: JSON | None) -> None:
    """Raises Forbidden when another class is the default already."""
    if not obj.get("globalDefault"):
        return
    other = _default(context)
    if other is not None and (old is None or other["metadata"]["name"] != obj["metadata"]["name"]):
        name = other["metadata"]["name"]
        why = f"PriorityClass {name} is already marked as default. Only one default can exist"
        raise forbidden(PRIORITY_CLASSES, obj, why)
