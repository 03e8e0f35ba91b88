"""Admission of resizes: what a pod asks for in place must fit on its node, were that empty.

Pure. After plugin/pkg/admission/podresize (PodResizeValidator).
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from controlplane.apiserver.admission.context import Context, named
from controlplane.apiserver.admission.refusals import forbidden
from shared.api import quantity
from shared.api.errors import Cause
from shared.api.kinds import NODES, PODS
from shared.api.meta import JSON
from shared.api.pod import PodSpec
from shared.quota import pods


def check(context: Context, pod: JSON, old: JSON) -> None:
    """Raises Forbidden."""
    name = pod["spec"].get("nodeName")
    if not name or pod["metadata"].get("generation") == old["metadata"].get("generation"):
        return
    node = named(context.objects.list(NODES), name)
    if node is None:
        raise forbidden(PODS, pod, f'node "{name}" not found')
    lacking = "; ".join(_lacking(pod["spec"], (node.get("status") or {}).get("allocatable") or {}))
    if lacking:
        why = f"node didn't have enough allocatable resources: {lacking}"
        raise forbidden(PODS, pod, why, [Cause("NodeCapacity", "", "")])


def _lacking(spec: JSON, allocatable: JSON) -> Iterator[str]:
    wanted = pods.requests(msgspec.convert(spec, PodSpec, strict=False))
    for name, amount in (("cpu", quantity.milli), ("memory", quantity.value)):
        asked, offered = amount(wanted.get(name, "0")), amount(allocatable.get(name, "0"))
        if asked > offered:
            yield f"{name}, requested: {asked}, allocatable: {offered}"
