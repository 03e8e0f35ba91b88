"""Admission of nodes: TaintNodesByCondition.

Pure. After plugin/pkg/admission/nodetaint: a new node takes no pods until the node lifecycle controller has seen it
Ready and takes the taint away.
"""

from __future__ import annotations

from controlplane.apiserver.admission.context import Context
from shared.api.meta import JSON

NOT_READY: JSON = {"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}


def taint_until_ready(context: Context, node: JSON) -> None:
    """Add the not-ready taint unless it is there."""
    spec = node.setdefault("spec", {})
    taints = list(spec.get("taints") or ())
    if not any((t.get("key"), t.get("effect")) == (NOT_READY["key"], NOT_READY["effect"]) for t in taints):
        spec["taints"] = [*taints, dict(NOT_READY)]
